//! What a queue has seen: counts, stamps, and who is asleep.
//!
//! The tail counts sends, but not for ever: its count has 39 bits, which a busy queue uses up
//! in hours. `sent` has all the bits. It is noted after every so many sends by whoever makes
//! that one, and never goes back; a note that is lost with its sender is made up for by the
//! next. So the tail's count and the last note tell the number of any message.
//!
//! Received is what was sent and is neither queued nor dropped.

use super::engine::Engine;
#[cfg(not(loom))]
use super::layout::{LastUse, SlotHeader};
use super::progress::Progress;
use super::word::{Head, SEQ_BITS, SEQ_MASK, Tail, seq_distance};
use crate::sync::Ordering::{Relaxed, SeqCst};

/// A note is made after so many sends: far more often than the tail's count comes round.
pub(super) const NOTED: u64 = 1 << if SEQ_BITS > 24 { 20 } else { SEQ_BITS - 3 };

/// Which of the two kinds of use.
#[cfg(not(loom))]
#[derive(Clone, Copy)]
pub(super) enum Use {
    /// A send.
    Send = 0,
    /// A receive.
    Receive = 1,
}

/// What is counted with a queue.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Counts {
    /// Messages sent.
    pub sent: u64,
    /// Messages received.
    pub received: u64,
    /// Messages dropped.
    pub dropped: u64,
    /// Repairs after a death.
    pub recoveries: u64,
    /// Most messages that anybody has seen queued.
    pub most: u64,
}

/// The number of sends that a tail's count stands for, by a note made before or after it.
fn reckoned(noted: u64, count: u64) -> u64 {
    match seq_distance(count, noted & SEQ_MASK) {
        ahead if ahead <= SEQ_MASK / 2 => noted.wrapping_add(ahead),
        _ => noted.wrapping_sub(seq_distance(noted & SEQ_MASK, count)),
    }
}

impl Engine {
    /// Note how many sends there were up to `t`.
    #[cold]
    pub(super) fn note_count(&self, t: Tail) {
        let sent = self.all_sent(t);
        self.control().counters.0.sent.fetch_max(sent, Relaxed);
    }

    /// How many sends there were up to `t`, a tail that is not long past.
    pub(super) fn all_sent(&self, t: Tail) -> u64 {
        // Relaxed: any note that is not older than half the counts is good.
        reckoned(self.control().counters.0.sent.load(Relaxed), t.count())
    }

    /// The number of message `seq`, which was sent before now: the first has 1.
    pub(super) fn number_of(&self, seq: u64) -> u64 {
        let t = Tail(self.tail_word().load(SeqCst));
        self.all_sent(t).wrapping_sub(seq_distance(t.count(), seq)).wrapping_add(1)
    }

    /// All messages up to `seq`, which was sent and is not long past, are received.
    pub(super) fn note_gone(&self, seq: u64) {
        self.control().finalized.0.gone.fetch_max(self.number_of(seq), SeqCst);
    }

    /// The number up to which all messages are received.
    pub(super) fn gone(&self) -> u64 {
        self.control().finalized.0.gone.load(SeqCst)
    }

    /// Somebody saw so many messages queued.
    #[inline]
    pub(super) fn note_queued(&self, queued: u32) {
        let most = &self.control().counters.0.counters.max_curmsgs;
        // Relaxed: nothing depends on it. The models do without.
        if cfg!(not(loom)) && queued as u64 > most.load(Relaxed) {
            most.store(queued as u64, Relaxed);
        }
    }

    /// What was counted, all at one instant of the call but for the last two.
    pub fn counts(&self) -> Counts {
        let counters = &self.control().counters.0.counters;
        let mut progress = Progress::new();
        loop {
            let dropped = counters.dropped.load(SeqCst);
            let t = Tail(self.tail_word().load(SeqCst));
            let h = Head(self.head_word().load(SeqCst));
            let is_instant =
                self.tail_word().load(SeqCst) == t.0 && counters.dropped.load(SeqCst) == dropped;
            let queued = t.queued(h) as u64;
            if !is_instant && !progress.is_overtaken_again() {
                continue;
            }
            self.note_queued(queued as u32);
            let sent = self.all_sent(t);
            return Counts {
                sent,
                received: sent.saturating_sub(queued).saturating_sub(dropped),
                dropped,
                recoveries: counters.orphans.load(Relaxed)
                    + counters.lost_with_receiver.load(Relaxed),
                most: counters.max_curmsgs.load(Relaxed),
            };
        }
    }

    #[cfg(not(loom))]
    fn last(&self, what: Use) -> &LastUse {
        &self.control().notify.0.last[what as usize]
    }

    /// Who used the queue last in this way, uid << 32 | pid, and when on the monotonic clock.
    #[cfg(not(loom))]
    pub(super) fn last_use(&self, what: Use) -> (u64, i64) {
        let last = self.last(what);
        (last.user.load(Relaxed), last.at_ns.load(Relaxed) as i64)
    }

    /// Write down who sends, and when.
    #[cfg(not(loom))]
    #[cold]
    pub(super) fn stamp(&self, slot: &SlotHeader) {
        let now = crate::sys::clock::coarse_ns();
        // Relaxed: the slot's word orders it.
        slot.sent_ns.store(now as u64, Relaxed);
        self.note_use(Use::Send, now);
    }

    /// Write down who receives, and when.
    #[cfg(not(loom))]
    #[cold]
    pub(super) fn stamp_receive(&self) {
        self.note_use(Use::Receive, crate::sys::clock::coarse_ns());
    }

    #[cfg(not(loom))]
    fn note_use(&self, what: Use, now: i64) {
        let last = self.last(what);
        last.user.store(self.sender(), Relaxed);
        last.at_ns.store(now as u64, Relaxed);
    }

    /// Senders and receivers asleep, and handles, of processes that live.
    #[cfg(not(loom))]
    pub fn users(&self) -> Users {
        use super::layout::OWNERS;
        let mut users = Users::default();
        for owner in 0..OWNERS {
            let Some(row) = self.segment.owner(owner) else { break };
            if row.pid.load(Relaxed) == 0 {
                continue;
            }
            if owner == self.owner || self.is_alive(owner) {
                let asleep = row.asleep.load(Relaxed);
                users.handles += 1;
                users.senders += asleep & 0xFFFF;
                users.receivers += asleep >> 16;
            }
        }
        users
    }
}

/// Who has the queue open, and who of them sleeps.
#[cfg(not(loom))]
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Users {
    /// Handles.
    pub handles: u32,
    /// Threads asleep in a send.
    pub senders: u32,
    /// Threads asleep in a receive.
    pub receivers: u32,
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_note_may_be_older_or_newer_than_the_tail() {
        let round = SEQ_MASK + 1;
        for sent in [0, 1, NOTED, round - 1, round, 5 * round + 3] {
            for noted in [sent.saturating_sub(NOTED), sent, sent + 1, sent + 2 * NOTED] {
                assert_eq!(reckoned(noted, sent & SEQ_MASK), sent, "noted {noted}");
            }
        }
    }
}
