//! What a handle's descriptor for poll shows, and how it stays true.
//!
//! ```text
//! shown or marked   each event that the descriptor does not show is marked in the queue
//!                   (`poll.rs`), and the queue was looked at again afterwards
//! helper            announced on `pollers`: has it updated, which adds what is ready now
//! refused call      what it was refused must not go on being shown: has the descriptor made
//!                   to show exactly what is
//! ```
//!
//! So nobody who changes the queue pays for an event that is shown already; and whoever uses
//! up a mark wakes the helper. The helper never takes an event away: that another process was
//! faster is found out by a call of this handle.
//!
//! A loop that waits for edges (EPOLLET) sleeps after a refusal until there is an edge. If the
//! queue is ready again by then, the event is shown once more, though it was shown already.
//!
//! Several threads, the helper and signal handlers in their midst want updates. Nobody waits
//! for anybody: who finds nobody at work works until no request is left, the others leave
//! theirs. The number in the kernel is changed by who works, alone.

#![forbid(unsafe_code)]

use super::engine::Engine;
use super::poll::event;
use crate::sync::{AtomicU32, Ordering};

/// Requests, beside the events that a call was refused: show exactly what is.
pub const EXACTLY: u32 = 4;
/// Show what has become ready.
pub const LOOK: u32 = 8;
/// Somebody works.
const BUSY: u32 = 16;

/// The state of a descriptor, of one process.
pub struct Shown {
    /// What is to be done, and whether somebody does it.
    requests: AtomicU32,
    /// The events that are shown, or about to be. Changed by who is BUSY.
    events: AtomicU32,
}

impl Shown {
    /// That of an eventfd that was just made.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Shown {
        Shown { requests: AtomicU32::new(0), events: AtomicU32::new(event::WRITABLE) }
    }

    /// A call was refused this event by the queue. `show` as in [`Shown::update`].
    pub fn refused(&self, engine: &Engine, refused: u32, show: impl Fn(u32, u32, u32)) {
        // What is not shown is marked. SeqCst: with the stores of `work`, which come before
        // anybody can have seen the descriptor ready.
        if self.events.load(Ordering::SeqCst) & refused != 0 {
            self.update(engine, refused, show);
        }
    }

    /// Do what is requested, unless somebody is at it, who then does this too. `show` is given
    /// the events shown, those to be shown now, and which of these anew.
    pub fn update(&self, engine: &Engine, requested: u32, show: impl Fn(u32, u32, u32)) {
        if self.requests.fetch_or(BUSY | requested, Ordering::SeqCst) & BUSY != 0 {
            return;
        }
        loop {
            let requested = self.requests.swap(BUSY, Ordering::SeqCst);
            self.work(engine, requested, &show);
            let done = self.requests.compare_exchange(BUSY, 0, Ordering::SeqCst, Ordering::Relaxed);
            if done.is_ok() {
                return;
            }
        }
    }

    fn work(&self, engine: &Engine, requested: u32, show: &impl Fn(u32, u32, u32)) {
        // Relaxed: only who is BUSY changes it.
        let mut shown = self.events.load(Ordering::Relaxed);
        if requested & (EXACTLY | event::ALL) != 0 {
            let ready = engine.ready();
            let anew = ready & requested;
            if ready != shown || anew != 0 {
                // Before it is: a call that is refused by then must not take it for marked.
                self.events.store(shown | ready, Ordering::SeqCst);
                show(shown, ready, anew);
                self.events.store(ready, Ordering::SeqCst);
                shown = ready;
            }
        }
        loop {
            let ready = shown | engine.ready();
            if ready != shown {
                self.events.store(ready, Ordering::SeqCst);
                show(shown, ready, 0);
                shown = ready;
            }
            let hidden = event::ALL & !shown;
            engine.mark(hidden);
            if hidden == 0 || engine.ready() & hidden == 0 {
                return;
            }
        }
    }
}
