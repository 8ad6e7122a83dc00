//! Watching files for being read: inotify(7).
//!
//! To close an inotify descriptor takes the kernel some 10 ms (it waits until nobody can
//! still be looking at its watches), so a few are kept for the next who watches. Each is used
//! by one at a time, and watches nothing while it is kept.
//!
//! A kept one may be another's meanwhile: of the parent that we were forked from, who has
//! the same description; or the program has closed all its descriptors, and opened others.
//! The first is known by the process's number, the second by a mark on the description: the
//! signal that it would send if it were asked to.
//!
//! Source: inotify(7), fcntl(2) (F_SETSIG); fsnotify_destroy_group in fs/notify of Linux.

use super::file::{Descriptor, ProcPath};
use super::process;
use crate::error::{Errno, Result};
use crate::sync::Ordering::{Relaxed, SeqCst};
use crate::sync::local::AtomicI32;

/// What is kept: a number and one, or 0.
static KEPT: [AtomicI32; 4] = [const { AtomicI32::new(0) }; 4];
/// The process whose they are.
static KEEPER: AtomicI32 = AtomicI32::new(0);
/// The mark; the last real-time signal there is anywhere.
const MARK: i32 = 64;
const F_SETSIG: i32 = 10;
const F_GETSIG: i32 = 11;

fn checked(result: libc::c_int) -> Result<libc::c_int> {
    if result < 0 { Err(Errno::last()) } else { Ok(result) }
}

/// An inotify descriptor.
pub struct Watcher(Descriptor);

impl Watcher {
    /// One that watches nothing yet.
    pub fn new() -> Result<Watcher> {
        if let Some(kept) = kept() {
            return Ok(kept);
        }
        // SAFETY: touches no memory.
        let fd = checked(unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) })?;
        let watcher = Watcher(Descriptor::adopt(fd));
        // SAFETY: as above.
        checked(unsafe { libc::fcntl(fd, F_SETSIG, MARK) })?;
        Ok(watcher)
    }

    /// The descriptor, which is readable once a watched file was read.
    pub fn number(&self) -> i32 {
        self.0.number()
    }

    /// Watch the file of a descriptor; gives the watch's number.
    pub fn add(&self, fd: i32) -> Result<i32> {
        let path = ProcPath::of(fd);
        let path = path.as_c_str().as_ptr();
        // SAFETY: a C string.
        checked(unsafe { libc::inotify_add_watch(self.number(), path, libc::IN_ACCESS) })
    }

    /// Watch this one no longer.
    pub fn remove(&self, watch: i32) {
        // SAFETY: touches no memory.
        unsafe { libc::inotify_rm_watch(self.number(), watch) };
    }

    /// Take what it has to tell; that it had is all that there is to know.
    pub fn clear(&self) {
        let mut events = [0u64; 512];
        loop {
            // The system call itself: libc's function is a cancellation point.
            // SAFETY: writes at most so many bytes.
            let got = unsafe {
                let size = size_of_val(&events);
                libc::syscall(libc::SYS_read, self.number(), events.as_mut_ptr(), size)
            };
            if got <= 0 && Errno::last() != Errno(libc::EINTR) {
                return;
            }
        }
    }

    /// Keep it for the next; it must not watch anything any more.
    pub fn keep(self) {
        self.clear();
        let number = self.0.into_number();
        for place in &KEPT {
            if place.compare_exchange(0, number + 1, SeqCst, Relaxed).is_ok() {
                return;
            }
        }
        drop(Descriptor::adopt(number));
    }
}

/// One that was kept, and is ours.
fn kept() -> Option<Watcher> {
    let is_ours = KEEPER.swap(process::pid(), SeqCst) == process::pid();
    KEPT.iter().find_map(|place| {
        let number = match place.load(Relaxed) {
            0 => return None,
            _ => place.swap(0, SeqCst) - 1,
        };
        // SAFETY: touches no memory.
        let is_marked = number >= 0 && unsafe { libc::fcntl(number, F_GETSIG) } == MARK;
        let watcher = is_marked.then(|| Watcher(Descriptor::adopt(number)));
        watcher.filter(|_| is_ours)
    })
}
