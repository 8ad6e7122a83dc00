//! The beacon: what tells poll(2) in any process whether a queue is empty, partly filled or full.
//!
//! It is a FIFO beside the queue's file, with room for two packets (`beacon_file.rs`):
//!
//! ```text
//! packets    0          1        2
//! poll says  writable   both     readable
//! queue      empty      between  full       (shut down, or damaged: as between)
//! ```
//!
//! Queue and FIFO cannot change at once. Who changes the queue sees a check in the event word
//! that he reads anyway (`event.rs`), compares what there is with what is shown, and if they
//! differ makes them equal before his call returns:
//!
//! ```text
//! 1  lock the word `beacon`, which says what is shown otherwise
//! 2  look at the queue, write a packet or read one; until there is nothing to do
//! 3  unlock it, with what is shown now
//! ```
//!
//! Who finds the word locked waits for a moment, or else he might return while the other, on an
//! old look at the queue, makes the FIFO say what was true before. One of the two sees the
//! other: 1 comes before the look, and his change came before he read the word. The lock is
//! courtesy, nothing more. It is taken over from the dead at once, and from those who are
//! stopped after some milliseconds: who finds his lock gone begins again, so that whatever two at
//! a time have done to the FIFO, the last of them looks at the queue afterwards.
//!
//! Who has woken one who sleeps in the library leaves out to show what that one will take:
//! readiness that nobody would see in time. The one that was woken passes it on if it takes
//! nothing.
//!
//! Where readiness comes and goes very often, and so nobody can be waiting for it, a helper shows
//! what is missing (`lazy.rs`).
//!
//! Who is killed between his change of the queue and the end of his call, or after he was woken
//! and before he has looked, may leave the FIFO as it was. A call that finds the queue empty, or
//! full, puts that right before it waits or returns; so does the next call that makes it so.
//!
//! Source: pipe(7), "I/O on pipes and FIFOs", and O_DIRECT in pipe(2); the lock as in `finder.rs`.

use super::engine::Engine;
use super::poll::event;
use super::word::{Head, Tail};
use crate::fault::step;
use crate::sync::{AtomicU32, Ordering, dekker_barrier, pause};

#[cfg(not(loom))]
use super::beacon_file::Pipe;
#[cfg(loom)]
use modelled::Pipe;

/// The queue is empty.
const EMPTY: u32 = 0;
/// It is full.
const FULL: u32 = 2;
/// It is neither, or shut down, or damaged.
const BETWEEN: u32 = 1;

/// Looks of one change, in a queue that keeps moving: who moves it looks, too.
const LOOKS_MOST: u32 = 64;
/// How often a locked word is looked at: first with pauses, then letting others run, then with
/// naps of [`NAP`].
#[cfg(not(loom))]
const PAUSES: u32 = 64;
#[cfg(not(loom))]
const YIELDS: u32 = 32;
/// Ten milliseconds in all.
#[cfg(not(loom))]
const NAPS: u32 = 100;
#[cfg(not(loom))]
const NAP: i64 = 100_000;

/// The word `beacon`.
///
/// ```text
/// 0-1 what is shown   2-12 0, or the owner that changes it, plus one   13-31 how often locked
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
struct State(u32);

impl State {
    const HOLDER: u32 = 2;
    const TURN: u32 = 13;

    fn shown(self) -> u32 {
        self.0 & 3
    }
    fn holder(self) -> Option<u32> {
        (self.0 >> State::HOLDER & 0x7FF).checked_sub(1)
    }
    /// Locked by this owner, unlike any of the last half a million times.
    fn locked(self, owner: u32) -> State {
        let turn = (self.0 >> State::TURN).wrapping_add(1);
        State(turn << State::TURN | (owner + 1) << State::HOLDER | self.shown())
    }
    fn unlocked(self, shown: u32) -> State {
        State(self.0 >> State::TURN << State::TURN | shown)
    }
}

impl Engine {
    fn beacon(&self) -> &AtomicU32 {
        &self.control().wait.0.beacon
    }

    /// Whether the queue has a beacon.
    #[inline]
    pub fn has_beacon(&self) -> bool {
        self.control().wait.0.receivers.wants_checks()
    }

    /// From now on whoever changes the queue keeps its beacon right; and it is right now.
    pub fn begin_beacon(&self) {
        let wait = &self.control().wait.0;
        wait.senders.want_checks();
        wait.receivers.want_checks();
        self.correct_beacon();
    }

    /// What the beacon should show.
    fn level(&self) -> u32 {
        match self.ready() {
            event::WRITABLE => EMPTY,
            event::READABLE => FULL,
            _ => BETWEEN,
        }
    }

    /// Messages were sent; whether a receiver was woken for them.
    #[cold]
    pub(super) fn show_what_was_sent(&self, woke: bool) {
        self.show(woke, |shown| match shown {
            EMPTY => false,
            // Only that there is room can have become untrue.
            BETWEEN => self.known_room(Tail(self.tail_word().load(Ordering::Relaxed))) > 0,
            _ => true,
        });
    }

    /// Messages were received; whether a sender was woken for the room.
    #[cold]
    pub(super) fn show_what_was_received(&self, woke: bool) {
        self.show(woke, |shown| match shown {
            EMPTY => true,
            // Only that there are messages can have become untrue.
            BETWEEN => self.known_messages(Head(self.head_word().load(Ordering::Relaxed))) > 0,
            _ => false,
        });
    }

    /// After a change of the queue, to which `is_right` knows a quick answer.
    fn show(&self, woke: bool, is_right: impl Fn(u32) -> bool) {
        self.reach_beacon();
        self.join_lease();
        if let Ok(State(free)) = self.await_unlocked() {
            let shown = State(free).shown();
            if is_right(shown) {
                return;
            }
            let level = self.level();
            if level == shown {
                return;
            }
            // Nothing but readiness is missing.
            if level == BETWEEN {
                if woke || self.is_lazy() {
                    return;
                }
                self.note_shown();
            }
        }
        self.correct_beacon();
    }

    /// The queue may not be what the beacon shows: for those who are about to wait, or have done
    /// what somebody who died has not.
    pub fn settle_beacon(&self) {
        if self.has_beacon() {
            self.show(false, |_| false);
        }
    }

    /// The same for those whom the queue has refused: whatever else was done to the FIFO.
    pub fn correct_beacon_if_any(&self) {
        if self.has_beacon() {
            self.correct_beacon();
        }
    }

    /// Make the FIFO show what is.
    #[cold]
    pub(super) fn correct_beacon(&self) {
        let Some(pipe) = self.pipe() else { return };
        for _ in 0..LOOKS_MOST {
            let Some(locked) = self.lock_beacon() else { return };
            step!(BeaconLocked);
            let shown = self.make_equal(&pipe);
            // SYNC: what was done to the FIFO comes before it is said to be shown.
            let ours = self.beacon().compare_exchange(
                locked.0,
                locked.unlocked(shown).0,
                Ordering::SeqCst,
                Ordering::Relaxed,
            );
            if ours.is_ok() {
                return;
            }
        }
    }

    /// Write and read packets until there are as many as there should be; gives how many.
    fn make_equal(&self, pipe: &Pipe) -> u32 {
        let mut packets = pipe.packets();
        for _ in 0..LOOKS_MOST {
            let level = self.level();
            if packets == level {
                break;
            }
            step!(BeaconLooked);
            if packets < level {
                pipe.put();
                packets += 1;
            } else {
                pipe.take();
                packets -= 1;
            }
            step!(BeaconChanged);
        }
        packets.min(FULL)
    }

    /// Lock the word; `None` if others never let us.
    fn lock_beacon(&self) -> Option<State> {
        for _ in 0..LOOKS_MOST {
            let (Ok(seen) | Err(seen)) = self.await_unlocked();
            let locked = seen.locked(self.owner);
            let exchanged = self.beacon().compare_exchange(
                seen.0,
                locked.0,
                Ordering::SeqCst,
                Ordering::Relaxed,
            );
            if exchanged.is_ok() {
                // SYNC: Dekker pair with who changes the queue and then reads the word.
                dekker_barrier();
                return Some(locked);
            }
        }
        None
    }

    /// The word when it is not locked; as an error one whose holder is dead, or stopped.
    #[cfg(not(loom))]
    fn await_unlocked(&self) -> Result<State, State> {
        let mut seen = State(self.beacon().load(Ordering::SeqCst));
        for tries in 0..PAUSES + YIELDS + NAPS {
            let Some(holder) = seen.holder() else { return Ok(seen) };
            if tries < PAUSES {
                pause();
            } else if tries < PAUSES + YIELDS {
                crate::sync::yield_now();
            } else if self.is_alive(holder) {
                crate::sys::thread::sleep(NAP);
            } else {
                return Err(seen);
            }
            seen = State(self.beacon().load(Ordering::SeqCst));
        }
        if seen.holder().is_some() { Err(seen) } else { Ok(seen) }
    }

    /// In the models those who are stopped are among the dead.
    #[cfg(loom)]
    fn await_unlocked(&self) -> Result<State, State> {
        loop {
            let seen = State(self.beacon().load(Ordering::SeqCst));
            match seen.holder() {
                None => return Ok(seen),
                Some(holder) if !self.is_alive(holder) => return Err(seen),
                Some(_) => pause(),
            }
        }
    }

    #[cfg(loom)]
    fn reach_beacon(&self) {}

    #[cfg(loom)]
    fn pipe(&self) -> Option<Pipe<'_>> {
        Some(Pipe(&self.segment.fifo))
    }
}

/// A FIFO as loom can explore it: what poll sees is how many packets there are.
#[cfg(loom)]
mod modelled {
    use super::FULL;
    use crate::sync::{AtomicU32, Ordering::SeqCst};

    pub struct Pipe<'a>(pub &'a AtomicU32);

    impl Pipe<'_> {
        pub fn packets(&self) -> u32 {
            self.0.load(SeqCst)
        }
        pub fn put(&self) {
            let _ = self.0.fetch_update(SeqCst, SeqCst, |n| (n < FULL).then(|| n + 1));
        }
        pub fn take(&self) {
            let _ = self.0.fetch_update(SeqCst, SeqCst, |n| n.checked_sub(1));
        }
    }
}
