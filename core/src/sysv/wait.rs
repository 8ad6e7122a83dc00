//! Waiting for room in a System V queue, or for a message.
//!
//! ```text
//! for ever          the system call itself waits: no cost, woken at once, first come first
//!                   served; interrupted by every signal handler, SA_RESTART or not
//! for a while       announce on the queue's bell, try, sleep a slice, try, and again
//! ```
//!
//! A slice is short enough that a message of a program that rings no bells is noticed within
//! 10 ms. A bell is rung for all who sleep on it: which of them the message is for, its type
//! decides.
//!
//! A bell is heard for the reasons that hold in `shm/event.rs`; the Dekker pair is this one:
//! a waiter announces and then tries, who changes the queue does so and then reads the bell.
//! Both system calls go through the lock of the queue in the kernel, so one comes first: if
//! it was the try, the announcement was made before that lock was given free, and is seen by
//! who had it next.

use super::SysvQueue;
use super::bell::Pair;
use crate::deadline::Wait;
use crate::error::{Errno, Result};
use crate::report::say;
use crate::shm::{Event, Limit, Slept, Waited};

/// Longest sleep without a try.
const SLICE: i64 = 8_000_000;

/// Which side waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// For room.
    Sender,
    /// For a message.
    Receiver,
}

impl Side {
    fn bell(self, pair: &Pair) -> &Event {
        match self {
            Side::Sender => &pair.senders,
            Side::Receiver => &pair.receivers,
        }
    }

    fn would_block(self) -> Errno {
        match self {
            Side::Sender => say(libc::EAGAIN, "the queue is full and the call must not wait"),
            Side::Receiver => {
                say(libc::EAGAIN, "the queue has no such message and the call must not wait")
            }
        }
    }

    fn timed_out(self) -> Errno {
        match self {
            Side::Sender => say(libc::ETIMEDOUT, "the queue was full until the time was up"),
            Side::Receiver => {
                say(libc::ETIMEDOUT, "the queue had no such message until the time was up")
            }
        }
    }
}

/// How a system call is to be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Try {
    /// With IPC_NOWAIT.
    Now,
    /// It may sleep.
    Sleeping,
}

impl Try {
    /// The flag.
    pub fn flag(self) -> i32 {
        match self {
            Try::Now => libc::IPC_NOWAIT,
            Try::Sleeping => 0,
        }
    }
}

/// How long a call goes on waiting, whatever number of times it begins to.
#[derive(Clone, Copy)]
pub enum Patience {
    /// Not at all.
    Never,
    /// For ever.
    Unlimited,
    /// A time, not yet a point in time: the clock is asked only by who must wait.
    Unasked(Wait),
    /// Until then.
    Until(Limit),
}

impl Patience {
    /// What a call was given.
    pub fn of(wait: Wait) -> Patience {
        match wait {
            Wait::Never => Patience::Never,
            Wait::Unlimited => Patience::Unlimited,
            wait => Patience::Unasked(wait),
        }
    }

    /// The wait begins.
    fn begin(&mut self) {
        if let Patience::Unasked(wait) = *self {
            *self = Limit::of(wait).map_or(Patience::Unlimited, Patience::Until);
        }
    }
}

impl SysvQueue {
    /// Make attempts until one succeeds or fails for good, or patience is at its end. An
    /// attempt that gives `None` could not be done at once.
    pub(super) fn wait_for<T>(
        &self,
        side: Side,
        may_sleep: bool,
        patience: &mut Patience,
        mut attempt: impl FnMut(Try) -> Result<Option<T>>,
    ) -> Result<T> {
        let sleeps = |patience: &Patience| may_sleep && matches!(patience, Patience::Unlimited);
        if !sleeps(patience) {
            if let Some(done) = attempt(Try::Now)? {
                return Ok(done);
            }
            patience.begin();
        }
        let limit = match *patience {
            Patience::Never => return Err(side.would_block()),
            Patience::Until(limit) => Some(limit),
            _ => None,
        };
        if sleeps(patience) {
            return self.in_the_kernel(|| attempt(Try::Sleeping));
        }
        self.on_the_bell(side, limit, || attempt(Try::Now))
    }

    fn in_the_kernel<T>(&self, mut attempt: impl FnMut() -> Result<Option<T>>) -> Result<T> {
        loop {
            match attempt() {
                Ok(Some(done)) => return Ok(done),
                Err(Errno(libc::EINTR)) if self.access.restart => {}
                Err(error) => return Err(error),
                Ok(None) => {}
            }
        }
    }

    fn on_the_bell<T>(
        &self,
        side: Side,
        limit: Option<Limit>,
        mut attempt: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let bell = side.bell(self.bells.of(self.id));
        loop {
            let waited = bell.wait(
                || attempt().transpose(),
                |announced| Some(bell.sleep(announced, Limit::sleep_until(limit, SLICE)?)),
            );
            match waited {
                Waited::Done(done) => return done,
                Waited::TimeUp => return Err(side.timed_out()),
                Waited::InVain(Slept::Interrupted) if !self.access.restart => {
                    return Err(interrupted());
                }
                Waited::InVain(_) => {}
            }
        }
    }
}

/// The answer to a signal handler.
pub(super) fn interrupted() -> Errno {
    say(libc::EINTR, "a signal handler ran while the call waited")
}
