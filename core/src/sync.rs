//! The one door to atomics: the standard library's, or loom's in the models.
//!
//! Words that live in a segment use the types at the top of this module, so that
//! `tests/loom.rs` can explore every schedule of the very code that ships. State
//! of this process alone (handles, the helper thread) uses [`local`], which the
//! models do not see.

#![forbid(unsafe_code)]
#![allow(clippy::disallowed_types)]

#[cfg(not(loom))]
pub use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

#[cfg(loom)]
pub use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// Atomics that are never modelled.
pub mod local {
    pub use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicU64};
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
