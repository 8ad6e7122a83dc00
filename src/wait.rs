//! Waiting for a queue beside other things.

use crate::boundary::{mqrs_queue, on_queue};
use mqueue_core::queue::Queue;
use std::ffi::c_int;

/// Get a queue's descriptor for poll, select and epoll.
///
/// q  the queue
///
/// The descriptor is readable while messages wait and writable while there is room, whatever
/// the handle's direction. It may be ready for nothing, when another process was faster:
/// receive and send with MQRS_NOWAIT, and take -EAGAIN as usual. It belongs to the handle:
/// poll it, never read, write or close it, and take it out of an event loop before
/// mqrs_close. To wait by it is not to be a receiver that waits: a notification fires.
///
/// POSIX queues have one, their own. Queues in shared memory have none in this version,
/// System V queues never (MQRS_CAP_FD).
///
/// Returns the descriptor, >= 0, or
///   -EBADF           q is NULL or no open handle
///   -ENOTSUP         the queue has no such descriptor
///   -ENOTRECOVERABLE the library failed in an earlier call on q
///
/// Threads: any.  Signals: not async-signal-safe.  Fork: usable in the child.  Blocks: no.
/// Source: mq_overview(7), "Polling message queue descriptors"; poll(2), epoll(7).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqrs_fd(q: *mut mqrs_queue) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { on_queue(q, Queue::fd) }
}
