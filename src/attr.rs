//! What a queue is, what a transport allows, and whether a handle waits.

use crate::boundary::{answer, mqrs_queue, on_queue};
use crate::sized::Output;
use crate::structs::{mqrs_attr, mqrs_limits, mqrs_stats};
use libc::size_t;
use mqueue_core::queue;
use std::ffi::c_int;

/// Tell what a queue is and what it holds.
///
/// q     the queue
/// out   receives the attributes
/// size  sizeof (struct mqrs_attr)
///
/// Returns 0, or, having written nothing,
///   -EBADF           q is NULL or no open handle
///   -EINVAL          size is below the struct's size in the first release
///   -E2BIG           size is above 4096, which no struct of any version is
///   -EFAULT          out is NULL
///   -EBADMSG         the queue is damaged
///   -EACCES          System V: the queue's permissions do not let the caller read
///   -EIDRM           System V: the queue was removed
///   -ENOTRECOVERABLE the library failed in an earlier call on q
///
/// Threads: any.  Signals: not async-signal-safe.  Fork: usable in the child.  Blocks: no.
/// Source: POSIX.1-2024 mq_getattr; mq_getattr(3); msgctl(2), IPC_STAT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqrs_getattr(
    q: *const mqrs_queue,
    out: *mut mqrs_attr,
    size: size_t,
) -> c_int {
    // SAFETY: the caller's promise, for both.
    unsafe {
        on_queue(q, |queue| {
            let out = Output::new(out, size)?;
            out.write(queue.attr()?.into());
            Ok(())
        })
    }
}

/// Tell what a queue has seen.
///
/// q     the queue
/// out   receives the numbers; those that the queue's transport does not keep are 0
/// size  sizeof (struct mqrs_stats)
///
/// Shared memory (MQRS_CAP_STATS): sent, received and dropped are exact, at one instant of the
/// call; what was given back and sent again (mqrs_requeue, MQRS_OPT_REDELIVER) counts once
/// more, and what died with its receiver, or with one who was dropping it, as received.
/// max_curmsgs is the most that a sender that met a full queue, a receiver that looked for
/// messages, or a call of this function has seen. blocked_senders and blocked_receivers are
/// calls asleep, users open handles, of processes that live. last_... need MQRS_OPT_STAMP;
/// the sender's library wrote them.
/// System V: the processes that sent and received last, and when. POSIX: -ENOTSUP.
///
/// Returns 0, or, having written nothing,
///   -EBADF           q is NULL or no open handle
///   -EINVAL          size is below the struct's size in the first release
///   -E2BIG           size is above 4096, which no struct of any version is
///   -EFAULT          out is NULL
///   -ENOTSUP         the queue keeps no statistics (MQRS_CAP_STATS)
///   -EACCES          System V: the queue's permissions do not let the caller read
///   -EIDRM           System V: the queue was removed
///   -EBADMSG         the queue is damaged
///   -EUSERS          and others: only a forked child's first call (see FORK AND EXEC)
///   -ENOTRECOVERABLE the library failed in an earlier call on q
///
/// Threads: any.  Signals: not async-signal-safe.  Fork: usable in the child.  Blocks: no.
/// Source: msgctl(2), IPC_STAT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqrs_getstats(
    q: *const mqrs_queue,
    out: *mut mqrs_stats,
    size: size_t,
) -> c_int {
    // SAFETY: the caller's promise, for both.
    unsafe {
        on_queue(q, |queue| {
            let out = Output::new(out, size)?;
            out.write(queue.stats()?.into());
            Ok(())
        })
    }
}

/// Tell what a transport allows on this machine. The values are read now, at each call.
///
/// transport  MQRS_SHM, MQRS_POSIX, MQRS_SYSV or MQRS_AMQP
/// out        receives the limits; `unavailable` is 0, or the errno why no queue of this
///            transport can be opened here
/// size       sizeof (struct mqrs_limits)
///
/// Returns 0, or, having written nothing,
///   -EINVAL  there is no such transport (MQRS_ANY is none), or size is below the struct's
///            size in the first release
///   -E2BIG   size is above 4096, which no struct of any version is
///   -EFAULT  out is NULL
///
/// Threads: any.  Signals: not async-signal-safe.  Fork: nothing to say.  Blocks: no.
/// Source: mq_overview(7), /proc interfaces.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqrs_getlimits(
    transport: u32,
    out: *mut mqrs_limits,
    size: size_t,
) -> c_int {
    answer(|| {
        // First what is wrong with the transport, then with the pointer.
        let limits = queue::limits(transport)?;
        // SAFETY: the caller's promise.
        unsafe { Output::new(out, size) }?.write(limits.into());
        Ok(())
    })
}

/// Let the calls on a handle wait or not, as O_NONBLOCK of mqrs_open does.
///
/// q   the queue
/// on  not 0: calls never wait; 0: they wait as their timeout says
///
/// It concerns this handle in this process only: after a fork parent and child each have
/// their own. A call that is waiting already goes on.
///
/// Returns 0, or
///   -EBADF           q is NULL or no open handle
///   -EBADMSG         the queue is damaged
///   -EIDRM           System V: the queue was removed
///   -ENOTRECOVERABLE the library failed in an earlier call on q
///
/// Threads: any.  Signals: not async-signal-safe.  Fork: usable in the child.  Blocks: no.
/// Source: POSIX.1-2024 mq_setattr; mq_setattr(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqrs_set_nonblock(q: *mut mqrs_queue, on: c_int) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { on_queue(q, |queue| queue.set_nonblock(on != 0)) }
}

/// Change how many bytes a System V queue holds.
///
/// q      the queue
/// bytes  the sum of the lengths of all messages, at most; also the number of messages, at
///        most, and none of them may be longer. Messages that are queued stay
///
/// Returns 0, or, having changed nothing,
///   -EBADF           q is NULL or no open handle
///   -EINVAL          bytes is 0, or more than the kernel can count
///   -ENOTSUP         the queue is no System V queue
///   -EPERM           the caller neither owns nor made the queue; or bytes is above
///                    /proc/sys/kernel/msgmnb and the caller has no CAP_SYS_RESOURCE
///   -EACCES          the queue's permissions do not let the caller read
///   -EIDRM           the queue was removed
///   -ENOTRECOVERABLE the library failed in an earlier call on q
///
/// Threads: any.  Signals: not async-signal-safe.  Fork: usable in the child.  Blocks: no.
/// Source: msgctl(2), IPC_SET, msg_qbytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqrs_set_maxbytes(q: *mut mqrs_queue, bytes: u64) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { on_queue(q, |queue| queue.set_maxbytes(bytes)) }
}
