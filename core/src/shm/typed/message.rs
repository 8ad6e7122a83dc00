//! One attempt to send, to receive, or to look at a message with a type.
//!
//! Several receivers may wait for different types, and several senders for room of different
//! sizes: who changes the queue wakes all who sleep on the other side, and each looks whether
//! it is for him.

use crate::fault::step;
use crate::shm::browse::Behind;
use crate::shm::engine::{Engine, Look, Refused};
use crate::shm::layout::{SlotHeader, TypedWords};
use crate::shm::progress::Progress;
use crate::shm::receive::{Known, Round};
use crate::shm::segment::Slot;
use crate::shm::send::Gate;
use crate::shm::word::{Head, Tail};
use crate::sync::Ordering::{Acquire, Relaxed, Release, SeqCst};
use crate::sync::fence;
use crate::sys::clock;

/// Which message is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Want {
    /// The oldest.
    First,
    /// The oldest of this type.
    Kind(i64),
    /// The oldest of the lowest type that is not above this one.
    UpTo(i64),
    /// The oldest of any other type.
    Except(i64),
    /// The one that so many are older than; it is not taken.
    Copy(i64),
}

impl Want {
    /// How much a message is wanted; `None`: not at all.
    fn rank(self, kind: i64) -> Option<i64> {
        match self {
            Want::First | Want::Copy(_) => Some(0),
            Want::Kind(wanted) => (kind == wanted).then_some(0),
            Want::UpTo(most) => (kind <= most).then_some(-kind),
            Want::Except(unwanted) => (kind != unwanted).then_some(0),
        }
    }

    /// Whether no younger message can be wanted more than one of this type.
    fn is_best(self, kind: i64) -> bool {
        match self {
            Want::UpTo(most) => kind <= most && kind == 1,
            _ => self.rank(kind).is_some(),
        }
    }
}

/// A message that was received or looked at: its length, as far as it was wanted, and type.
pub(super) type Got = (usize, i64);

/// Seconds since 1970.
pub(super) fn now_s() -> u64 {
    (clock::coarse_realtime_ns() / 1_000_000_000).max(0) as u64
}

impl Engine {
    fn typed(&self) -> &TypedWords {
        self.segment().typed()
    }

    /// Send `len` bytes (at most msgsize) as a message of this type.
    ///
    /// # Safety
    /// `text` is readable for `len` bytes.
    pub(super) unsafe fn try_send_typed(
        &self,
        kind: i64,
        text: *const u8,
        len: usize,
        look: Look,
    ) -> Result<(), Refused> {
        let typed = self.typed();
        let t = Tail(self.tail_word().load(Acquire));
        if self.known_room(t) == 0 {
            self.check_room(look, Gate::Open)?;
        }
        if !typed.has_room(len) {
            return Err(Refused::WouldBlock);
        }
        let place = self.place(t.take_count());
        let (slot, claim) = self.claim_for_send(place)?;
        step!(SendClaimed);
        // Relaxed: the word orders the header and the payload.
        slot.len.store(len as u32, Relaxed);
        slot.prio.store(0, Relaxed);
        slot.kind.store(kind as u64, Relaxed);
        // SAFETY: a slot of ours, and claimed; the caller grants `text`.
        unsafe { self.segment().write_payload(slot, text, len) };
        step!(SendCopied);
        if !typed.charge(len) {
            self.release(&slot);
            return Err(Refused::WouldBlock);
        }
        step!(TypedCharged);
        // Before others can know of the message. Relaxed: the tail orders it.
        typed.last_sender.store(self.sender() as u32, Relaxed);
        typed.sent_s.store(now_s(), Relaxed);
        let sent = self.publish(slot, claim, 0, (t, place), look, Gate::Open);
        if sent.is_err() {
            typed.discharge(len);
            self.release(&slot);
            return sent;
        }
        self.control().wait.0.receivers.wake_all();
        Ok(())
    }

    /// Take the message that is wanted into `cap` bytes at `to`; `cut` one that is too long.
    ///
    /// # Safety
    /// `to` is writable for `cap` bytes.
    pub(super) unsafe fn try_receive_typed(
        &self,
        want: Want,
        to: *mut u8,
        cap: usize,
        cut: bool,
        look: Look,
    ) -> Result<Got, Refused> {
        let fits = if cut { usize::MAX } else { cap };
        let slot = match want {
            Want::First => self.take(fits, look)?,
            // SAFETY: granted by the caller.
            Want::Copy(place) => return unsafe { self.look_at_place(place, to, cap, cut) },
            _ => self.take_wanted(want, fits)?,
        };
        // Relaxed: the word ordered the header. Another process's data: bounded, not trusted.
        let len = (slot.len.load(Relaxed) as usize).min(self.segment().geometry().msgsize as usize);
        let got = (len.min(cap), slot.kind.load(Relaxed) as i64);
        // SAFETY: a slot of ours; at most `cap` bytes, for which the caller grants `to`.
        unsafe { self.segment().read_payload(slot, to, got.0) };
        step!(ReceiveCopied);
        let typed = self.typed();
        typed.last_receiver.store(self.sender() as u32, Relaxed);
        typed.received_s.store(now_s(), Relaxed);
        typed.discharge(len);
        step!(TypedDischarged);
        self.release(&slot);
        step!(ReceiveUnwoken);
        // SYNC: the discharge was a read-modify-write before it.
        self.control().wait.0.senders.wake_all();
        Ok(got)
    }

    fn take_wanted(&self, want: Want, fits: usize) -> Result<Slot<'_>, Refused> {
        if let Some(slot) = self.take_oldest_if(|kind| want.is_best(kind), fits)? {
            return Ok(slot);
        }
        let rank = |_: u32, slot: &SlotHeader| want.rank(slot.kind.load(Relaxed) as i64);
        let mut progress = Progress::new();
        loop {
            match self.take_ranked(fits, false, &rank)? {
                Round::Got(slot) => return Ok(slot),
                Round::Empty(refused) => return Err(refused),
                Round::Again if self.is_stuck(&mut progress) => {
                    return Err(self.give_up(&progress));
                }
                Round::Again => {}
            }
        }
    }

    /// Take the oldest message of a lane if it is the one that is wanted: that needs no look
    /// at the others, and leaves a lane what it is.
    fn take_oldest_if(
        &self,
        is_wanted: impl Fn(i64) -> bool,
        fits: usize,
    ) -> Result<Option<Slot<'_>>, Refused> {
        let h = Head(self.head_word().load(Acquire));
        if h.is_mixed() {
            return Ok(None);
        }
        self.finalize(h);
        let candidate = match self.oldest_of_lane(h) {
            Round::Got(candidate) => candidate,
            Round::Empty(refused) => return Err(refused),
            Round::Again => return Ok(None),
        };
        // It belongs to the word that will be stamped. Relaxed: the word ordered it.
        let kind = candidate.slot.kind.load(Relaxed) as i64;
        if !is_wanted(kind) || !self.fits(h, candidate, fits)? {
            return Ok(None);
        }
        match self.stamp_and_advance(h, candidate, candidate.word.seq()) {
            Round::Got(slot) => Ok(Some(slot)),
            _ => Ok(None),
        }
    }

    /// Look at the message that `place` others are older than.
    ///
    /// # Safety
    /// `to` is writable for `cap` bytes.
    unsafe fn look_at_place(
        &self,
        place: i64,
        to: *mut u8,
        cap: usize,
        cut: bool,
    ) -> Result<Got, Refused> {
        let Ok(mut older) = usize::try_from(place) else { return Err(Refused::WouldBlock) };
        let mut behind = None;
        // Those before it are looked at without a buffer.
        while older > 0 {
            let mut last = None;
            let room = |_| (core::ptr::dangling_mut(), 0);
            // SAFETY: nothing is written to no bytes.
            let passed = unsafe {
                self.try_look(behind, older, true, room, |_, known| last = Some(known.number))
            }?;
            behind = last.map(|number| Behind { prio: 0, number });
            older -= passed.min(older);
        }
        let mut got = (0, 0);
        let mut found = |_, known: Known| got = (known.len, known.kind as i64);
        // SAFETY: granted by the caller.
        match unsafe { self.try_look(behind, 1, false, |_| (to, cap), &mut found) } {
            // Not a byte of it; its length says enough.
            Err(Refused::TooBig(len)) if cut => return Ok((len, 0)),
            looked => looked?,
        };
        Ok(got)
    }

    /// What came up to now of sends: it changes before a message can be there that was not.
    pub(super) fn sends(&self) -> u64 {
        Tail(self.tail_word().load(SeqCst)).count()
    }

    /// Remove the queue: all calls on it end; false if it was removed before.
    pub(super) fn remove_typed(&self) -> bool {
        let typed = self.typed();
        if typed.removed.compare_exchange(0, 1, SeqCst, SeqCst).is_err() {
            return false;
        }
        step!(TypedRemoved);
        self.end_typed();
        true
    }

    /// Make sure that those who wait for a removed queue learn of it.
    pub(super) fn end_typed(&self) {
        self.control().counters.0.poison.store(libc::EIDRM as u32, SeqCst);
        self.wake_everybody();
    }

    /// Whether the queue was removed.
    pub(super) fn is_removed(&self) -> bool {
        self.typed().removed.load(SeqCst) != 0
    }

    /// Give more slots memory, by a descriptor of the file; false if there are no more, or
    /// there is no memory.
    pub(super) fn grow(&self, fd: i32) -> bool {
        let (geometry, slots) = (self.segment().geometry(), &self.typed().slots);
        let there = self.slots_there();
        let more = (there * 2).max(there + 4).min(geometry.nslots);
        let offset = |slot: u32| geometry.slots + slot as u64 * geometry.stride as u64;
        let bytes = offset(more) - offset(there);
        if more == there || crate::sys::file::allocate_from(fd, offset(there), bytes).is_err() {
            return slots.load(Relaxed) > there;
        }
        step!(TypedGrown);
        // SYNC: pairs with `slots_there`.
        fence(Release);
        slots.fetch_max(more, SeqCst);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_type_is_wanted_most_and_none_above_the_bound() {
        let want = Want::UpTo(5);

        assert!(want.rank(1) > want.rank(2) && want.rank(5).is_some());
        assert_eq!(want.rank(6), None);
        assert!(Want::UpTo(i64::MAX).rank(i64::MAX).is_some());
    }

    #[test]
    fn one_type_or_all_but_one() {
        assert_eq!([Want::Kind(3).rank(3), Want::Kind(3).rank(4)], [Some(0), None]);
        assert_eq!([Want::Except(3).rank(3), Want::Except(3).rank(4)], [None, Some(0)]);
    }
}
