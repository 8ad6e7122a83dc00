//! The index and the slots: which slot a message belongs in, and how a free one is claimed.

use super::engine::{Engine, SegmentRef};
use super::layout::SlotHeader;
use super::segment::Slot;
use super::word::{Tail, Word};
use crate::sync::{AtomicU32, Ordering, overwrite};

/// How many places are tried before the search for a free slot begins.
const NEIGHBOURS: u32 = if cfg!(loom) { 2 } else { 16 };

/// A place in the index, below nslots.
#[derive(Clone, Copy)]
pub(super) struct Place(u32);

impl Place {
    /// The entries of the index from there on, up to `most`; fewer at its end.
    #[inline(always)]
    pub(super) fn entries(self, segment: &SegmentRef, most: usize) -> &[AtomicU32] {
        segment.entries(self.0, most)
    }

    /// The slot that the index has there.
    #[inline(always)]
    pub(super) fn slot(self, segment: &SegmentRef) -> u32 {
        segment.entry(self.0).load(Ordering::Acquire)
    }

    /// Note in the index which slot belongs there.
    #[inline(always)]
    pub(super) fn set_slot(self, segment: &SegmentRef, slot: u32) {
        let entry = segment.entry(self.0);
        if entry.load(Ordering::Relaxed) != slot {
            entry.store(slot, Ordering::Release);
        }
    }
}

impl Engine {
    /// The place of a message in the index: its number modulo the number of slots.
    ///
    /// The entry says which slot the message is in; before that, which slot it should be put
    /// in: the one that is free since the receive whose place it was. So in a lane every
    /// message follows the one a round before it, and in mixed mode no sender has to search.
    /// A hint all the same: whoever follows it looks at the slot's word.
    #[inline(always)]
    pub(super) fn place(&self, seq: u32) -> Place {
        let fraction = self.place_factor.wrapping_mul(seq as u64);
        Place(((fraction as u128 * self.nslots() as u128) >> 64) as u32)
    }

    /// The place `ahead` (below nslots) places after another.
    #[inline(always)]
    pub(super) fn place_after(&self, place: Place, ahead: u32) -> Place {
        let sum = place.0 + ahead;
        Place(if sum < self.nslots() { sum } else { sum - self.nslots() })
    }

    /// The slot that the index has at a place.
    #[inline(always)]
    pub(super) fn slot_at(&self, place: Place) -> u32 {
        place.slot(&self.segment)
    }

    /// Note in the index which slot belongs to a place.
    #[inline(always)]
    pub(super) fn set_slot_at(&self, place: Place, slot: u32) {
        place.set_slot(&self.segment, slot);
    }

    /// Claim a free slot: the one that the index has at this place if that is free, else any.
    #[inline(always)]
    pub(super) fn claim(&self, place: Place) -> Option<(Slot<'_>, Word)> {
        match self.try_claim(&self.segment, self.slot_at(place)) {
            None => self.search_free(place),
            claimed => claimed,
        }
    }

    #[cold]
    pub(super) fn search_free(&self, place: Place) -> Option<(Slot<'_>, Word)> {
        // Another sender has this slot. The slots of the next messages are free as a rule,
        // and the two then only exchange them.
        for ahead in 1..NEIGHBOURS.min(self.nslots()) {
            let slot = self.slot_at(self.place_after(place, ahead));
            let claimed = self.try_claim(&self.segment, slot);
            if claimed.is_some() {
                return claimed;
            }
        }
        let n = self.slots_there();
        let mut index = self.sending.0.cursor.load(Ordering::Relaxed);
        for _ in 0..n {
            index += 1;
            if index >= n {
                index = 0;
            }
            if let Some(claimed) = self.try_claim(&self.segment, index) {
                self.sending.0.cursor.store(index, Ordering::Relaxed);
                return Some(claimed);
            }
        }
        None
    }

    #[inline(always)]
    pub(super) fn try_claim<'a>(
        &self,
        segment: &'a SegmentRef,
        index: u32,
    ) -> Option<(Slot<'a>, Word)> {
        let slot = segment.slot(index)?;
        let seen = Word(slot.word.load(Ordering::Acquire));
        if !seen.is_free() {
            return None;
        }
        // I5: the stamp is read here, between seeing the slot free and claiming it.
        let t = Tail(self.tail_word().load(Ordering::Acquire));
        let claimed = Word::claimed(self.owner, t.count());
        slot.word
            .compare_exchange(seen.0, claimed.0, Ordering::AcqRel, Ordering::Relaxed)
            .ok()
            .map(|_| (slot, claimed))
    }

    /// Free a slot that is ours alone (CLAIMED or TAKEN).
    #[inline(always)]
    pub(super) fn release(&self, slot: &SlotHeader) {
        // Relaxed: the word orders it. A reclaimer that comes too late may add to it
        // meanwhile; whether that is lost or not, no FREE word comes back.
        let generation = slot.generation.load(Ordering::Relaxed).wrapping_add(1);
        slot.generation.store(generation, Ordering::Relaxed);
        // One of several, QUEUED still, may be stamped by a receiver that comes too late.
        overwrite(&slot.word, Word::free(generation).0);
    }
}
