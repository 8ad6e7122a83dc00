//! msgsnd and msgrcv in steps, so that the caller may sleep himself (`steps.rs`).
//!
//! ```text
//! begin      check the arguments, find the queue
//! step       as far as possible: done, or where and how long to sleep
//! (sleep)
//! step       go on, told how the sleep ended
//! drop       done, or the caller does not come back from his sleep
//! ```
//!
//! A handler that runs while a call sleeps ends it, also with SA_RESTART: these two calls are
//! never restarted (signal(7)); but one that begins between two slices of the sleep (`steps.rs`)
//! does not.

use super::message::Want;
use super::names::{kernel_limits, longest};
use super::rights::{READ, WRITE};
use super::table::{Attached, Used};
use crate::deadline::Wait;
use crate::error::{Errno, Result};
use crate::report::say;
use crate::shm::engine::{Look, Refused};
use crate::shm::event::Slept;
use crate::shm::layout::TypedWords;
use crate::shm::steps::{Bed, SLICE, Step};
use crate::shm::wait::{Doze, Waiting};
use crate::sys::futex;
use crate::transport::Entered;
use crate::waiting::{Side, interrupted};

/// A call on its way.
struct Call {
    used: Used,
    side: Side,
    entered: Entered,
    wait: Wait,
    doze: Option<Doze>,
}

impl Call {
    fn begin(id: i32, side: Side, nowait: bool) -> Result<Call> {
        let used = Used::of(id)?;
        let entered = used.attached().access.enter();
        let wait = if nowait { Wait::Never } else { Wait::Unlimited };
        Ok(Call { used, side, entered, wait, doze: None })
    }

    fn waiting(&self) -> Waiting<'_> {
        let attached = self.used.attached();
        let (side, wait, entered) = (self.side, self.wait, self.entered);
        let patience = match side {
            Side::Sender => &attached.sending,
            Side::Receiver => &attached.receiving,
        };
        Waiting {
            engine: &attached.engine,
            patience,
            side,
            wait,
            access: &attached.access,
            entered,
            // Long ones: a handler that runs between two of them does not end the call.
            slice: SLICE,
            longest: SLICE,
        }
    }

    /// Rights are asked for at first, and again when a call that has slept could end: so the
    /// kernel wakes those for whom there is something.
    fn step<T>(
        &mut self,
        slept: Option<Slept>,
        rights: u32,
        could_end: impl Fn(&TypedWords) -> bool,
        mut attempt: impl FnMut(&Attached, Look) -> core::result::Result<T, Refused>,
    ) -> Step<T> {
        let attached = self.used.attached();
        if !attached.is_ours() {
            // A child that was forked by a signal handler in the midst of its parent's call.
            return Step::Done(Err(interrupted()));
        }
        let typed = attached.engine.segment().typed();
        let has_slept = slept.is_some();
        if !has_slept {
            if let Err(error) = typed.check_rights(rights) {
                return Step::Done(Err(error));
            }
        }
        let mut attempt = |look| {
            if attached.engine.is_removed() {
                return Err(Refused::Damaged);
            }
            if has_slept && could_end(typed) {
                if let Err(error) = typed.check_rights(rights) {
                    return Ok(Err(error));
                }
            }
            attempt(attached, look).map(Ok)
        };
        let mut doze = self.doze;
        let waiting = self.waiting();
        if !has_slept {
            if let Ok(done) = attempt(Look::Glance) {
                waiting.patience.did_not_wait();
                return Step::Done(done);
            }
        }
        let stepped = waiting.step(&mut doze, slept, attempt);
        let word = waiting.event().word();
        let came = match stepped {
            Ok((announced, until_ns)) => Step::Sleep(Bed { word, announced, until_ns }),
            Err(Ok(done)) => Step::Done(done),
            Err(Err(error)) => Step::Done(Err(self.translate(error))),
        };
        // What is over is not to be given up once more.
        self.doze = if matches!(came, Step::Sleep(_)) { doze } else { None };
        came
    }

    /// System V's errors.
    fn translate(&self, error: Errno) -> Errno {
        let is_removed = || self.used.attached().engine.is_removed();
        match (error.0, self.side) {
            (libc::EBADMSG, _) if is_removed() => {
                // Whoever has marked it may have been killed before he could tell the others.
                self.used.attached().engine.end_typed();
                self.used.close();
                say(libc::EIDRM, "the queue was removed")
            }
            (libc::EAGAIN, Side::Receiver) => {
                say(libc::ENOMSG, "the queue has no such message and the call must not wait")
            }
            (libc::EMSGSIZE, _) => Errno(libc::E2BIG),
            _ => error,
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(doze) = self.doze.take() {
            if self.used.attached().is_ours() {
                self.waiting().give_up(&doze);
                // Those whose message or room it may have been, whoever they are.
                self.used.attached().engine.wake_everybody();
            }
        }
    }
}

/// A msgsnd.
pub struct Sending {
    call: Call,
    kind: i64,
    len: usize,
}

impl Sending {
    /// Begin to send `len` bytes as a message of this type.
    pub fn begin(id: i32, kind: i64, len: usize, nowait: bool) -> Result<Sending> {
        if isize::try_from(len).is_err() {
            return Err(say(libc::EINVAL, "the length is negative"));
        }
        if kind < 1 {
            return Err(say(libc::EINVAL, "the type of a message must be positive"));
        }
        let too_long = || say(libc::EINVAL, "the message is longer than kernel.msgmax allows");
        let call = match Call::begin(id, Side::Sender, nowait) {
            // Who may not open the queue cannot know how long its messages may be.
            Err(Errno(libc::EACCES)) if len as u64 > longest(&kernel_limits()) => {
                return Err(too_long());
            }
            other => other?,
        };
        if len > call.used.attached().engine.segment().geometry().msgsize as usize {
            return Err(too_long());
        }
        Ok(Sending { call, kind, len })
    }

    /// Go on. `slept` says how the sleep ended that the step before asked for.
    ///
    /// # Safety
    /// `text` is readable for the message's length.
    pub unsafe fn step(&mut self, text: *const u8, slept: Option<Slept>) -> Step<()> {
        let (kind, len) = (self.kind, self.len);
        let text = if len == 0 { core::ptr::dangling() } else { text };
        let is_urgent = self.call.wait == Wait::Never;
        let has_room = |typed: &TypedWords| typed.has_room(len);
        self.call.step(slept, WRITE, has_room, |attached, look| {
            let engine = &attached.engine;
            // SAFETY: granted by the caller; nothing is read if len is 0.
            let attempt = || unsafe { engine.try_send_typed(kind, text, len, look) };
            let refused = match attempt() {
                Err(refused) if look == Look::Close => refused,
                came => return came,
            };
            let is_worth_another = match refused {
                Refused::NoSlot => attached.make_slots(),
                Refused::WouldBlock => {
                    attached.recount(is_urgent);
                    true
                }
                _ => false,
            };
            if is_worth_another { attempt() } else { Err(refused) }
        })
    }
}

/// A msgrcv.
pub struct Receiving {
    call: Call,
    want: Want,
    cap: usize,
    cut: bool,
    /// Sends that were seen by the last look that found nothing.
    seen: Option<u64>,
}

impl Receiving {
    /// Begin to receive at most `cap` bytes of the message that is wanted; `cut` off the rest.
    pub fn begin(id: i32, want: Want, cap: usize, cut: bool, nowait: bool) -> Result<Receiving> {
        if isize::try_from(cap).is_err() {
            return Err(say(libc::EINVAL, "the size is negative"));
        }
        if matches!(want, Want::Copy(_)) && !nowait {
            return Err(say(libc::EINVAL, "MSG_COPY needs IPC_NOWAIT"));
        }
        let call = Call::begin(id, Side::Receiver, nowait)?;
        Ok(Receiving { call, want, cap, cut, seen: None })
    }

    /// Go on; gives length and type of the message.
    ///
    /// # Safety
    /// `to` is writable for the size.
    pub unsafe fn step(&mut self, to: *mut u8, slept: Option<Slept>) -> Step<(usize, i64)> {
        let Receiving { want, cap, cut, .. } = *self;
        let to = if cap == 0 { core::ptr::dangling_mut() } else { to };
        let seen = &mut self.seen;
        let always = |_: &TypedWords| true;
        let step = self.call.step(slept, READ, always, |attached, look| {
            let engine = &attached.engine;
            let sends = engine.sends();
            // Nothing was sent since we looked at all there is.
            if look == Look::Glance && *seen == Some(sends) {
                return Err(Refused::WouldBlock);
            }
            // SAFETY: granted by the caller; nothing is written if cap is 0.
            let came = unsafe { engine.try_receive_typed(want, to, cap, cut, look) };
            let is_exact = look == Look::Close || !matches!(want, Want::First);
            *seen = (is_exact && came == Err(Refused::WouldBlock)).then_some(sends);
            came
        });
        match step {
            // The kernel has a copy no longer than asked for, and does not cut it.
            Step::Done(Ok((len, _))) if len > cap => {
                Step::Done(Err(say(libc::EINVAL, "a copy of a message is not cut")))
            }
            other => other,
        }
    }
}

/// Sleep as a step asks for, if the caller does not do it himself.
pub fn slept_on(bed: &Bed) -> Slept {
    // SAFETY: the word is there as long as the call, which the caller has in his hands.
    let word = unsafe { &*bed.word };
    futex::wait_until_signal(word, bed.announced, bed.until_ns)
}
