//! Waiting for several queues at once, of any transports.
//!
//! ```text
//! look at all                          often that is all
//! say that we wait, look AGAIN, sleep  until one is ready, the time is up, a call on one is
//!                                      cancelled, or a signal handler ran
//! ```
//!
//! How one sleeps depends on what there is:
//!
//! ```text
//! queues in shared memory      on the words of their pollers          words.rs
//! System V queues              on their bells, a few milliseconds     words.rs
//! POSIX queues                 in ppoll                               descriptors.rs
//! POSIX and shared memory      in ppoll, the files being watched      descriptors.rs
//! POSIX and System V           in ppoll, a few milliseconds           descriptors.rs
//! ```
//!
//! Whatever is not told to who sleeps is found by a look: at what the dead did last after a
//! second at most, at calls on POSIX queues that are cancelled after 90 ms, and after 8 ms at
//! what nobody tells us: changes of System V queues by other programs, and of queues in shared
//! memory that the sleep had no room for.

#![forbid(unsafe_code)]

mod descriptors;
mod words;

use crate::deadline::Wait;
use crate::error::Result;
use crate::queue::Queue;
use crate::report::say;
use crate::shm::Slept;
use crate::sys::poll::Polled;
use crate::transport::{Entered, Sign};
use crate::waiting::{Limit, cancelled, interrupted};
use descriptors::Descriptors;
use words::Words;

pub use crate::shm::poll::event;

/// First and longest sleep where all that matters is told to who sleeps.
const TOLD: (i64, i64) = (20_000_000, 1_000_000_000);
/// The same with descriptors in it: nobody tells of a call that is cancelled.
const TOLD_BY_DESCRIPTORS: (i64, i64) = (20_000_000, 90_000_000);
/// The same where something is not told.
const UNTOLD: (i64, i64) = (50_000, 8_000_000);

/// A queue that is waited for.
struct Item<'a> {
    queue: &'a Queue,
    /// What is asked.
    events: u32,
    /// When we came in, for its handle.
    entered: Entered,
    /// By what it shows that it is ready; asked for when all have been entered.
    sign: Option<Sign<'a>>,
}

/// All that is waited for.
struct Many<'a> {
    /// As the caller has them.
    items: Vec<Option<Item<'a>>>,
    /// What is ready of each, as last seen.
    ready: Vec<u32>,
    /// The descriptors among them, in the same order; and room for one more.
    polled: Vec<Polled>,
}

/// What comes after a look.
enum Next {
    /// Something is ready, or the time is up.
    Done,
    /// Sleep so many nanoseconds at most.
    Sleep(i64),
}

/// Wait until one of `count` queues is ready for something of what is asked of it: a queue
/// and bits of [`event`], or nothing. Gives for each what is ready; nothing for any if the
/// time was up.
pub fn wait<'a>(
    count: usize,
    asked: impl Fn(usize) -> Option<(&'a Queue, u32)>,
    wait: Wait,
) -> Result<Vec<u32>> {
    let mut many = Many::of(count, asked)?;
    if many.look()? || wait == Wait::Never {
        return Ok(many.ready);
    }
    many.sleep(Limit::of(wait))?;
    Ok(many.ready)
}

impl<'a> Many<'a> {
    fn of(count: usize, asked: impl Fn(usize) -> Option<(&'a Queue, u32)>) -> Result<Many<'a>> {
        let mut items = reserved(count)?;
        items.extend((0..count).map(|i| {
            let (queue, events) = asked(i)?;
            Some(Item { queue, events, entered: queue.access().enter(), sign: None })
        }));
        let mut ready = reserved(count)?;
        ready.resize(count, 0);
        let polled = reserved(count + 1)?;
        for item in items.iter_mut().flatten() {
            item.sign = Some(item.queue.sign()?);
        }
        Ok(Many { items, ready, polled })
    }

    fn items(&self) -> impl Iterator<Item = &Item<'a>> {
        self.items.iter().flatten()
    }

    /// Whether one is ready now, and which.
    fn look(&mut self) -> Result<bool> {
        descriptors::look(self)?;
        let mut polled = self.polled.iter();
        let mut is_any = false;
        for (item, ready) in self.items.iter().zip(&mut self.ready) {
            let Some(item) = item else { continue };
            *ready = item.events
                & match item.sign {
                    Some(Sign::Word(engine, _)) => engine.ready(),
                    Some(Sign::Descriptor(_)) => polled.next().map_or(0, descriptors::ready),
                    Some(Sign::Bells(..)) => item.queue.ready()?,
                    Some(Sign::Always) | None => event::ALL,
                };
            is_any |= *ready != 0;
        }
        Ok(is_any)
    }

    fn is_cancelled(&self) -> bool {
        self.items().any(|item| item.queue.access().is_cancelled(item.entered))
    }

    /// After who waits has been announced.
    fn next(&mut self, limit: Limit, slice: i64) -> Result<Next> {
        if self.look()? {
            return Ok(Next::Done);
        }
        match limit.slice(slice) {
            ..=0 => Ok(Next::Done),
            _ if self.is_cancelled() => Err(cancelled()),
            sleep => Ok(Next::Sleep(sleep)),
        }
    }

    /// Until one is ready or the time is up.
    fn sleep(&mut self, limit: Limit) -> Result<()> {
        let mut descriptors = Descriptors::of(self)?;
        let (least, most) = match &descriptors {
            Some(descriptors) if descriptors.are_told(self) => TOLD_BY_DESCRIPTORS,
            None if Words::are_told(self) => TOLD,
            _ => UNTOLD,
        };
        let mut slice = least;
        loop {
            let slept = match &mut descriptors {
                Some(descriptors) => descriptors.round(self, limit, slice)?,
                None => Words::round(self, limit, slice)?,
            };
            let Some(slept) = slept else { return Ok(()) };
            if slept == Slept::TimedOut {
                slice = slice.saturating_mul(2).min(most);
                self.notice_the_dead();
                continue;
            }
            if self.look()? {
                return Ok(());
            }
            if slept == Slept::Interrupted && !self.goes_on() {
                return Err(if self.is_cancelled() { cancelled() } else { interrupted() });
            }
        }
    }

    /// Whether a wait goes on after a signal handler.
    fn goes_on(&self) -> bool {
        let mut restarts = self.items().map(|item| item.queue.access().restart).peekable();
        restarts.peek().is_some() && restarts.all(|restart| restart)
    }

    fn notice_the_dead(&self) {
        for item in self.items() {
            if let Some(Sign::Word(engine, _)) = item.sign {
                engine.look_for_the_dead();
            }
        }
    }
}

/// Room for so many; without an abort if there is none.
fn reserved<T>(count: usize) -> Result<Vec<T>> {
    let mut room = Vec::new();
    match room.try_reserve_exact(count) {
        Ok(()) => Ok(room),
        Err(_) => Err(say(libc::ENOMEM, "there is not enough memory to wait for so many queues")),
    }
}
