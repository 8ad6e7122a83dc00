//! Waiting for a queue beside other things, and ending waits.

use crate::boundary::{answer, mqrs_queue, on_queue, queue};
use crate::sized::Elements;
use crate::structs::mqrs_wait_item;
use libc::size_t;
use mqueue_core::deadline::Wait;
use mqueue_core::queue::Queue;
use mqueue_core::report::say;
use mqueue_core::wait_many::{self, event};
use std::ffi::c_int;

/// Get a queue's descriptor for poll, select and epoll.
///
/// q  the queue
///
/// The descriptor is readable while messages wait and writable while there is room, whatever
/// the handle's direction; after mqrs_shutdown it is both. It is level-triggered, and may be
/// ready for nothing, when another process was faster: receive and send with MQRS_NOWAIT, and
/// take -EAGAIN as usual. In shared memory it stays ready for what another process has taken
/// until this handle has met that -EAGAIN. It belongs to the handle: poll it, never read,
/// write or close it, and take it out of an event loop before mqrs_close. To wait by it is
/// not to be a receiver that waits: a notification fires.
///
/// POSIX queues have one, their own. A queue in shared memory gets one by the first call, for
/// this handle in this process: an eventfd(2), close-on-exec. From then on a helper thread sees
/// to it, the same as for notifications: what this process does itself may show a moment later,
/// what others do while a callback of mqrs_notify_callback runs shows when it has returned, and
/// a message whose sender is killed in mid-call shows within a second. With more than 120
/// queues that are polled or have a registration, it may take 10 ms. With EPOLLET, receive (or
/// send) until -EAGAIN before the next wait. A forked child calls mqrs_fd again and uses what
/// that returns. System V queues have none (MQRS_CAP_FD). Users of a queue that nobody polls
/// pay nothing for this, and while it is ready neither do those of one that is polled.
///
/// Returns the descriptor, >= 0, or
///   -EBADF           q is NULL or no open handle
///   -ENOTSUP         the queue has no such descriptor
///   -EAGAIN          the library's helper thread cannot be started, or Linux is older than
///                    4.14
///   -EMFILE          the process has too many descriptors; -ENFILE: the system has
///   -ENOMEM          no memory for the descriptor
///   -EBADMSG         the queue is damaged
///   -EUSERS          and others: only a forked child's first call (see FORK AND EXEC)
///   -ENOTRECOVERABLE the library failed in an earlier call on q
///
/// Threads: any; in shared memory the first call of a process starts the helper thread, with
/// all signals blocked.  Signals: not async-signal-safe.  Fork: see above.  Blocks: no.
/// Source: mq_overview(7), "Polling message queue descriptors"; poll(2), epoll(7).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqrs_fd(q: *mut mqrs_queue) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { on_queue(q, Queue::fd) }
}

/// Wait until one of several queues is ready.
///
/// items       count structs: the queue, of any transport, and in events what to wait for,
///             MQRS_READABLE | MQRS_WRITABLE. A NULL queue is passed over. A queue may be there
///             more than once
/// size        sizeof (struct mqrs_wait_item), also if count is 0
/// count       any number; 0 only sleeps
/// timeout_ns  nanoseconds; MQRS_NOWAIT (0): only look; MQRS_FOREVER (-1): until one is ready
///
/// A queue is readable when a receive would not wait, and writable when a send would not wait,
/// whatever the handle's direction; one that is shut down, damaged or removed is both. Only
/// the timeout counts, not O_NONBLOCK. Each struct's revents receives what is ready of events,
/// 0 for none. What is ready may be gone when it is used, because another was faster: use
/// MQRS_NOWAIT.
///
/// To wait here is not to be a receiver that waits: a notification fires. Queues in shared
/// memory and POSIX queues are waited for without threads and without looking again and again;
/// for a mixture of the two inotify(7) tells, of which up to four descriptors are kept for
/// the next wait. Within 10 ms is noticed what another program does to a System V queue; what
/// happens to a queue in shared memory beyond the first 120, or beside POSIX queues where the
/// system allows no inotify; and on Linux before 5.16 what happens to any but the first.
///
/// Returns the number of structs whose revents is not 0; 0 when the time was up; or, with no
/// revents written,
///   -EINVAL          size is below the struct's size in the first release or no multiple of
///                    its alignment; an unknown event; timeout_ns is below -1
///   -E2BIG           size is above ours, and what lies beyond is not 0
///   -EFAULT          items is NULL, and count is not 0
///   -EBADF           a queue is no open handle
///   -ECANCELED       one of the queues was cancelled: mqrs_cancel, mqrs_set_cancelled
///   -EINTR           a signal handler ran during the wait; not if all the queues were opened
///                    with MQRS_OPT_RESTART
///   -ENOMEM          no memory for the wait
///   -EACCES          System V, before Linux 4.17: the queue's permissions do not let the
///                    caller look at it
///   -EUSERS          and others: only a forked child's first call on a queue
///   -ENOTRECOVERABLE the library failed in an earlier call on one of the queues
///
/// Threads: any.  Signals: not async-signal-safe.  Fork: usable in the child.  Blocks: until
/// one is ready or the timeout.
/// Source: poll(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqrs_wait(
    items: *mut mqrs_wait_item,
    size: size_t,
    count: size_t,
    timeout_ns: i64,
) -> c_int {
    answer(|| {
        let wait = Wait::timeout(timeout_ns)?;
        // SAFETY: the caller's promise.
        let items = unsafe { Elements::new(items, size, count) }?;
        for i in 0..count {
            // SAFETY: as above.
            let item = unsafe { items.read(i) }?;
            if item.events & !event::ALL != 0 {
                return Err(say(libc::EINVAL, "there are events that this library does not know"));
            }
            if !item.queue.is_null() {
                // SAFETY: as above, for each queue.
                unsafe { queue(item.queue) }?;
            }
        }
        let asked = |i| {
            // SAFETY: as above; nobody changes the structs meanwhile.
            let item = unsafe { items.read(i) }.ok()?;
            // SAFETY: as above.
            unsafe { queue(item.queue) }.ok().map(|queue| (queue, item.events))
        };
        let ready = wait_many::wait(count, asked, wait)?;
        let mut number = 0;
        for (i, &revents) in ready.iter().enumerate() {
            // SAFETY: as above.
            let item = unsafe { items.read(i) }?;
            // SAFETY: as above.
            unsafe { items.write(i, mqrs_wait_item { revents, ..item }) };
            number += c_int::from(revents != 0);
        }
        Ok(number)
    })
}

/// End the calls of this process that are running on a handle.
///
/// q  the queue
///
/// Every call on this handle, mqrs_wait with it included, that has begun in this process and
/// has not yet taken effect returns -ECANCELED instead of waiting any longer, whether or not
/// it sleeps already; one that can be done at once may still succeed. Calls that begin later
/// are not concerned, nor are other handles and other processes.
///
/// In shared memory it is immediate. POSIX and System V: it may take up to 0.1 s, and with
/// POSIX longer if CLOCK_REALTIME is set back at that moment.
///
/// Returns 0, or
///   -EBADF           q is NULL or no open handle
///   -ENOTRECOVERABLE the library failed in an earlier call on q
///
/// Threads: any.  Signals: async-signal-safe.  Fork: concerns this process only.  Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqrs_cancel(q: *mut mqrs_queue) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { on_queue(q, Queue::cancel) }
}

/// Forbid calls on a handle to wait, or allow it again.
///
/// q   the queue
/// on  not 0: every call on this handle in this process, mqrs_wait with it included, that
///     would wait, or waits already, returns -ECANCELED. 0: they wait as ever
///
/// Calls that can be done at once are done. To end a handle that other threads use: set it,
/// wait until their calls have returned, then mqrs_close.
///
/// In shared memory and with System V it is immediate. POSIX: calls that wait already may take
/// up to 0.1 s to end.
///
/// Returns 0, or
///   -EBADF           q is NULL or no open handle
///   -ENOTRECOVERABLE the library failed in an earlier call on q
///
/// Threads: any.  Signals: async-signal-safe.  Fork: a child begins with its parent's setting,
/// and has its own from then on.  Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqrs_set_cancelled(q: *mut mqrs_queue, on: c_int) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { on_queue(q, |queue| queue.set_cancelled(on != 0)) }
}

/// Shut a queue down, for everybody and for good: no more messages are sent.
///
/// q  the queue, opened to send; in shared memory (MQRS_CAP_SHUTDOWN)
///
/// It has one place in the order of sends: those that returned 0 lie before it and will be
/// received; all later ones return -EPIPE. Receives go on until the queue is empty, and then
/// return -EPIPE as well. Calls that wait end at once, in every process. For mqrs_fd and
/// mqrs_wait the queue is readable and writable from then on. To shut it down again is fine.
/// mqrs_unlink makes room for a new queue of that name. What is given back after it
/// (mqrs_requeue, MQRS_OPT_REDELIVER) is received as well, if there still is somebody who does:
/// -EPIPE says that nothing is queued now, not that no worker holds a message.
///
/// Returns 0, or
///   -EBADF           q is NULL or no open handle, or was opened O_RDONLY
///   -ENOTSUP         the queue is not in shared memory
///   -EBADMSG         the queue is damaged
///   -EUSERS          and others: only a forked child's first call (see FORK AND EXEC)
///   -ENOTRECOVERABLE the library failed in an earlier call on q
///
/// Threads: any.  Signals: async-signal-safe.  Fork: usable in the child.  Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqrs_shutdown(q: *mut mqrs_queue) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { on_queue(q, Queue::shutdown) }
}
