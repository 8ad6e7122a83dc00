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
//! quarter of the spare slots at most, so that one that is stopped leaves the others theirs. It
//! ends where the index does, and before a slot that somebody else has claimed.

use super::engine::{Engine, Look, Refused, SegmentRef};
use super::layout::spare_slots;
use super::progress::Progress;
use super::queued::Candidate;
use super::receive::{Known, Round};
use super::segment::Slot;
use super::send::{Gate, confirmation};
use super::slots::Place;
use super::stats::NOTED;
use super::word::{BATCH, Head, MIX, SEQ_MASK, TAKE_MASK, Tail, Word};
use crate::fault::step;
use crate::sync::{AtomicU32, Ordering};
use core::mem::MaybeUninit;

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

/// Room for the slots of a batch.
type Room<'a> = [MaybeUninit<Candidate<'a>>; BATCH];

/// The slots that these entries of the index name and what their words are, up to BATCH, as long
/// as `is_one` says so of the next.
#[inline(always)]
fn look_at<'r, 'a>(
    room: &'r mut Room<'a>,
    segment: &'a SegmentRef,
    entries: &[AtomicU32],
    is_one: impl Fn(usize, &Candidate<'_>) -> bool,
) -> &'r [Candidate<'a>] {
    let mut len = 0;
    for (i, (entry, to)) in entries.iter().zip(&mut *room).enumerate() {
        let Some(slot) = segment.slot(entry.load(Ordering::Acquire)) else { break };
        let next = Candidate { slot, word: Word(slot.word.load(Ordering::Acquire)) };
        if !is_one(i, &next) {
            break;
        }
        to.write(next);
        len = i + 1;
    }
    // SAFETY: the first `len` are written.
    unsafe { core::slice::from_raw_parts(room.as_ptr().cast(), len) }
}

/// Messages in claimed slots, about to be sent.
struct Filled<'a> {
    slots: &'a [Candidate<'a>],
    /// The word of the first; those of the others are chained.
    claim: Word,
    /// Whether all have the same priority.
    is_uniform: bool,
}

impl Engine {
    /// Most messages in one batch.
    #[inline(always)]
    fn batch_most(&self) -> usize {
        let spare = spare_slots(self.segment.geometry().maxmsg as u64) as usize;
        BATCH.min(spare / 4)
    }

    /// Fetch the slots that the index has from a place on.
    #[inline(always)]
    fn fetch_ahead(&self, segment: &SegmentRef, place: Place, slots: usize) {
        for entry in place.entries(segment, slots) {
            segment.prefetch(entry.load(Ordering::Relaxed));
        }
    }

    /// Send up to `most` messages at once, at least one; gives how many. (One, where a single
    /// send says more: at the queue's edges, where somebody is to be notified, or where the
    /// index does not know of free slots.)
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
        let wanted = most.min(self.batch_most()).min(self.known_room(t) as usize);
        if wanted > 1 && !t.is_armed() {
            let segment = &self.view();
            let place = self.place(t.take_count());
            let entries = place.entries(segment, wanted);
            let mut room = [const { MaybeUninit::uninit() }; BATCH];
            let free = look_at(&mut room, segment, entries, |_, slot| slot.word.is_free());
            // SAFETY: granted by the caller.
            let sent = unsafe { self.send_to(segment, (t, place), free, &content) };
            if sent > 0 {
                return Ok(sent);
            }
        }
        let Content { data, len, prio } = content(0);
        // SAFETY: granted by the caller.
        unsafe { self.try_send(data, len, prio, look) }.map(|()| 1)
    }

    /// Send as many messages together as there are slots, if more than one; gives how many.
    ///
    /// # Safety
    /// As in `try_send_several`.
    #[inline(always)]
    unsafe fn send_to(
        &self,
        segment: &SegmentRef,
        (t, place): (Tail, Place),
        free: &[Candidate<'_>],
        content: &impl Fn(usize) -> Content,
    ) -> usize {
        // SAFETY: granted by the caller.
        let filled = unsafe { self.fill(segment, t, free, content) };
        step!(SendCopied);
        let sent = self.publish_several(segment, (t, place), &filled);
        for unsent in filled.slots.iter().skip(sent) {
            self.release(&unsent.slot);
        }
        sent
    }

    /// Claim the slots and fill them with the messages that come behind `t`.
    ///
    /// # Safety
    /// As in `try_send_several`.
    #[inline(always)]
    unsafe fn fill<'a>(
        &self,
        segment: &SegmentRef,
        t: Tail,
        free: &'a [Candidate<'a>],
        content: &impl Fn(usize) -> Content,
    ) -> Filled<'a> {
        // I5: the stamp is read here, between seeing the slots free and claiming them.
        let stamp = Tail(self.tail_word().load(Ordering::Acquire)).count();
        let claim = Word::claimed(self.owner, stamp);
        #[cfg(not(loom))]
        let has_stamps = self.features.stamp;
        let sender = self.sender();
        let mut before = 0;
        let mut differing = 0;
        let mut seq = t.count();
        let first = content(0).prio;
        let mut filled = free.len();
        for (i, &Candidate { slot, word }) in free.iter().enumerate() {
            let claim = claim.chained(i > 0);
            if slot
                .word
                .compare_exchange(word.0, claim.0, Ordering::AcqRel, Ordering::Relaxed)
                .is_err()
            {
                filled = i;
                break;
            }
            step!(SendClaimed);
            let Content { data, len, prio } = content(i);
            differing |= prio ^ first;
            // Relaxed: the word orders the header and the payload; the tail's exchange orders
            // number and link (I6).
            slot.seq.store(seq, Ordering::Relaxed);
            seq = (seq + 1) & SEQ_MASK;
            slot.len.store(len as u32, Ordering::Relaxed);
            slot.prio.store(prio, Ordering::Relaxed);
            slot.link.store(before, Ordering::Relaxed);
            slot.sender.store(sender, Ordering::Relaxed);
            before = slot.number();
            // SAFETY: a slot of ours, and claimed; the caller grants the message.
            unsafe { segment.write_payload(slot, data, len) };
            #[cfg(not(loom))]
            if has_stamps {
                self.stamp(&slot);
            }
        }
        Filled { slots: &free[..filled], claim, is_uniform: differing == 0 }
    }

    /// Name as many of them as possible in the tail; gives how many, the first ones. None where
    /// there is no room that we know of, or more to be said than a batch can.
    #[inline(always)]
    fn publish_several(
        &self,
        segment: &SegmentRef,
        (begun, mut place): (Tail, Place),
        filled: &Filled<'_>,
    ) -> usize {
        let mut progress = Progress::new();
        let mut several = filled.slots.len();
        loop {
            let t = Tail(self.tail_word().load(Ordering::Acquire));
            if t != begun {
                several = filled.slots.len().min(self.known_room(t) as usize);
            }
            if several < 2 || t.is_armed() || t.0 & Gate::Open.stops() != 0 {
                return 0;
            }
            let slots = &filled.slots[..several];
            let (Some(first), Some(last)) = (slots.first(), slots.last()) else { return 0 };
            let first_prio = first.slot.prio.load(Ordering::Relaxed);
            let last_prio = last.slot.prio.load(Ordering::Relaxed);
            if t != begun {
                place = self.place(t.take_count());
                for (i, message) in slots.iter().enumerate() {
                    // I6. Relaxed: the tail's exchange orders it.
                    let seq = (t.count() + i as u64) & SEQ_MASK;
                    message.slot.seq.store(seq, Ordering::Relaxed);
                }
            }
            let hint = self.control().confirmed.0.load(Ordering::Acquire);
            let mut flags = t.flags();
            if !filled.is_uniform || t.is_mixed() || hint != confirmation(t, first_prio) {
                flags = self.flags_after(t, first_prio).0;
                if !filled.is_uniform {
                    flags |= MIX;
                }
            }
            let next = Tail::new(t.count() + several as u64, last.slot.number(), flags);
            if !self.change_tail_by_sends(t, next) {
                if progress.is_overtaken_again() {
                    return 0;
                }
                continue;
            }
            step!(SendPublished);
            self.confirm_several(slots, filled.claim, next);
            self.control().confirmed.0.store(confirmation(next, last_prio), Ordering::Release);
            step!(SendHinted);
            // Else they are where the index says.
            if t != begun {
                for (i, message) in slots.iter().enumerate() {
                    self.set_slot_at(self.place_after(place, i as u32), message.slot.number());
                }
            }
            step!(SendIndexed);
            if t.count() / NOTED != next.count() / NOTED {
                self.note_count(next);
            }
            let ahead = self.place_after(place, several as u32 + self.prefetch);
            self.fetch_ahead(segment, ahead, several);
            if next.is_mixed() {
                self.finish_send(t, next, None);
            } else {
                step!(SendUnwoken);
                self.wake_receiver();
            }
            return several;
        }
    }

    /// Make them QUEUED, from the last, which `next` names, to the first.
    #[inline(always)]
    fn confirm_several(&self, slots: &[Candidate<'_>], claim: Word, next: Tail) {
        let mut seq = next.count();
        let mut confirm = |slot: &Slot<'_>, is_chained: bool| {
            seq = seq.wrapping_sub(1) & SEQ_MASK;
            // Relaxed: ours if the exchange succeeds. A helper may have been faster.
            let queued = Word::queued(slot.prio.load(Ordering::Relaxed), seq);
            let _ = slot.word.compare_exchange(
                claim.chained(is_chained).0,
                queued.chained(is_chained).0,
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
            step!(SendConfirmed);
        };
        let Some((first, others)) = slots.split_first() else { return };
        for other in others.iter().rev() {
            confirm(&other.slot, true);
        }
        confirm(&first.slot, false);
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
        let segment = &self.view();
        if most > 1
            && !h.is_mixed()
            && (self.known_messages(h) > 1 || self.was_told_of_several(segment, h))
        {
            self.finalize(h);
            let fits = |i, len| cut || len <= room(i).1;
            let mut slots = [const { MaybeUninit::uninit() }; BATCH];
            let next = self.next_of_lane(&mut slots, segment, h, most, fits);
            // SAFETY: granted by the caller.
            if next.len() > 1 && unsafe { self.take_several(segment, h, next, &room, &mut got) } {
                return Ok(next.len());
            }
        }
        let (to, cap) = room(0);
        // SAFETY: granted by the caller.
        let known = unsafe { self.try_receive_known(to, cap, cut, look) }?;
        got(0, known);
        Ok(1)
    }

    /// Read the senders' notes anew; whether there are several messages behind `h`, as far as
    /// they say. Those are fetched, to be written as well: their slots will be freed.
    #[inline(always)]
    fn was_told_of_several(&self, segment: &SegmentRef, h: Head) -> bool {
        let known = self.told_messages(h);
        if known > 1 {
            self.fetch_ahead(segment, self.place(h.count()), known.min(self.prefetch) as usize);
        }
        known > 1
    }

    /// The next messages of a lane that are where the index says and fit their buffers.
    #[inline(always)]
    fn next_of_lane<'r, 'a>(
        &self,
        slots: &'r mut Room<'a>,
        segment: &'a SegmentRef,
        h: Head,
        most: usize,
        fits: impl Fn(usize, usize) -> bool,
    ) -> &'r [Candidate<'a>] {
        // What the dead have received must be found message by message if it is to be sent again.
        let batch_most = if self.features.redeliver { 1 } else { self.batch_most() };
        let most = most.min(batch_most).min(self.known_messages(h) as usize);
        let is_next = |i: usize, Candidate { slot, word }: &Candidate<'_>| {
            word.is_queued()
                && word.take() == h.count().wrapping_add(i as u32) & TAKE_MASK
                && fits(i, slot.len.load(Ordering::Relaxed) as usize)
        };
        let entries = self.place(h.count()).entries(segment, most);
        look_at(slots, segment, entries, is_next)
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
        next: &[Candidate<'a>],
        room: impl Fn(usize) -> (*mut u8, usize),
        got: &mut impl FnMut(usize, Known),
    ) -> bool {
        let len = next.len();
        let Some(&last) = next.last() else { return false };
        let Round::Got(_) = self.stamp_and_advance_by(len as u32, h, last) else { return false };
        let numbered = self.number_of(last.word.seq()).wrapping_sub(len as u64 - 1);
        let msgsize = segment.geometry().msgsize as usize;
        let is_stamped = self.features.stamp;
        for (i, &Candidate { slot, .. }) in next.iter().enumerate() {
            let (to, cap) = room(i);
            let known = Known::read(&slot, numbered + i as u64, msgsize, is_stamped);
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
        let place = self.place(h.count().wrapping_add(len as u32));
        let known = self.known_messages(h).saturating_sub(len as u32);
        self.fetch_ahead(segment, place, len.min(known as usize));
        true
    }
}
