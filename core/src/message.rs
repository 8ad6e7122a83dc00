//! A message with everything that can be said of it: plain values.

#![forbid(unsafe_code)]

/// Flags of a send.
pub mod send {
    /// System V: the message has the type that it says, not one made from its priority.
    pub const TYPE: u64 = 1;
    /// A full queue drops its oldest message of the lowest priority instead.
    pub const DROP_OLDEST: u64 = 2;
    /// All of them.
    pub const ALL: u64 = TYPE | DROP_OLDEST;
}

/// Flags of a receive.
pub mod receive {
    /// Look at the message and leave it.
    pub const PEEK: u64 = 1;
    /// A message that is too long is cut.
    pub const TRUNCATE: u64 = 2;
    /// System V: the type selects, as in msgrcv.
    pub const TYPE: u64 = 4;
    /// With `TYPE`: the first message of any other type.
    pub const EXCEPT: u64 = 8;
    /// All of them.
    pub const ALL: u64 = PEEK | TRUNCATE | TYPE | EXCEPT;
}

/// States of a message received.
pub mod state {
    /// It was received before, and given back or left behind.
    pub const REDELIVERED: u32 = 1;
}

/// A message to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing {
    /// Its bytes.
    pub data: *const u8,
    /// How many.
    pub len: usize,
    /// Its priority.
    pub prio: u32,
    /// Its System V type.
    pub kind: i64,
    /// Bits of [`send`].
    pub flags: u64,
}

/// What is asked for in a receive.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Where the message goes.
    pub data: *mut u8,
    /// Room there.
    pub cap: usize,
    /// System V type, as msgrcv has it.
    pub kind: i64,
    /// Peeking: priority of the message looked at last.
    pub prio: u32,
    /// Peeking: number of the message looked at last, 0 for none.
    pub sequence: u64,
    /// Bits of [`receive`].
    pub flags: u64,
}

/// What was received.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Incoming {
    /// The message's length; more than was asked for where it was cut.
    pub len: usize,
    /// Its priority.
    pub prio: u32,
    /// Its System V type; 0 elsewhere.
    pub kind: i64,
    /// Its number in the queue; 0 where unknown.
    pub sequence: u64,
    /// When it was sent, on CLOCK_MONOTONIC_COARSE; 0 where unknown.
    pub sent_ns: i64,
    /// Its sender's process; 0 where unknown.
    pub sender_pid: u32,
    /// Its sender's user; 0 where unknown.
    pub sender_uid: u32,
    /// Bits of [`state`].
    pub state: u32,
}
