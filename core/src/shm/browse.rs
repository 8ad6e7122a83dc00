//! Looking at messages without taking them.
//!
//! Messages are looked at in the order in which they would be received: each look finds the
//! next ones after a message that is named by its priority and number, whether or not it is
//! still queued. So who looks from message to message passes over none that stays where it
//! is, whatever others do meanwhile; it is no snapshot all the same.
//!
//! A look reads slots that belong to nobody: whoever receives the message meanwhile may give
//! its slot to a sender. The slot's word, which is never twice the same, tells: what was read
//! counts only if the word is afterwards what it was before.

use super::engine::{Engine, Refused};
use super::progress::Progress;
use super::queued::Candidate;
use super::receive::Known;
use super::word::{Head, TAKE_MASK, Tail, Word, seq_distance};
use crate::sync::{Ordering, fence};

/// Where a look begins: behind this message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Behind {
    /// Its priority.
    pub prio: u32,
    /// Its number, from 1.
    pub number: u64,
}

impl Behind {
    /// Whether a message would be received later.
    fn comes_before(self, prio: u32, number: u64) -> bool {
        prio < self.prio || prio == self.prio && number > self.number
    }
}

/// Messages found by one look at all slots, at most.
const FOUND: usize = 32;

/// The next messages in order.
pub struct Found<'a> {
    candidates: [Option<Candidate<'a>>; FOUND],
    len: usize,
    most: usize,
}

impl<'a> Found<'a> {
    fn none(most: usize) -> Found<'a> {
        Found { candidates: [None; FOUND], len: 0, most: most.clamp(1, FOUND) }
    }

    fn is_full(&self) -> bool {
        self.len == self.most
    }

    fn push(&mut self, candidate: Candidate<'a>) {
        self.candidates[self.len] = Some(candidate);
        self.len += 1;
    }

    /// Put a message in its place; if there are too many, the last one goes.
    fn insert(&mut self, candidate: Candidate<'a>, age: impl Fn(Word) -> u64) {
        let rank = |word: Word| (word.prio(), age(word));
        let known = self.candidates[..self.len].iter().flatten();
        let at = known.take_while(|known| rank(known.word) > rank(candidate.word)).count();
        if at < self.most {
            self.len = (self.len + 1).min(self.most);
            self.candidates[at..self.len].rotate_right(1);
            self.candidates[at] = Some(candidate);
        }
    }

    fn iter(&self) -> impl Iterator<Item = Candidate<'a>> {
        self.candidates.into_iter().flatten()
    }
}

impl Engine {
    /// Look at the messages that would be received next after `behind`, at most `most` of
    /// them, into the buffers that `room` gives; `cut` ones that are too long. Gives how many
    /// were looked at, at least one.
    ///
    /// # Safety
    /// What `room` gives is writable for so many bytes.
    pub unsafe fn try_look(
        &self,
        behind: Option<Behind>,
        most: usize,
        cut: bool,
        room: impl Fn(usize) -> (*mut u8, usize),
        mut seen: impl FnMut(usize, Known),
    ) -> Result<usize, Refused> {
        let mut progress = Progress::of_a_look();
        loop {
            let found = self.find_next(behind, most, &mut progress)?;
            let mut looked = 0;
            for candidate in found.iter() {
                let (to, cap) = room(looked);
                // SAFETY: granted by the caller.
                match unsafe { self.look_at(candidate, to, cap, cut) } {
                    Ok(Some(known)) => {
                        seen(looked, known);
                        looked += 1;
                    }
                    // Received meanwhile.
                    Ok(None) => {}
                    Err(refused) if looked == 0 => return Err(refused),
                    Err(_) => break,
                }
            }
            if looked > 0 {
                return Ok(looked);
            }
            if self.is_stuck(&mut progress) {
                return Err(self.give_up(&progress));
            }
        }
    }

    /// Read a message where it is; nothing if it is not there any more.
    ///
    /// # Safety
    /// `to` is writable for `cap` bytes.
    unsafe fn look_at(
        &self,
        candidate: Candidate<'_>,
        to: *mut u8,
        cap: usize,
        cut: bool,
    ) -> Result<Option<Known>, Refused> {
        let Candidate { slot, word } = candidate;
        let known = self.known_of(&slot);
        let fits = cut || known.len <= cap;
        if fits {
            // SAFETY: at most `cap` bytes, for which the caller grants `to`.
            unsafe { self.segment.look_at_payload(slot, to, known.len.min(cap)) };
        }
        // SYNC: what was read came before this, or a sender has changed the word.
        fence(Ordering::Acquire);
        if slot.word.load(Ordering::Relaxed) != word.0 {
            return Ok(None);
        }
        if fits { Ok(Some(known)) } else { Err(Refused::TooBig(known.len)) }
    }

    /// The next messages, as of one look.
    fn find_next(
        &self,
        behind: Option<Behind>,
        most: usize,
        progress: &mut Progress,
    ) -> Result<Found<'_>, Refused> {
        loop {
            let h = Head(self.head_word().load(Ordering::SeqCst));
            self.finalize(h);
            let t = Tail(self.tail_word().load(Ordering::SeqCst));
            self.confirm(t);
            let mut found = Found::none(most);
            let is_whole = self.find_in_order(h, t, behind, &mut found)
                || self.find_by_scan(h, t, behind, &mut found);
            if is_whole && found.len > 0 {
                return Ok(found);
            }
            // There is nothing only if nobody has sent or received meanwhile. Behind a message
            // it is enough that nothing was found: a look from there is no snapshot.
            let is_instant = self.head_word().load(Ordering::SeqCst) == h.0
                && self.tail_word().load(Ordering::SeqCst) == t.0;
            if is_whole && (is_instant || behind.is_some()) {
                return Err(if t.is_shut() { Refused::Shut } else { Refused::WouldBlock });
            }
            if self.is_stuck(progress) {
                return Err(self.give_up(progress));
            }
        }
    }

    /// In a lane the index says where the next messages are; false if this is none, or a
    /// message is not where it should be.
    fn find_in_order<'a>(
        &'a self,
        h: Head,
        t: Tail,
        behind: Option<Behind>,
        found: &mut Found<'a>,
    ) -> bool {
        if h.is_mixed() || t.is_mixed() || t.queued(h) > self.segment.geometry().maxmsg {
            return false;
        }
        let mut left = t.queued(h);
        let mut next = h.count();
        if let Some(behind) = behind.filter(|_| left > 0) {
            match self.queued_as_next(next) {
                Some(oldest) if oldest.word.prio() == behind.prio => {}
                _ => return false,
            }
            let oldest = self.number_of(self.received(h, t));
            let passed = behind.number.saturating_add(1).saturating_sub(oldest).min(left as u64);
            left -= passed as u32;
            next = next.wrapping_add(passed as u32);
        }
        while left > 0 && !found.is_full() {
            let Some(candidate) = self.queued_as_next(next) else {
                *found = Found::none(found.most);
                return false;
            };
            found.push(candidate);
            next = next.wrapping_add(1);
            left -= 1;
        }
        true
    }

    /// The message with which a receive of this count would go on in a lane.
    fn queued_as_next(&self, taken: u32) -> Option<Candidate<'_>> {
        let slot = self.segment.slot(self.slot_at(self.place(taken & TAKE_MASK)))?;
        let word = Word(slot.word.load(Ordering::Acquire));
        (word.is_queued() && word.take() == taken & TAKE_MASK).then_some(Candidate { slot, word })
    }

    /// Look at every slot; false if a half-done receive was met, which is done now.
    fn find_by_scan<'a>(
        &'a self,
        h: Head,
        t: Tail,
        behind: Option<Behind>,
        found: &mut Found<'a>,
    ) -> bool {
        let as_of = self.as_of(t);
        let age_of = |word: Word| seq_distance(t.count(), word.seq());
        self.each_message(h, &as_of, |candidate, age| {
            let number = as_of.number(age);
            if behind.is_none_or(|behind| behind.comes_before(candidate.word.prio(), number)) {
                found.insert(candidate, age_of);
            }
            true
        })
    }
}
