//! Being told that a message came.

use crate::boundary::{mqrs_queue, on_queue};
use crate::structs::check_flags;
use libc::intptr_t;
use mqueue_core::queue::{Notification, Queue, how};
use mqueue_core::report::say;
use std::ffi::{c_int, c_void};

/// Have a signal sent to this process when a message comes to the empty queue.
///
/// q      the queue, opened in any direction
/// signo  the signal, 1 to SIGRTMAX; 0 takes the registration but sends nothing
/// value  arrives as si_value: as sival_ptr, and as sival_int where it fits an int
/// flags  0, or MQRS_NOTIFY_PERSISTENT: it stays registered, and fires for each message that
///        comes to the empty queue, until it is cancelled (MQRS_CAP_PERSISTENT_NOTIFY);
///        MQRS_NOTIFY_NOW: it fires at once if messages are waiting, and is used up by that
///        unless it stays. Both in shared memory only
///
/// It is sent once, when a message comes to a queue that is empty and on which no
/// receiver waits; the registration is then used up. To miss nothing, register again
/// first, then receive until -EAGAIN. One that stays need not be renewed: receive until
/// -EAGAIN each time; arrivals that follow each other faster than signals are sent may share
/// one, which comes after the last of them. The signal has si_code SI_MESGQ, and si_pid and
/// si_uid of the sender, also when that is another user. They are the numbers that the
/// sender itself sees: one in another pid or user namespace may have any. What fires at once
/// has those of this process, even if a receiver waits for the same messages. POSIX: the kernel
/// sends it, and not for a message whose sender had waited for room.
///
/// Returns 0, or, having registered nothing,
///   -EBADF           q is NULL or no open handle
///   -EINVAL          signo is no signal, or an unknown flag
///   -EBUSY           the queue has a registration already, maybe this process's; that of
///                    a dead process does not count
///   -EAGAIN          the library's helper thread cannot be started, or Linux is older
///                    than 4.14
///   -ENOMEM          no memory for the registration
///   -ENOTSUP         the queue cannot notify: System V queues (MQRS_CAP_NOTIFY). POSIX: a
///                    flag, since the kernel drops a registration when it notifies, and
///                    nobody can tell whether it has notified of a message that waits
///   -EBADMSG         the queue is damaged
///   -ENOTRECOVERABLE the library failed in an earlier call on q
///
/// Threads: any; the first registration of a process on a queue in shared memory starts the
/// helper thread, with all signals blocked.  Signals: not async-signal-safe.  Fork: the
/// registration stays with the parent.  Blocks: no.
/// Source: POSIX.1-2024 mq_notify, SIGEV_SIGNAL; mq_notify(3); sigaction(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqrs_notify_signal(
    q: *mut mqrs_queue,
    signo: c_int,
    value: intptr_t,
    flags: u64,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        on_queue(q, |queue| {
            check_flags(flags, how::ALL)?;
            queue.notify(Notification::Signal { signo, value }, flags)
        })
    }
}

/// Have a function called when a message comes to the empty queue.
///
/// q      the queue, opened in any direction
/// fn     called as fn(q, user)
/// user   handed to it; may be NULL. Keep it until mqrs_notify_cancel or mqrs_close
///        returned, or until fn ran
/// flags  0, or MQRS_NOTIFY_PERSISTENT: it stays registered, and fires for each message that
///        comes to the empty queue, until it is cancelled (MQRS_CAP_PERSISTENT_NOTIFY);
///        MQRS_NOTIFY_NOW: it fires at once if messages are waiting, and is used up by that
///        unless it stays. Both in shared memory only
///
/// It is called once, when a message comes to a queue that is empty and on which no
/// receiver waits; the registration is used up before the call, so that fn may register
/// again. To miss nothing, register again first, then receive until -EAGAIN. One that stays
/// need not be renewed: it is enough that fn receives until -EAGAIN. Arrivals that follow each
/// other faster than fn returns may share one call, which comes after the last of them.
///
/// fn runs on the library's helper thread, one callback at a time, with all signals
/// blocked; while it runs, the notifications of the whole process wait, and so does what
/// mqrs_fd's descriptors would newly show. It may call
/// anything, mqrs_notify_cancel and mqrs_close on q included. It must return: no
/// exception, longjmp or pthread_exit may leave it.
///
/// Returns 0, or, having registered nothing,
///   -EBADF           q is NULL or no open handle
///   -EINVAL          an unknown flag
///   -EFAULT          fn is NULL
///   -EBUSY           the queue has a registration already, maybe this process's; that of
///                    a dead process does not count
///   -EAGAIN          the library's helper thread cannot be started, or Linux is older
///                    than 4.14; POSIX: there are more callbacks than net.core.rmem_max
///                    leaves room for
///   -EMFILE          POSIX: the first callback needs two descriptors, and the process has too
///                    many; -ENFILE: the system has
///   -ENOMEM          no memory for the registration
///   -ENOTSUP         the queue cannot notify: System V queues (MQRS_CAP_NOTIFY). POSIX: a
///                    flag, as in mqrs_notify_signal; or the process may not have a netlink
///                    socket
///   -EBADMSG         the queue is damaged
///   -ENOTRECOVERABLE the library failed in an earlier call on q
///
/// Threads: any; the first registration of a process starts the helper thread.
/// Signals: not async-signal-safe.  Fork: the registration stays with the parent.
/// Blocks: no.
/// Source: POSIX.1-2024 mq_notify, SIGEV_THREAD; mq_notify(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqrs_notify_callback(
    q: *mut mqrs_queue,
    r#fn: Option<unsafe extern "C" fn(q: *mut mqrs_queue, user: *mut c_void)>,
    user: *mut c_void,
    flags: u64,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        on_queue(q, |queue| {
            check_flags(flags, how::ALL)?;
            let Some(function) = r#fn else {
                return Err(say(libc::EFAULT, "the callback is NULL"));
            };
            let callback = Notification::Callback {
                // SAFETY: the two types differ in what a pointer points to, which is the
                // same to a call.
                function: std::mem::transmute::<
                    unsafe extern "C" fn(*mut mqrs_queue, *mut c_void),
                    unsafe extern "C" fn(*mut c_void, *mut c_void),
                >(function),
                argument: q.cast(),
                user,
            };
            queue.notify(callback, flags)
        })
    }
}

/// Drop the notification that was registered through this handle.
///
/// q  the queue
///
/// When it returns, no callback of this handle runs or will run, so that its user pointer
/// may be freed; inside that callback itself it returns at once. A signal that was sent
/// already may still arrive. Other handles' registrations stay.
///
/// Returns 0, also if there was nothing to drop, or
///   -EBADF           q is NULL or no open handle
///   -EBADMSG         the queue is damaged
///   -ENOTRECOVERABLE the library failed in an earlier call on q
///
/// Threads: any.  Signals: not async-signal-safe.  Fork: a child has nothing to drop.
/// Blocks: while a callback of q is running; hold no lock that the callback needs.
/// Source: POSIX.1-2024 mq_notify with NULL; mq_notify(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqrs_notify_cancel(q: *mut mqrs_queue) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { on_queue(q, Queue::notify_cancel) }
}
