//! What a process remembers of the other side's progress, so that most calls need not look.
//!
//! A stale hint costs time, never correctness: before a refusal that must be exact, a call
//! looks at the queue itself (`look_for_room`).

use super::engine::{Engine, Look};
use super::word::{Head, SEQ_MASK, TAKE_MASK, Tail, seq_distance, take_distance};
use crate::sync::local;
use crate::sync::{Ordering, pause};

/// How long whoever counts the messages waits for a receiver that looks: pauses, two
/// microseconds or so, far more than a look takes.
const LOOKING: u32 = if cfg!(loom) { 0 } else { 80 };

/// What senders of this process remember.
pub(super) struct SenderHints {
    /// Sends with a number below this one have room, as of some past head.
    pub room_until: local::AtomicU64,
    /// Where the last search for a free slot ended.
    pub cursor: local::AtomicU32,
}

/// What receivers of this process remember.
pub(super) struct ReceiverHints {
    /// Count of the last confirmed send, as last seen.
    pub tail_seen: local::AtomicU32,
    /// The finder's lock for which a receiver has waited in vain.
    pub finder_lock: local::AtomicU64,
}

impl Engine {
    /// How many messages are queued behind `h`, as far as senders' notes were read.
    #[inline(always)]
    pub(super) fn known_messages(&self, h: Head) -> u32 {
        let known = take_distance(self.receiving.0.tail_seen.load(Ordering::Relaxed), h.count());
        if known <= self.segment.geometry().maxmsg { known } else { 0 }
    }

    /// Read the senders' notes anew; whether there are messages behind `h`, as far as they say.
    #[inline]
    pub(super) fn was_told_of_message(&self, h: Head) -> bool {
        let known = self.told_messages(h);
        if known > 1 {
            self.fetch_messages(h, known);
        }
        known > 0
    }

    /// How many messages are behind `h`, as the senders' notes say now.
    #[inline(always)]
    pub(super) fn told_messages(&self, h: Head) -> u32 {
        let sent = self.control().confirmed.0.load(Ordering::Relaxed) as u32 & TAKE_MASK;
        self.receiving.0.tail_seen.store(sent, Ordering::Relaxed);
        let known = self.known_messages(h);
        self.note_queued(known);
        known
    }

    /// For receivers that wait: as soon as the notes tell of a message, fetch it, even if it
    /// is the only one.
    #[cfg(not(loom))]
    pub(super) fn fetch_first(&self) {
        let h = Head(self.head_word().load(Ordering::Relaxed));
        if self.known_messages(h) == 0 && self.was_told_of_message(h) && self.known_messages(h) == 1
        {
            self.fetch_messages(h, 1);
        }
    }

    /// Fetch the slots of the next messages of a lane.
    fn fetch_messages(&self, h: Head, known: u32) {
        let mut place = self.place(h.count());
        for _ in 0..known.min(self.prefetch) {
            self.segment.prefetch(self.slot_at(place));
            place = self.place_after(place, 1);
        }
    }

    /// How much room there is behind `t`, as far as receivers' notes were read.
    #[inline(always)]
    pub(super) fn known_room(&self, t: Tail) -> u32 {
        let left = seq_distance(self.sending.0.room_until.load(Ordering::Relaxed), t.count());
        if left <= self.segment.geometry().maxmsg as u64 { left as u32 } else { 0 }
    }

    /// What receivers noted was true at some time, and room that there was there still is.
    pub(super) fn was_told_of_room(&self, t: Tail) -> bool {
        let finalized = self.control().finalized.0.count.load(Ordering::Acquire) & SEQ_MASK;
        let maxmsg = self.segment.geometry().maxmsg as u64;
        let told = seq_distance(t.count(), finalized) < maxmsg;
        if told {
            let until = (finalized + maxmsg) & SEQ_MASK;
            self.sending.0.room_until.store(until, Ordering::Relaxed);
        }
        told
    }

    /// Whether there is room behind the send that `t` names: `Some(false)` only if the queue
    /// was full at one instant (or, at a glance, seemed so), `None` if `t` is out of date.
    #[cold]
    pub(super) fn look_for_room(&self, t: Tail, look: Look) -> Option<bool> {
        if self.was_told_of_room(t) {
            return Some(true);
        }
        if look == Look::Glance {
            return Some(false);
        }
        self.note_queued(self.queued());
        let h = Head(self.head_word().load(Ordering::Acquire));
        let known = self.room_from(t, h.count());
        if known != Some(false) || !t.is_mixed() {
            return known;
        }
        // Mixed: sends that have not yet taken effect must not make the queue look full, nor
        // a receive that has. Whoever looks now is about to make room.
        let now = self.await_look(h);
        if now.count() != h.count() {
            return self.room_from(t, now.count());
        }
        self.room_from(t, self.linearize())
    }

    /// If somebody looks for the best message, give him a moment to receive it: those who
    /// count messages again and again would keep him looking.
    pub(super) fn await_look(&self, h: Head) -> Head {
        let mut now = h;
        for _ in 0..LOOKING {
            if !now.is_snapped() || now.count() != h.count() {
                break;
            }
            pause();
            now = Head(self.head_word().load(Ordering::Acquire));
        }
        now
    }

    fn room_from(&self, t: Tail, received: u32) -> Option<bool> {
        let maxmsg = self.segment.geometry().maxmsg;
        let queued = take_distance(t.take_count(), received);
        if queued > maxmsg {
            return None;
        }
        let until = (t.count() + (maxmsg - queued) as u64) & SEQ_MASK;
        self.sending.0.room_until.store(until, Ordering::Relaxed);
        Some(queued < maxmsg)
    }
}
