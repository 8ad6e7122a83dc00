//! What the kernel allows of System V queues, and the sentences that say so.
//!
//! Source: msgget(2), proc_sys_kernel(5).

#![forbid(unsafe_code)]

use crate::attr::{Limits, PRIO_MAX};
use crate::error::Errno;
use crate::report::{explain, say};
use crate::sys::msg;

/// What this transport allows here now.
pub fn limits() -> Limits {
    match msg::limits() {
        Ok(kernel) => Limits {
            unavailable: 0,
            maxmsg_default: kernel.queue,
            maxmsg_max: kernel.queue,
            msgsize_default: kernel.message.min(kernel.queue),
            msgsize_max: kernel.message.min(kernel.queue),
            queues_max: kernel.queues,
            bytes_max: 0,
            prio_max: u64::from(PRIO_MAX),
        },
        Err(error) => Limits { unavailable: error.0, ..Limits::default() },
    }
}

/// Why msgget failed.
pub fn cannot_get(error: Errno) -> Errno {
    match error.0 {
        libc::ENOENT => say(libc::ENOENT, "there is no queue of this key"),
        libc::EEXIST => say(libc::EEXIST, "a queue of this key exists already"),
        libc::EACCES => say(libc::EACCES, "the queue's mode does not allow this direction"),
        libc::ENOSPC => explain(
            libc::ENOSPC,
            format_args!(
                "there are as many System V queues as kernel.msgmni allows: {} (/proc/sys/kernel/msgmni)",
                msg::limits().map_or(0, |limits| limits.queues)
            ),
        ),
        libc::ENOMEM => say(libc::ENOMEM, "the kernel has not enough memory for the queue"),
        libc::ENOSYS => say(libc::ENOSYS, "this kernel has no System V queues"),
        _ => explain(error.0, format_args!("cannot open the System V queue (errno {})", error.0)),
    }
}

/// Why a message was refused that is longer than `longest`.
pub fn too_long(len: usize, message: u64, queue: u64) -> Errno {
    if message <= queue {
        return explain(
            libc::EMSGSIZE,
            format_args!(
                "the message has {len} bytes, kernel.msgmax allows {message} (/proc/sys/kernel/msgmax)"
            ),
        );
    }
    explain(
        libc::EMSGSIZE,
        format_args!(
            "the message has {len} bytes, the queue holds {queue} (mqrs_set_maxbytes; by default kernel.msgmnb, /proc/sys/kernel/msgmnb)"
        ),
    )
}

/// Why the queue's size, owner or mode cannot be changed.
pub fn cannot_set(error: Errno, most_bytes: usize) -> Errno {
    let queue = msg::limits().map_or(u64::MAX, |limits| limits.queue);
    match error.0 {
        libc::EPERM if most_bytes as u64 > queue => explain(
            libc::EPERM,
            format_args!(
                "only with CAP_SYS_RESOURCE may a queue hold {most_bytes} bytes, more than kernel.msgmnb: {queue} (/proc/sys/kernel/msgmnb)"
            ),
        ),
        libc::EPERM => {
            say(libc::EPERM, "only the queue's owner, its creator and root may change it")
        }
        _ => explain(error.0, format_args!("cannot change the queue (errno {})", error.0)),
    }
}
