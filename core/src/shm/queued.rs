//! Which messages are queued, by a look at every slot.
//!
//! It needs no index and nobody's lock, so it is the last resort of receivers and of who
//! looks, and what the finder's heap is built from. The rule: a receive that is half done may
//! be rolled back, so who meets one completes it and begins again, or would miss a message.

use super::engine::Engine;
use super::segment::Slot;
use super::word::{Head, Tail, Word, seq_distance};
use crate::sync::Ordering;

/// A message that is still queued: its slot and the word that says so.
#[derive(Clone, Copy)]
pub(super) struct Candidate<'a> {
    pub slot: Slot<'a>,
    pub word: Word,
}

/// Which messages a tail counts.
pub(super) struct AsOf {
    t: Tail,
    all: u64,
    gone: u64,
    nslots: u64,
}

impl AsOf {
    /// How many sends ago message `seq` was sent; `None` if it is newer, or gone (I9).
    ///
    /// Fewer than nslots messages can be newer than a tail just read, so nearly the
    /// whole range of counts is left for old ones.
    fn age(&self, seq: u64) -> Option<u64> {
        let is_newer = seq_distance(seq, self.t.count()) < self.nslots;
        let age = seq_distance(self.t.count(), seq);
        (!is_newer && self.number(age) > self.gone).then_some(age)
    }

    /// Whether a slot's word is of a message that is there.
    #[cfg(not(loom))]
    pub(super) fn is_queued(&self, word: Word) -> bool {
        word.is_queued() && self.age(word.seq()).is_some()
    }

    /// The number of a message of some age.
    pub(super) fn number(&self, age: u64) -> u64 {
        self.all.wrapping_sub(age).wrapping_add(1)
    }
}

impl Engine {
    /// Which messages there are now.
    #[cfg(not(loom))]
    pub(super) fn as_of_now(&self) -> AsOf {
        self.finalize(Head(self.head_word().load(Ordering::SeqCst)));
        self.as_of(Tail(self.tail_word().load(Ordering::SeqCst)))
    }

    /// Which messages there are, as of `t`. The head was read before, and not as a lane's.
    pub(super) fn as_of(&self, t: Tail) -> AsOf {
        AsOf { t, all: self.all_sent(t), gone: self.gone(), nslots: self.nslots() as u64 }
    }

    /// Visit each of these messages, with its age. False: begin again, since a half-done
    /// receive was met, which is done now, or since the visitor gave up. `h` was read before.
    #[inline]
    pub(super) fn each_message<'a>(
        &'a self,
        h: Head,
        as_of: &AsOf,
        mut visit: impl FnMut(Candidate<'a>, u64) -> bool,
    ) -> bool {
        for index in 0..self.slots_there() {
            let Some(slot) = self.segment.slot(index) else { continue };
            let word = Word(slot.word.load(Ordering::Acquire));
            if word.is_taking() {
                // The receive behind `h` took effect: its message is not there any more.
                if word.take() == h.count() && index == h.slot() {
                    continue;
                }
                self.resolve(slot, word);
                return false;
            }
            if !word.is_queued() {
                continue;
            }
            let Some(age) = as_of.age(word.seq()) else { continue };
            if !visit(Candidate { slot, word }, age) {
                return false;
            }
        }
        true
    }
}
