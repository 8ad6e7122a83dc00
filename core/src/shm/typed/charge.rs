//! How many bytes and messages are in the queue, as msg_qbytes bounds them.
//!
//! One word has both, and a number that moves with each change:
//!
//! ```text
//! send      claim a slot (CLAIMED); charge; publish (QUEUED)    or: discharge; free the slot
//! receive   take (TAKEN); discharge; free the slot
//! ```
//!
//! So a call in the midst of it that the word may not agree with shows in its slot. Who is
//! killed there leaves the word too high, never too low. It is put right by whoever finds the
//! queue full: he adds up what is QUEUED, and if no slot is in anybody's hands, and the word
//! has not changed since before he began, the sum is the truth.

#![forbid(unsafe_code)]

use crate::shm::engine::Engine;
use crate::shm::layout::TypedWords;
use crate::shm::word::{Head, Tail, Word};
use crate::sync::Ordering::{Acquire, Relaxed, SeqCst};

const COUNT: u32 = 32;
const CHANGES: u32 = 43;

/// What is in a queue, or would be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Load {
    pub bytes: u64,
    pub messages: u64,
}

impl Load {
    fn of(word: u64) -> Load {
        let messages = (word >> COUNT) & ((1 << (CHANGES - COUNT)) - 1);
        Load { bytes: word & ((1 << COUNT) - 1), messages }
    }

    /// The word that has this load and comes after another.
    fn after(self, word: u64) -> u64 {
        let changes = (word >> CHANGES).wrapping_add(1);
        changes << CHANGES | self.messages << COUNT | self.bytes
    }

    fn with(self, len: u64) -> Load {
        Load { bytes: self.bytes + len, messages: self.messages + 1 }
    }

    fn without(self, len: u64) -> Load {
        Load { bytes: self.bytes.saturating_sub(len), messages: self.messages.saturating_sub(1) }
    }
}

/// What came of a recount.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Recount {
    /// The word is as it should be.
    Right,
    /// Slots are in somebody's hands, perhaps a dead one's.
    InHands,
}

impl TypedWords {
    /// What is in the queue.
    pub(super) fn load(&self) -> Load {
        Load::of(self.charge.load(SeqCst))
    }

    fn fits(&self, load: Load) -> bool {
        let most = self.most.load(Relaxed);
        load.bytes <= most && load.messages <= most
    }

    /// Whether a message of this length would fit.
    pub(super) fn has_room(&self, len: usize) -> bool {
        self.fits(self.load().with(len as u64))
    }

    /// Count a message in that the caller has a claimed slot for; false if it does not fit.
    pub(super) fn charge(&self, len: usize) -> bool {
        self.charge
            .fetch_update(SeqCst, SeqCst, |word| {
                let load = Load::of(word).with(len as u64);
                self.fits(load).then(|| load.after(word))
            })
            .is_ok()
    }

    /// Count a message out whose slot the caller has still in his hands.
    pub(super) fn discharge(&self, len: usize) {
        let without = |word| Some(Load::of(word).without(len as u64).after(word));
        let _ = self.charge.fetch_update(SeqCst, SeqCst, without);
    }
}

impl Engine {
    /// Make the load what it is.
    pub(super) fn recount(&self) -> Recount {
        let typed = self.segment().typed();
        let seen = typed.charge.load(SeqCst);
        let h = Head(self.head_word().load(SeqCst));
        self.finalize(h);
        self.confirm(Tail(self.tail_word().load(SeqCst)));
        let mut load = Load { bytes: 0, messages: 0 };
        for index in 0..self.slots_there() {
            let Some(slot) = self.segment().slot(index) else { continue };
            let mut word = Word(slot.word.load(Acquire));
            if word.is_taking() {
                self.resolve(slot, word);
                word = Word(slot.word.load(Acquire));
            }
            if word.is_queued() {
                load = load.with(slot.len.load(Relaxed) as u64);
            } else if !word.is_free() {
                return Recount::InHands;
            }
        }
        if load != Load::of(seen) {
            // Whoever has changed it meanwhile knows better.
            let _ = typed.charge.compare_exchange(seen, load.after(seen), SeqCst, Relaxed);
        }
        Recount::Right
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_keeps_its_load_and_is_never_the_same_again() {
        let load = Load { bytes: (1 << 30) + 7, messages: 1088 };
        let word = load.after(u64::MAX);

        assert_eq!(Load::of(word), load);
        assert_ne!(load.after(word), word);
        assert_eq!(Load::of(load.after(word)), load);
    }

    #[test]
    fn what_was_never_counted_in_is_not_counted_out() {
        let none = Load { bytes: 0, messages: 0 };

        assert_eq!(none.without(5), none);
        assert_eq!(none.with(5).without(5), none);
    }
}
