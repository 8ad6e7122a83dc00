//! Several messages in one exchange of the tail or the head.
//!
//! ```text
//! send      claim n slots, fill them, each linked to the one before it; name the last in the
//!           tail, n sends on; make them QUEUED, from the last to the first
//! receive   in a lane: stamp the last of n messages TAKING, saying n; name its slot in the
//!           head, n receives on; note that all up to it are gone (I9); copy and free them,
//!           the last one last
//! ```
//!
//! What an exchange leaves to be done can be read from the slot that it names, as after a
//! single one. Who confirms a tail follows the links. None of the messages is received before
//! all are confirmed: whoever receives one of them has confirmed the tail, or read a later one
//! (I1). Whoever finalizes a head notes what is gone. A dead receiver's messages are found by
//! the stamp on the last one (`reclaim.rs`).
//!
//! To the others they are so many sends or receives, one right after the other. A batch holds a
//! quarter of the spare slots at most, so that one that is stopped leaves the others theirs.

use super::engine::{Engine, Look, Place, Progress, Refused, SegmentRef};
use super::layout::spare_slots;
use super::receive::{Candidate, Known, Round};
use super::segment::Slot;
use super::send::{Gate, confirmation};
use super::stats::NOTED;
use super::word::{BATCH, Head, MIX, SEQ_MASK, TAKE_MASK, Tail, Word};
use crate::fault::step;
use crate::sync::{Ordering, overwrite};

/// A message that is to be sent: its bytes, how many, its priority.
#[derive(Clone, Copy)]
pub struct Content {
    /// Its bytes.
    pub data: *const u8,
    /// How many.
    pub len: usize,
    /// Its priority.
    pub prio: u32,
}

/// A slot, its claim, and the priority of the message in it.
#[derive(Clone, Copy)]
struct Filled<'a> {
    slot: Slot<'a>,
    claim: Word,
    prio: u32,
}

/// Up to [`BATCH`] of a kind, in the order of their messages; at least one.
struct Several<T> {
    all: [T; BATCH],
    len: usize,
}

impl<T: Copy> Several<T> {
    #[inline(always)]
    fn beginning_with(first: T) -> Several<T> {
        Several { all: [first; BATCH], len: 1 }
    }
    #[inline(always)]
    fn push(&mut self, one: T) {
        if let Some(place) = self.all.get_mut(self.len) {
            *place = one;
            self.len += 1;
        }
    }
    /// The first ones.
    #[inline(always)]
    fn first(&self, number: usize) -> &[T] {
        &self.all[..number.min(BATCH)]
    }
}

impl Engine {
    /// Most messages in one batch.
    fn batch_most(&self) -> usize {
        let spare = spare_slots(self.segment.geometry().maxmsg as u64) as usize;
        BATCH.min(spare / 4)
    }

    /// Send up to `most` messages at once, at least one; gives how many. (One, where a single
    /// send says more: at the queue's edges, or where somebody is to be notified.)
    ///
    /// # Safety
    /// What `content` gives is readable; its lengths are at most msgsize, its priorities at
    /// most 32767.
    pub unsafe fn try_send_several(
        &self,
        most: usize,
        content: impl Fn(usize) -> Content,
        look: Look,
    ) -> Result<usize, Refused> {
        let t = Tail(self.tail_word().load(Ordering::Acquire));
        if self.known_room(t) == 0 {
            self.check_room(look, Gate::Open)?;
        }
        let room = self.known_room(t) as usize;
        let wanted = most.min(self.batch_most()).min(room);
        if wanted > 1 && !t.is_armed() {
            let segment = &self.view();
            // SAFETY: granted by the caller.
            if let Some(filled) = unsafe { self.fill_several(segment, t, wanted, &content) } {
                let sent = self.publish_several(segment, t, &filled);
                for filled in &filled.first(filled.len)[sent..] {
                    self.release(&filled.slot);
                }
                if sent > 0 {
                    return Ok(sent);
                }
            }
        }
        let Content { data, len, prio } = content(0);
        // SAFETY: granted by the caller.
        unsafe { self.try_send(data, len, prio, look) }.map(|()| 1)
    }

    /// Claim slots for the messages that come behind `t`, and fill them.
    ///
    /// # Safety
    /// As in `try_send_several`.
    #[inline(always)]
    unsafe fn fill_several<'a>(
        &'a self,
        segment: &'a SegmentRef,
        t: Tail,
        wanted: usize,
        content: &impl Fn(usize) -> Content,
    ) -> Option<Several<Filled<'a>>> {
        let mut place = self.place(t.take_count());
        // SAFETY: granted by the caller.
        let first = unsafe { self.fill(segment, place, None, content(0)) }?;
        let mut filled = Several::beginning_with(first);
        let mut before = first.slot.number();
        while filled.len < wanted {
            place = place.next(segment);
            // SAFETY: as above.
            let next = unsafe { self.fill(segment, place, Some(before), content(filled.len)) };
            let Some(next) = next else { break };
            before = next.slot.number();
            filled.push(next);
        }
        step!(SendCopied);
        Some(filled)
    }

    /// Claim a slot and fill it with a message, sent together with the one in the slot before.
    ///
    /// # Safety
    /// The message is readable.
    #[inline(always)]
    unsafe fn fill<'a>(
        &'a self,
        segment: &'a SegmentRef,
        place: Place,
        before: Option<u32>,
        content: Content,
    ) -> Option<Filled<'a>> {
        let (slot, mut claim) = match self.try_claim(segment, place.slot(segment)) {
            None => self.search_free(place)?,
            Some(claimed) => claimed,
        };
        step!(SendClaimed);
        let Content { data, len, prio } = content;
        // Relaxed: the word orders the header and the payload.
        slot.len.store(len as u32, Ordering::Relaxed);
        slot.prio.store(prio, Ordering::Relaxed);
        slot.sender.store(self.sender, Ordering::Relaxed);
        if let Some(before) = before {
            slot.link.store(before, Ordering::Relaxed);
            claim = claim.chained(true);
            // Ours alone until the tail names it.
            overwrite(&slot.word, claim.0);
        }
        // SAFETY: a slot of ours, and claimed; the caller grants the message.
        unsafe { segment.write_payload(slot, data, len) };
        #[cfg(not(loom))]
        if self.features.stamp {
            self.stamp(&slot);
        }
        Some(Filled { slot, claim, prio })
    }

    /// Name as many of them as possible in the tail; gives how many, the first ones. None where
    /// there is no room that we know of, or more to be said than a batch can.
    #[inline(always)]
    fn publish_several(
        &self,
        segment: &SegmentRef,
        begun: Tail,
        filled: &Several<Filled<'_>>,
    ) -> usize {
        let first = filled.all[0].prio;
        let mut progress = Progress::new();
        loop {
            let t = Tail(self.tail_word().load(Ordering::Acquire));
            let mut several = filled.len;
            if t != begun {
                several = several.min(self.known_room(t) as usize);
            }
            if several < 2 || t.is_armed() || t.0 & Gate::Open.stops() != 0 {
                return 0;
            }
            let mut last = (0, first);
            let mut is_uniform = true;
            for (i, &Filled { slot, prio, .. }) in filled.first(several).iter().enumerate() {
                // I6. Relaxed: the tail's exchange orders it.
                slot.seq.store((t.count() + i as u64) & SEQ_MASK, Ordering::Relaxed);
                is_uniform &= prio == first;
                last = (slot.number(), prio);
            }
            let hint = self.control().confirmed.0.load(Ordering::Acquire);
            let mut flags = t.flags();
            if !is_uniform || t.is_mixed() || hint != confirmation(t, first) {
                flags = self.flags_after(t, first).0;
                if !is_uniform {
                    flags |= MIX;
                }
            }
            let next = Tail::new(t.count() + several as u64, last.0, flags);
            if !self.change_tail_by_sends(t, next) {
                if progress.is_overtaken_again() {
                    return 0;
                }
                continue;
            }
            step!(SendPublished);
            self.follow_up_several(segment, t, next, filled, several, last.1);
            return several;
        }
    }

    /// What is left to do when the tail names them.
    #[inline(always)]
    fn follow_up_several(
        &self,
        segment: &SegmentRef,
        t: Tail,
        next: Tail,
        filled: &Several<Filled<'_>>,
        several: usize,
        last_prio: u32,
    ) {
        let mut seq = next.count();
        for &Filled { slot, claim, prio } in filled.first(several).iter().rev() {
            seq = seq.wrapping_sub(1) & SEQ_MASK;
            let queued = Word::queued(prio, seq).chained(claim.is_chained());
            // A helper may have been faster.
            let _ =
                slot.word.compare_exchange(claim.0, queued.0, Ordering::AcqRel, Ordering::Relaxed);
            step!(SendConfirmed);
        }
        self.control().confirmed.0.store(confirmation(next, last_prio), Ordering::Release);
        step!(SendHinted);
        let mut place = self.place(t.take_count());
        for Filled { slot, .. } in filled.first(several) {
            place.set_slot(segment, slot.number());
            place = place.next(segment);
        }
        step!(SendIndexed);
        if t.count() / NOTED != next.count() / NOTED {
            self.note_count(next);
        }
        let mut ahead = self.place_after(place, self.prefetch);
        for _ in 0..several {
            segment.prefetch(ahead.slot(segment));
            ahead = ahead.next(segment);
        }
        if next.is_mixed() {
            self.finish_send(t, next, None);
        } else {
            step!(SendUnwoken);
            self.wake_receiver();
        }
    }

    fn change_tail_by_sends(&self, t: Tail, next: Tail) -> bool {
        self.tail_word().compare_exchange(t.0, next.0, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }

    /// Take up to `most` messages at once, at least one, into the buffers that `room` gives;
    /// `cut` what is too long. Gives how many. (One, where a single receive says more: in mixed
    /// mode, at the queue's end, or where the second does not fit.)
    ///
    /// # Safety
    /// What `room` gives is writable for so many bytes.
    pub unsafe fn try_receive_several(
        &self,
        most: usize,
        cut: bool,
        room: impl Fn(usize) -> (*mut u8, usize),
        mut got: impl FnMut(usize, Known),
        look: Look,
    ) -> Result<usize, Refused> {
        step!(ReceiveBegun);
        let h = Head(self.head_word().load(Ordering::Acquire));
        if most > 1 && !h.is_mixed() && (self.known_messages(h) > 1 || self.was_told_of_several(h))
        {
            self.finalize(h);
            let segment = &self.view();
            let fits = |i, len| cut || len <= room(i).1;
            if let Some(next) = self.next_of_lane(segment, h, most, fits)
                // SAFETY: granted by the caller.
                && unsafe { self.take_several(segment, h, &next, &room, &mut got) }
            {
                return Ok(next.len);
            }
        }
        let (to, cap) = room(0);
        // SAFETY: granted by the caller.
        let known = unsafe { self.try_receive_known(to, cap, cut, look) }?;
        got(0, known);
        Ok(1)
    }

    /// The next messages of a lane that are where the index says and fit their buffers.
    #[inline(always)]
    fn next_of_lane<'a>(
        &self,
        segment: &'a SegmentRef,
        h: Head,
        most: usize,
        fits: impl Fn(usize, usize) -> bool,
    ) -> Option<Several<Candidate<'a>>> {
        // What the dead have received must be found message by message if it is to be sent again.
        let batch_most = if self.features.redeliver { 1 } else { self.batch_most() };
        let most = most.min(batch_most).min(self.known_messages(h) as usize);
        let mut place = self.place(h.count());
        let next_at = |place: Place, i: usize| {
            let slot = segment.slot(place.slot(segment))?;
            let word = Word(slot.word.load(Ordering::Acquire));
            let is_next =
                word.is_queued() && word.take() == h.count().wrapping_add(i as u32) & TAKE_MASK;
            let fits = fits(i, slot.len.load(Ordering::Relaxed) as usize);
            (is_next && fits).then_some(Candidate { slot, word })
        };
        if most < 2 {
            return None;
        }
        let mut next = Several::beginning_with(next_at(place, 0)?);
        while next.len < most {
            place = place.next(segment);
            let Some(candidate) = next_at(place, next.len) else { break };
            next.push(candidate);
        }
        (next.len > 1).then_some(next)
    }

    /// Take them all, if the head is still `h` and so they all are the next; whether it was.
    ///
    /// # Safety
    /// As in `try_receive_several`.
    #[inline(always)]
    unsafe fn take_several<'a>(
        &'a self,
        segment: &'a SegmentRef,
        h: Head,
        next: &Several<Candidate<'a>>,
        room: impl Fn(usize) -> (*mut u8, usize),
        got: &mut impl FnMut(usize, Known),
    ) -> bool {
        let len = next.len;
        let Some(&last) = next.first(len).last() else { return false };
        let Round::Got(_) = self.stamp_and_advance_by(len as u32, h, last) else { return false };
        let numbered = self.number_of(last.word.seq()).wrapping_sub(len as u64 - 1);
        for (i, &Candidate { slot, .. }) in next.first(len).iter().enumerate() {
            let (to, cap) = room(i);
            let known = self.known_as(&slot, numbered + i as u64);
            // SAFETY: a slot that we have received; at most `cap` bytes, which the caller grants.
            unsafe { segment.read_payload(slot, to, known.len.min(cap)) };
            step!(ReceiveCopied);
            got(i, known);
            self.release(&slot);
        }
        #[cfg(not(loom))]
        if self.features.stamp {
            self.stamp_receive();
        }
        step!(ReceiveUnwoken);
        self.wake_sender();
        // Fetch ahead, as many as were taken.
        let mut place = self.place(h.count().wrapping_add(len as u32));
        let known = self.known_messages(h).saturating_sub(len as u32);
        for _ in 0..known.min(len as u32) {
            segment.prefetch(place.slot(segment));
            place = place.next(segment);
        }
        true
    }
}
