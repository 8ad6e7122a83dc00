//! libmqueue_dropin.so: programs that were written for the kernel's message queues, run
//! unchanged on ours.
//!
//! ```text
//! calls.c      the functions that programs find in the place of libc's; where a call has to
//!              sleep, it sleeps there
//! transfer.rs  send and receive, in steps        open.rs     open, close, unlink, attributes
//! notify.rs    mq_notify                         table.rs    which descriptor is which queue
//! entry.rs     the queues of this process
//! descriptor.rs  what the system tells of a descriptor, and how it is marked as ours
//! read.c, read.rs  read, which on a descriptor of a queue gives a line about it
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
mod entry;
mod helper;
mod limits;
mod notify;
mod open;
mod read;
mod settings;
mod sysv;
mod table;
mod trace;
mod transfer;

use core::ffi::c_int;
use core::panic::AssertUnwindSafe;
use mqueue_core::error::{Errno, Result};
use mqueue_core::sys::thread::Uncancelled;
use mqueue_core::sys::{file, process};

/// Tell the C half an error as the functions of libc do: -1, and errno.
fn refuse(error: Errno) -> c_int {
    // SAFETY: errno of this thread is always there.
    unsafe { *libc::__errno_location() = error.0 };
    -1
}

/// Do some work, of which no panic leaves this library: its queue stays what it was, and the
/// call fails.
#[inline(always)]
fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    // What the library does has cancellation points of libc in it; none of them is one of ours.
    let uncancelled = Uncancelled::begin();
    let came = std::panic::catch_unwind(AssertUnwindSafe(work));
    drop(uncancelled);
    came.unwrap_or_else(|payload| {
        // To drop it could panic again.
        core::mem::forget(payload);
        Err(Errno(libc::ENOTRECOVERABLE))
    })
}

/// The same, with the result as the functions of libc have it.
fn answer(work: impl FnOnce() -> Result<c_int>) -> c_int {
    guarded(work).unwrap_or_else(refuse)
}

/// From here on descriptors of our own have their numbers, if the process may have so many.
const OWN_NUMBERS: u64 = 512;

/// When the library is loaded; tells whether calls are to be counted.
#[unsafe(no_mangle)]
extern "C" fn mqrs_dropin_load() -> c_int {
    // Half of what the process may have, but no program uses so many by itself.
    file::leave_numbers_below((process::descriptors_limit() / 2).min(OWN_NUMBERS) as i32);
    c_int::from(trace::begin())
}
