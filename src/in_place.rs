//! Sending and receiving in place: without copying.

use crate::boundary::{mqrs_queue, on_queue};
use libc::{size_t, ssize_t};
use mqueue_core::deadline::Wait;
use mqueue_core::report::say;
use std::ffi::{c_int, c_void};

/// Get room for a message that is to be written in place; wait while the queue is full.
///
/// q           the queue, opened to send; in shared memory (MQRS_CAP_ZERO_COPY)
/// len         how many bytes are to be written at most, 0 to msgsize
/// timeout_ns  as in mqrs_timedsend
/// slot        receives the address of the room: len bytes, aligned to 8, holding anything
///
/// The room belongs to the caller alone, who writes the message there and then sends it by
/// mqrs_commit or gives it back by mqrs_abort, from any thread. To have it is no place in the
/// queue: the message is not sent, and not counted, before it is committed. Any number of
/// slots may be out at once, as far as they go: all reserved and acquired slots of a queue
/// together are at most an eighth of maxmsg, but at least 16 and at most 32.
///
/// A slot of a process that dies becomes free. mqrs_close gives back what is still reserved.
///
/// Returns 0, or, having reserved nothing, an error of mqrs_timedsend, or
///   -EFAULT   slot is NULL
///   -ENOBUFS  so many slots are reserved and acquired that there is none left
///   -ENOTSUP  the queue is not in shared memory
///
/// Threads: any.  Signals: async-signal-safe.  Fork: usable in the child, to which no slot of
/// its parent belongs.  Blocks: while the queue is full, until the timeout.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqrs_reserve(
    q: *mut mqrs_queue,
    len: size_t,
    timeout_ns: i64,
    slot: *mut *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise, for both.
    unsafe {
        on_queue(q, |queue| {
            let wait = Wait::timeout(timeout_ns)?;
            if slot.is_null() {
                queue.access().check_send(std::ptr::null(), 0, 0)?;
                return Err(say(libc::EFAULT, "the pointer for the slot is NULL"));
            }
            let room = queue.reserve(len, wait)?;
            slot.write_unaligned(room.cast());
            Ok(())
        })
    }
}

/// Send what was written to a reserved slot; wait while the queue is full.
///
/// q     the queue
/// slot  what mqrs_reserve gave through this handle in this process
/// len   the message's length, 0 to what was reserved
/// prio  0 to MQRS_PRIO_MAX
///
/// Its place in the order is fixed here, as by mqrs_send: if others have filled the queue
/// since the reservation it waits, or returns -EAGAIN on a handle with O_NONBLOCK. After 0 the
/// slot is the queue's again. After any error it is still reserved and holds what was
/// written: the call may be repeated.
///
/// Returns 0, or, having sent nothing, an error of mqrs_send, or
///   -EINVAL    slot is not one that is reserved through this handle in this process
///   -EMSGSIZE  len is above what was reserved
///   -EFAULT    slot is NULL
///   -ENOTSUP   the queue is not in shared memory
///
/// Threads: any, one at a time for each slot.  Signals: async-signal-safe.  Fork: a child has
/// no slots.  Blocks: while the queue is full, unless O_NONBLOCK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqrs_commit(
    q: *mut mqrs_queue,
    slot: *mut c_void,
    len: size_t,
    prio: u32,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { on_queue(q, |queue| queue.commit(slot.cast(), len, prio, Wait::Unlimited)) }
}

/// Send what was written to a reserved slot; wait for a limited time while the queue is full.
///
/// q, slot, len, prio  as in mqrs_commit
/// timeout_ns          as in mqrs_timedsend
///
/// Returns 0, or, having sent nothing and with the slot still reserved, an error of
/// mqrs_commit, or
///   -EINVAL     timeout_ns is below -1
///   -EAGAIN     the queue is full, and timeout_ns is 0
///   -ETIMEDOUT  the queue was full all that time
///
/// Threads: any, one at a time for each slot.  Signals: async-signal-safe.  Fork: a child has
/// no slots.  Blocks: while the queue is full, until the timeout.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqrs_timedcommit(
    q: *mut mqrs_queue,
    slot: *mut c_void,
    len: size_t,
    prio: u32,
    timeout_ns: i64,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { on_queue(q, |queue| queue.commit(slot.cast(), len, prio, Wait::timeout(timeout_ns)?)) }
}

/// Give a reserved slot back unsent.
///
/// q     the queue
/// slot  what mqrs_reserve gave through this handle in this process
///
/// Returns 0, or, having changed nothing,
///   -EBADF           q is NULL or no open handle
///   -EINVAL          slot is not one that is reserved through this handle in this process
///   -EFAULT          slot is NULL
///   -ENOTSUP         the queue is not in shared memory
///   -EBADMSG         the queue is damaged
///   -ENOTRECOVERABLE the library failed in an earlier call on q
///
/// Threads: any, one at a time for each slot.  Signals: async-signal-safe.  Fork: a child has
/// no slots.  Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqrs_abort(q: *mut mqrs_queue, slot: *mut c_void) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { on_queue(q, |queue| queue.abort(slot.cast())) }
}

/// Receive the oldest message of the highest priority in place; wait while the queue is empty.
///
/// q           the queue, opened to receive; in shared memory (MQRS_CAP_ZERO_COPY)
/// timeout_ns  as in mqrs_timedreceive
/// data        receives the message's address, aligned to 8; to be read only
/// prio        receives its priority; may be NULL
///
/// The message is received, and there is room for another. Its bytes stay where they are until
/// the caller gives them back, by mqrs_release, or by mqrs_requeue as a message to be received
/// again. How many slots may be out at once: see mqrs_reserve.
///
/// If the process dies before that, or closes the handle, the message is gone, as after a
/// receive; but in a queue made with MQRS_OPT_REDELIVER it is sent again, as the newest of its
/// priority and marked MQRS_MSG_REDELIVERED, as soon as somebody notices the death and there
/// is room; several in no certain order. Waiting receivers notice it within a second, others
/// when they call mqrs_acquire, or find the queue empty. (The mark is told by mqrs_recvmsg.)
///
/// Returns the message's length in bytes; or, having received nothing and written nothing,
/// an error of mqrs_timedreceive, or
///   -EFAULT   data is NULL
///   -ENOBUFS  so many slots are reserved and acquired that there is none left
///   -ENOTSUP  the queue is not in shared memory
///
/// Threads: any.  Signals: async-signal-safe.  Fork: usable in the child, to which no message
/// of its parent belongs.  Blocks: while the queue is empty, until the timeout.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqrs_acquire(
    q: *mut mqrs_queue,
    timeout_ns: i64,
    data: *mut *const c_void,
    prio: *mut u32,
) -> ssize_t {
    // SAFETY: the caller's promise, for all three.
    unsafe {
        on_queue(q, |queue| {
            let wait = Wait::timeout(timeout_ns)?;
            if data.is_null() {
                queue.access().check_receive(std::ptr::null(), 0)?;
                return Err(say(libc::EFAULT, "the pointer for the message is NULL"));
            }
            let (at, len, priority) = queue.acquire(wait)?;
            data.write_unaligned(at.cast());
            if !prio.is_null() {
                prio.write_unaligned(priority);
            }
            Ok(len)
        })
    }
}

/// Give back the slot of an acquired message, which is done with.
///
/// q     the queue
/// data  what mqrs_acquire gave through this handle in this process; not to be read any more
///
/// Returns 0, or, having changed nothing,
///   -EBADF           q is NULL or no open handle
///   -EINVAL          data is not a message acquired through this handle in this process
///   -EFAULT          data is NULL
///   -ENOTSUP         the queue is not in shared memory
///   -EBADMSG         the queue is damaged
///   -ENOTRECOVERABLE the library failed in an earlier call on q
///
/// Threads: any, one at a time for each message.  Signals: async-signal-safe.  Fork: a child
/// has no messages.  Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqrs_release(q: *mut mqrs_queue, data: *const c_void) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { on_queue(q, |queue| queue.release(data.cast())) }
}

/// Send an acquired message again.
///
/// q     the queue; need not be opened to send
/// data  what mqrs_acquire gave through this handle in this process; not to be read after 0
///
/// It becomes the newest message of its priority, marked MQRS_MSG_REDELIVERED. A queue that
/// was shut down takes it all the same: it had been sent before.
///
/// Returns 0, or, with the message still acquired,
///   -EAGAIN          the queue is full
///   -EBADF           q is NULL or no open handle
///   -EINVAL          data is not a message acquired through this handle in this process
///   -EFAULT          data is NULL
///   -ENOTSUP         the queue is not in shared memory
///   -EBADMSG         the queue is damaged
///   -ENOTRECOVERABLE the library failed in an earlier call on q
///
/// Threads: any, one at a time for each message.  Signals: async-signal-safe.  Fork: a child
/// has no messages.  Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqrs_requeue(q: *mut mqrs_queue, data: *const c_void) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { on_queue(q, |queue| queue.requeue(data.cast())) }
}
