//! Receiving.

use crate::boundary::{mqrs_queue, on_queue};
use libc::{size_t, ssize_t};
use mqueue_core::deadline::Wait;
use mqueue_core::error::Result;
use std::ffi::{c_int, c_void};

/// Receive the oldest message of the highest priority; wait while the queue is empty.
///
/// q     the queue, opened to receive
/// buf   receives the message; may be NULL if cap is 0
/// cap   room in buf, in bytes. It may be below msgsize: what counts is the message
/// prio  receives the message's priority; may be NULL
///
/// On a handle with O_NONBLOCK the call never waits.
///
/// Returns the message's length in bytes, 0 for an empty one; or, having received nothing
/// and written nothing,
///   -EBADF           q is NULL or no open handle, or was opened O_WRONLY
///   -EFAULT          buf is NULL, and cap is not 0
///   -EMSGSIZE        the message is longer than cap; it stays where it is
///   -EAGAIN          the queue is empty, and the handle has O_NONBLOCK
///   -EINTR           a signal handler without SA_RESTART ran while the call slept, on a
///                    handle without MQRS_OPT_RESTART
///   -EBADMSG         the queue is damaged
///   -EUSERS          and others: only a forked child's first call (see FORK AND EXEC)
///   -ENOTRECOVERABLE the library failed in an earlier call on q
///
/// Threads: any.  Signals: async-signal-safe.  Fork: usable in the child.  Blocks: while
/// the queue is empty, unless O_NONBLOCK.
/// Source: POSIX.1-2024 mq_receive; mq_receive(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqrs_receive(
    q: *mut mqrs_queue,
    buf: *mut c_void,
    cap: size_t,
    prio: *mut u32,
) -> ssize_t {
    // SAFETY: the caller's promise.
    unsafe { receive(q, buf, cap, prio, || Ok(Wait::Unlimited)) }
}

/// Receive the oldest message of the highest priority; wait for a limited time while the
/// queue is empty.
///
/// q, buf, cap  as in mqrs_receive
/// timeout_ns   nanoseconds for the whole call, on CLOCK_MONOTONIC; MQRS_NOWAIT (0): never
///              wait; MQRS_FOREVER (-1): as mqrs_receive
/// prio         receives the message's priority; may be NULL
///
/// If there is a message it is received, however short the timeout. On a handle with
/// O_NONBLOCK the call never waits.
///
/// Returns the message's length in bytes; or, having received nothing and written nothing,
/// an error of mqrs_receive, or
///   -EINVAL     timeout_ns is below -1
///   -EAGAIN     the queue is empty, and timeout_ns is 0
///   -ETIMEDOUT  the queue was empty all that time
///
/// Threads: any.  Signals: async-signal-safe.  Fork: usable in the child.  Blocks: while
/// the queue is empty, until the timeout.
/// Source: POSIX.1-2024 mq_timedreceive, with a relative time; mq_timedreceive(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqrs_timedreceive(
    q: *mut mqrs_queue,
    buf: *mut c_void,
    cap: size_t,
    timeout_ns: i64,
    prio: *mut u32,
) -> ssize_t {
    // SAFETY: the caller's promise.
    unsafe { receive(q, buf, cap, prio, || Wait::timeout(timeout_ns)) }
}

/// Receive the oldest message of the highest priority; wait until a point in time while
/// the queue is empty.
///
/// q, buf, cap  as in mqrs_receive
/// clock        CLOCK_REALTIME, CLOCK_MONOTONIC or CLOCK_BOOTTIME of <time.h>
/// deadline_ns  absolute time on that clock, in nanoseconds, >= 0; INT64_MAX never comes.
///              When CLOCK_REALTIME is set, its deadlines follow within 0.1 s
/// prio         receives the message's priority; may be NULL
///
/// If there is a message it is received, however old the deadline. On a handle with
/// O_NONBLOCK the call never waits.
///
/// Returns the message's length in bytes; or, having received nothing and written nothing,
/// an error of mqrs_receive, or
///   -EINVAL     another clock, or deadline_ns is negative
///   -ETIMEDOUT  the queue was empty until the deadline
///
/// Threads: any.  Signals: async-signal-safe.  Fork: usable in the child.  Blocks: while
/// the queue is empty, until the deadline.
/// Source: POSIX.1-2024 mq_timedreceive; mq_timedreceive(3); clock_gettime(2) for the
/// clocks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqrs_receive_until(
    q: *mut mqrs_queue,
    buf: *mut c_void,
    cap: size_t,
    clock: c_int,
    deadline_ns: i64,
    prio: *mut u32,
) -> ssize_t {
    // SAFETY: the caller's promise.
    unsafe { receive(q, buf, cap, prio, || Wait::until(clock, deadline_ns)) }
}

/// # Safety
/// As [`on_queue`]; `buf` is null or writable for `cap` bytes, `prio` is null or writable.
#[inline]
unsafe fn receive(
    q: *mut mqrs_queue,
    buf: *mut c_void,
    cap: usize,
    prio: *mut u32,
    wait: impl FnOnce() -> Result<Wait>,
) -> ssize_t {
    // SAFETY: the caller's promise, for all three.
    unsafe {
        on_queue(q, |queue| {
            let (len, priority) = queue.receive(buf.cast(), cap, wait()?)?;
            if !prio.is_null() {
                prio.write_unaligned(priority);
            }
            Ok(len)
        })
    }
}
