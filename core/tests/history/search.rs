//! The full search: is there an order of the operations, in which none comes before one
//! that had ended when it began, and in which a plain queue gives the same answers?
//!
//! It puts one operation after the other into that order, any that may come next, and
//! takes the last one back where no other can follow. What was tried from the same set of
//! operations with the same queue is not tried again.
//!
//! Source: J. Wing, C. Gong, Testing and Verifying Concurrent Objects, 1993; the memory of
//! what was tried is G. Lowe's, Testing for Linearizability, 2017.

use super::{Deed, Message, Operation, Which};
use std::collections::HashSet;

/// What the contract says, done by one after the other: at most `maxmsg` messages.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Plain {
    /// By priority from the highest down, then by age.
    messages: Vec<Message>,
}

impl Plain {
    fn find(&self, which: Which) -> Option<usize> {
        let prio = match which {
            Which::Highest => self.messages.first()?.prio,
            Which::Lowest => self.messages.last()?.prio,
            Which::Of(prio) => prio,
        };
        self.messages.iter().position(|m| m.prio == prio)
    }

    /// What the queue answers to a send or a receive, and the queue after it.
    pub fn asked(&self, wish: Deed, maxmsg: usize) -> (Deed, Plain) {
        let answer = match wish {
            Deed::Sent(_) | Deed::Full if self.messages.len() >= maxmsg => Deed::Full,
            Deed::Received(which, _) | Deed::Empty(which) => match self.find(which) {
                Some(at) => Deed::Received(which, self.messages[at]),
                None => Deed::Empty(which),
            },
            sent => sent,
        };
        (answer, self.after(answer, maxmsg).expect("it is its own answer"))
    }

    /// The queue after it, or `None` if it answers otherwise.
    pub fn after(&self, deed: Deed, maxmsg: usize) -> Option<Plain> {
        let is_full = self.messages.len() >= maxmsg;
        let mut after = self.clone();
        let is_so = match deed {
            Deed::Sent(message) => {
                let at = self.messages.partition_point(|m| m.prio >= message.prio);
                after.messages.insert(at, message);
                !is_full
            }
            Deed::Full => is_full,
            Deed::Received(which, message) => match self.find(which) {
                Some(at) => after.messages.remove(at) == message,
                None => false,
            },
            Deed::Empty(which) => self.find(which).is_none(),
        };
        is_so.then_some(after)
    }
}

/// What cannot be ordered: the longest order that was found, and what may not follow it.
#[derive(Debug)]
pub struct Stuck {
    pub order: Vec<usize>,
    pub states: usize,
}

struct Search<'a> {
    operations: &'a [Operation],
    maxmsg: usize,
    /// For each operation the set of those that had ended when it began.
    before: Vec<u64>,
    tried: HashSet<(u64, Plain)>,
    order: Vec<usize>,
    longest: Vec<usize>,
}

impl Search<'_> {
    fn complete(&mut self, done: u64, queue: &Plain) -> bool {
        if self.order.len() == self.operations.len() {
            return true;
        }
        for next in 0..self.operations.len() {
            if done >> next & 1 != 0 || self.before[next] & !done != 0 {
                continue;
            }
            let Some(after) = queue.after(self.operations[next].deed, self.maxmsg) else {
                continue;
            };
            let with_it = done | 1 << next;
            if !self.tried.insert((with_it, after.clone())) {
                continue;
            }
            self.order.push(next);
            if self.order.len() > self.longest.len() {
                self.longest.clone_from(&self.order);
            }
            if self.complete(with_it, &after) {
                return true;
            }
            self.order.pop();
        }
        false
    }
}

/// Whether at most 64 operations on a queue of `maxmsg` messages, empty at first, can be
/// ordered; gives the order. All of them must have returned.
pub fn order(operations: &[Operation], maxmsg: usize) -> Result<Vec<usize>, Stuck> {
    assert!(operations.len() <= 64, "too long to be searched");
    let before = operations
        .iter()
        .map(|o| {
            let ended = |k: &usize| operations[*k].end < o.begin;
            (0..operations.len()).filter(ended).fold(0, |set, k| set | 1 << k)
        })
        .collect();
    let mut search = Search {
        operations,
        maxmsg,
        before,
        tried: HashSet::new(),
        order: vec![],
        longest: vec![],
    };
    if search.complete(0, &Plain::default()) {
        return Ok(search.order);
    }
    Err(Stuck { order: search.longest, states: search.tried.len() })
}
