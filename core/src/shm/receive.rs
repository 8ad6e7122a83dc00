//! Receiving without waiting.
//!
//! ```text
//! read the head, complete the receive that it names
//! lane   the next message is number head.count, where the index says
//! mixed  announce the look (SNAP), then find the best message: by the finder, or by an
//!        emergency scan of all slots when the finder's holder is stopped
//! stamp the slot TAKING, name it in the head by compare-and-swap: a lane receive takes
//! effect here, a mixed one did when it loaded the tail for its look
//! make the slot TAKEN, copy, free it, wake a sender if one sleeps
//! ```

use super::engine::{Engine, Look, Refused, count};
use super::layout::{REDELIVERED, SlotHeader};
use super::progress::Progress;
use super::queued::Candidate;
use super::segment::Slot;
use super::word::{Head, MIX, SEQ_MASK, SNAP, TAKE_MASK, Tail, Word};
use crate::fault::step;
use crate::sync::{Ordering, dekker_barrier, overwrite};

/// What one round came to.
pub(super) enum Round<T> {
    /// Done.
    Got(T),
    /// Nothing queued at one instant: to say so, or that nothing will come.
    Empty(Refused),
    /// Something moved: begin again.
    Again,
}

/// What is known of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    /// Its length.
    pub len: usize,
    /// Its priority.
    pub prio: u32,
    /// Whether it was received before.
    pub is_redelivered: bool,
    /// Its number, from 1.
    pub number: u64,
    /// uid << 32 | pid of its sender; 0 if it has no stamp.
    pub sender: u64,
    /// When it was sent, on CLOCK_MONOTONIC_COARSE; 0 if it has no stamp.
    pub sent_ns: i64,
    /// Its type, in a queue of typed messages.
    pub kind: u64,
}

impl Known {
    /// What the header of a slot says about the message of this number.
    #[inline(always)]
    pub(super) fn read(slot: &SlotHeader, number: u64, msgsize: usize, is_stamped: bool) -> Known {
        // Relaxed: as in `copy_out`.
        let (sender, sent_ns) = match is_stamped {
            true => (slot.sender.load(Ordering::Relaxed), slot.sent_ns.load(Ordering::Relaxed)),
            false => (0, 0),
        };
        let prio = slot.prio.load(Ordering::Relaxed);
        Known {
            len: (slot.len.load(Ordering::Relaxed) as usize).min(msgsize),
            prio: prio & crate::attr::PRIO_MAX,
            is_redelivered: prio & REDELIVERED != 0,
            number,
            sender,
            sent_ns: sent_ns as i64,
            kind: slot.kind.load(Ordering::Relaxed),
        }
    }
}

/// What a receiver is told who found nothing up to `t`.
pub(super) fn emptiness(t: Tail) -> Refused {
    if t.is_shut() { Refused::Shut } else { Refused::WouldBlock }
}

impl Engine {
    /// Take the oldest message of the highest priority into `cap` bytes at `to`; gives
    /// its length and priority.
    ///
    /// # Safety
    /// `to` is writable for `cap` bytes.
    #[inline(always)]
    pub unsafe fn try_receive(
        &self,
        to: *mut u8,
        cap: usize,
        look: Look,
    ) -> Result<(usize, u32), Refused> {
        let slot = self.take(cap, look)?;
        // SAFETY: the slot is ours; the caller grants `to`.
        Ok(unsafe { self.copy_out(slot, to, cap) })
    }

    /// The same with everything that is known of the message; one that is too long is cut if
    /// the caller wants that.
    ///
    /// # Safety
    /// As in `try_receive`.
    pub unsafe fn try_receive_known(
        &self,
        to: *mut u8,
        cap: usize,
        cut: bool,
        look: Look,
    ) -> Result<Known, Refused> {
        let slot = self.take(if cut { usize::MAX } else { cap }, look)?;
        let known = self.known_of(&slot);
        // SAFETY: the slot is ours; the caller grants `to`.
        unsafe { self.copy_out(slot, to, cap) };
        Ok(known)
    }

    /// What the header of a slot says, which is ours or whose word is tested afterwards.
    pub(super) fn known_of(&self, slot: &SlotHeader) -> Known {
        let number = self.number_of(slot.seq.load(Ordering::Relaxed));
        let msgsize = self.segment.geometry().msgsize as usize;
        Known::read(slot, number, msgsize, self.features.stamp)
    }

    /// Take the slot of the oldest message of the highest priority, of at most `cap` bytes.
    #[inline(always)]
    pub(super) fn take(&self, cap: usize, look: Look) -> Result<Slot<'_>, Refused> {
        step!(ReceiveBegun);
        let h = Head(self.head_word().load(Ordering::Acquire));
        let is_told = self.known_messages(h) > 0 || self.was_told_of_message(h);
        if !is_told && look == Look::Glance {
            return Err(Refused::WouldBlock);
        }
        match self.take_as_of(h, cap, is_told)? {
            Round::Got(slot) => Ok(slot),
            Round::Empty(refused) => Err(refused),
            Round::Again => self.take_again(cap),
        }
    }

    /// Something moved in the first round: go on.
    #[cold]
    fn take_again(&self, cap: usize) -> Result<Slot<'_>, Refused> {
        let mut progress = Progress::new();
        loop {
            match self.take_as_of(Head(self.head_word().load(Ordering::Acquire)), cap, true)? {
                Round::Got(slot) => return Ok(slot),
                Round::Empty(refused) => return Err(refused),
                Round::Again if self.is_stuck(&mut progress) => {
                    return Err(self.give_up(&progress));
                }
                Round::Again => {}
            }
        }
    }

    /// One round. Who was not told of a message looks at the tail before any slot, which a
    /// sender may be writing.
    #[inline(always)]
    fn take_as_of(&self, h: Head, cap: usize, is_told: bool) -> Result<Round<Slot<'_>>, Refused> {
        self.finalize(h);
        if h.is_mixed() { self.take_mixed(h, cap) } else { self.take_from_lane(h, cap, is_told) }
    }

    /// Take the message that `rank` puts highest (among equals the oldest), wherever it
    /// stands in the order; `None` passes a message over.
    ///
    /// # Safety
    /// `to` is writable for `cap` bytes.
    pub unsafe fn try_take(
        &self,
        to: *mut u8,
        cap: usize,
        rank: impl Fn(u32, &SlotHeader) -> Option<u32>,
    ) -> Result<(usize, u32), Refused> {
        let mut progress = Progress::new();
        loop {
            match self.take_ranked(cap, false, &rank)? {
                Round::Got(taken) => {
                    // SAFETY: the slot is ours; the caller grants `to`.
                    return Ok(unsafe { self.copy_out(taken, to, cap) });
                }
                Round::Empty(refused) => return Err(refused),
                Round::Again if self.is_stuck(&mut progress) => {
                    return Err(self.give_up(&progress));
                }
                Round::Again => {}
            }
        }
    }

    /// # Safety
    /// `to` is writable for `cap` bytes.
    #[inline(always)]
    unsafe fn copy_out(&self, slot: Slot<'_>, to: *mut u8, cap: usize) -> (usize, u32) {
        // Relaxed: the word ordered the header. Another process's data: bounded, not trusted.
        let len = (slot.len.load(Ordering::Relaxed) as usize)
            .min(self.segment.geometry().msgsize as usize)
            .min(cap);
        let prio = slot.prio.load(Ordering::Relaxed) & crate::attr::PRIO_MAX;
        // SAFETY: a slot of ours; len <= cap, for which the caller grants `to`.
        unsafe { self.segment.read_payload(slot, to, len) };
        step!(ReceiveCopied);
        #[cfg(not(loom))]
        if self.features.stamp {
            self.stamp_receive();
        }
        self.release(&slot);
        step!(ReceiveUnwoken);
        self.wake_sender();
        (len, prio)
    }

    /// One round in lane mode: the next message is number `h.count()`.
    #[inline(always)]
    fn take_from_lane(
        &self,
        h: Head,
        cap: usize,
        is_told: bool,
    ) -> Result<Round<Slot<'_>>, Refused> {
        let place = self.place(h.count());
        let indexed = self.slot_at(place);
        let next = if is_told { self.queued_next(h, indexed) } else { None };
        let candidate = match next {
            Some(candidate) => candidate,
            None => match self.find_in_lane(h, indexed) {
                Round::Got(candidate) => candidate,
                Round::Empty(refused) => return Ok(Round::Empty(refused)),
                Round::Again => return Ok(Round::Again),
            },
        };
        if !self.fits(h, candidate, cap)? {
            return Ok(Round::Again);
        }
        // I7 needs no test here: the number of the message is part of its word.
        let round = self.stamp_and_advance(h, candidate, candidate.word.seq());
        // Fetch ahead, once enough messages wait that no sender can be writing there.
        if self.known_messages(h) > self.prefetch {
            self.segment.prefetch(self.slot_at(self.place_after(place, self.prefetch)));
        }
        Ok(round)
    }

    /// The lane's next message.
    pub(super) fn oldest_of_lane(&self, h: Head) -> Round<Candidate<'_>> {
        self.find_in_lane(h, self.slot_at(self.place(h.count())))
    }

    /// The lane's next message, if this slot has it.
    #[inline(always)]
    fn queued_next(&self, h: Head, index: u32) -> Option<Candidate<'_>> {
        let slot = self.segment.slot(index)?;
        let word = Word(slot.word.load(Ordering::Acquire));
        word.is_queued_next(h).then_some(Candidate { slot, word })
    }

    /// The next message of the lane is not QUEUED where the index says, as far as we know.
    fn find_in_lane(&self, h: Head, indexed: u32) -> Round<Candidate<'_>> {
        // SYNC: Dekker pair with fire_if_it_was_empty: earlier receives changed the head.
        dekker_barrier();
        let t = Tail(self.tail_word().load(Ordering::SeqCst));
        if t.take_count() == h.count() {
            return Round::Empty(emptiness(t));
        }
        match self.inspect(h, indexed) {
            Some(Round::Got(candidate)) => return Round::Got(candidate),
            Some(_) => return Round::Again,
            None => {}
        }
        self.confirm(t);
        count(&self.control().counters.0.counters.scans);
        for index in 0..self.slots_there() {
            match self.inspect(h, index) {
                Some(Round::Got(candidate)) => {
                    self.propose(h, index);
                    return Round::Got(candidate);
                }
                Some(_) => return Round::Again,
                None => {}
            }
        }
        Round::Again
    }

    /// Whether a slot holds the lane's next message; a half-done receive of it is resolved.
    fn inspect(&self, h: Head, index: u32) -> Option<Round<Candidate<'_>>> {
        let slot = self.segment.slot(index)?;
        let word = Word(slot.word.load(Ordering::Acquire));
        if word.is_queued_next(h) {
            return Some(Round::Got(Candidate { slot, word }));
        }
        // Whatever receive it was stamped for: resolve completes it or rolls it back.
        // Relaxed: a guess; resolve looks at the head itself.
        let is_next = slot.seq.load(Ordering::Relaxed) as u32 & TAKE_MASK == h.count();
        if word.is_taking() && is_next {
            self.resolve(slot, word);
            return Some(Round::Again);
        }
        None
    }

    /// One round in mixed mode.
    fn take_mixed(&self, h: Head, cap: usize) -> Result<Round<Slot<'_>>, Refused> {
        if !h.is_snapped() {
            // Only a head with SNAP notices whoever counts the messages after our look at
            // the tail, and the sends that the change to a lane must not overlook.
            self.change_head(h, Head(h.0 | SNAP));
            step!(ReceiveSnapped);
            return Ok(Round::Again);
        }
        // I8. SYNC: Dekker pair with linearize.
        dekker_barrier();
        let t = Tail(self.tail_word().load(Ordering::SeqCst));
        if t.is_firing() {
            // Its flag must stay with the tail as it is until the notification is complete.
            self.complete_firing(t);
            return Ok(Round::Again);
        }
        if t.take_count() == h.count() {
            return Ok(Round::Empty(emptiness(t)));
        }
        self.take_found(h, cap)
    }

    /// The best message by a look at every slot: needs nobody's lock. O(slots).
    pub(super) fn take_by_scan(&self, h: Head, cap: usize) -> Result<Round<Slot<'_>>, Refused> {
        let t = Tail(self.tail_word().load(Ordering::SeqCst));
        self.confirm(t);
        let Round::Got(candidate) = self.scan(h, t, &|prio, _: &SlotHeader| Some(prio)) else {
            return Ok(Round::Again);
        };
        self.take_past_finder(h, t, candidate, cap)
    }

    /// One round of a take out of turn.
    ///
    /// Lane mode knows no holes (I3), so the queue is made mixed first. A receiver that
    /// found the queue uniform may be between clearing MIX in the head and clearing it
    /// in the tail; if a hole appeared in between, the lane would begin with a hole. So
    /// after reading the head, and before the take that it validates, the tail is given a
    /// value that nobody can have read: its slot, no longer needed once the send that it
    /// names is confirmed, becomes a number beyond all slots made from head's count and epoch.
    pub(super) fn take_ranked<R: Ord + Copy>(
        &self,
        cap: usize,
        only_if_full: bool,
        rank: &impl Fn(u32, &SlotHeader) -> Option<R>,
    ) -> Result<Round<Slot<'_>>, Refused> {
        let h = Head(self.head_word().load(Ordering::SeqCst));
        self.finalize(h);
        let t = Tail(self.tail_word().load(Ordering::SeqCst));
        if t.take_count() == h.count() {
            return Ok(Round::Empty(emptiness(t)));
        }
        if t.is_firing() {
            self.complete_firing(t);
            return Ok(Round::Again);
        }
        self.confirm(t);
        let unused = super::word::NO_SLOT - self.nslots();
        let mark = (h.count() << super::word::EPOCH_BITS | h.epoch()) % unused;
        let marked = Tail::new(t.count(), self.nslots() + mark, t.flags() | MIX);
        if t != marked && !self.change_tail(t, marked) {
            return Ok(Round::Again);
        }
        step!(TakeMixed);
        let mut looking = h;
        if !h.is_mixed() {
            looking = h.next_epoch(MIX | SNAP);
        } else if !h.is_snapped() {
            looking = Head(h.0 | SNAP);
        }
        if looking != h && !self.change_head(h, looking) {
            return Ok(Round::Again);
        }
        step!(ReceiveSnapped);
        dekker_barrier();
        let t = Tail(self.tail_word().load(Ordering::SeqCst));
        if only_if_full && t.queued(looking) < self.segment.geometry().maxmsg {
            return Ok(Round::Again);
        }
        self.confirm(t);
        match self.scan(looking, t, rank) {
            Round::Got(candidate) => self.take_past_finder(looking, t, candidate, cap),
            // Nothing of what is wanted, whatever else there is.
            Round::Empty(none) if self.head_word().load(Ordering::SeqCst) == looking.0 => {
                Ok(Round::Empty(none))
            }
            _ => Ok(Round::Again),
        }
    }

    /// The finder need not be told: its entry of this message is no longer true then, and
    /// it takes nothing but what is exactly true.
    fn take_past_finder<'a>(
        &'a self,
        h: Head,
        t: Tail,
        candidate: Candidate<'a>,
        cap: usize,
    ) -> Result<Round<Slot<'a>>, Refused> {
        if !self.fits(h, candidate, cap)? {
            return Ok(Round::Again);
        }
        // I7
        if self.head_word().load(Ordering::Acquire) != h.0 {
            return Ok(Round::Again);
        }
        Ok(self.stamp_and_advance(h, candidate, self.received(h, t)))
    }

    /// Look at every slot for the message of the highest rank, the oldest among equals.
    fn scan<R: Ord + Copy>(
        &self,
        h: Head,
        t: Tail,
        rank: &impl Fn(u32, &SlotHeader) -> Option<R>,
    ) -> Round<Candidate<'_>> {
        count(&self.control().counters.0.counters.emergencies);
        let mut best: Option<((R, u64), Candidate<'_>)> = None;
        let is_whole = self.each_message(h, &self.as_of(t), |candidate, age| {
            if let Some(rank) = rank(candidate.word.prio(), &candidate.slot) {
                if best.is_none_or(|(top, _)| (rank, age) > top) {
                    best = Some(((rank, age), candidate));
                }
            }
            true
        });
        if !is_whole {
            return Round::Again;
        }
        best.map_or(Round::Empty(Refused::WouldBlock), |(_, candidate)| Round::Got(candidate))
    }

    /// Whether the candidate fits `cap` bytes; an error only if it is really next and
    /// does not, `false` if it is no longer next.
    #[inline(always)]
    pub(super) fn fits(
        &self,
        h: Head,
        candidate: Candidate<'_>,
        cap: usize,
    ) -> Result<bool, Refused> {
        if cap >= self.segment.geometry().msgsize as usize {
            return Ok(true);
        }
        // Relaxed: ordered by the word, which is tested again below or by the stamp.
        let len = candidate.slot.len.load(Ordering::Relaxed) as usize;
        if len <= cap {
            return Ok(true);
        }
        if candidate.slot.word.load(Ordering::Acquire) == candidate.word.0
            && self.head_word().load(Ordering::Acquire) == h.0
        {
            return Err(Refused::TooBig(len));
        }
        Ok(false)
    }

    /// Stamp the slot and try to name it in the head; `received` is the count of `h` as a
    /// send count.
    #[inline(always)]
    pub(super) fn stamp_and_advance<'a>(
        &'a self,
        h: Head,
        candidate: Candidate<'a>,
        received: u64,
    ) -> Round<Slot<'a>> {
        let Candidate { slot, .. } = candidate;
        let next = h.advanced(slot.number());
        let stamp = Word::taking(self.owner, h.epoch(), next.count());
        self.stamp_as(h, candidate, stamp, next, received.wrapping_add(1) & SEQ_MASK)
    }

    /// The same for a lane's next messages, so many, of which the candidate is the last.
    pub(super) fn stamp_and_advance_by<'a>(
        &'a self,
        messages: u32,
        h: Head,
        candidate: Candidate<'a>,
    ) -> Round<Slot<'a>> {
        let Candidate { slot, word } = candidate;
        let next = h.advanced_by(messages, slot.number());
        let stamp = Word::taking_several(self.owner, h.epoch(), next.count(), messages);
        self.stamp_as(h, candidate, stamp, next, word.seq().wrapping_add(1) & SEQ_MASK)
    }

    #[inline(always)]
    fn stamp_as<'a>(
        &'a self,
        h: Head,
        candidate: Candidate<'a>,
        stamp: Word,
        next: Head,
        finalized: u64,
    ) -> Round<Slot<'a>> {
        let Candidate { slot, word } = candidate;
        step!(ReceiveChosen);
        if slot.word.compare_exchange(word.0, stamp.0, Ordering::AcqRel, Ordering::Relaxed).is_err()
        {
            return Round::Again;
        }
        step!(ReceiveStamped);
        if self.change_head(h, next) {
            step!(ReceivePublished);
            overwrite(&slot.word, stamp.taken().0);
            if stamp.messages() > 1 {
                // I9, before the note that tells others that they need not.
                self.note_gone(word.seq());
            }
            self.control().finalized.0.count.store(finalized, Ordering::Release);
            step!(ReceiveFinalized);
            return Round::Got(slot);
        }
        step!(ReceiveLost);
        self.settle_stamp(candidate, stamp)
    }

    /// The head was changed by another: a helper completed our receive, or it is lost.
    #[cold]
    fn settle_stamp<'a>(&'a self, candidate: Candidate<'a>, stamp: Word) -> Round<Slot<'a>> {
        let Candidate { slot, .. } = candidate;
        let index = slot.number();
        loop {
            let word = Word(slot.word.load(Ordering::Acquire));
            if word == stamp.taken() {
                return Round::Got(slot);
            }
            if word != stamp {
                return Round::Again;
            }
            let h = Head(self.head_word().load(Ordering::Acquire));
            if h.count() == stamp.take() && h.slot() == index {
                self.finalize_slot(h);
            } else if self.roll_back(&slot, stamp) {
                return Round::Again;
            }
        }
    }

    /// The receive behind `h` frees this slot: the message that comes to its place a round
    /// later is to be put there.
    #[inline(always)]
    pub(super) fn propose(&self, h: Head, index: u32) {
        self.set_slot_at(self.place(h.count()), index);
    }

    /// The count of `h` as a send count, `t` having been read while `h` was the head: also
    /// the number of a lane's oldest message.
    #[inline(always)]
    pub(super) fn received(&self, h: Head, t: Tail) -> u64 {
        t.count().wrapping_sub(t.queued(h) as u64) & SEQ_MASK
    }
}
