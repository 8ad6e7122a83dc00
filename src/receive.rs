//! Receiving.

use crate::boundary::{mqrs_queue, on_queue};
use crate::sized::{Elements, Output, check_size, check_stride};
use crate::structs::{check_flags, check_one_of, mqrs_msg, read_message};
use libc::{size_t, ssize_t};
use mqueue_core::deadline::Wait;
use mqueue_core::error::Result;
use mqueue_core::message::{self, Incoming, Request};
use std::ffi::{c_int, c_void};

/// Receive the oldest message of the highest priority; wait while the queue is empty.
///
/// q     the queue, opened to receive
/// buf   receives the message; may be NULL if cap is 0
/// cap   room in buf, in bytes. It may be below msgsize: what counts is the message. POSIX:
///       at least msgsize (MQRS_CAP_SMALL_BUFFER)
/// prio  receives the message's priority; may be NULL
///
/// On a handle with O_NONBLOCK the call never waits.
///
/// Returns the message's length in bytes, 0 for an empty one; or, having received nothing
/// and written nothing,
///   -EBADF           q is NULL or no open handle, or was opened O_WRONLY
///   -EFAULT          buf is NULL, and cap is not 0
///   -EMSGSIZE        the message is longer than cap; it stays where it is. POSIX: cap is
///                    below msgsize
///   -EACCES          System V: the queue's permissions do not let the caller receive
///   -EIDRM           System V: the queue was removed, before or while the call waited
///   -ENOMEM          System V: no memory for a message of more than 8 KiB
///   -EAGAIN          the queue is empty, and the handle has O_NONBLOCK
///   -EINTR           a signal handler without SA_RESTART ran while the call slept, on a
///                    handle without MQRS_OPT_RESTART
///   -ECANCELED       mqrs_cancel ended the call, or mqrs_set_cancelled forbids it to wait
///   -EPIPE           the queue was shut down, and is empty
///   -EBADMSG         the queue is damaged
///   -EUSERS          and others: only a forked child's first call (see FORK AND EXEC)
///   -ENOTRECOVERABLE the library failed in an earlier call on q
///
/// Threads: any.  Signals: async-signal-safe.  Fork: usable in the child.  Blocks: while
/// the queue is empty, unless O_NONBLOCK.
/// Source: POSIX.1-2024 mq_receive; mq_receive(3); msgrcv(2).
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

/// Receive a message, or look at one, in the general form.
///
/// q           the queue, opened to receive
/// m           in: data and cap, a buffer; with MQRS_RECV_TYPE what selects, in type; with
///             MQRS_RECV_PEEK what was looked at last, in sequence and prio. Out: all the
///             rest, as far as it is known
/// size        sizeof (struct mqrs_msg)
/// flags       MQRS_RECV_... flags; 0: as mqrs_timedreceive
/// timeout_ns  as in mqrs_timedreceive
///
/// MQRS_RECV_TRUNCATE  a message longer than cap is cut and gone; the result is its full
///                     length
/// MQRS_RECV_TYPE      System V (MQRS_CAP_TYPES): type 0 takes the first message in the order
///                     of arrival, a type above 0 the first of that type, a type below 0 the
///                     first of the lowest type that is not above its absolute value
/// MQRS_RECV_EXCEPT    with MQRS_RECV_TYPE and a type above 0: the first of any other type
/// MQRS_RECV_PEEK      looks at a message and leaves it (MQRS_CAP_PEEK). In: sequence and prio
///                     of the message looked at last, whether or not it is still queued; the
///                     next one behind it, in the order in which they would be received, is
///                     looked at. sequence 0: the one that would be received next. A call
///                     with what the last one filled in goes on from there, so a loop sees
///                     every message that stays. It is no snapshot: what is sent meanwhile
///                     to a place already passed is not seen. Who waits here is no receiver
///                     that waits. Behind the last message of a queue that was shut down:
///                     -EPIPE. A look that fails may have written to the buffer at data. In
///                     a queue of one priority a look is quick; in one of
///                     several all slots are looked at, for up to 32 messages of a
///                     mqrs_recvmmsg at once.
///                     System V: sequence is a place in the order of arrival, counted from
///                     1; in: the place looked at last; out: the one after it. Not together
///                     with MQRS_RECV_TYPE
///
/// In shared memory sequence is the message's number: the first sent has 1, each further one
/// 1 more; numbers do not come round. sender_pid, sender_uid and sent_ns are what the sender's
/// library wrote, in queues made with MQRS_OPT_STAMP, and 0 in others.
///
/// Without MQRS_RECV_TYPE a System V queue gives the highest priority, which is the lowest
/// type; prio is 32768 - type, and 0 for types above that, which other programs may use.
///
/// Returns the message's length in bytes; or, having received nothing and written nothing,
/// an error of mqrs_timedreceive, or
///   -EINVAL   an unknown flag; size below the struct's size in the first release; flags that
///             do not go together; a type that does not fit a long
///   -E2BIG    size is above ours, and what lies beyond is not 0
///   -EFAULT   m is NULL
///   -ENOTSUP  the queue cannot do what a flag asks for
///   -ENOMEM   POSIX: no memory to cut a message, where msgsize is above 8 KiB
///
/// Threads: any.  Signals: async-signal-safe in shared memory.  Fork: usable in the child.
/// Blocks: while there is no such message, until the timeout.
/// Source: msgrcv(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqrs_recvmsg(
    q: *mut mqrs_queue,
    m: *mut mqrs_msg,
    size: size_t,
    flags: u64,
    timeout_ns: i64,
) -> ssize_t {
    // SAFETY: the caller's promise, for the queue, the struct, and the buffer in it.
    unsafe {
        on_queue(q, |queue| {
            check_flags(flags, message::receive::ALL)?;
            let wait = Wait::timeout(timeout_ns)?;
            check_size::<mqrs_msg>(size)?;
            if m.is_null() {
                // First what is wrong with the direction, then with the pointer.
                queue.access().check_receive(std::ptr::null(), 0)?;
            }
            let mut message = read_message(m, size)?;
            let out = Output::new(m, size)?;
            let got = queue.receive_message(&request(&message, flags), wait)?;
            write_received(&mut message, &got);
            out.write(message);
            Ok(got.len)
        })
    }
}

/// Receive several messages, or look at several; wait for a limited time for the first.
///
/// q           the queue, opened to receive
/// v           count structs, each as in mqrs_recvmsg; filled in the order of receipt
/// size        sizeof (struct mqrs_msg)
/// count       most messages to receive; 0 receives nothing and returns 0
/// flags       as in mqrs_recvmsg, for all of them. With MQRS_RECV_PEEK the first struct says
///             from where to look on, and each further message is the next one
/// timeout_ns  as in mqrs_timedreceive; for the first message only
///
/// All structs are checked before anything is received; the first that is wrong says what the
/// call returns. Then the first message is received as by mqrs_recvmsg, and of the others as
/// many as are there (beside busy senders maybe fewer: call again). A message that does not fit
/// its buffer ends the call: it stays, and is an error if it is the first. It is as many single
/// receives, only faster: other receivers may get messages in between.
///
/// Returns how many were received, into the first ones of v, at least 1; the other structs are
/// as they were. Or, having received and written nothing, an error of mqrs_recvmsg, or
///   -EINVAL  size is no multiple of the struct's alignment
///   -EFAULT  v is NULL, and count is not 0
///
/// Threads: any.  Signals: not async-signal-safe.  Fork: usable in the child.  Blocks: while
/// there is no first message, until the timeout.
/// Source: recvmmsg(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqrs_recvmmsg(
    q: *mut mqrs_queue,
    v: *mut mqrs_msg,
    size: size_t,
    count: size_t,
    flags: u64,
    timeout_ns: i64,
) -> ssize_t {
    // SAFETY: the caller's promise, for the queue, the structs, and the buffers in them.
    unsafe {
        on_queue(q, |queue| {
            check_flags(flags, message::receive::ALL)?;
            let wait = Wait::timeout(timeout_ns)?;
            check_stride::<mqrs_msg>(size)?;
            queue.access().check_receive(std::ptr::null(), 0)?;
            let v = Elements::new(v, size, count)?;
            let asked = move |i| request(&v.in_place(i).read_unaligned(), flags);
            (0..count).try_for_each(|i| check_one_of(&v, i))?;
            // Where a look begins is said by the first alone.
            queue.check_requests((0..count).map(|i| match (i, asked(i)) {
                (0, first) => first,
                (_, other) => Request { prio: 0, sequence: 0, ..other },
            }))?;
            let got = move |i, incoming: Incoming| write_received(v.in_place(i), &incoming);
            if flags & message::receive::PEEK == 0 {
                return queue.receive_batch(count, asked, got, wait);
            }
            // A look goes on behind the message that was looked at before.
            let last = std::cell::Cell::new(None);
            let asked = |i| match last.get() {
                Some((prio, sequence)) => Request { prio, sequence, ..asked(i) },
                None => asked(i),
            };
            let got = |i, incoming: Incoming| {
                last.set(Some((incoming.prio, incoming.sequence)));
                got(i, incoming);
            };
            queue.receive_batch(count, asked, got, wait)
        })
    }
}

/// What a struct asks for.
#[inline]
fn request(asked: &mqrs_msg, flags: u64) -> Request {
    Request {
        data: asked.data.cast(),
        cap: asked.cap,
        kind: asked.r#type,
        prio: asked.prio,
        sequence: asked.sequence,
        flags,
    }
}

/// Say in a struct what was received.
///
/// # Safety
/// `to` is a whole struct of this version.
unsafe fn write_received(to: *mut mqrs_msg, got: &Incoming) {
    // SAFETY: the caller's promise.
    unsafe {
        (&raw mut (*to).len).write_unaligned(got.len);
        (&raw mut (*to).prio).write_unaligned(got.prio);
        (&raw mut (*to).sender_pid).write_unaligned(got.sender_pid);
        (&raw mut (*to).sender_uid).write_unaligned(got.sender_uid);
        (&raw mut (*to).state).write_unaligned(got.state);
        (&raw mut (*to).r#type).write_unaligned(got.kind);
        (&raw mut (*to).sequence).write_unaligned(got.sequence);
        (&raw mut (*to).sent_ns).write_unaligned(got.sent_ns);
    }
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
