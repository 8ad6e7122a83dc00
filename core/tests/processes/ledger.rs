//! What was sent and what was received, written down in shared memory as it happens,
//! and the judgement at the end.
//!
//! Any number of processes may write, and be killed while they do: each record begins to
//! count when its id is stored, at the end. [`intervals`](super::history::intervals) is
//! the judge.

use super::history::intervals::{Verdict, judge};
use super::history::{Deed, Message, NEVER, Operation, Which};
use mqueue_core::sync::AtomicU64;
use mqueue_core::sync::Ordering::{Acquire, Relaxed, Release};
use std::collections::HashMap;

/// # Safety
/// All-zero bytes are a value of the type, and it consists of atomics only.
pub unsafe trait Zeroed: Sync + 'static {}

/// Memory that forked children share.
pub struct Shared<T: Zeroed> {
    base: *mut T,
    len: usize,
}

impl<T: Zeroed> Shared<T> {
    pub fn new(len: usize) -> Shared<T> {
        // SAFETY: a new mapping at an address of the kernel's choice.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len * size_of::<T>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        assert!(base != libc::MAP_FAILED, "no shared memory");
        Shared { base: base.cast(), len }
    }
}

impl<T: Zeroed> std::ops::Deref for Shared<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: mapped for `len` values until dropped; zeros are values, and Zeroed
        // promises atomics.
        unsafe { std::slice::from_raw_parts(self.base, self.len) }
    }
}

impl<T: Zeroed> Drop for Shared<T> {
    fn drop(&mut self) {
        // SAFETY: mapped in `new`.
        unsafe { libc::munmap(self.base.cast(), self.len * size_of::<T>()) };
    }
}

// SAFETY: only the values are shared, and they consist of atomics.
unsafe impl<T: Zeroed> Sync for Shared<T> {}

// SAFETY: an atomic integer.
unsafe impl Zeroed for AtomicU64 {}

/// One message sent; `end` is 0 until the send has returned.
#[repr(C)]
pub struct Sent {
    id: AtomicU64,
    begin: AtomicU64,
    end: AtomicU64,
}
// SAFETY: atomics only.
unsafe impl Zeroed for Sent {}

/// One message received.
#[repr(C)]
pub struct Received {
    id: AtomicU64,
    begin: AtomicU64,
    end: AtomicU64,
    receiver: AtomicU64,
}
// SAFETY: atomics only.
unsafe impl Zeroed for Received {}

/// One answer "full" or "empty".
#[repr(C)]
pub struct Answer {
    begin: AtomicU64,
    end: AtomicU64,
}
// SAFETY: atomics only.
unsafe impl Zeroed for Answer {}

const SENT: usize = 0;
const RECEIVED: usize = 1;
const EMPTY: usize = 2;
const FULL: usize = 3;
const CORRUPT: usize = 4;
const AGAIN: usize = 5;

/// Receivers from here on take messages out of turn, the lowest priority first.
pub const OUT_OF_TURN: u64 = 1 << 20;
/// Tells a receiver to leave.
pub const PILL: u64 = 0xFFFF << 48;

/// A message's identity: who sent it, its priority, its number.
pub fn id(sender: u64, prio: u32, number: u64) -> u64 {
    sender << 48 | (prio as u64) << 32 | number
}

pub struct Ledger {
    counts: Shared<AtomicU64>,
    sent: Shared<Sent>,
    received: Shared<Received>,
    empty: Shared<Answer>,
    full: Shared<Answer>,
    /// Ids of messages that came again.
    again: Shared<AtomicU64>,
}

impl Ledger {
    /// Room for `messages`; answers are only noted if there is room for them.
    pub fn new(messages: usize, answers: usize) -> Ledger {
        Ledger {
            counts: Shared::new(6),
            sent: Shared::new(messages),
            received: Shared::new(messages),
            empty: Shared::new(answers.max(1)),
            full: Shared::new(answers.max(1)),
            again: Shared::new(messages),
        }
    }

    pub fn count_sent(&self) -> u64 {
        self.counts[SENT].load(Relaxed)
    }
    pub fn count_received(&self) -> u64 {
        self.counts[RECEIVED].load(Relaxed)
    }

    /// Whether there is still room: with some to spare for those in the middle of a call.
    pub fn has_room(&self) -> bool {
        let used = self.count_sent().max(self.count_received()) as usize;
        used + self.sent.len() / 16 < self.sent.len()
    }

    /// A send of `id` is about to begin.
    pub fn begin_send(&self, id: u64) -> &Sent {
        let at = self.counts[SENT].fetch_add(1, Relaxed) as usize;
        let record = &self.sent[at];
        record.begin.store(super::now(), Relaxed);
        record.id.store(id, Release);
        record
    }

    /// It is tried anew after it was refused.
    pub fn begin_again(&self, record: &Sent) {
        record.begin.store(super::now(), Relaxed);
    }

    /// It has returned.
    pub fn end_send(&self, record: &Sent) {
        record.end.store(super::now(), Release);
    }

    /// It was refused for good.
    pub fn drop_send(&self, record: &Sent) {
        record.id.store(0, Release);
    }

    pub fn note_receive(&self, id: u64, begin: u64, end: u64, receiver: u64) {
        let at = self.counts[RECEIVED].fetch_add(1, Relaxed) as usize;
        let record = &self.received[at];
        record.begin.store(begin, Relaxed);
        record.end.store(end, Relaxed);
        record.receiver.store(receiver, Relaxed);
        record.id.store(id, Release);
    }

    /// A message was received that is marked as received before.
    pub fn note_again(&self, id: u64) {
        let at = self.counts[AGAIN].fetch_add(1, Relaxed) as usize;
        self.again[at].store(id, Release);
    }

    fn ids_again(&self) -> HashMap<u64, usize> {
        let mut ids = HashMap::new();
        for id in &self.again[..self.counts[AGAIN].load(Acquire) as usize] {
            let id = id.load(Acquire);
            if id != 0 {
                *ids.entry(id).or_default() += 1;
            }
        }
        ids
    }

    /// How many messages came again.
    pub fn count_again(&self) -> usize {
        self.ids_again().len()
    }

    /// How often a message that came again was received more than once.
    pub fn received_too_often(&self) -> usize {
        let mut ids = self.ids_again();
        for record in &self.received[..self.count_received() as usize] {
            if let Some(times) = ids.get_mut(&record.id.load(Acquire)) {
                *times += 1;
            }
        }
        ids.values().map(|times| times - 1).sum()
    }

    pub fn note_corrupt(&self) {
        self.counts[CORRUPT].fetch_add(1, Relaxed);
    }

    pub fn note_empty(&self, begin: u64, end: u64) {
        Ledger::note(&self.empty, &self.counts[EMPTY], begin, end);
    }

    pub fn note_full(&self, begin: u64, end: u64) {
        Ledger::note(&self.full, &self.counts[FULL], begin, end);
    }

    fn note(answers: &[Answer], count: &AtomicU64, begin: u64, end: u64) {
        let at = count.load(Relaxed) as usize;
        if at >= answers.len() {
            return;
        }
        let at = count.fetch_add(1, Relaxed) as usize;
        if let Some(answer) = answers.get(at) {
            answer.end.store(end, Relaxed);
            answer.begin.store(begin, Release);
        }
    }

    /// Judge what is written. `maxmsg` is for the answers "full".
    pub fn judge(&self, maxmsg: usize) -> Verdict {
        let again = self.ids_again();
        let sent = &self.sent[..self.count_sent() as usize];
        let known = sent.iter().filter(|s| again.contains_key(&s.id.load(Acquire))).count();
        // What came again has lost its place in the order: the rest is judged without it.
        let mut operations = self.operations();
        operations.retain(|operation| match operation.deed {
            Deed::Sent(message) | Deed::Received(_, message) => !again.contains_key(&message.id),
            _ => true,
        });
        let mut verdict = judge(&operations, maxmsg);
        verdict.corrupt += again.len() - known;
        verdict.corrupt += self.counts[CORRUPT].load(Acquire) as usize;
        verdict
    }

    fn operations(&self) -> Vec<Operation> {
        let written =
            |at: usize, room: usize| 0..(self.counts[at].load(Acquire) as usize).min(room);
        let message = |id: u64| Message { id, prio: (id >> 32) as u32 & 0xFFFF };
        let mut operations = vec![];
        for record in &self.sent[written(SENT, self.sent.len())] {
            let id = record.id.load(Acquire);
            if id != 0 {
                let begin = record.begin.load(Relaxed);
                let end = record.end.load(Acquire);
                let end = if end == 0 { NEVER } else { end };
                operations.push(Operation {
                    by: id >> 48,
                    begin,
                    end,
                    deed: Deed::Sent(message(id)),
                });
            }
        }
        for record in &self.received[written(RECEIVED, self.received.len())] {
            let id = record.id.load(Acquire);
            // 0: the receiver was killed while it wrote, and the message died with it.
            if id != 0 {
                let by = record.receiver.load(Relaxed);
                let which = if by >= OUT_OF_TURN { Which::Lowest } else { Which::Highest };
                let (begin, end) = (record.begin.load(Relaxed), record.end.load(Relaxed));
                operations.push(Operation {
                    by,
                    begin,
                    end,
                    deed: Deed::Received(which, message(id)),
                });
            }
        }
        let answers =
            [(EMPTY, &self.empty, Deed::Empty(Which::Highest)), (FULL, &self.full, Deed::Full)];
        for (at, answers, deed) in answers {
            for answer in &answers[written(at, answers.len())] {
                let (begin, end) = (answer.begin.load(Acquire), answer.end.load(Relaxed));
                if begin != 0 {
                    operations.push(Operation { by: 0, begin, end, deed });
                }
            }
        }
        operations
    }

    /// Sends that have returned and were never received: for the explanation.
    pub fn missing(&self) -> Vec<u64> {
        let got: std::collections::HashSet<u64> = self.received[..self.count_received() as usize]
            .iter()
            .map(|record| record.id.load(Acquire))
            .collect();
        self.sent[..self.count_sent() as usize]
            .iter()
            .filter(|record| record.end.load(Acquire) != 0)
            .map(|record| record.id.load(Acquire))
            .filter(|id| !got.contains(id))
            .collect()
    }
}
