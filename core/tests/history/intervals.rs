//! The fast judge: rules about intervals, checked by sorting and one sweep each.
//!
//! A message is *surely* in the queue between the end of its send and the begin of its
//! receive, and *perhaps* in it between the begin of its send and the end of its receive.
//! An operation took effect at one instant of its interval. So these are wrong:
//!
//! - *"Empty"*, if at every instant some message was surely in the queue; it need not be
//!   the same one all the time.
//! - *A receive of e*, if at every instant some message of a higher priority was (of a
//!   lower one, where the lowest was asked for).
//! - *A receive of e* that ended before the receive of f began, where f has the same
//!   priority and its send had ended before that of e began.
//! - *"Full"*, if at no instant `maxmsg` messages were perhaps in the queue.
//! - *A send*, if at every instant `maxmsg` other messages were surely in it, and any
//!   instant at which more than `maxmsg` were.
//! - *A message* received twice, or not sent, or not before it was received, or lost.
//!
//! Each rule is necessary; together they are not sufficient, which is what
//! [`search`](super::search) is for.
//!
//! Source: A. Bouajjani, C. Enea, C. Wang, Checking Linearizability of Concurrent Priority
//! Queues, 2017, for the cover of an interval by several messages.

use super::{Deed, NEVER, Operation, Which};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::ops::{Range, RangeInclusive};

#[derive(Default, Clone, Debug)]
pub struct Verdict {
    pub sent: usize,
    pub received: usize,
    pub empty_answers: usize,
    pub full_answers: usize,
    /// Sends returned, never received.
    pub missing: usize,
    pub duplicates: usize,
    /// Received, but never sent, not yet sent, or with another payload.
    pub corrupt: usize,
    pub priority_inversions: usize,
    pub fifo_inversions: usize,
    pub wrong_empty: usize,
    pub wrong_full: usize,
    /// Sent into a full queue.
    pub overfilled: usize,
    /// When the first of these happened.
    pub when: Option<(u64, u64)>,
}

impl Verdict {
    /// Something wrong happened from `begin` to `end`.
    fn wrong(&mut self, count: fn(&mut Verdict) -> &mut usize, begin: u64, end: u64) {
        *count(self) += 1;
        self.when = Some(self.when.map_or((begin, end), |first| first.min((begin, end))));
    }

    pub fn operations(&self) -> usize {
        self.sent + self.received + self.empty_answers + self.full_answers
    }

    /// Whether nothing is wrong at all.
    pub fn is_right(&self) -> bool {
        self.is_good(0) && self.wrong_full == 0
    }

    /// Whether nothing is wrong but what deaths may bring: each receiver that is killed may
    /// take a message with it, and a sender that finds all spare slots held by the dead may
    /// be told "full".
    pub fn is_good(&self, killed_receivers: usize) -> bool {
        self.missing <= killed_receivers
            && self.duplicates == 0
            && self.corrupt == 0
            && self.priority_inversions == 0
            && self.fifo_inversions == 0
            && self.wrong_empty == 0
            && self.overfilled == 0
    }
}

/// A message's way through the queue.
struct Passage {
    /// The place of its priority among those that occur.
    rank: usize,
    sent: (u64, u64),
    received: Option<Receipt>,
}

struct Receipt {
    /// No earlier than `begin`, which may be later than the call's.
    begin: u64,
    end: u64,
    which: Which,
}

/// "At some instant of this time no message of these priorities was queued."
struct Claim {
    from: u64,
    until: u64,
    absent: Range<usize>,
    /// What it counts as if it is wrong.
    count: fn(&mut Verdict) -> &mut usize,
}

/// Judge the operations on a queue that was empty at first.
pub fn judge(operations: &[Operation], maxmsg: usize) -> Verdict {
    let mut verdict = Verdict::default();
    let mut prios: Vec<u32> = operations
        .iter()
        .filter_map(|o| if let Deed::Sent(message) = o.deed { Some(message.prio) } else { None })
        .collect();
    prios.sort_unstable();
    prios.dedup();
    let mut passages = passages(operations, &prios, &mut verdict);
    tighten(&mut passages, &mut verdict);
    judge_absences(operations, &prios, &passages, &mut verdict);
    judge_room(operations, &passages, maxmsg, &mut verdict);
    verdict
}

fn passages(operations: &[Operation], prios: &[u32], verdict: &mut Verdict) -> Vec<Passage> {
    let mut passages = vec![];
    let mut by_id = HashMap::new();
    for o in operations {
        if let Deed::Sent(message) = o.deed {
            let rank = prios.partition_point(|&prio| prio < message.prio);
            let twin = by_id.insert(message.id, passages.len());
            assert!(twin.is_none(), "two messages have one id: {o:?}");
            passages.push(Passage { rank, sent: (o.begin, o.end), received: None });
        }
    }
    verdict.sent = passages.len();
    for o in operations {
        let Deed::Received(which, message) = o.deed else { continue };
        verdict.received += 1;
        let sent = by_id.get(&message.id).map(|&at| &mut passages[at]);
        match sent.filter(|p| prios[p.rank] == message.prio && p.sent.0 <= o.end) {
            None => verdict.wrong(|v| &mut v.corrupt, o.begin, o.end),
            Some(p) if p.received.is_some() => {
                verdict.wrong(|v| &mut v.duplicates, o.begin, o.end);
            }
            Some(p) => {
                p.received = Some(Receipt { begin: o.begin.max(p.sent.0), end: o.end, which });
                // It was sent before it was received.
                p.sent.1 = p.sent.1.min(o.end);
            }
        }
    }
    verdict.missing = passages.iter().filter(|p| p.received.is_none() && p.sent.1 != NEVER).count();
    passages
}

/// First in, first out: what was surely sent later is received no earlier.
fn tighten(passages: &mut [Passage], verdict: &mut Verdict) {
    let mut by_begin: Vec<usize> = (0..passages.len()).collect();
    by_begin.sort_unstable_by_key(|&at| passages[at].sent.0);
    let mut by_end = by_begin.clone();
    by_end.sort_unstable_by_key(|&at| passages[at].sent.1);
    let mut ended = by_end.into_iter().peekable();
    let mut received: HashMap<usize, u64> = HashMap::new();
    for at in by_begin {
        while let Some(f) = ended.next_if(|&f| passages[f].sent.1 < passages[at].sent.0) {
            if let Some(receipt) = &passages[f].received {
                let latest = received.entry(passages[f].rank).or_default();
                *latest = receipt.begin.max(*latest);
            }
        }
        let passage = &mut passages[at];
        let earliest = received.get(&passage.rank).copied().unwrap_or(0);
        if let Some(receipt) = &mut passage.received {
            if earliest > receipt.end {
                verdict.wrong(|v| &mut v.fifo_inversions, receipt.begin, receipt.end);
            } else {
                receipt.begin = receipt.begin.max(earliest);
            }
        }
    }
}

/// The answers "empty", and of each receive that there was nothing it should have preferred.
fn judge_absences(
    operations: &[Operation],
    prios: &[u32],
    passages: &[Passage],
    verdict: &mut Verdict,
) {
    let mut claims = vec![];
    for p in passages {
        let Some(Receipt { begin, end, which }) = p.received else { continue };
        let absent = match which {
            Which::Highest => p.rank + 1..prios.len(),
            Which::Lowest => 0..p.rank,
            Which::Of(_) => continue,
        };
        claims.push(Claim {
            from: begin,
            until: end,
            absent,
            count: |v| &mut v.priority_inversions,
        });
    }
    for o in operations {
        let Deed::Empty(which) = o.deed else { continue };
        verdict.empty_answers += 1;
        let absent = match which {
            Which::Highest | Which::Lowest => 0..prios.len(),
            Which::Of(prio) => {
                prios.partition_point(|&p| p < prio)..prios.partition_point(|&p| p <= prio)
            }
        };
        claims.push(Claim { from: o.begin, until: o.end, absent, count: |v| &mut v.wrong_empty });
    }
    for wrong in wrong_claims(&claims, prios.len(), passages) {
        verdict.wrong(wrong.count, wrong.from, wrong.until);
    }
}

/// Go through time. A claim waits for the first instant at which it may be true; if a
/// message is in its way, that is the instant at which its receive begins.
fn wrong_claims<'a>(claims: &'a [Claim], ranks: usize, passages: &[Passage]) -> Vec<&'a Claim> {
    let mut by_end: Vec<&Passage> = passages.iter().filter(|p| p.received.is_some()).collect();
    by_end.sort_unstable_by_key(|p| p.sent.1);
    let mut sent = by_end.into_iter().peekable();
    let mut leaves = RangeMax::new(ranks, 0);
    let mut waiting: BinaryHeap<_> =
        claims.iter().enumerate().map(|(k, claim)| Reverse((claim.from, k))).collect();
    let mut wrong = vec![];
    while let Some(Reverse((now, k))) = waiting.pop() {
        while let Some(p) = sent.next_if(|p| p.sent.1 < now) {
            leaves.raise(p.rank, p.received.as_ref().map_or(0, |receipt| receipt.begin));
        }
        let free = leaves.most(claims[k].absent.clone());
        if free > claims[k].until {
            wrong.push(&claims[k]);
        } else if free > now {
            waiting.push(Reverse((free, k)));
        }
    }
    wrong
}

/// The answers "full", and of each send that there was room.
fn judge_room(
    operations: &[Operation],
    passages: &[Passage],
    maxmsg: usize,
    verdict: &mut Verdict,
) {
    let maxmsg = maxmsg as i64;
    let mut perhaps = vec![];
    let mut surely = vec![];
    for p in passages {
        perhaps.push((p.sent.0, 1));
        if let Some(receipt) = &p.received {
            perhaps.push((receipt.end + 1, -1));
            if p.sent.1 < receipt.begin {
                surely.extend([(p.sent.1 + 1, 1), (receipt.begin, -1)]);
            }
        }
    }
    let perhaps = Level::new(perhaps);
    // Upside down: the least is wanted of this one.
    let room = Level::new(surely.iter().map(|&(at, change)| (at, -change)).collect());
    let surely = Level::new(surely);
    for o in operations {
        if o.deed == Deed::Full {
            verdict.full_answers += 1;
            if perhaps.most(o.begin..=o.end) < maxmsg {
                verdict.wrong(|v| &mut v.wrong_full, o.begin, o.end);
            }
        }
    }
    for p in passages {
        if room.most(p.sent.0..=p.sent.1) <= -maxmsg {
            verdict.wrong(|v| &mut v.overfilled, p.sent.0, p.sent.1);
        }
    }
    verdict.overfilled += (surely.most(0..=NEVER) - maxmsg).max(0) as usize;
}

/// A number that changes in the course of time, 0 at first.
struct Level {
    times: Vec<u64>,
    levels: RangeMax<i64>,
}

impl Level {
    fn new(mut changes: Vec<(u64, i64)>) -> Level {
        changes.sort_unstable();
        let mut steps: Vec<(u64, i64)> = vec![(0, 0)];
        for (time, change) in changes {
            let level = steps[steps.len() - 1].1 + change;
            if steps[steps.len() - 1].0 == time {
                steps.pop();
            }
            steps.push((time, level));
        }
        let mut levels = RangeMax::new(steps.len(), i64::MIN);
        for (k, step) in steps.iter().enumerate() {
            levels.raise(k, step.1);
        }
        Level { times: steps.iter().map(|step| step.0).collect(), levels }
    }

    /// The most that it was at any time of these.
    fn most(&self, times: RangeInclusive<u64>) -> i64 {
        let step = |time: &u64| self.times.partition_point(|t| t <= time) - 1;
        self.levels.most(step(times.start())..step(times.end()) + 1)
    }
}

/// Values in a row, of which the greatest in any range is found quickly.
struct RangeMax<T> {
    /// The values are the second half; each of the first is the greater of its two children.
    tree: Vec<T>,
    least: T,
}

impl<T: Ord + Copy> RangeMax<T> {
    fn new(len: usize, least: T) -> RangeMax<T> {
        RangeMax { tree: vec![least; 2 * len], least }
    }

    fn raise(&mut self, at: usize, value: T) {
        let mut at = at + self.tree.len() / 2;
        while at > 0 {
            self.tree[at] = self.tree[at].max(value);
            at /= 2;
        }
    }

    fn most(&self, range: Range<usize>) -> T {
        let half = self.tree.len() / 2;
        let (mut from, mut to) = (range.start + half, range.end + half);
        let mut most = self.least;
        while from < to {
            if from % 2 == 1 {
                most = most.max(self.tree[from]);
                from += 1;
            }
            if to % 2 == 1 {
                to -= 1;
                most = most.max(self.tree[to]);
            }
            from /= 2;
            to /= 2;
        }
        most
    }
}
