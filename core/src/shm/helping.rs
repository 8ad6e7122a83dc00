//! Helping: the steps by which anybody completes, or takes back, what another began.
//!
//! The rules I1 to I7 that these keep are in `engine.rs`.

use super::engine::Engine;
use super::layout::SlotHeader;
use super::progress::Progress;
use super::segment::Slot;
use super::word::{
    BATCH, Head, MIX, SEQ_BITS, SEQ_MASK, TAKE_MASK, Tail, Word, seq_distance, take_distance,
};
use crate::sync::{Ordering, dekker_barrier, fence};

impl Engine {
    /// Complete the slot change of the send that `t` names; if several messages were sent
    /// together, of all of them, from the last to the first.
    #[inline]
    pub(super) fn confirm(&self, t: Tail) {
        let Some(slot) = self.segment.slot(t.slot()) else { return };
        let w = Word(slot.word.load(Ordering::Acquire));
        // As a rule it is done.
        if w.is_being_sent() || w.is_queued() && w.is_chained() {
            self.confirm_all(t);
        }
    }

    #[cold]
    fn confirm_all(&self, t: Tail) {
        let mut index = t.slot();
        let mut seq = t.count().wrapping_sub(1) & SEQ_MASK;
        for _ in 0..BATCH {
            match self.confirm_one(index, seq) {
                Some(link) => index = link,
                None => return,
            }
            seq = seq.wrapping_sub(1) & SEQ_MASK;
        }
    }

    /// Make a slot QUEUED as message `seq` if it is that one's claim; gives the slot of the
    /// message before it if that was sent together with it and may still be unconfirmed. (Once
    /// any of them is received, all are confirmed: all who confirm go the same way.)
    fn confirm_one(&self, index: u32, seq: u64) -> Option<u32> {
        let slot = self.segment.slot(index)?;
        let w = Word(slot.word.load(Ordering::Acquire));
        // Belongs to `w` if the word is found unchanged afterwards.
        let link = slot.link.load(Ordering::Relaxed);
        let is_queued = |w: Word| w.is_queued() && w.seq() == seq;
        // I5: a stamp from seq + 1 on belongs to a later claim of the slot.
        if w.is_being_sent() && seq_distance(seq, w.seq()) < 1 << (SEQ_BITS - 1) {
            let queued = Word::queued(slot.prio.load(Ordering::Relaxed), seq);
            let queued = queued.chained(w.is_chained());
            let confirmed =
                slot.word.compare_exchange(w.0, queued.0, Ordering::AcqRel, Ordering::Acquire);
            if confirmed.is_err_and(|now| !is_queued(Word(now))) {
                return None;
            }
        } else {
            fence(Ordering::Acquire);
            if !is_queued(w) || slot.word.load(Ordering::Relaxed) != w.0 {
                return None;
            }
        }
        w.is_chained().then_some(link)
    }

    /// Complete the slot change of the receive that `h` names.
    #[inline(always)]
    pub(super) fn finalize(&self, h: Head) {
        if self.control().finalized.0.count.load(Ordering::Acquire) as u32 & TAKE_MASK != h.count()
        {
            self.finalize_slot(h);
        }
    }

    pub(super) fn finalize_slot(&self, h: Head) {
        let Some(slot) = self.segment.slot(h.slot()) else { return };
        let w = Word(slot.word.load(Ordering::Acquire));
        if !(w.is_taking() || w.is_taken()) || w.take() != h.count() {
            return;
        }
        if w.messages() > 1 {
            let last = slot.seq.load(Ordering::Relaxed);
            fence(Ordering::Acquire);
            // Who frees the slot has noted it himself before.
            if Word(slot.word.load(Ordering::Relaxed)).taken() == w.taken() {
                self.note_gone(last);
            }
        }
        if w.is_taking() {
            let _ =
                slot.word.compare_exchange(w.0, w.taken().0, Ordering::AcqRel, Ordering::Relaxed);
        }
    }

    /// Deal with a slot seen as TAKING: help the receive if it can still win, complete
    /// it if it has won, roll the slot back if it has lost.
    pub(super) fn resolve(&self, slot: Slot<'_>, w: Word) {
        let index = slot.number();
        let h = Head(self.head_word().load(Ordering::Acquire));
        if take_distance(w.take(), h.count()) == w.messages() && w.epoch() == h.epoch() {
            self.finalize(h);
            let _ = self.head_word().compare_exchange(
                h.0,
                h.advanced_by(w.messages(), index).0,
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
        } else if w.take() == h.count() && index == h.slot() {
            self.finalize_slot(h);
        } else {
            self.roll_back(&slot, w);
        }
    }

    /// Make a slot whose receive has lost QUEUED again; false if somebody else did.
    pub(super) fn roll_back(&self, slot: &SlotHeader, w: Word) -> bool {
        // I6: header and word belong to the same message as long as the word is `w`.
        let queued =
            Word::queued(slot.prio.load(Ordering::Relaxed), slot.seq.load(Ordering::Relaxed));
        slot.word.compare_exchange(w.0, queued.0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Make every receiver that is looking for the best message look again (I4), and every
    /// one that takes from a lane; gives the head's count at that moment.
    pub(super) fn linearize(&self) -> u32 {
        // SYNC: Dekker pair with the SNAP of a mixed receive: the slot was changed, now
        // the head is read.
        dekker_barrier();
        let mut progress = Progress::new();
        loop {
            let h = Head(self.head_word().load(Ordering::SeqCst));
            if h.is_mixed() && !h.is_snapped() {
                return h.count();
            }
            if !h.is_mixed() {
                // A lane needs no word to tell which messages are gone; a mixed queue does.
                self.finalize(h);
            }
            if self.change_head(h, h.next_epoch(MIX)) || progress.is_overtaken_again() {
                return h.count();
            }
        }
    }
}
