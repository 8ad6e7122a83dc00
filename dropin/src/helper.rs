//! The helper thread for queues that nobody seems to poll.
//!
//! A queue that goes from empty to not empty and back all the time has its beacon changed
//! with each message. Where that is so often that nobody can be polling, a thread of the library
//! looks after the beacon instead (core/src/shm/lazy.rs). Programs that do not need it never
//! have the thread.
//!
//! It is started in the midst of a send or receive, and those may be made in a signal handler,
//! where threads cannot be started. A handler has its own signal blocked; so it is started
//! only where the same signals are blocked as when a queue was opened last. Else this queue
//! has its beacon changed with each message for good.

use crate::entry;
use core::mem::MaybeUninit;
use mqueue_core::shm::ShmQueue;
use mqueue_core::sync::Ordering::Relaxed;
use mqueue_core::sync::local::AtomicU64;

/// The signals that were blocked when a queue was opened last: those up to 64, which are all.
static BLOCKED: AtomicU64 = AtomicU64::new(0);

/// Those that are blocked now.
fn blocked() -> u64 {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: only asks; the set is large enough for one.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, core::ptr::null(), set.as_mut_ptr()) };
    (1..=64u32).fold(0, |bits, signo| {
        // SAFETY: zeroed, and then filled by the call above.
        let is_member = unsafe { libc::sigismember(set.as_ptr(), signo as i32) == 1 };
        bits | u64::from(is_member) << (signo - 1)
    })
}

/// A queue is being opened.
pub fn note_opening() {
    BLOCKED.store(blocked(), Relaxed);
}

/// After a call: have the helper look after the queue's beacon, if that is worth while.
#[inline]
pub fn start_if_wanted(queue: &ShmQueue) {
    if queue.wants_lazy_beacon() {
        start(queue);
    }
}

#[cold]
fn start(queue: &ShmQueue) {
    if blocked() != BLOCKED.load(Relaxed) || queue.allow_lazy_beacon().is_err() {
        queue.forbid_lazy_beacon();
    }
}

/// The process exits: what was left to the helper is shown now.
#[unsafe(no_mangle)]
extern "C" fn mqrs_dropin_end_helper() {
    entry::for_each(ShmQueue::end_lazy_beacon);
}
