//! What is done to a full queue, and to one that has had its day.
//!
//! A sender may have the oldest message of the lowest priority dropped instead of waiting for
//! room. It is received as by any receiver, and counted as dropped.
//!
//! A shutdown sets a bit of the tail, the word that orders the sends: those before it are
//! sent, those after it are not. The bit stays. Receivers see it where they find the queue
//! empty, so what was sent is received first.

use super::engine::{Engine, Refused, count};
use super::layout::SlotHeader;
use super::progress::Progress;
use super::receive::Round;
use super::segment::Slot;
use super::word::{Head, SHUT, Tail};
use crate::attr::PRIO_MAX;
use crate::fault::step;
use crate::sync::Ordering;

/// What came of an attempt to make room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dropped {
    /// A message is gone.
    One,
    /// There is room already.
    NotFull,
    /// All messages are above the new one.
    NothingBelow,
}

impl Engine {
    /// If the queue is full, drop the oldest message of its lowest priority, provided that this
    /// is not above `prio`.
    pub fn drop_oldest(&self, prio: u32) -> Result<Dropped, Refused> {
        let mut progress = Progress::new();
        loop {
            let h = Head(self.head_word().load(Ordering::SeqCst));
            self.finalize(h);
            let t = Tail(self.tail_word().load(Ordering::SeqCst));
            if t.is_shut() {
                return Err(Refused::Shut);
            }
            if t.queued(h) < self.segment.geometry().maxmsg {
                return Ok(Dropped::NotFull);
            }
            let round = match h.is_mixed() {
                true => self.take_lowest(prio)?,
                false => self.take_oldest_of_lane(h, prio)?,
            };
            match round {
                Round::Got(slot) => {
                    count(&self.control().counters.0.counters.dropped);
                    step!(DropCounted);
                    self.release(&slot);
                    return Ok(Dropped::One);
                }
                // Still as full as it was: nothing was there to drop.
                Round::Empty(_) if self.head_word().load(Ordering::SeqCst) == h.0 => {
                    return Ok(Dropped::NothingBelow);
                }
                _ if self.is_stuck(&mut progress) => return Err(self.give_up(&progress)),
                _ => {}
            }
        }
    }

    /// In a lane all messages have the lowest priority.
    fn take_oldest_of_lane(&self, h: Head, prio: u32) -> Result<Round<Slot<'_>>, Refused> {
        let candidate = match self.oldest_of_lane(h) {
            Round::Got(candidate) => candidate,
            Round::Empty(refused) => return Ok(Round::Empty(refused)),
            Round::Again => return Ok(Round::Again),
        };
        if candidate.word.prio() > prio {
            return Ok(Round::Empty(Refused::WouldBlock));
        }
        Ok(self.stamp_and_advance(h, candidate, candidate.word.seq()))
    }

    fn take_lowest(&self, prio: u32) -> Result<Round<Slot<'_>>, Refused> {
        let rank = |p: u32, _: &SlotHeader| (p <= prio).then(|| PRIO_MAX - p.min(PRIO_MAX));
        self.take_ranked(usize::MAX, true, &rank)
    }

    /// No more sends, and no more waits.
    pub fn shut(&self) -> Result<(), Refused> {
        let mut progress = Progress::new();
        loop {
            let t = Tail(self.tail_word().load(Ordering::SeqCst));
            if t.is_firing() {
                // Its flags must stay as they are until the notification is complete.
                self.complete_firing(t);
            } else if t.is_shut() || self.change_tail(t, t.with(SHUT, 0)) {
                step!(ShutUnwoken);
                self.wake_everybody();
                return Ok(());
            }
            if self.is_stuck(&mut progress) {
                return Err(self.give_up(&progress));
            }
        }
    }
}
