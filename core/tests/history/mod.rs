//! What was done to one queue, and when: what the two judges read.
//!
//! - [`intervals`] judges millions of operations by rules that each follow from a few of
//!   their intervals: fast, and nearly as sharp as can be.
//! - [`search`] judges some twenty operations by looking for an order of theirs in which
//!   a plain queue gives the same answers: the definition itself.
//!
//! Whatever they find wrong is wrong: where two clock readings are equal, or an operation's
//! effect may lie here or there, they assume what suits the queue.
//!
//! Source: M. Herlihy, J. Wing, Linearizability, 1990.

#![allow(dead_code, reason = "each of the tests uses a part")]

#[cfg(loom)]
pub mod chronicle;
pub mod intervals;
pub mod search;

use std::fmt;

/// The end of an operation that never returned.
pub const NEVER: u64 = i64::MAX as u64;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Message {
    /// No two sends share one.
    pub id: u64,
    pub prio: u32,
}

/// Which message a receiver asks for; the oldest of these.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    Highest,
    /// Out of turn.
    Lowest,
    /// Out of turn: this priority only.
    Of(u32),
}

/// What was done, with the queue's answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deed {
    Sent(Message),
    /// A send was refused, at once or when its time was up.
    Full,
    Received(Which, Message),
    /// A receive was refused, at once or when its time was up.
    Empty(Which),
}

/// One call. It took effect at some instant from `begin` to `end`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// Who called.
    pub by: u64,
    pub begin: u64,
    pub end: u64,
    pub deed: Deed,
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>3} [{:>6} {:>6}] {:x?}", self.by, self.begin, self.end, self.deed)
    }
}

/// A history as people read it.
pub fn story(operations: &[Operation]) -> String {
    let mut operations = operations.to_vec();
    operations.sort_by_key(|o| o.begin);
    operations.iter().map(|o| format!("{o:?}\n")).collect()
}
