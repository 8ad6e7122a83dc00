//! How large a queue may be: as ours may, or as the kernel's (MQRS_DROPIN_LIMITS=kernel).
//!
//! The kernel charges the queues of a user together to RLIMIT_MSGQUEUE and counts all queues
//! of an IPC namespace. Here those of MQRS_DIR are counted that have a name, at the moment
//! when one is made.
//!
//! Source: mq_overview(7), getrlimit(2), ipc/mqueue.c of Linux.

#![forbid(unsafe_code)]

use crate::settings::Settings;
use mqueue_core::attr::{Limits, transport};
use mqueue_core::error::{Errno, Result};
use mqueue_core::list::List;
use mqueue_core::queue;
use mqueue_core::sys::mq::Attr;
use mqueue_core::sys::process;

fn kernel() -> Limits {
    queue::limits(transport::POSIX).unwrap_or_default()
}

/// The sizes of a queue that is to be made: messages and bytes. Without `attr` they are the
/// kernel's default, whatever the limits: programs that do not say know no others.
pub fn sizes(attr: Option<&Attr>) -> Result<(u64, u64)> {
    let sizes = match attr {
        None => (kernel().maxmsg_default, kernel().msgsize_default),
        Some(attr) => {
            let size = |n| u64::try_from(n).ok().filter(|&n| n > 0).ok_or(Errno(libc::EINVAL));
            (size(attr.maxmsg)?, size(attr.msgsize)?)
        }
    };
    if Settings::get().has_kernel_limits {
        check_as_the_kernel(sizes)?;
    }
    Ok(sizes)
}

fn check_as_the_kernel((maxmsg, msgsize): (u64, u64)) -> Result<()> {
    let limits = kernel();
    let used = Used::look();
    if limits.queues_max > 0 && used.queues >= limits.queues_max {
        return Err(Errno(libc::ENOSPC));
    }
    if maxmsg > limits.maxmsg_max || msgsize > limits.msgsize_max {
        return Err(Errno(libc::EINVAL));
    }
    let needed = used.bytes.saturating_add(charge(maxmsg, msgsize));
    if limits.bytes_max > 0 && needed > limits.bytes_max {
        return Err(Errno(libc::EMFILE));
    }
    Ok(())
}

/// What the kernel charges for a queue: its bytes, a head for each message, and a node for
/// each priority that there can be.
fn charge(maxmsg: u64, msgsize: u64) -> u64 {
    maxmsg.saturating_mul(msgsize.saturating_add(48)).saturating_add(maxmsg.min(32768) * 48)
}

/// What there is already.
#[derive(Default)]
struct Used {
    /// Of everybody.
    queues: u64,
    /// Of this user.
    bytes: u64,
}

impl Used {
    fn look() -> Used {
        let mut used = Used::default();
        let user = process::effective_user();
        let Ok(mut all) = List::open(transport::SHM) else { return used };
        while let Ok(Some((_, attr))) = all.advance() {
            used.queues += 1;
            if attr.uid == user {
                used.bytes = used.bytes.saturating_add(charge(attr.maxmsg, attr.msgsize));
            }
        }
        used
    }
}
