//! Who may do what with a queue: the kernel's rules, asked at each call.
//!
//! A file can be opened to read and write or not at all, so the file's mode lets in whoever
//! may do either; which of the two it is, the library decides by the queue's own mode. That
//! keeps honest programs apart, as the direction of a handle does.
//!
//! Source: ipcperms and ipcctl_obtain_check in ipc/util.c of Linux.

#![forbid(unsafe_code)]

use crate::error::Result;
use crate::report::say;
use crate::shm::layout::TypedWords;
use crate::sync::Ordering::Relaxed;
use crate::sys::process;

const CAP_IPC_OWNER: u32 = 15;
const CAP_SYS_ADMIN: u32 = 21;

/// To receive, and to look at the queue.
pub(super) const READ: u32 = 0o4;
/// To send.
pub(super) const WRITE: u32 = 0o2;

impl TypedWords {
    /// Check that the caller may do this: bits of a mode, for whichever class he is in.
    pub(super) fn check_rights(&self, wanted: u32) -> Result<()> {
        let wanted = (wanted >> 6 | wanted >> 3 | wanted) & 0o7;
        let mode = self.mode.load(Relaxed);
        let everybody = mode >> 6 & mode >> 3 & mode;
        if wanted & !everybody == 0 {
            return Ok(());
        }
        if wanted & !self.granted(mode) & 0o7 == 0 || process::is_capable(CAP_IPC_OWNER) {
            return Ok(());
        }
        Err(say(libc::EACCES, "the queue's mode does not allow this"))
    }

    fn is_owner(&self) -> bool {
        let user = process::effective_user();
        user == self.uid.load(Relaxed) || user == self.cuid.load(Relaxed)
    }

    fn granted(&self, mode: u32) -> u32 {
        if self.is_owner() {
            return mode >> 6;
        }
        let group = process::effective_group();
        let (gid, cgid) = (self.gid.load(Relaxed), self.cgid.load(Relaxed));
        if group == gid || group == cgid || process::is_in_group(gid, cgid) {
            return mode >> 3;
        }
        mode
    }

    /// Check that the caller may change and remove the queue.
    pub(super) fn check_ownership(&self) -> Result<()> {
        if self.is_owner() || process::is_capable(CAP_SYS_ADMIN) {
            Ok(())
        } else {
            Err(not_the_owner())
        }
    }
}

/// The answer to who may not even open the file of a queue that he wants to change.
pub(super) fn not_the_owner() -> crate::error::Errno {
    say(libc::EPERM, "only its owner, its creator and root may change or remove a queue")
}

/// The mode of the file of a queue with this mode. Its owner can always open it: the queue may
/// be his to change.
pub(super) fn file_mode(mode: u32) -> u32 {
    let class = |bits: u32| if mode & bits != 0 { bits & 0o666 } else { 0 };
    0o600 | class(0o060) | class(0o006)
}

#[cfg(test)]
mod tests {
    use super::file_mode;

    #[test]
    fn who_may_send_or_receive_may_open_the_file() {
        assert_eq!(file_mode(0), 0o600);
        assert_eq!(file_mode(0o640), 0o660);
        assert_eq!(file_mode(0o602), 0o606);
        assert_eq!(file_mode(0o111), 0o600);
    }
}
