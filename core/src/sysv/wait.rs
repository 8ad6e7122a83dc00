//! Waiting for room in a System V queue, or for a message.
//!
//! ```text
//! for ever, and     the system call itself waits: no cost, woken at once, first come first
//! nobody can        served
//! cancel
//! else              announce on the queue's bell, try, sleep a slice, try, and again
//! ```
//!
//! Nothing wakes a thread from msgsnd or msgrcv but what happens to the queue, or a signal
//! handler; not the call that cancels, so it must be certain that there will be none. It
//! could come from another thread of this process, or from a handler; and a handler that has
//! run just before the system call began would not even interrupt it. So a call sleeps there
//! only in a process of one thread that has no handlers.
//!
//! The first slice is short, each one after it twice as long, up to one that is short enough
//! that a message of a program that rings no bells is noticed within 10 ms: who answers fast
//! is heard fast. A bell is rung for all who sleep on it: which of them the message is for,
//! its type decides.
//!
//! A bell is heard for the reasons that hold in `shm/event.rs`; the Dekker pair is this one:
//! a waiter announces and then tries, who changes the queue does so and then reads the bell.
//! Both system calls go through the lock of the queue in the kernel, so one comes first: if
//! it was the try, the announcement was made before that lock was given free, and is seen by
//! who had it next.

#![forbid(unsafe_code)]

use super::SysvQueue;
use super::bell::Pair;
use crate::deadline::Wait;
use crate::error::{Errno, Result};
use crate::report::say;
use crate::shm::{Event, Slept, Waited};
use crate::sync::Ordering::Relaxed;
use crate::sync::local::AtomicBool;
use crate::sys::process;
use crate::transport::Entered;
use crate::waiting::{Limit, Side, cancelled, interrupted};

/// First sleep without a try.
pub const SLICE: i64 = 50_000;
/// Longest.
pub const SLICE_MOST: i64 = 8_000_000;

fn bell(side: Side, pair: &Pair) -> &Event {
    match side {
        Side::Sender => &pair.senders,
        Side::Receiver => &pair.receivers,
    }
}

/// The answer of a call that must not wait. The queue need not be empty: it is a message of
/// the type that is asked for that is not there.
fn would_block(side: Side) -> Errno {
    match side {
        Side::Sender => side.would_block(),
        Side::Receiver => {
            say(libc::EAGAIN, "the queue has no such message and the call must not wait")
        }
    }
}

fn timed_out(side: Side) -> Errno {
    match side {
        Side::Sender => side.timed_out(),
        Side::Receiver => {
            say(libc::ETIMEDOUT, "the queue had no such message until the time was up")
        }
    }
}

/// Whether a call that sleeps in the kernel now will never be cancelled: this process has
/// one thread, and no signal handlers.
fn nobody_can_cancel() -> bool {
    // What was true once is taken to stay so: to sleep on the bell is always right.
    static SOMEBODY_CAN: AtomicBool = AtomicBool::new(false);
    if SOMEBODY_CAN.load(Relaxed) {
        return false;
    }
    let nobody_can = process::is_undisturbed();
    SOMEBODY_CAN.store(!nobody_can, Relaxed);
    nobody_can
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
pub struct Patience {
    entered: Entered,
    wait: Wait,
    /// Once it had to wait: the clock is not asked before.
    limit: Option<Limit>,
}

impl Patience {
    /// What a call was given that came in at `entered`.
    pub fn of(entered: Entered, wait: Wait) -> Patience {
        Patience { entered, wait, limit: None }
    }

    fn limit(&mut self) -> Limit {
        *self.limit.get_or_insert_with(|| Limit::of(self.wait))
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
        if let Some(done) = attempt(Try::Now)? {
            return Ok(done);
        }
        match patience.limit() {
            Limit::Now => Err(would_block(side)),
            limit if limit.is_over() => Err(timed_out(side)),
            _ if self.access.is_cancelled(patience.entered) => Err(cancelled()),
            // A timeout beyond the range of clocks is none.
            Limit::Never if may_sleep && nobody_can_cancel() => {
                self.in_the_kernel(|| attempt(Try::Sleeping))
            }
            limit => self.on_the_bell(side, patience.entered, limit, || attempt(Try::Now)),
        }
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
        entered: Entered,
        limit: Limit,
        mut attempt: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let bell = bell(side, self.bells.of(self.id));
        let mut slice = SLICE;
        loop {
            let mut is_cancelled = false;
            let waited = bell.wait(
                || attempt().transpose(),
                |announced| {
                    let until = limit.sleep_until(slice)?;
                    // We are announced: who cancels from now on rings.
                    is_cancelled = self.access.is_cancelled(entered);
                    (!is_cancelled).then(|| bell.sleep(announced, until))
                },
            );
            slice = slice.saturating_mul(2).min(SLICE_MOST);
            match waited {
                Waited::Done(done) => return done,
                Waited::TimeUp if is_cancelled => return Err(cancelled()),
                Waited::TimeUp => return Err(timed_out(side)),
                Waited::InVain(_) if self.access.is_cancelled(entered) => return Err(cancelled()),
                Waited::InVain(Slept::Interrupted) if !self.access.restart => {
                    return Err(interrupted());
                }
                Waited::InVain(_) => {}
            }
        }
    }
}
