//! The finder: a heap that spares mixed-mode receivers the look at every slot.
//!
//! It is an accelerator and never the truth. Only an exact match with a slot's word is
//! ever taken, so a wrong heap costs time; what must not happen is that it misses a
//! message. Hence:
//!
//! - F1 Only a slot whose word is exactly the QUEUED word of the entry is taken. So a take
//!   past the finder (an emergency scan, a take out of turn) need not tell it: the entry
//!   is dropped when it comes to the top.
//! - F2 An entry whose slot is TAKING is not dropped but resolved, since its receive may be
//!   rolled back.
//! - F3 A lock taken from a dead holder means rebuild.
//! - F4 A rebuild resolves every TAKING slot that it meets and begins again, since a
//!   slot that is rolled back later would be missed.
//!
//! Every send since the queue became mixed is drained into the heap in order: first
//! `drained` is the oldest message of the former lane, then each number is looked up at
//! its home or through the index. While the queue was a lane the heap was not told; a
//! number that is not found therefore first means "start again from the lane's
//! beginning". That is sound without knowing the past: if each of the `tail - head`
//! numbers before the tail is found QUEUED, these are all messages there are.
//!
//! The lock is a try-lock. Its holder may be stopped: then receivers scan all slots.

use super::engine::{Engine, Refused, count};
use super::layout::FinderWords;
use super::receive::{Candidate, Round, Taken};
use super::word::{Head, MIX, SEQ_BITS, SEQ_MASK, Tail, Word, seq_distance};
use crate::attr::PRIO_MAX;
use crate::fault::step;
use crate::sync::{Ordering, pause, yield_now};

/// Receives in a row that must find the queue uniform before it becomes a lane again:
/// changing over costs both sides more than a few looks.
const UNIFORM_ENOUGH: u32 = if cfg!(loom) { 1 } else { 16 };
/// Tries for the lock before asking whether its holder lives.
const PAUSES: u32 = if cfg!(loom) { 0 } else { 400 };
const YIELDS: u32 = if cfg!(loom) { 0 } else { 20 };

/// The lock's word as a value: holder in 0-31 (owner + 1, or 0), in 32-63 how often it
/// was taken, so that a holder's word never comes back: whoever found that holder dead
/// can take the lock from it and from nobody who got its owner number since.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Lock(u64);

impl Lock {
    const HOLDER: u64 = u32::MAX as u64;

    fn is_free(self) -> bool {
        self.0 & Lock::HOLDER == 0
    }
    fn is_held_by(self, owner: u32) -> bool {
        self.0 & Lock::HOLDER == owner as u64 + 1
    }
    /// Its holder, if it is held.
    fn holder(self) -> u32 {
        (self.0 as u32).wrapping_sub(1)
    }
    fn taken_by(self, owner: u32) -> Lock {
        Lock((self.0 | Lock::HOLDER).wrapping_add(1) | (owner as u64 + 1))
    }
    fn freed(self) -> Lock {
        Lock(self.0 & !Lock::HOLDER)
    }
}

enum Locked {
    Ours(Lock),
    Stolen(Lock),
    Busy,
}

enum Top<'a> {
    Best(Candidate<'a>),
    Again,
    None,
}

fn key(prio: u32, seq: u64) -> u64 {
    ((PRIO_MAX - prio.min(PRIO_MAX)) as u64) << 40 | seq
}

/// Whether the message of key `a` comes before that of `b`; numbers wrap, so no plain `<`.
fn comes_before(a: u64, b: u64) -> bool {
    if a >> 40 != b >> 40 {
        return a >> 40 < b >> 40;
    }
    let distance = seq_distance(b, a);
    distance != 0 && distance < 1 << (SEQ_BITS - 1)
}

impl Engine {
    fn finder(&self) -> &FinderWords {
        &self.control().finder.0
    }

    /// Take the best message in mixed mode, `h` having SNAP.
    pub(super) fn take_found(&self, h: Head, cap: usize) -> Result<Round<Taken<'_>>, Refused> {
        let lock = match self.lock_finder() {
            Locked::Busy => return self.take_by_scan(h, cap),
            // F3
            Locked::Stolen(lock) => {
                self.finder().rebuilds_asked.fetch_add(1, Ordering::SeqCst);
                lock
            }
            Locked::Ours(lock) => lock,
        };
        let round = self.take_locked(h, cap);
        // SYNC: pairs with the Acquire of the next lock. A plain store will do: nobody
        // takes a lock from a living holder.
        self.finder().lock.store(lock.freed().0, Ordering::Release);
        round
    }

    fn lock_finder(&self) -> Locked {
        let mut tries = 0;
        loop {
            let seen = Lock(self.finder().lock.load(Ordering::Relaxed));
            if seen.is_free() {
                if let Some(lock) = self.change_lock(seen) {
                    return Locked::Ours(lock);
                }
                continue;
            }
            // Who holds it so long is probably stopped: one wait for one holding.
            let in_vain = &self.receiving.0.finder_lock;
            if in_vain.load(Ordering::Relaxed) == seen.0 {
                tries = PAUSES + YIELDS;
            }
            tries += 1;
            if tries < PAUSES {
                pause();
            } else if tries < PAUSES + YIELDS {
                yield_now();
            } else if seen.is_held_by(self.owner) || self.owners.is_alive(seen.holder()) {
                in_vain.store(seen.0, Ordering::Relaxed);
                return Locked::Busy;
            } else {
                step!(FinderStealing);
                return self.change_lock(seen).map_or(Locked::Busy, Locked::Stolen);
            }
        }
    }

    /// Take the lock if it still is as `seen`.
    fn change_lock(&self, seen: Lock) -> Option<Lock> {
        let mine = seen.taken_by(self.owner);
        self.finder()
            .lock
            .compare_exchange(seen.0, mine.0, Ordering::Acquire, Ordering::Relaxed)
            .ok()
            .map(|_| mine)
    }

    fn take_locked(&self, h: Head, cap: usize) -> Result<Round<Taken<'_>>, Refused> {
        let f = self.finder();
        if self.head_word().load(Ordering::SeqCst) != h.0 {
            return Ok(Round::Again);
        }
        step!(FinderLocked);
        let t = Tail(self.tail_word().load(Ordering::SeqCst));
        self.confirm(t);
        if !self.bring_up_to_date(h, t) {
            return Ok(Round::Again);
        }
        let candidate = match self.top(h) {
            Top::Best(candidate) => candidate,
            Top::Again => return Ok(Round::Again),
            Top::None => {
                // Messages are queued, yet none is here: never trust it again.
                f.rebuilds_asked.fetch_add(1, Ordering::SeqCst);
                return Ok(Round::Again);
            }
        };
        if !t.is_firing() && self.is_lane_again(h, t, candidate.word) {
            f.lane.store(1, Ordering::Relaxed);
            if self.change_head(h, h.next_epoch(0)) {
                step!(LaneHalfway);
                self.change_tail(t, t.with(0, MIX));
            } else {
                f.lane.store(0, Ordering::Relaxed);
            }
            return Ok(Round::Again);
        }
        if !self.fits(h, candidate, cap)? {
            return Ok(Round::Again);
        }
        // I7
        if self.head_word().load(Ordering::Acquire) != h.0 {
            return Ok(Round::Again);
        }
        let round = self.stamp_and_advance(h, candidate);
        if let Round::Got(_) = round {
            step!(FinderStale);
            self.pop();
            step!(FinderPopped);
        }
        Ok(round)
    }

    /// Make the heap hold every queued message; false: begin again.
    fn bring_up_to_date(&self, h: Head, t: Tail) -> bool {
        let f = self.finder();
        if f.rebuilds_asked.load(Ordering::SeqCst) != f.rebuilds_done.load(Ordering::Relaxed) {
            return self.rebuild(h, t);
        }
        if f.lane.load(Ordering::Relaxed) == 0 && self.drain(t) {
            return true;
        }
        self.clear(self.lane_begin(h, t));
        f.lane.store(0, Ordering::Relaxed);
        self.drain(t) || self.rebuild(h, t)
    }

    fn clear(&self, drained: u64) {
        let f = self.finder();
        f.len.store(0, Ordering::Relaxed);
        f.others.store(0, Ordering::Relaxed);
        f.uniform.store(0, Ordering::Relaxed);
        f.drained.store(drained, Ordering::Relaxed);
    }

    /// Add the messages up to `t`; false if one is not found where it should be.
    fn drain(&self, t: Tail) -> bool {
        let f = self.finder();
        let mut seq = f.drained.load(Ordering::Relaxed);
        let mut bound = self.nslots() * 2;
        while seq != t.count() {
            bound -= 1;
            if bound == 0 {
                return false;
            }
            let home = self.home(seq as u32 & super::word::TAKE_MASK);
            let mut index = home;
            let mut word = self.queued_as(index, seq);
            if word.is_none() {
                index = self.segment.entry(home).load(Ordering::Acquire);
                word = self.queued_as(index, seq);
            }
            let Some(word) = word else { return false };
            if !self.push(word, index) {
                return false;
            }
            seq = seq.wrapping_add(1) & SEQ_MASK;
            f.drained.store(seq, Ordering::Relaxed);
            step!(FinderDrained);
        }
        true
    }

    fn queued_as(&self, index: u32, seq: u64) -> Option<Word> {
        let word = Word(self.segment.slot(index)?.word.load(Ordering::Acquire));
        (word.is_queued() && word.seq() == seq).then_some(word)
    }

    /// Build the heap from the slots themselves; false: a half-done receive was met (F4).
    fn rebuild(&self, h: Head, t: Tail) -> bool {
        let f = self.finder();
        count(&self.control().counters.counters.rebuilds);
        // Noted only at the end: if we must begin again, the rebuild is still asked for.
        let asked = f.rebuilds_asked.load(Ordering::SeqCst);
        f.rebuilds_done.store(asked.wrapping_sub(1), Ordering::Relaxed);
        self.clear(t.count());
        f.lane.store(0, Ordering::Relaxed);
        step!(FinderRebuilding);
        for index in 0..self.nslots() {
            let Some(slot) = self.segment.slot(index) else { continue };
            let word = Word(slot.word.load(Ordering::Acquire));
            if word.is_taking() {
                if word.take() == h.count() && index == h.slot() {
                    continue;
                }
                self.resolve(index, slot, word);
                return false;
            }
            if word.is_queued() && self.age(t, word.seq()).is_some() && !self.push(word, index) {
                return false;
            }
        }
        f.rebuilds_done.store(asked, Ordering::Relaxed);
        true
    }

    /// The best message of the heap; entries that are no longer true are dropped.
    fn top(&self, h: Head) -> Top<'_> {
        while self.finder().len.load(Ordering::Relaxed) > 0 {
            let node = self.segment.node(0);
            let wanted = node.key.load(Ordering::Relaxed);
            let index = node.slot.load(Ordering::Relaxed) as u32;
            if let Some(slot) = self.segment.slot(index) {
                let word = Word(slot.word.load(Ordering::Acquire));
                if word.is_queued() && key(word.prio(), word.seq()) == wanted {
                    return Top::Best(Candidate { index, slot, word });
                }
                // F2
                let may_come_back = word.is_taking()
                    && slot.seq.load(Ordering::Relaxed) == wanted & SEQ_MASK
                    && !(word.take() == h.count() && index == h.slot());
                if may_come_back {
                    self.resolve(index, slot, word);
                    return Top::Again;
                }
            }
            self.pop();
            step!(FinderDropped);
        }
        Top::None
    }

    /// Whether the queue has been a lane for a while: one priority, no holes.
    fn is_lane_again(&self, h: Head, t: Tail, top: Word) -> bool {
        let f = self.finder();
        let uniform = f.others.load(Ordering::Relaxed) == 0
            && top.prio() == f.first_prio.load(Ordering::Relaxed)
            && top.take() == h.count()
            && f.len.load(Ordering::Relaxed) == t.queued(h);
        let run = if uniform { f.uniform.load(Ordering::Relaxed).saturating_add(1) } else { 0 };
        f.uniform.store(run, Ordering::Relaxed);
        run >= UNIFORM_ENOUGH
    }

    fn node(&self, at: u32) -> (u64, u64) {
        let node = self.segment.node(at);
        (node.key.load(Ordering::Relaxed), node.slot.load(Ordering::Relaxed))
    }

    fn set_node(&self, at: u32, (key, slot): (u64, u64)) {
        let node = self.segment.node(at);
        node.key.store(key, Ordering::Relaxed);
        node.slot.store(slot, Ordering::Relaxed);
    }

    /// Add an entry to the 4-ary heap; false if it is full (of stale ones).
    fn push(&self, word: Word, index: u32) -> bool {
        let f = self.finder();
        let len = f.len.load(Ordering::Relaxed);
        if len >= self.nslots() {
            return false;
        }
        if len == 0 {
            f.first_prio.store(word.prio(), Ordering::Relaxed);
            f.others.store(0, Ordering::Relaxed);
        } else if word.prio() != f.first_prio.load(Ordering::Relaxed) {
            f.others.store(f.others.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
        f.len.store(len + 1, Ordering::Relaxed);
        let new = (key(word.prio(), word.seq()), index as u64);
        let mut at = len;
        while at > 0 {
            let parent = (at - 1) / 4;
            let above = self.node(parent);
            if !comes_before(new.0, above.0) {
                break;
            }
            self.set_node(at, above);
            at = parent;
        }
        self.set_node(at, new);
        true
    }

    /// Remove the first entry.
    fn pop(&self) {
        let f = self.finder();
        let len = f.len.load(Ordering::Relaxed).min(self.nslots());
        if len == 0 {
            return;
        }
        let prio = PRIO_MAX.wrapping_sub((self.node(0).0 >> 40) as u32);
        if prio != f.first_prio.load(Ordering::Relaxed) {
            let others = f.others.load(Ordering::Relaxed);
            f.others.store(others.saturating_sub(1), Ordering::Relaxed);
        }
        let len = len - 1;
        f.len.store(len, Ordering::Relaxed);
        if len == 0 {
            return;
        }
        let moved = self.node(len);
        step!(FinderHalfway);
        let mut at = 0;
        loop {
            let first = 4 * at + 1;
            if first >= len {
                break;
            }
            let mut least = first;
            let mut below = self.node(first);
            for child in first + 1..(first + 4).min(len) {
                let node = self.node(child);
                if comes_before(node.0, below.0) {
                    least = child;
                    below = node;
                }
            }
            if !comes_before(below.0, moved.0) {
                break;
            }
            self.set_node(at, below);
            at = least;
        }
        self.set_node(at, moved);
    }

    /// This view is a dead owner's, who may have held the lock.
    #[cfg(not(loom))]
    pub(super) fn release_finder_of_the_dead(&self) {
        let f = self.finder();
        let seen = Lock(f.lock.load(Ordering::Relaxed));
        if seen.is_held_by(self.owner) {
            // F3
            f.rebuilds_asked.fetch_add(1, Ordering::SeqCst);
            // It fails if somebody who found the holder dead was faster.
            let _ = f.lock.compare_exchange(
                seen.0,
                seen.freed().0,
                Ordering::Release,
                Ordering::Relaxed,
            );
        }
    }
}
