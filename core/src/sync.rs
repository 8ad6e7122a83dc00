//! The one door to atomics: the standard library's, or loom's in the models.
//!
//! Words that live in a segment use the types at the top of this module, so that
//! `tests/loom/` can explore every schedule of the very code that ships. State
//! of this process alone (handles, the helper thread) uses [`local`], which the
//! models do not see.

#![forbid(unsafe_code)]
#![allow(clippy::disallowed_types)]

#[cfg(loom)]
use loom::sync::atomic;
#[cfg(not(loom))]
use std::sync::atomic;

pub use atomic::{Ordering, fence};

/// 32 bits that several processes change.
pub type AtomicU32 = atomic::AtomicU32;
/// 64 bits that several processes change.
pub type AtomicU64 = atomic::AtomicU64;

/// Atomics that are never modelled. (Type aliases, since the lint sees through `use`.)
#[allow(missing_docs)]
pub mod local {
    pub type AtomicBool = std::sync::atomic::AtomicBool;
    pub type AtomicI32 = std::sync::atomic::AtomicI32;
    pub type AtomicPtr<T> = std::sync::atomic::AtomicPtr<T>;
    pub type AtomicU32 = std::sync::atomic::AtomicU32;
    pub type AtomicU64 = std::sync::atomic::AtomicU64;
}

/// Order an earlier read-modify-write before the later loads of this thread.
///
/// Two sides that each change one word and then read the other's (a Dekker pair) both
/// call it in between, so that at least one of them sees the other. The change is always
/// a read-modify-write, made by this thread or seen by it. On x86 that is a full barrier
/// already and only the compiler must be held back; elsewhere, and in the checkers, this
/// is a real fence.
#[inline(always)]
pub fn dekker_barrier() {
    #[cfg(all(any(target_arch = "x86_64", target_arch = "x86"), not(loom), not(miri)))]
    std::sync::atomic::compiler_fence(Ordering::SeqCst);
    #[cfg(not(all(any(target_arch = "x86_64", target_arch = "x86"), not(loom), not(miri))))]
    fence(Ordering::SeqCst);
}

/// Store over a value that another thread may be exchanging at this moment.
///
/// An exchange that reads the old value comes before this store in the word's order, for
/// atomicity. loom keeps no such order between a plain store and a concurrent exchange
/// and would show the exchange's result later; so in the models it is an exchange itself.
#[inline(always)]
pub fn overwrite(word: &AtomicU64, value: u64) {
    #[cfg(not(loom))]
    word.store(value, Ordering::Release);
    #[cfg(loom)]
    word.swap(value, Ordering::AcqRel);
}

/// Tell the processor (or the model's scheduler) that this is a polling loop.
#[inline(always)]
pub fn pause() {
    #[cfg(not(loom))]
    std::hint::spin_loop();
    #[cfg(loom)]
    loom::thread::yield_now();
}

/// Let another thread run.
pub fn yield_now() {
    #[cfg(not(loom))]
    std::thread::yield_now();
    #[cfg(loom)]
    loom::thread::yield_now();
}
