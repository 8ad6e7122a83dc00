//! Giving back what the dead held.
//!
//! A slot in somebody's hands (CLAIMED, TAKING, TAKEN) names its owner. If nobody holds
//! that owner's byte of the file, its process is gone; while its slots are dealt with,
//! the number is kept from being used again (`owner.rs`), so that the word of a slot is
//! the dead one's as long as it has not changed. Any number of processes may do this at
//! the same time, and any of them may be stopped or killed in the midst of it.
//!
//! Runs when no free slot is found, or no permit for a loan, and before the number of one who
//! left in disorder is used again. Never needed for others to make progress.
//!
//! In a queue with redelivery what the dead had received (TAKEN, RETURNING) is sent again,
//! by an *heir*: an owner who makes the slot RETURNING in his own name, and then sends it. If
//! there is no room he gives it back to the dead one, whose number rests until another tries.
//! A slot in the hands of a living heir may yet go back: as long as there is one, no number of
//! the dead becomes free.
//! Since that must not wait until slots are wanted, those who receive look for the dead now
//! and then, and before they say that a queue which was shut down is empty for good.

use super::engine::{Engine, count};
use super::layout::{OWNERS, SlotHeader};
use super::owner::Keeper;
use super::segment::Slot;
use super::word::{Tail, Word, seq_distance};
use crate::fault::step;
use crate::sync::{Ordering, fence};

/// A set of owners.
struct OwnerSet([u64; OWNERS.div_ceil(64) as usize]);

impl OwnerSet {
    fn new() -> OwnerSet {
        OwnerSet([0; OWNERS.div_ceil(64) as usize])
    }
    fn insert(&mut self, owner: u32) {
        if let Some(bits) = self.0.get_mut(owner as usize / 64) {
            *bits |= 1 << (owner % 64);
        }
    }
    fn contains(&self, owner: u32) -> bool {
        self.0.get(owner as usize / 64).is_some_and(|bits| bits >> (owner % 64) & 1 != 0)
    }
}

/// What became of the slots of the dead.
struct Swept {
    /// Some are free now.
    freed: bool,
    /// Some could not be sent again.
    left: bool,
}

/// The dead are looked for at most so often, by all processes of a queue together.
#[cfg(not(loom))]
const LOOK_EVERY_MS: u32 = 100;

impl Engine {
    /// Free what dead processes hold; true if that brought anything.
    #[cold]
    pub fn reclaim(&self) -> bool {
        // Locks taken through one descriptor are one lock, so one thread of a process at
        // a time; a signal handler that comes in between goes without.
        if self.reclaiming.swap(true, Ordering::Acquire) {
            return false;
        }
        count(&self.control().counters.0.counters.reclaims);
        let mut keeper = None;
        let mut dead = OwnerSet::new();
        let mut alive = OwnerSet::new();
        alive.insert(self.owner);
        let swept = self.sweep(Some(self), |owner| {
            if owner >= OWNERS {
                // Nobody has this number: the word was forged.
                return true;
            }
            if !dead.contains(owner) && !alive.contains(owner) {
                let may_be_dead = !self.is_alive(owner);
                if may_be_dead && keeper.is_none() {
                    keeper = self.keeper();
                }
                let row = self.segment.owner(owner);
                match keeper
                    .as_ref()
                    .is_some_and(|keeper| may_be_dead && keeper.keep_dead(owner, row))
                {
                    true => dead.insert(owner),
                    false => alive.insert(owner),
                }
            }
            dead.contains(owner)
        });
        drop(keeper);
        self.reclaiming.store(false, Ordering::Release);
        if swept.freed {
            self.wake_sender();
        }
        self.settle_beacon();
        swept.freed
    }

    /// In a queue with redelivery, and if nobody has done so for a moment: look whether
    /// somebody has died, and send again what he had received. For those who wait for
    /// messages, or take many.
    #[inline]
    pub fn look_for_the_dead(&self) {
        #[cfg(not(loom))]
        if self.features.redeliver {
            self.look_for_the_dead_now_and_then();
        }
    }

    #[cfg(not(loom))]
    #[cold]
    fn look_for_the_dead_now_and_then(&self) {
        let looked = &self.control().counters.0.looked_ms;
        let now = crate::sys::clock::coarse_ms();
        // Relaxed: an agreement on who looks, nothing else. A time to come, of a clock with
        // another beginning, is long past.
        let last = looked.load(Ordering::Relaxed);
        if now.wrapping_sub(last) >= LOOK_EVERY_MS
            && self.owners.may_keep_dead()
            && looked.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            self.look_for_the_dead_at_once();
        }
    }

    /// The same, whoever has done so and when: for those who are about to say that nothing will
    /// come any more. False if there is nothing to look for.
    #[cfg(not(loom))]
    #[cold]
    pub fn look_for_the_dead_at_once(&self) -> bool {
        if !self.features.redeliver
            || !self.owners.may_keep_dead()
            || self.reclaiming.swap(true, Ordering::Acquire)
        {
            return false;
        }
        for owner in 0..OWNERS {
            let Some(row) = self.segment.owner(owner) else { break };
            let may_be_dead = row.pid.load(Ordering::Relaxed) != 0 && owner != self.owner;
            if may_be_dead && !self.is_alive(owner) {
                let dead = Engine::new(self.segment, owner, self.owners, 0).with(self.features);
                dead.clear_up_after_the_dead(Some(self));
            }
        }
        self.reclaiming.store(false, Ordering::Release);
        self.settle_beacon();
        true
    }

    /// This view is a dead owner's: give back all that it had, so that its number can be
    /// used again. Nothing happens if it lives. What is to be sent again needs an heir, or
    /// stays, and the number with it.
    #[cfg(not(loom))]
    pub fn clear_up_after_the_dead(&self, heir: Option<&Engine>) {
        let Some(keeper) = self.keeper() else { return };
        if !keeper.keep_dead(self.owner, self.segment.owner(self.owner)) {
            return;
        }
        self.release_finder_of_the_dead();
        self.disarm_registration_of_the_dead();
        let swept = self.sweep(heir, |owner| owner == self.owner);
        step!(ReclaimSwept);
        if swept.freed {
            self.wake_sender();
        }
        if let Some(row) = self.segment.owner(self.owner).filter(|_| !swept.left) {
            // SYNC: pairs with the exchange of the next owner.
            row.pid.store(0, Ordering::Release);
        }
    }

    /// Begin to clear up.
    fn keeper(&self) -> Option<Keeper> {
        self.owners.keeper(|| self.segment.has_shared_locks())
    }

    fn sweep(&self, heir: Option<&Engine>, mut is_dead: impl FnMut(u32) -> bool) -> Swept {
        let mut swept = Swept { freed: false, left: false };
        for index in 0..self.slots_there() {
            let Some(slot) = self.segment.slot(index) else { continue };
            let one = self.sweep_slot(slot, heir, &mut is_dead);
            swept.freed |= one.freed;
            swept.left |= one.left;
        }
        self.free_permits(is_dead);
        swept
    }

    fn sweep_slot(
        &self,
        slot: Slot<'_>,
        heir: Option<&Engine>,
        is_dead: &mut impl FnMut(u32) -> bool,
    ) -> Swept {
        let mut freed = false;
        // A dead receiver's TAKING becomes TAKEN or QUEUED first; a few rounds do.
        for _ in 0..8 {
            let word = Word(slot.word.load(Ordering::Acquire));
            if !word.is_held() || !is_dead(word.owner()) {
                // Who has it to send it again gives it back, perhaps.
                return Swept { freed, left: word.is_returning() && self.features.redeliver };
            }
            if word.is_taking() {
                self.resolve(slot, word);
                continue;
            }
            if word.is_being_sent() {
                // The tail may name it: then it was sent, and confirming makes it QUEUED.
                self.confirm(Tail(self.tail_word().load(Ordering::Acquire)));
            }
            // What was received together was not acquired.
            let is_several = word.is_taken() && word.messages() > 1;
            if word.is_claimed() || is_several || !self.features.redeliver {
                if is_several {
                    // Those received with it first: this word is all that tells of them.
                    freed |= self.bury_others(&slot, word);
                }
                freed |= self.bury(slot, word);
            } else if heir.is_none_or(|heir| heir.send_again(slot, word).is_err()) {
                return Swept { freed, left: true };
            }
        }
        Swept { freed, left: true }
    }

    /// Free the slots of the messages that a dead owner has received together with the last of
    /// them, which `last` holds: they are QUEUED still.
    fn bury_others(&self, last: &SlotHeader, word: Word) -> bool {
        let seq = last.seq.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        // Another who buried it all may have been faster: then this is the number of a message
        // that lives, and what he freed he has noted.
        if last.word.load(Ordering::Relaxed) != word.0 {
            return false;
        }
        // I9: the head that named it may still have to be finalized.
        self.note_gone(seq);
        let is_one_of_them = |other: u64| {
            let before = seq_distance(seq, other);
            before > 0 && before < word.messages() as u64
        };
        let mut freed = false;
        for index in 0..self.slots_there() {
            let Some(slot) = self.segment.slot(index) else { continue };
            // A receiver that came too late may have stamped it; a few rounds do.
            for _ in 0..8 {
                let now = Word(slot.word.load(Ordering::Acquire));
                if now.is_taking() && is_one_of_them(slot.seq.load(Ordering::Relaxed)) {
                    self.resolve(slot, now);
                    continue;
                }
                if now.is_queued() && is_one_of_them(now.seq()) {
                    freed |= self.bury(slot, now);
                }
                break;
            }
        }
        freed
    }

    /// Free one slot of a dead owner, unless it turns out to be a message that was sent.
    fn bury(&self, slot: Slot<'_>, word: Word) -> bool {
        // Relaxed: the word orders it. Added, not stored: several may be here, and each
        // value is to be used once.
        let generation = slot.generation.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        step!(ReclaimFound);
        let free = Word::free(generation);
        if slot.word.compare_exchange(word.0, free.0, Ordering::AcqRel, Ordering::Relaxed).is_err()
        {
            return false;
        }
        let counters = &self.control().counters.0.counters;
        count(if word.is_claimed() { &counters.orphans } else { &counters.lost_with_receiver });
        true
    }
}
