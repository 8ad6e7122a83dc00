//! Sending.

use crate::boundary::{mqrs_queue, on_queue};
use crate::sized::{Elements, check_size, check_stride};
use crate::structs::{check_flags, check_one_of, mqrs_msg, read_message};
use libc::{size_t, ssize_t};
use mqueue_core::deadline::Wait;
use mqueue_core::error::Result;
use mqueue_core::message::{self, Outgoing};
use mqueue_core::queue::Queue;
use mqueue_core::report::say;
use std::ffi::{c_int, c_void};

/// Send a message; wait while the queue is full.
///
/// q     the queue, opened to send
/// msg   the message, len bytes, copied before return; may be NULL if len is 0
/// len   0 to msgsize; a message of no bytes is a message
/// prio  0 to MQRS_PRIO_MAX; higher ones are received first, and those of the same
///       priority in the order in which they were sent
///
/// On a handle with O_NONBLOCK the call never waits.
///
/// Returns 0, or, having sent nothing,
///   -EBADF           q is NULL or no open handle, or was opened O_RDONLY
///   -EINVAL          prio is above MQRS_PRIO_MAX
///   -EFAULT          msg is NULL, and len is not 0
///   -EMSGSIZE        len is above the queue's msgsize
///   -EACCES          System V: the queue's permissions do not let the caller send
///   -EIDRM           System V: the queue was removed, before or while the call waited
///   -ENOMEM          System V: no memory for a message of more than 8 KiB; POSIX and
///                    System V: the kernel has none
///   -EAGAIN          the queue is full, and the handle has O_NONBLOCK
///   -EINTR           a signal handler without SA_RESTART ran while the call slept, on a
///                    handle without MQRS_OPT_RESTART
///   -ECANCELED       mqrs_cancel ended the call, or mqrs_set_cancelled forbids it to wait
///   -EPIPE           the queue was shut down, before or while the call waited
///   -EBADMSG         the queue is damaged
///   -EUSERS          and others: only a forked child's first call (see FORK AND EXEC)
///   -ENOTRECOVERABLE the library failed in an earlier call on q
///
/// Threads: any.  Signals: async-signal-safe.  Fork: usable in the child.  Blocks: while
/// the queue is full, unless O_NONBLOCK.
/// Source: POSIX.1-2024 mq_send; mq_send(3); msgsnd(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqrs_send(
    q: *mut mqrs_queue,
    msg: *const c_void,
    len: size_t,
    prio: u32,
) -> c_int {
    // SAFETY: the caller's promise, for both.
    unsafe { on_queue(q, |queue| queue.send(msg.cast(), len, prio, Wait::Unlimited)) }
}

/// Send a message; wait for a limited time while the queue is full.
///
/// q, msg, len, prio  as in mqrs_send
/// timeout_ns         nanoseconds for the whole call, on CLOCK_MONOTONIC; MQRS_NOWAIT (0):
///                    never wait; MQRS_FOREVER (-1): as mqrs_send
///
/// If there is room the message is sent, however short the timeout. On a handle with
/// O_NONBLOCK the call never waits.
///
/// Returns 0, or, having sent nothing, an error of mqrs_send, or
///   -EINVAL     timeout_ns is below -1
///   -EAGAIN     the queue is full, and timeout_ns is 0
///   -ETIMEDOUT  the queue was full all that time
///
/// Threads: any.  Signals: async-signal-safe.  Fork: usable in the child.  Blocks: while
/// the queue is full, until the timeout.
/// Source: POSIX.1-2024 mq_timedsend, with a relative time; mq_timedsend(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqrs_timedsend(
    q: *mut mqrs_queue,
    msg: *const c_void,
    len: size_t,
    prio: u32,
    timeout_ns: i64,
) -> c_int {
    // SAFETY: the caller's promise, for both.
    unsafe { on_queue(q, |queue| queue.send(msg.cast(), len, prio, Wait::timeout(timeout_ns)?)) }
}

/// Send a message; wait until a point in time while the queue is full.
///
/// q, msg, len, prio  as in mqrs_send
/// clock              CLOCK_REALTIME, CLOCK_MONOTONIC or CLOCK_BOOTTIME of <time.h>
/// deadline_ns        absolute time on that clock, in nanoseconds, >= 0; INT64_MAX never
///                    comes. When CLOCK_REALTIME is set, its deadlines follow within 0.1 s
///
/// If there is room the message is sent, however old the deadline. On a handle with
/// O_NONBLOCK the call never waits.
///
/// Returns 0, or, having sent nothing, an error of mqrs_send, or
///   -EINVAL     another clock, or deadline_ns is negative
///   -ETIMEDOUT  the queue was full until the deadline
///
/// Threads: any.  Signals: async-signal-safe.  Fork: usable in the child.  Blocks: while
/// the queue is full, until the deadline.
/// Source: POSIX.1-2024 mq_timedsend; mq_timedsend(3); clock_gettime(2) for the clocks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqrs_send_until(
    q: *mut mqrs_queue,
    msg: *const c_void,
    len: size_t,
    prio: u32,
    clock: c_int,
    deadline_ns: i64,
) -> c_int {
    // SAFETY: the caller's promise, for both.
    unsafe {
        on_queue(q, |queue| queue.send(msg.cast(), len, prio, Wait::until(clock, deadline_ns)?))
    }
}

/// Send data of any length as messages of msgsize bytes, the last one of what is left.
///
/// q     the queue, opened to send
/// data  len bytes, copied before return; may be NULL if len is 0
/// len   0 to SSIZE_MAX; 0 sends nothing, not even an empty message
/// prio  priority of every message, 0 to MQRS_PRIO_MAX
///
/// It is as many mqrs_send: messages of others may come to lie in between.
///
/// Returns the number of bytes sent, like write(2): len, or less if an error came after
/// the first message was sent; mqrs_last_error then tells it. Or, having sent nothing, an
/// error of mqrs_send, with
///   -EMSGSIZE  len is above SSIZE_MAX
///
/// Threads: any.  Signals: async-signal-safe.  Fork: usable in the child.  Blocks: while
/// the queue is full, unless O_NONBLOCK.
/// Source: write(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqrs_sendall(
    q: *mut mqrs_queue,
    data: *const c_void,
    len: size_t,
    prio: u32,
) -> ssize_t {
    // SAFETY: the caller's promise, for both.
    unsafe { on_queue(q, |queue| send_all(queue, data.cast(), len, prio)) }
}

/// Send a message in the general form.
///
/// q           the queue, opened to send
/// m           the message: data and len, its priority in prio; with MQRS_SEND_TYPE its System V
///             type in type (> 0), and prio is ignored. Nothing else of it counts
/// size        sizeof (struct mqrs_msg)
/// flags       MQRS_SEND_... flags; 0: as mqrs_timedsend
/// timeout_ns  as in mqrs_timedsend
///
/// MQRS_SEND_TYPE         System V (MQRS_CAP_TYPES), where a priority p is the type 32768 - p
/// MQRS_SEND_DROP_OLDEST  shared memory (MQRS_CAP_DROP_OLDEST): if the queue is full, its
///                        oldest message of its lowest priority is dropped, and counted
///                        (mqrs_stats.dropped). If even that priority is above the new one's,
///                        the call waits or fails as without the flag. To drop and to send
///                        are two steps: others may take the room in between, so a call may
///                        drop several, and fail after that. In a queue of one
///                        priority it is as quick as to receive; in one of several all slots
///                        are looked at
///
/// Returns 0, or, having sent nothing, an error of mqrs_timedsend, or
///   -EINVAL   an unknown flag; size below the struct's size in the first release; or a type
///             below 1, or too large for a long
///   -E2BIG    size is above ours, and what lies beyond is not 0
///   -EFAULT   m is NULL
///   -ENOTSUP  the queue cannot do what a flag asks for
///
/// Threads: any.  Signals: async-signal-safe in shared memory.  Fork: usable in the child.
/// Blocks: while the queue is full, until the timeout.
/// Source: msgsnd(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqrs_sendmsg(
    q: *mut mqrs_queue,
    m: *const mqrs_msg,
    size: size_t,
    flags: u64,
    timeout_ns: i64,
) -> c_int {
    // SAFETY: the caller's promise, for the queue, the struct, and the message in it.
    unsafe {
        on_queue(q, |queue| {
            check_flags(flags, message::send::ALL)?;
            let wait = Wait::timeout(timeout_ns)?;
            check_size::<mqrs_msg>(size)?;
            if m.is_null() {
                // First what is wrong with the direction, then with the pointer.
                queue.access().check_send(std::ptr::null(), 0, 0)?;
            }
            queue.send_message(&outgoing(&read_message(m, size)?, flags), wait)
        })
    }
}

/// Send several messages; wait for a limited time while there is no room for the first.
///
/// q           the queue, opened to send
/// v           count messages, each as in mqrs_sendmsg; sent in this order
/// size        sizeof (struct mqrs_msg)
/// count       how many; 0 sends nothing and returns 0
/// flags       as in mqrs_sendmsg, for all of them
/// timeout_ns  as in mqrs_timedsend; for the first message only
///
/// All of them are checked before any is sent; the first that is wrong says what the call
/// returns. Then the first is sent as by mqrs_sendmsg, and of the others those for which there
/// is room (beside busy receivers maybe fewer: call again). It is as many single sends, only
/// faster: messages of others may come to lie in between, and who receives them may have some
/// while the rest is still on its way.
///
/// Returns how many were sent, the first ones of v, at least 1; or, having sent nothing, an
/// error of mqrs_sendmsg, or
///   -EINVAL  size is no multiple of the struct's alignment
///   -EFAULT  v is NULL, and count is not 0
///
/// Threads: any.  Signals: not async-signal-safe.  Fork: usable in the child.  Blocks: while
/// there is no room for the first, until the timeout.
/// Source: sendmmsg(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqrs_sendmmsg(
    q: *mut mqrs_queue,
    v: *const mqrs_msg,
    size: size_t,
    count: size_t,
    flags: u64,
    timeout_ns: i64,
) -> ssize_t {
    // SAFETY: the caller's promise, for the queue, the structs, and the messages in them.
    unsafe {
        on_queue(q, |queue| {
            check_flags(flags, message::send::ALL)?;
            let wait = Wait::timeout(timeout_ns)?;
            check_stride::<mqrs_msg>(size)?;
            queue.access().check_send(std::ptr::null(), 0, 0)?;
            let v = Elements::new(v.cast_mut(), size, count)?;
            let message = move |i| outgoing(&v.in_place(i).read_unaligned(), flags);
            (0..count).try_for_each(|i| check_one_of(&v, i))?;
            queue.check_messages((0..count).map(message))?;
            queue.send_batch(count, message, wait)
        })
    }
}

/// The message that a struct describes.
#[inline]
fn outgoing(m: &mqrs_msg, flags: u64) -> Outgoing {
    Outgoing { data: m.data.cast(), len: m.len, prio: m.prio, kind: m.r#type, flags }
}

/// # Safety
/// `data` is null or readable for `len` bytes.
unsafe fn send_all(queue: &Queue, data: *const u8, len: usize, prio: u32) -> Result<usize> {
    let entered = queue.access().enter();
    queue.access().check_send(data, len, prio)?;
    if len > isize::MAX as usize {
        return Err(say(libc::EMSGSIZE, "the data is longer than SSIZE_MAX"));
    }

    queue.check()?;
    let longest = queue.msgsize()?;
    if longest == 0 && len > 0 {
        return Err(say(libc::EMSGSIZE, "the queue takes no message that is not empty"));
    }
    let mut sent = 0;
    while sent < len {
        let part = longest.min(len - sent);
        let wait = Wait::Unlimited;
        // SAFETY: `sent + part <= len`, within what the caller granted.
        match unsafe { queue.send_since(entered, data.add(sent), part, prio, wait) } {
            Ok(()) => sent += part,
            Err(error) if sent == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(sent)
}
