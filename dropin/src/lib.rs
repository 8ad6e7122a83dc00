//! libmqueue_dropin.so: programs that were written for the kernel's message queues, run
//! unchanged on ours.
//!
//! ```text
//! calls.c      the functions that programs find in the place of libc's; where a call has to
//!              sleep, it sleeps there
//! transfer.rs  send and receive, in steps        open.rs     open, close, unlink, attributes
//! notify.rs    mq_notify                         table.rs    which descriptor is which queue
//! descriptor.rs  what the system tells of a descriptor, and how it is marked as ours
//! helper.rs    the thread for queues that nobody polls
//! sysv.c, sysv.rs  the same two halves for msgget, msgsnd, msgrcv and msgctl
//! limits.rs    how large a queue may be          settings.rs, trace.rs  the environment
//! ```
//!
//! The signatures, results and order of checks are those of Linux as a program sees them
//! through glibc; docs/dropin.md lists what remains different. What is not ours (another
//! name than MQRS_DROPIN_QUEUES asks for, a descriptor of something else) goes on to the
//! kernel, by raw system call: by name we would call ourselves.

mod descriptor;
mod helper;
mod limits;
mod notify;
mod open;
mod settings;
mod sysv;
mod table;
mod trace;
mod transfer;

use core::ffi::c_int;
use mqueue_core::error::{Errno, Result};

/// Tell the C half an error as the functions of libc do: -1, and errno.
fn refuse(error: Errno) -> c_int {
    // SAFETY: errno of this thread is always there.
    unsafe { *libc::__errno_location() = error.0 };
    -1
}

/// A result as the functions of libc have it. No panic leaves this library: its queue stays
/// what it was, and the call fails.
fn answer(work: impl FnOnce() -> Result<c_int> + std::panic::UnwindSafe) -> c_int {
    // What the library does has cancellation points of libc in it; none of them is one of ours.
    let uncancelled = mqueue_core::sys::thread::Uncancelled::begin();
    let result = std::panic::catch_unwind(work);
    drop(uncancelled);
    match result {
        Ok(Ok(value)) => value,
        Ok(Err(error)) => refuse(error),
        Err(payload) => {
            // To drop it could panic again.
            core::mem::forget(payload);
            refuse(Errno(libc::ENOTRECOVERABLE))
        }
    }
}
