//! What was sent and what was received, written down in shared memory as it happens,
//! and the judgement at the end.
//!
//! Every send and receive is an interval of time. Whatever the instant inside it at
//! which the operation took effect, some answers are wrong:
//!
//! - *Priority*: e is received although f, of higher priority, had been sent before the
//!   receive of e began and was not received before it ended.
//! - *First in, first out*: the same with f of equal priority, sent before the send of e
//!   began.
//! - *"Empty"*, though more sends had ended before than receives began until the answer.
//! - *"Full"*, though fewer sends began until the answer than receives had ended before,
//!   plus maxmsg.

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

/// Receivers from here on take messages out of turn.
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
}

/// A message sent, as its record says.
struct Send {
    id: u64,
    begin: u64,
    end: u64,
    is_received: bool,
}

/// A message's two intervals.
struct Passage {
    prio: u32,
    sent: (u64, u64),
    received: (u64, u64),
    out_of_turn: bool,
}

/// What the ledger says at the end.
#[derive(Default, Debug)]
pub struct Verdict {
    pub sent: usize,
    pub received: usize,
    /// Sends returned, never received.
    pub missing: usize,
    pub duplicates: usize,
    /// Received, never sent, or with another payload.
    pub corrupt: usize,
    /// One receiver got two messages of one sender and priority in the wrong order.
    pub misordered: usize,
    pub priority_inversions: usize,
    pub fifo_inversions: usize,
    pub empty_answers: usize,
    pub wrong_empty: usize,
    pub full_answers: usize,
    pub wrong_full: usize,
}

impl Verdict {
    /// Whether nothing is wrong but what the death of `killed_receivers` may take away.
    pub fn is_good(&self, killed_receivers: usize) -> bool {
        self.missing <= killed_receivers
            && self.duplicates == 0
            && self.corrupt == 0
            && self.misordered == 0
            && self.priority_inversions == 0
            && self.fifo_inversions == 0
    }
}

impl Ledger {
    /// Room for `messages`; answers are only noted if there is room for them.
    pub fn new(messages: usize, answers: usize) -> Ledger {
        Ledger {
            counts: Shared::new(5),
            sent: Shared::new(messages),
            received: Shared::new(messages),
            empty: Shared::new(answers.max(1)),
            full: Shared::new(answers.max(1)),
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
        let mut verdict =
            Verdict { corrupt: self.counts[CORRUPT].load(Acquire) as usize, ..Verdict::default() };
        let mut sends: Vec<Send> = vec![];
        let mut by_id: HashMap<u64, usize> = HashMap::new();
        for record in &self.sent[..self.count_sent() as usize] {
            let id = record.id.load(Acquire);
            if id != 0 {
                let (begin, end) = (record.begin.load(Relaxed), record.end.load(Acquire));
                assert!(by_id.insert(id, sends.len()).is_none(), "an id was given twice");
                sends.push(Send { id, begin, end, is_received: false });
            }
        }
        verdict.sent = sends.len();
        let mut passages = vec![];
        let mut last: HashMap<(u64, u64), u64> = HashMap::new();
        for record in &self.received[..self.count_received() as usize] {
            let id = record.id.load(Acquire);
            if id == 0 {
                // The receiver was killed while it wrote: the message died with it.
                continue;
            }
            verdict.received += 1;
            let Some(&at) = by_id.get(&id) else {
                verdict.corrupt += 1;
                continue;
            };
            let send = &mut sends[at];
            verdict.duplicates += usize::from(std::mem::replace(&mut send.is_received, true));
            let receiver = record.receiver.load(Relaxed);
            let before = last.insert((receiver, id >> 32), id);
            verdict.misordered += usize::from(before.is_some_and(|before| before >= id));
            let end = if send.end == 0 { u64::MAX } else { send.end };
            passages.push(Passage {
                prio: (id >> 32) as u32 & 0xFFFF,
                sent: (send.begin, end),
                received: (record.begin.load(Relaxed), record.end.load(Relaxed)),
                out_of_turn: receiver >= OUT_OF_TURN,
            });
        }
        verdict.missing = sends.iter().filter(|send| send.end != 0 && !send.is_received).count();
        verdict.priority_inversions = priority_inversions(&passages);
        verdict.fifo_inversions = fifo_inversions(&passages);
        self.judge_answers(&passages, maxmsg, &mut verdict);
        verdict
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

    fn judge_answers(&self, passages: &[Passage], maxmsg: usize, verdict: &mut Verdict) {
        let sorted = |pick: fn(&Passage) -> u64| {
            let mut times: Vec<u64> = passages.iter().map(pick).collect();
            times.sort_unstable();
            times
        };
        let before = |times: &[u64], t| times.partition_point(|&x| x < t);
        let until = |times: &[u64], t| times.partition_point(|&x| x <= t);
        let send_begins = sorted(|p| p.sent.0);
        let send_ends = sorted(|p| p.sent.1);
        let receive_begins = sorted(|p| p.received.0);
        let receive_ends = sorted(|p| p.received.1);
        let answers = |answers: &[Answer], at: usize| -> Vec<(u64, u64)> {
            let count = (self.counts[at].load(Acquire) as usize).min(answers.len());
            answers[..count]
                .iter()
                .map(|a| (a.begin.load(Acquire), a.end.load(Relaxed)))
                .filter(|a| a.0 != 0)
                .collect()
        };
        let empty = answers(&self.empty, EMPTY);
        let full = answers(&self.full, FULL);
        verdict.empty_answers = empty.len();
        verdict.full_answers = full.len();
        verdict.wrong_empty =
            empty.iter().filter(|a| before(&send_ends, a.0) > until(&receive_begins, a.1)).count();
        verdict.wrong_full = full
            .iter()
            .filter(|a| until(&send_begins, a.1) < before(&receive_ends, a.0) + maxmsg)
            .count();
    }
}

/// Largest value given for any priority above one, as values come.
struct MaxAbove(Vec<u64>);

impl MaxAbove {
    const PRIOS: usize = 32768;

    fn new() -> MaxAbove {
        MaxAbove(vec![0; MaxAbove::PRIOS + 1])
    }
    fn give(&mut self, prio: u32, value: u64) {
        // A binary indexed tree over the priorities from the highest down.
        let mut at = MaxAbove::PRIOS - prio as usize;
        while at <= MaxAbove::PRIOS {
            self.0[at] = self.0[at].max(value);
            at += at & at.wrapping_neg();
        }
    }
    fn above(&self, prio: u32) -> u64 {
        let mut at = MaxAbove::PRIOS - 1 - prio as usize;
        let mut most = 0;
        while at > 0 {
            most = most.max(self.0[at]);
            at &= at - 1;
        }
        most
    }
}

fn by(passages: &[Passage], pick: impl Fn(&Passage) -> u64) -> Vec<&Passage> {
    let mut sorted: Vec<&Passage> = passages.iter().collect();
    sorted.sort_unstable_by_key(|p| pick(p));
    sorted
}

fn priority_inversions(passages: &[Passage]) -> usize {
    let sent_first = by(passages, |p| p.sent.1);
    let mut next = sent_first.iter().peekable();
    let mut latest = MaxAbove::new();
    let mut wrong = 0;
    for e in by(passages, |p| p.received.0) {
        while let Some(f) = next.next_if(|f| f.sent.1 < e.received.0) {
            latest.give(f.prio, f.received.0);
        }
        wrong += usize::from(!e.out_of_turn && latest.above(e.prio) > e.received.1);
    }
    wrong
}

fn fifo_inversions(passages: &[Passage]) -> usize {
    let sent_first = by(passages, |p| p.sent.1);
    let mut next = sent_first.iter().peekable();
    let mut latest: HashMap<u32, u64> = HashMap::new();
    let mut wrong = 0;
    for e in by(passages, |p| p.sent.0) {
        while let Some(f) = next.next_if(|f| f.sent.1 < e.sent.0) {
            let seen = latest.entry(f.prio).or_default();
            *seen = (*seen).max(f.received.0);
        }
        wrong += usize::from(latest.get(&e.prio).is_some_and(|&begun| begun > e.received.1));
    }
    wrong
}
