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
//!   slot that is rolled back later would be missed (`queued.rs`).
//!
//! Every send since the queue became mixed is drained into the heap in order: first
//! `drained` is the oldest message of the former lane, then each number is looked up
//! through the index. While the queue was a lane the heap was not told; a
//! number that is not found therefore first means "start again from the lane's
//! beginning". That is sound without knowing the past: if each of the `tail - head`
//! numbers before the tail is found QUEUED, these are all messages there are.
//!
//! The heap has eight children to a node, whose keys fill one cache line. A key is the
//! priority, reversed, and the number of the message, reckoned from `base`: then numbers
//! that wrap compare like others. The base moves with every new heap, and before the
//! numbers reach it there is one.
//!
//! The lock is a try-lock. Its holder may be stopped: then receivers scan all slots. The
//! queue changes between lane and mixed mode only under this lock, but for the sends that
//! begin the mixed mode: SETTLED is set, and it, the head's MIX and the tail's are cleared,
//! in this order, by its holder alone.

use super::engine::{Engine, Refused, count};
use super::layout::FinderWords;
use super::queued::Candidate;
use super::receive::Round;
use super::segment::Slot;
use super::word::{Head, MIX, SEQ_BITS, SEQ_MASK, SETTLED, TAKE_MASK, Tail, Word, seq_distance};
use crate::attr::PRIO_MAX;
use crate::fault::step;
use crate::sync::{AtomicU32, AtomicU64, Ordering, pause, yield_now};

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

/// Sends until the keys' base must move.
const BASE_LASTS: u64 = 1 << (SEQ_BITS - 3);
/// Children of a node in the heap.
const ARITY: u32 = 8;
/// Messages fetched ahead while draining.
const FETCH: u32 = if cfg!(loom) { 0 } else { 6 };

fn reversed(prio: u32) -> u64 {
    ((PRIO_MAX - prio.min(PRIO_MAX)) as u64) << 40
}

fn prio_of(key: u64) -> u32 {
    PRIO_MAX.wrapping_sub((key >> 40) as u32)
}

/// The entries, as a heap: the least key first. Every access is checked, since another
/// process may have written the length.
#[derive(Clone, Copy)]
struct Heap<'a> {
    keys: &'a [AtomicU64],
    slots: &'a [AtomicU32],
}

impl Heap<'_> {
    #[inline(always)]
    fn key(&self, at: u32) -> u64 {
        self.keys.get(at as usize).map_or(u64::MAX, |key| key.load(Ordering::Relaxed))
    }

    #[inline(always)]
    fn slot(&self, at: u32) -> u32 {
        self.slots.get(at as usize).map_or(0, |slot| slot.load(Ordering::Relaxed))
    }

    #[inline(always)]
    fn set(&self, at: u32, key: u64, slot: u32) {
        if let (Some(k), Some(s)) = (self.keys.get(at as usize), self.slots.get(at as usize)) {
            k.store(key, Ordering::Relaxed);
            s.store(slot, Ordering::Relaxed);
        }
    }

    /// Put an entry behind the first `len`, then up to where it belongs.
    #[inline(always)]
    fn insert(&self, len: u32, key: u64, slot: u32) {
        let mut at = len;
        while at > 0 {
            let parent = (at - 1) / ARITY;
            let above = self.key(parent);
            if above < key {
                break;
            }
            self.set(at, above, self.slot(parent));
            at = parent;
        }
        self.set(at, key, slot);
    }

    /// Put entry `last` in the place of the first, then down to where it belongs.
    #[inline(always)]
    fn remove_first(&self, last: u32) {
        let moved = self.key(last);
        let mut at = 0;
        loop {
            let first = ARITY * at + 1;
            if first >= last {
                break;
            }
            let (least, below) = self.least(first, last);
            if moved < below {
                break;
            }
            self.set(at, below, self.slot(least));
            at = least;
        }
        self.set(at, moved, self.slot(last));
    }

    /// The least of the brothers that begin at `first`, and its key.
    #[inline(always)]
    fn least(&self, first: u32, end: u32) -> (u32, u64) {
        let brothers = first as usize..end.min(first + ARITY) as usize;
        let Some(brothers) = self.keys.get(brothers) else { return (0, u64::MAX) };
        // Keys leave their upper bits free: the brother's number goes along in the lowest.
        let numbered = |(i, key): (usize, &AtomicU64)| key.load(Ordering::Relaxed) << 3 | i as u64;
        // All eight are compared in pairs, none of which waits for the one before it.
        let least = match <&[AtomicU64; ARITY as usize]>::try_from(brothers) {
            Ok(all) => {
                let key = |i: usize| numbered((i, &all[i]));
                let pair = |i: usize| key(i).min(key(i + 1));
                pair(0).min(pair(2)).min(pair(4).min(pair(6)))
            }
            Err(_) => brothers.iter().enumerate().map(numbered).fold(u64::MAX, u64::min),
        };
        (first + (least & 7) as u32, least >> 3)
    }
}

impl Engine {
    fn finder(&self) -> &FinderWords {
        &self.control().finder.0
    }

    /// Take the best message in mixed mode, `h` having SNAP.
    pub(super) fn take_found(&self, h: Head, cap: usize) -> Result<Round<Slot<'_>>, Refused> {
        step!(FinderWanted);
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
            } else if seen.is_held_by(self.owner) || self.is_alive(seen.holder()) {
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

    fn take_locked(&self, h: Head, cap: usize) -> Result<Round<Slot<'_>>, Refused> {
        let f = self.finder();
        if self.head_word().load(Ordering::SeqCst) != h.0 {
            return Ok(Round::Again);
        }
        step!(FinderLocked);
        let t = Tail(self.tail_word().load(Ordering::SeqCst));
        if !t.is_mixed() {
            // A late sender of a mixed mode that is over has marked the head.
            self.change_head(h, h.next_epoch(0));
            return Ok(Round::Again);
        }
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
        let run = self.uniform_run(h, t, candidate.word);
        if run >= UNIFORM_ENOUGH && !t.is_firing() {
            self.back_to_lane(h, t);
            return Ok(Round::Again);
        }
        if run == 0 && !t.is_settled() && !t.is_firing() {
            // If it fails, somebody has sent meanwhile, and the next look tries again.
            self.change_tail(t, t.with(SETTLED, 0));
        }
        if !self.fits(h, candidate, cap)? {
            return Ok(Round::Again);
        }
        // I7
        if self.head_word().load(Ordering::Acquire) != h.0 {
            return Ok(Round::Again);
        }
        let round = self.stamp_and_advance(h, candidate, self.received(h, t));
        if let Round::Got(_) = round {
            step!(FinderStale);
            self.pop();
            self.propose(h, candidate.slot.number());
            step!(FinderPopped);
        }
        Ok(round)
    }

    /// One step from mixed mode to a lane, the queue being one as of `t`.
    fn back_to_lane(&self, h: Head, t: Tail) {
        let f = self.finder();
        if t.is_settled() {
            // Sends from now on look at the head again. Those before are known next time.
            self.change_tail(t, t.with(0, SETTLED));
            step!(LaneUnsettled);
            return;
        }
        f.lane.store(1, Ordering::Relaxed);
        if self.change_head(h, h.next_epoch(0)) {
            step!(LaneHalfway);
            self.change_tail(t, t.with(0, MIX));
        } else {
            f.lane.store(0, Ordering::Relaxed);
        }
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
        self.clear(self.received(h, t));
        f.lane.store(0, Ordering::Relaxed);
        self.drain(t) || self.rebuild(h, t)
    }

    fn clear(&self, drained: u64) {
        let f = self.finder();
        f.len.store(0, Ordering::Relaxed);
        f.others.store(0, Ordering::Relaxed);
        f.uniform.store(0, Ordering::Relaxed);
        f.drained.store(drained, Ordering::Relaxed);
        f.base.store(drained.wrapping_add(BASE_LASTS) & SEQ_MASK, Ordering::Relaxed);
    }

    /// Add the messages up to `t`; false if one is not found where it should be.
    fn drain(&self, t: Tail) -> bool {
        let f = self.finder();
        let mut seq = f.drained.load(Ordering::Relaxed);
        let base = f.base.load(Ordering::Relaxed);
        let new = seq_distance(t.count(), seq);
        if new >= self.nslots() as u64 || seq_distance(base, seq) <= new {
            return false;
        }
        let mut place = self.place(seq as u32 & TAKE_MASK);
        for ahead in 1..FETCH.min(new as u32) {
            self.segment.prefetch(self.slot_at(self.place_after(place, ahead)));
        }
        while seq != t.count() {
            if seq_distance(t.count(), seq) > FETCH as u64 {
                self.segment.prefetch(self.slot_at(self.place_after(place, FETCH)));
            }
            let index = self.slot_at(place);
            let Some(word) = self.queued_as(index, seq) else { return false };
            if !self.push(word, index) {
                return false;
            }
            seq = seq.wrapping_add(1) & SEQ_MASK;
            place = self.place_after(place, 1);
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
        count(&self.control().counters.0.counters.rebuilds);
        // Noted only at the end: if we must begin again, the rebuild is still asked for.
        let asked = f.rebuilds_asked.load(Ordering::SeqCst);
        f.rebuilds_done.store(asked.wrapping_sub(1), Ordering::Relaxed);
        self.clear(t.count());
        f.lane.store(0, Ordering::Relaxed);
        step!(FinderRebuilding);
        let is_whole = self.each_message(h, &self.as_of(t), |candidate, _| {
            self.push(candidate.word, candidate.slot.number())
        });
        if is_whole {
            f.rebuilds_done.store(asked, Ordering::Relaxed);
        }
        is_whole
    }

    /// The best message of the heap; entries that are no longer true are dropped.
    fn top(&self, h: Head) -> Top<'_> {
        // Each round drops an entry, unless another process forges the number of them.
        for _ in 0..=self.nslots() {
            if self.finder().len.load(Ordering::Relaxed) == 0 {
                return Top::None;
            }
            let wanted = self.heap().key(0);
            let index = self.heap().slot(0);
            if let Some(slot) = self.segment.slot(index) {
                let word = Word(slot.word.load(Ordering::Acquire));
                if word.is_queued() && self.key(word.prio(), word.seq()) == wanted {
                    return Top::Best(Candidate { slot, word });
                }
                // F2
                let seq = slot.seq.load(Ordering::Relaxed);
                let may_come_back = word.is_taking()
                    && self.key(prio_of(wanted), seq) == wanted
                    && !(word.take() == h.count() && index == h.slot());
                if may_come_back {
                    self.resolve(slot, word);
                    return Top::Again;
                }
            }
            self.pop();
            step!(FinderDropped);
        }
        Top::Again
    }

    /// How many looks in a row have found a lane: one priority, no holes.
    fn uniform_run(&self, h: Head, t: Tail, top: Word) -> u32 {
        let f = self.finder();
        let uniform = f.others.load(Ordering::Relaxed) == 0
            && top.prio() == f.first_prio.load(Ordering::Relaxed)
            && top.seq() == self.received(h, t)
            && f.len.load(Ordering::Relaxed) == t.queued(h);
        let run = if uniform { f.uniform.load(Ordering::Relaxed).saturating_add(1) } else { 0 };
        f.uniform.store(run, Ordering::Relaxed);
        run
    }

    /// The key of a message: the least is received first.
    fn key(&self, prio: u32, seq: u64) -> u64 {
        let base = self.finder().base.load(Ordering::Relaxed);
        reversed(prio) | seq_distance(seq, base)
    }

    fn heap(&self) -> Heap<'_> {
        let (keys, slots) = self.segment.heap();
        Heap { keys, slots }
    }

    /// Add an entry to the heap; false if it is full (of stale ones).
    #[inline(always)]
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
        self.heap().insert(len, self.key(word.prio(), word.seq()), index);
        true
    }

    /// Remove the first entry.
    fn pop(&self) {
        let f = self.finder();
        let heap = self.heap();
        let len = f.len.load(Ordering::Relaxed).min(self.nslots());
        if len == 0 {
            return;
        }
        if prio_of(heap.key(0)) != f.first_prio.load(Ordering::Relaxed) {
            let others = f.others.load(Ordering::Relaxed);
            f.others.store(others.saturating_sub(1), Ordering::Relaxed);
        }
        f.len.store(len - 1, Ordering::Relaxed);
        step!(FinderHalfway);
        heap.remove_first(len - 1);
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
