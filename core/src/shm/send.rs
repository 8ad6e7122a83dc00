//! Sending without waiting.
//!
//! ```text
//! 1  no room (head re-read only when the remembered one says so): WouldBlock
//! 2  claim a free slot
//! 3  write header and payload
//! 4  name the slot in the tail by compare-and-swap: a lane send takes effect here
//! 5  make the slot QUEUED        6  note that it is confirmed
//! 7  index it if it is not at home; fetch ahead
//! 8  mixed: make looking receivers look again: a mixed send takes effect here at the latest
//! 9  wake a receiver if one sleeps, or complete the notification
//! ```

use super::engine::{Engine, Progress, Refused};
use super::word::{FIRE, Head, MIX, SEQ_MASK, Tail, Word, seq_distance};
use crate::fault::step;
use crate::sync::Ordering;

const HINT_PRIO: u32 = 40;

impl Engine {
    /// Send `len` bytes (at most msgsize) with priority `prio` (at most 32767).
    ///
    /// # Safety
    /// `message` is readable for `len` bytes.
    #[inline]
    pub unsafe fn try_send(
        &self,
        message: *const u8,
        len: usize,
        prio: u32,
    ) -> Result<(), Refused> {
        let mut progress = Progress::new();
        let t = loop {
            let t = Tail(self.tail_word().load(Ordering::Acquire));
            match self.has_room(t) {
                Some(true) => break t,
                Some(false) => return Err(Refused::WouldBlock),
                None if self.is_stuck(&mut progress) => return Err(self.poison()),
                None => {}
            }
        };
        let claimed = match self.claim(t) {
            None if self.reclaim() => self.claim(t),
            claimed => claimed,
        };
        let Some((index, claim)) = claimed else { return Err(Refused::NoSlot) };
        let Some(slot) = self.segment.slot(index) else { return Err(self.poison()) };
        step!(SendClaimed);
        // Relaxed: the word orders the header and the payload.
        slot.len.store(len as u32, Ordering::Relaxed);
        slot.prio.store(prio, Ordering::Relaxed);
        slot.sender.store(self.sender, Ordering::Relaxed);
        // SAFETY: index < nslots and the slot is claimed; the caller grants `message`.
        unsafe { self.segment.write_payload(index, message, len) };
        step!(SendCopied);

        loop {
            let t = Tail(self.tail_word().load(Ordering::Acquire));
            if t.is_firing() {
                self.complete_firing(t);
                if self.is_stuck(&mut progress) {
                    return Err(self.poison());
                }
                continue;
            }
            match self.has_room(t) {
                Some(true) => {}
                Some(false) => {
                    self.release(slot);
                    return Err(Refused::WouldBlock);
                }
                None if self.is_stuck(&mut progress) => return Err(self.poison()),
                None => continue,
            }
            // Read before the tail's exchange: a registration made later is not ours to fire.
            let armed = t.is_armed().then(|| self.registration_word());
            let flags = self.flags_after(t, prio);
            // I6. Relaxed: the tail's exchange orders it.
            slot.seq.store(t.count(), Ordering::Relaxed);
            let next = Tail::new(t.count() + 1, index, flags);
            if self
                .tail_word()
                .compare_exchange(t.0, next.0, Ordering::SeqCst, Ordering::Relaxed)
                .is_err()
            {
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
            let hint = next.count() | (prio as u64) << HINT_PRIO;
            self.control().tail.0.hint.store(hint, Ordering::Release);
            step!(SendHinted);
            self.index(t, index);
            step!(SendIndexed);
            if flags & MIX != 0 {
                self.linearize();
                step!(SendLinearized);
            }
            if flags & FIRE != 0 {
                self.complete_firing(next);
            } else if let Some(armed) = armed {
                step!(SendUnwoken);
                self.fire_if_it_was_empty(t, armed);
                self.wake_receiver();
            } else {
                step!(SendUnwoken);
                self.wake_receiver();
            }
            return Ok(());
        }
    }

    /// The tail's flags after a send of `prio` behind `t`; confirms the send of `t` (I1).
    #[inline(always)]
    fn flags_after(&self, t: Tail, prio: u32) -> u64 {
        let hint = self.control().tail.0.hint.load(Ordering::Acquire);
        let last_prio = if hint & ((1 << HINT_PRIO) - 1) == t.count() {
            Some((hint >> HINT_PRIO) as u32)
        } else {
            self.confirm(t);
            step!(SendHelped);
            self.segment.slot(t.slot()).map(|slot| slot.prio.load(Ordering::Relaxed))
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
        flags
    }

    /// Leave word of where message `t.count()` lies, and fetch ahead.
    #[inline(always)]
    fn index(&self, t: Tail, index: u32) {
        let home = self.home(t.take_count());
        if home != index {
            // A hint: the receiver checks the slot's word.
            self.segment.entry(home).store(index, Ordering::Release);
        }
        // Fetch only what no receiver can be using: slots beyond those queued.
        let ahead = t.count().wrapping_add(self.prefetch as u64) & SEQ_MASK;
        let queued_at_most = seq_distance(ahead, self.oldest_possible());
        if queued_at_most < self.nslots() as u64 - 2 {
            self.segment.prefetch(self.home(ahead as u32));
        }
    }
}
