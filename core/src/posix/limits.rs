//! What the kernel allows its POSIX queues, read at each question, and the sentences of
//! those who asked for more.
//!
//! Source: mq_overview(7), getrlimit(2), user_namespaces(7); mq_attr_ok and
//! mqueue_get_inode in ipc/mqueue.c of Linux.

#![forbid(unsafe_code)]

use crate::attr::{Limits, OpenOptions, PRIO_MAX};
use crate::error::Errno;
use crate::report::{explain, say};
use crate::sys::{file, mq, process};
use core::ffi::{CStr, c_long};

const MSG_MAX: &CStr = c"/proc/sys/fs/mqueue/msg_max";
const MSG_DEFAULT: &CStr = c"/proc/sys/fs/mqueue/msg_default";
const MSGSIZE_MAX: &CStr = c"/proc/sys/fs/mqueue/msgsize_max";
const MSGSIZE_DEFAULT: &CStr = c"/proc/sys/fs/mqueue/msgsize_default";
const QUEUES_MAX: &CStr = c"/proc/sys/fs/mqueue/queues_max";

/// What a kernel begins with: said where the files cannot be read.
const BUILT_IN_MSG: u64 = 10;
const BUILT_IN_MSGSIZE: u64 = 8192;
const BUILT_IN_QUEUES: u64 = 256;
/// Beyond these no privilege helps.
const HARD_MSG: u64 = 65536;
const HARD_MSGSIZE: u64 = 16 << 20;

/// The number that is the text of a file.
fn number_in(path: &CStr) -> Option<u64> {
    let mut text = [0; 32];
    let opened = file::open_at(libc::AT_FDCWD, path, libc::O_RDONLY, 0).ok()?;
    let len = file::read_start(opened.number(), &mut text).ok()?;
    core::str::from_utf8(text.get(..len)?).ok()?.trim().parse().ok()
}

/// What a process may have, and which file says so.
#[derive(Clone, Copy)]
struct Most {
    most: u64,
    set_in: &'static str,
}

fn most(path: &'static CStr, built_in: u64, hard: u64) -> Most {
    if process::may_exceed_limits() {
        return Most { most: hard, set_in: "the kernel itself" };
    }
    let most = number_in(path).unwrap_or(built_in);
    Most { most, set_in: path.to_str().unwrap_or("/proc/sys/fs/mqueue") }
}

fn most_messages() -> Most {
    most(MSG_MAX, BUILT_IN_MSG, HARD_MSG)
}

fn most_bytes() -> Most {
    most(MSGSIZE_MAX, BUILT_IN_MSGSIZE, HARD_MSGSIZE)
}

/// What a queue gets that asks for nothing: the kernel cuts its defaults to its limits.
fn default_messages() -> u64 {
    let limit = number_in(MSG_MAX).unwrap_or(u64::MAX);
    number_in(MSG_DEFAULT).unwrap_or(BUILT_IN_MSG).min(limit)
}

fn default_bytes() -> u64 {
    let limit = number_in(MSGSIZE_MAX).unwrap_or(u64::MAX);
    number_in(MSGSIZE_DEFAULT).unwrap_or(BUILT_IN_MSGSIZE).min(limit)
}

/// What is allowed here now.
pub fn limits() -> Limits {
    let unavailable = match mq::attr(-1) {
        Ok(_) | Err(Errno(libc::EBADF)) => 0,
        Err(error) => error.0,
    };
    let queues_max = match process::may_exceed_limits() {
        true => 0,
        false => number_in(QUEUES_MAX).unwrap_or(BUILT_IN_QUEUES),
    };
    Limits {
        unavailable,
        maxmsg_default: default_messages(),
        maxmsg_max: most_messages().most,
        msgsize_default: default_bytes(),
        msgsize_max: most_bytes().most,
        queues_max,
        // A limit of 0 bytes allows no queue, and neither does one of 1 byte; 0 is no limit.
        bytes_max: process::queue_bytes_limit().map_or(0, |bytes| bytes.max(1)),
        prio_max: PRIO_MAX as u64,
    }
}

/// The sizes that an open call asks for, as the kernel takes them; `None` for its own.
pub fn sizes(options: &OpenOptions) -> Option<mq::Attr> {
    if options.maxmsg == 0 && options.msgsize == 0 {
        return None;
    }
    let (maxmsg, msgsize) = wanted(options);
    // What is no number of the kernel's is too large for it, too.
    let number = |wanted| c_long::try_from(wanted).unwrap_or(c_long::MAX);
    Some(mq::Attr { maxmsg: number(maxmsg), msgsize: number(msgsize), ..Default::default() })
}

/// maxmsg and msgsize, each by itself the kernel's if it is not given.
fn wanted(options: &OpenOptions) -> (u64, u64) {
    let or = |asked, default: fn() -> u64| if asked == 0 { default() } else { asked };
    (or(options.maxmsg, default_messages), or(options.msgsize, default_bytes))
}

/// The answer to a queue that the kernel would not make.
#[cold]
pub fn not_made(error: Errno, options: &OpenOptions) -> Errno {
    let (maxmsg, msgsize) = wanted(options);
    match error.0 {
        libc::EINVAL | libc::EOVERFLOW => too_large(error.0, maxmsg, msgsize),
        libc::EMFILE if may_open_more() => too_many_bytes(maxmsg, msgsize),
        libc::ENOSPC => explain(
            libc::ENOSPC,
            format_args!(
                "there are as many POSIX queues as /proc/sys/fs/mqueue/queues_max allows: {}",
                number_in(QUEUES_MAX).unwrap_or(BUILT_IN_QUEUES)
            ),
        ),
        libc::ENOMEM => explain(
            libc::ENOMEM,
            format_args!(
                "the kernel has not enough memory for a queue of {maxmsg} messages of {msgsize} bytes"
            ),
        ),
        _ => super::explained(error, "cannot make the queue"),
    }
}

fn too_large(errno: i32, maxmsg: u64, msgsize: u64) -> Errno {
    let (messages, bytes) = (most_messages(), most_bytes());
    if maxmsg > messages.most {
        let Most { most, set_in } = messages;
        return explain(
            errno,
            format_args!("maxmsg {maxmsg} is above the limit {most} that {set_in} sets"),
        );
    }
    if msgsize > bytes.most {
        let Most { most, set_in } = bytes;
        return explain(
            errno,
            format_args!("msgsize {msgsize} is above the limit {most} that {set_in} sets"),
        );
    }
    explain(
        errno,
        format_args!("the kernel refuses a queue of maxmsg {maxmsg} and msgsize {msgsize}"),
    )
}

fn too_many_bytes(maxmsg: u64, msgsize: u64) -> Errno {
    let needed = bytes_needed(maxmsg, msgsize);
    match process::queue_bytes_limit() {
        Some(limit) => explain(
            libc::EMFILE,
            format_args!(
                "the queue needs {needed} bytes, and all POSIX queues of this user together may have RLIMIT_MSGQUEUE (ulimit -q): {limit}"
            ),
        ),
        None => say(libc::EMFILE, "the user's POSIX queues have all bytes that the kernel gives"),
    }
}

/// What the kernel charges a queue: for each message its bytes, a head and a place in the
/// tree, which there are 32768 of at most.
fn bytes_needed(maxmsg: u64, msgsize: u64) -> u64 {
    let heads = maxmsg.saturating_mul(48).saturating_add(maxmsg.min(32768) * 48);
    maxmsg.saturating_mul(msgsize).saturating_add(heads)
}

/// Whether EMFILE did not mean RLIMIT_NOFILE: there is another descriptor.
fn may_open_more() -> bool {
    file::open_at(libc::AT_FDCWD, c"/", libc::O_PATH, 0).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::with_sentence;

    #[test]
    fn one_size_may_be_left_to_the_kernel() {
        let options = OpenOptions { maxmsg: 1, ..OpenOptions::default() };
        let attr = sizes(&options).unwrap();
        assert_eq!((attr.maxmsg, attr.msgsize as u64), (1, default_bytes()));

        let options = OpenOptions { msgsize: 7, ..OpenOptions::default() };
        let attr = sizes(&options).unwrap();
        assert_eq!((attr.maxmsg as u64, attr.msgsize), (default_messages(), 7));

        assert!(sizes(&OpenOptions::default()).is_none());
    }

    #[test]
    fn sizes_that_are_no_number_of_the_kernel_are_too_large_for_it() {
        for (maxmsg, msgsize, name) in [(u64::MAX, 1, "msg_max"), (1, 1 << 63, "msgsize_max")] {
            let options = OpenOptions { maxmsg, msgsize, ..OpenOptions::default() };

            let attr = sizes(&options).unwrap();
            assert_eq!(attr.maxmsg.max(attr.msgsize), c_long::MAX);

            assert_eq!(not_made(Errno(libc::EINVAL), &options), Errno(libc::EINVAL));
            with_sentence(|s| assert!(s.contains(name) || s.contains("kernel itself"), "{s}"));
        }
    }

    #[test]
    fn a_queue_is_charged_as_the_kernel_charges_it() {
        // Nine queues of the usual size fit the usual 819200 bytes, a tenth does not.
        assert_eq!(bytes_needed(10, 8192), 82_880);
        assert_eq!(bytes_needed(u64::MAX, 2), u64::MAX);
    }
}
