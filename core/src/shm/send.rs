//! Sending without waiting.
//!
//! ```text
//! 1  no room, as far as receivers have noted, or at a close look: WouldBlock
//! 2  claim a free slot
//! 3  write header and payload
//! 4  name the slot in the tail by compare-and-swap: a lane send takes effect here
//! 5  make the slot QUEUED        6  note that it is confirmed
//! 7  index it if it is elsewhere than proposed; fetch ahead
//! 8  mixed and not settled: make the head mixed, and looking receivers look again: a send
//!    takes effect here at the latest
//! 9  wake a receiver if one sleeps, or complete the notification
//! ```

use super::engine::{Engine, Look, Refused};
use super::progress::Progress;
use super::segment::Slot;
use super::slots::Place;
use super::stats::NOTED;
use super::word::{ARMED, FIRE, Head, MIX, SHUT, Tail, Word};
use crate::attr::PRIO_MAX;
use crate::fault::step;
use crate::sync::Ordering;

const HINT_PRIO: u32 = 40;
const HINT_COUNT: u64 = (1 << HINT_PRIO) - 1;

/// What keeps a send from taking effect behind a tail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Gate {
    /// A queue that was shut down takes no more messages.
    Open,
    /// It does take this one, which it had before.
    Returning,
}

impl Gate {
    /// Flags of the tail that a send must not pass unseen.
    #[inline(always)]
    pub(super) const fn stops(self) -> u64 {
        match self {
            Gate::Open => FIRE | SHUT,
            Gate::Returning => FIRE,
        }
    }
}

impl Engine {
    /// Send `len` bytes (at most msgsize) with priority `prio` (at most 32767).
    ///
    /// # Safety
    /// `message` is readable for `len` bytes.
    #[inline(always)]
    pub unsafe fn try_send(
        &self,
        message: *const u8,
        len: usize,
        prio: u32,
        look: Look,
    ) -> Result<(), Refused> {
        let t = Tail(self.tail_word().load(Ordering::Acquire));
        if self.known_room(t) == 0 {
            self.check_room(look, Gate::Open)?;
        }
        let place = self.place(t.take_count());
        let (slot, claim) = self.claim_for_send(place)?;
        step!(SendClaimed);
        // Relaxed: the word orders the header and the payload.
        slot.len.store(len as u32, Ordering::Relaxed);
        slot.prio.store(prio, Ordering::Relaxed);
        slot.sender.store(self.sender(), Ordering::Relaxed);
        // SAFETY: a slot of ours, and claimed; the caller grants `message`.
        unsafe { self.segment.write_payload(slot, message, len) };
        step!(SendCopied);
        let sent = self.publish(slot, claim, prio, (t, place), look, Gate::Open);
        if sent.is_err() {
            self.release(&slot);
        }
        sent
    }

    /// Claim a slot, if need be one that the dead held.
    #[inline(always)]
    pub(super) fn claim_for_send(&self, place: Place) -> Result<(Slot<'_>, Word), Refused> {
        match self.claim(place) {
            Some(claimed) => Ok(claimed),
            None => self.claim_after_reclaim(place),
        }
    }

    /// Send what a claimed slot holds, whose header is written. `begun` is a tail behind which
    /// there was room, and its place. If it is refused the slot is the caller's still.
    #[inline(always)]
    pub(super) fn publish(
        &self,
        slot: Slot<'_>,
        claim: Word,
        prio: u32,
        (begun, mut place): (Tail, Place),
        look: Look,
        gate: Gate,
    ) -> Result<(), Refused> {
        #[cfg(not(loom))]
        if self.features.stamp {
            self.stamp(&slot);
        }
        let mut progress = Progress::new();
        loop {
            let t = Tail(self.tail_word().load(Ordering::Acquire));
            // If nobody has sent meanwhile there still is the room that there was.
            if t.0 & gate.stops() != 0 || t != begun && self.known_room(t) == 0 {
                match self.may_send_behind(t, look, gate, &mut progress) {
                    Ok(true) => {}
                    Ok(false) => continue,
                    Err(refused) => return Err(refused),
                }
            }
            let hint = self.control().confirmed.0.load(Ordering::Acquire);
            let (flags, armed) = if hint == confirmation(t, prio) && !t.is_mixed() && !t.is_armed()
            {
                (t.flags(), None)
            } else {
                self.flags_after(t, prio)
            };
            // I6. Relaxed: the tail's exchange orders it.
            slot.seq.store(t.count(), Ordering::Relaxed);
            let next = Tail::new(t.count() + 1, slot.number(), flags);
            if self
                .tail_word()
                .compare_exchange(t.0, next.0, Ordering::SeqCst, Ordering::Relaxed)
                .is_err()
            {
                if progress.is_overtaken_again() {
                    return Err(Refused::WouldBlock);
                }
                continue;
            }
            step!(SendPublished);
            // A helper may have been faster; then the slot is no longer ours to look at.
            let _ = slot.word.compare_exchange(
                claim.0,
                Word::queued(prio, t.count()).0,
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
            step!(SendConfirmed);
            self.control().confirmed.0.store(confirmation(next, prio), Ordering::Release);
            step!(SendHinted);
            if t != begun {
                place = self.place(t.take_count());
            }
            self.set_slot_at(place, slot.number());
            step!(SendIndexed);
            if next.count() % NOTED == 0 {
                self.note_count(next);
            }
            // Fetch a slot for a send soon to come: spare_slots() sees to it that there are
            // more than these beyond those queued, so that no receiver is using it.
            self.segment.prefetch(self.slot_at(self.place_after(place, self.prefetch)));
            if flags & (MIX | ARMED) != 0 {
                self.finish_send(t, next, armed);
            } else {
                step!(SendUnwoken);
                self.wake_receiver();
            }
            return Ok(());
        }
    }

    /// There seems to be no room: look for it.
    #[cold]
    pub(super) fn check_room(&self, look: Look, gate: Gate) -> Result<(), Refused> {
        let mut progress = Progress::new();
        loop {
            let t = Tail(self.tail_word().load(Ordering::Acquire));
            if self.may_send_behind(t, look, gate, &mut progress)? {
                return Ok(());
            }
        }
    }

    /// No slot is free: what the dead hold may be.
    #[cold]
    fn claim_after_reclaim(&self, place: Place) -> Result<(Slot<'_>, Word), Refused> {
        if self.reclaim() { self.claim(place).ok_or(Refused::NoSlot) } else { Err(Refused::NoSlot) }
    }

    /// Whether to send behind `t`, or else read the tail anew.
    #[cold]
    fn may_send_behind(
        &self,
        t: Tail,
        look: Look,
        gate: Gate,
        progress: &mut Progress,
    ) -> Result<bool, Refused> {
        if t.is_shut() && gate == Gate::Open {
            return Err(Refused::Shut);
        }
        if t.is_firing() {
            self.complete_firing(t);
        } else {
            match self.look_for_room(t, look) {
                Some(true) => return Ok(true),
                Some(false) => return Err(Refused::WouldBlock),
                None => {}
            }
        }
        if self.is_stuck(progress) { Err(self.give_up(progress)) } else { Ok(false) }
    }

    /// The tail's flags after a send of `prio` behind `t`, and the registration if there is
    /// one; confirms the send of `t` (I1).
    pub(super) fn flags_after(&self, t: Tail, prio: u32) -> (u64, Option<u64>) {
        // Read before the tail's exchange: a registration made later is not ours to fire.
        let armed = t.is_armed().then(|| self.registration_word());
        let hint = self.control().confirmed.0.load(Ordering::Acquire);
        let last_prio = if hint & HINT_COUNT == t.count() {
            Some((hint >> HINT_PRIO) as u32)
        } else {
            self.confirm(t);
            step!(SendHelped);
            self.segment.slot(t.slot()).map(|slot| slot.prio.load(Ordering::Relaxed) & PRIO_MAX)
        };
        let mut flags = t.flags();
        let starts_mix = !t.is_mixed() && last_prio != Some(prio);
        if starts_mix || t.is_armed() {
            // If the queue is empty now it stays so until the tail changes; the reverse does
            // not hold, see fire_if_it_was_empty.
            let h = Head(self.head_word().load(Ordering::Acquire));
            let was_empty = h.count() == t.take_count();
            if starts_mix && !was_empty {
                flags |= MIX;
            }
            if t.is_armed() && was_empty {
                flags |= FIRE;
            }
        }
        (flags, armed)
    }

    /// What a send in mixed mode, or with a registration, has still to do.
    pub(super) fn finish_send(&self, t: Tail, next: Tail, armed: Option<u64>) {
        // An armed queue tells by the head whether it was empty: no look of before then.
        if next.is_mixed() && (!next.is_settled() || next.is_armed()) {
            self.linearize();
            step!(SendLinearized);
        }
        if next.is_firing() {
            self.complete_firing(next);
            if !self.is_trusted_with(next) {
                // Another may have completed it, and not yet shown what was sent.
                self.settle_beacon();
            }
            return;
        }
        step!(SendUnwoken);
        if let Some(armed) = armed {
            self.fire_if_it_was_empty(t, armed);
        }
        self.wake_receiver();
    }
}

/// What the senders' note says when the send that `t` names, of `prio`, is confirmed.
#[inline(always)]
pub(super) fn confirmation(t: Tail, prio: u32) -> u64 {
    t.count() | (prio as u64) << HINT_PRIO
}
