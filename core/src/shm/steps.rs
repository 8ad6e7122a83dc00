//! Sends and receives in steps, for callers who must sleep themselves.
//!
//! ```text
//! send, receive   as far as possible: done, or where and how long to sleep
//! (the caller sleeps there)
//! send, receive   go on, told how the sleep ended
//! abandon         instead of that: the caller does not come back from his sleep
//! ```
//!
//! So a thread can be cancelled in its sleep (pthread_cancel(3)) while no code of ours is on
//! its stack. Between two steps the call holds nothing but the announcement that somebody
//! sleeps.
//!
//! A handler that runs between two slices of a sleep does not end it, as it would in the
//! kernel, which knows no slices. So here the first one is long already, and whole seconds,
//! at which alarms go off, are no multiples of it.

use super::engine::{Engine, Look, Refused};
use super::handle::ShmQueue;
use super::wait::{Doze, Waiting, damaged};
use crate::deadline::Wait;
use crate::error::Result;
use crate::shm::Slept;
use crate::sync::AtomicU32;
use crate::sys::process;
use crate::transport::{Entered, Transport, too_long};
use crate::waiting::Side;

/// Slices of a sleep: the root of 3, less 1, in seconds.
pub(in crate::shm) const SLICE: i64 = 732_050_807;

/// Where a call is in its steps.
#[derive(Clone, Copy)]
pub struct Steps {
    entered: Entered,
    side: Side,
    wait: Wait,
    doze: Option<Doze>,
}

/// What came of a step.
pub enum Step<T> {
    /// The call is over.
    Done(Result<T>),
    /// It is to sleep.
    Sleep(Bed),
}

impl<T> Step<T> {
    /// The same with another result.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Step<U> {
        match self {
            Step::Done(came) => Step::Done(came.map(change)),
            Step::Sleep(bed) => Step::Sleep(bed),
        }
    }
}

/// Where and how long to sleep: on a futex shared between processes, while it has this value,
/// until this time on the monotonic clock.
#[derive(Clone, Copy)]
pub struct Bed {
    /// The futex; there as long as the handle is open.
    pub word: *const AtomicU32,
    /// Its value.
    pub announced: u32,
    /// The time.
    pub until_ns: i64,
}

impl Steps {
    /// The first step of a call that comes in now.
    fn begin(queue: &ShmQueue, side: Side) -> Steps {
        Steps { entered: queue.access().enter(), side, wait: Wait::Never, doze: None }
    }
}

impl ShmQueue {
    /// A send, to begin.
    pub fn begin_send(&self) -> Steps {
        Steps::begin(self, Side::Sender)
    }

    /// A receive, to begin.
    pub fn begin_receive(&self) -> Steps {
        Steps::begin(self, Side::Receiver)
    }

    /// Send. `slept` says how the sleep of the step before ended. `wait` is asked when it turns
    /// out that the call would have to wait.
    ///
    /// # Safety
    /// `message` is readable for `len` bytes.
    pub unsafe fn send_step(
        &self,
        steps: &mut Steps,
        slept: Option<Slept>,
        (message, len): (*const u8, usize),
        prio: u32,
        wait: impl FnOnce() -> Result<Wait>,
    ) -> Step<()> {
        let checked = self.access().check_send(message, len, prio);
        let message = if len == 0 { core::ptr::dangling() } else { message };
        let checked =
            checked.and_then(|()| if len > self.msgsize()? { Err(too_long()) } else { Ok(()) });
        if let Some(attachment) = self.attachment_if_any().filter(|a| a.engine().is_armed()) {
            // Who is told of this message is told who sends it now, not who opened the queue.
            attachment.engine().set_sender(process::sender_id());
        }
        // SAFETY: granted by the caller; nothing is read if len is 0.
        let came = self.take_up(steps, checked, slept, wait, |engine, look| unsafe {
            engine.try_send(message, len, prio, look)
        });
        if let (Step::Done(Ok(())), Some(attachment)) = (&came, self.attachment_if_any()) {
            attachment.engine().let_registrant_tell();
        }
        came
    }

    /// Receive, in the same way; gives length and priority.
    ///
    /// # Safety
    /// `buf` is writable for `cap` bytes.
    pub unsafe fn receive_step(
        &self,
        steps: &mut Steps,
        slept: Option<Slept>,
        (buf, cap): (*mut u8, usize),
        wait: impl FnOnce() -> Result<Wait>,
    ) -> Step<(usize, u32)> {
        let checked = self.access().check_receive(buf, cap);
        let buf = if cap == 0 { core::ptr::dangling_mut() } else { buf };
        // SAFETY: granted by the caller; nothing is written if cap is 0.
        self.take_up(steps, checked, slept, wait, |engine, look| unsafe {
            engine.try_receive(buf, cap, look)
        })
    }

    #[inline(always)]
    fn take_up<T>(
        &self,
        steps: &mut Steps,
        checked: Result<()>,
        slept: Option<Slept>,
        wait: impl FnOnce() -> Result<Wait>,
        attempt: impl Fn(&Engine, Look) -> core::result::Result<T, Refused>,
    ) -> Step<T> {
        let attachment = match checked.and_then(|()| self.attachment()) {
            Ok(attachment) => attachment,
            Err(error) => return Step::Done(Err(error)),
        };
        let engine = attachment.engine();
        if engine.is_poisoned() && slept.is_none() {
            return Step::Done(Err(damaged()));
        }
        let patience = attachment.patience(steps.side);
        if slept.is_none() {
            if let Ok(done) = attempt(engine, Look::Glance) {
                patience.did_not_wait();
                return Step::Done(Ok(done));
            }
            match wait() {
                Ok(wait) => steps.wait = wait,
                Err(error) => return Step::Done(Err(error)),
            }
        }
        let Steps { entered, side, wait, .. } = *steps;
        let waiting = self.waiting(attachment, side, entered, wait);
        let waiting = Waiting { slice: SLICE, longest: SLICE, ..waiting };
        match waiting.step(&mut steps.doze, slept, |look| attempt(engine, look)) {
            Err(came) => Step::Done(came),
            Ok((announced, until_ns)) => {
                Step::Sleep(Bed { word: waiting.event().word(), announced, until_ns })
            }
        }
    }

    /// The caller of a call that is to sleep does not take it up again.
    pub fn abandon(&self, steps: &Steps) {
        let (Some(attachment), Some(doze)) = (self.attachment_if_any(), &steps.doze) else {
            return;
        };
        let Steps { entered, side, wait, .. } = *steps;
        let waiting = self.waiting(attachment, side, entered, wait);
        waiting.give_up(doze);
    }
}
