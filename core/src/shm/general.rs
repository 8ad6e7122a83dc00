//! The general form of send and receive, and what a queue tells about itself: what a handle
//! can do beyond the plain calls.

use super::batch::Content;
use super::browse::Behind;
use super::engine::{Look, Refused};
use super::handle::{Attachment, ShmQueue};
use super::poll::event::READABLE;
use super::progress::ROUNDS_MOST;
use super::receive::Known;
use super::room::Dropped;
use super::stats::{Counts, Use, Users};
use super::wait::{Doze, Patience, Waiting, damaged, failure, note_refusal};
use crate::attr::{PRIO_MAX, Stats};
use crate::deadline::{Clock, Wait};
use crate::error::Result;
use crate::message::{Incoming, Outgoing, Request, receive, send, state};
use crate::report::say;
use crate::sys::clock;
use crate::transport::{Entered, Transport, not_here, too_long};
use crate::waiting::{Limit, Side};

impl ShmQueue {
    /// Check a message, but for what the queue holds.
    #[inline(always)]
    pub(super) fn check_outgoing(&self, message: &Outgoing) -> Result<()> {
        if message.flags & send::TYPE != 0 {
            return Err(not_here("only messages of System V queues have a type"));
        }
        self.access().check_send(message.data, message.len, message.prio)?;
        if message.len > self.msgsize()? {
            return Err(too_long());
        }
        Ok(())
    }

    /// Check a request, but for what the queue holds.
    #[inline(always)]
    pub(super) fn check_asked(&self, request: &Request) -> Result<()> {
        if request.flags & (receive::TYPE | receive::EXCEPT) != 0 {
            return Err(not_here("only messages of System V queues have a type"));
        }
        if request.flags & receive::PEEK != 0 && request.sequence != 0 && request.prio > PRIO_MAX {
            return Err(say(libc::EINVAL, "the priority is above MQRS_PRIO_MAX (32767)"));
        }
        self.access().check_receive(request.data, request.cap)
    }

    /// How many messages there may be and are, without all else that `attr` looks at.
    pub fn maxmsg_and_queued(&self) -> Result<(u32, u32)> {
        let engine = self.healthy()?.engine();
        Ok((engine.segment().geometry().maxmsg, engine.queued_exactly()))
    }

    /// Whether this process is registered for notification, as far as is known without waiting.
    pub fn has_registration(&self) -> bool {
        self.attachment_if_any().is_some_and(|attachment| attachment.engine().has_registration())
    }

    /// Send; if the queue is full, drop the oldest message of its lowest priority, unless that
    /// is above the new one's.
    ///
    /// # Safety
    /// The message is readable.
    pub(super) unsafe fn send_dropping(&self, message: &Outgoing, wait: Wait) -> Result<()> {
        let entered = self.access().enter();
        let Outgoing { len, prio, .. } = *message;
        let attachment = self.healthy()?;
        let engine = attachment.engine();
        let data = if len == 0 { core::ptr::dangling() } else { message.data };
        let attempt = |_| {
            for _ in 0..ROUNDS_MOST {
                // SAFETY: granted by the caller; nothing is read if len is 0.
                match unsafe { engine.try_send(data, len, prio, Look::Close) } {
                    Err(Refused::WouldBlock) => {}
                    done => return done,
                }
                if engine.drop_oldest(prio)? == Dropped::NothingBelow {
                    break;
                }
            }
            Err(Refused::WouldBlock)
        };
        if let Ok(()) = attempt(Look::Close) {
            attachment.patience(Side::Sender).did_not_wait();
            return Ok(());
        }
        self.waiting(attachment, Side::Sender, entered, wait).run(attempt)
    }

    /// Receive with all that is known of the message, cut if the caller wants that.
    ///
    /// # Safety
    /// The buffer is writable.
    pub(super) unsafe fn receive_known(&self, request: &Request, wait: Wait) -> Result<Incoming> {
        let entered = self.access().enter();
        let Request { cap, flags, .. } = *request;
        let cut = flags & receive::TRUNCATE != 0;
        let attachment = self.healthy()?;
        let engine = attachment.engine();
        let to = if cap == 0 { core::ptr::dangling_mut() } else { request.data };
        // SAFETY: granted by the caller; nothing is written if cap is 0.
        let attempt = |look| unsafe { engine.try_receive_known(to, cap, cut, look) };
        if let Ok(known) = attempt(Look::Glance) {
            attachment.patience(Side::Receiver).did_not_wait();
            return Ok(known.into());
        }
        self.waiting(attachment, Side::Receiver, entered, wait).run(attempt).map(Incoming::from)
    }

    /// Look at the next messages behind the one that the first request names.
    ///
    /// Who looks is no receiver: it waits among the pollers.
    ///
    /// # Safety
    /// The buffers are writable.
    pub(super) unsafe fn look_at_next(
        &self,
        count: usize,
        request: impl Fn(usize) -> Request,
        mut got: impl FnMut(usize, Incoming),
        wait: Wait,
    ) -> Result<usize> {
        let entered = self.access().enter();
        let attachment = self.healthy()?;
        let engine = attachment.engine();
        let Request { prio, sequence, flags, .. } = request(0);
        let behind = (sequence != 0).then_some(Behind { prio, number: sequence });
        let cut = flags & receive::TRUNCATE != 0;
        let room = |i| {
            let Request { data, cap, .. } = request(i);
            (if cap == 0 { core::ptr::dangling_mut() } else { data }, cap)
        };
        self.wait_as_poller(attachment, entered, wait, || {
            let seen = |i, known: Known| got(i, known.into());
            // SAFETY: granted by the caller; nothing is written where cap is 0.
            unsafe { engine.try_look(behind, count, cut, room, seen) }
        })
        .inspect_err(|&error| {
            // Behind others there may be nothing in a queue that is not empty.
            if behind.is_none() {
                note_refusal(engine, Side::Receiver, error);
            }
        })
    }

    fn wait_as_poller<T>(
        &self,
        attachment: &Attachment,
        entered: Entered,
        wait: Wait,
        mut attempt: impl FnMut() -> core::result::Result<T, Refused>,
    ) -> Result<T> {
        let engine = attachment.engine();
        let mut try_once = || match attempt() {
            // Not the end, if somebody has died with messages that come again.
            Err(Refused::Shut) if engine.look_for_the_dead_at_once() => attempt(),
            came => came,
        };
        let mut look = || match try_once() {
            Ok(done) => Some(Ok(done)),
            Err(_) if engine.is_poisoned() => Some(Err(damaged())),
            Err(refused) => failure(refused).map(Err),
        };
        if let Some(done) = look() {
            return done;
        }
        let waiting = self.waiting(attachment, Side::Receiver, entered, wait);
        let limit = Limit::of(waiting.wait);
        if limit == Limit::Now {
            return Err(Side::Receiver.would_block());
        }
        let event = engine.pollers();
        let mut doze = Doze::until(limit, waiting.slice);
        let mut slept = None;
        loop {
            let marked = || {
                engine.mark(READABLE);
                look()
            };
            match waiting.doze(&mut doze, event, slept, marked) {
                Err(came) => return came,
                Ok((announced, until)) => {
                    engine.settle_beacon();
                    slept = Some(event.sleep(announced, until));
                }
            }
        }
    }

    /// Send several; wait for the first only.
    ///
    /// # Safety
    /// The messages are readable.
    pub(super) unsafe fn send_several(
        &self,
        count: usize,
        message: impl Fn(usize) -> Outgoing + Copy,
        wait: Wait,
    ) -> Result<usize> {
        let entered = self.access().enter();
        let attachment = self.healthy()?;
        let engine = attachment.engine();
        let attempt = |from: usize, look| {
            let content = move |i| {
                let Outgoing { data, len, prio, .. } = message(from + i);
                Content { data: if len == 0 { core::ptr::dangling() } else { data }, len, prio }
            };
            // SAFETY: granted by the caller; nothing is read where len is 0.
            unsafe { engine.try_send_several(count - from, content, look) }
        };
        let patience = attachment.patience(Side::Sender);
        let waiting = || self.waiting(attachment, Side::Sender, entered, wait);
        several(count, patience, attempt, waiting)
    }

    /// Receive several; wait for the first only.
    ///
    /// # Safety
    /// The buffers are writable.
    pub(super) unsafe fn receive_several(
        &self,
        count: usize,
        request: impl Fn(usize) -> Request + Copy,
        got: impl Fn(usize, Incoming) + Copy,
        wait: Wait,
    ) -> Result<usize> {
        let entered = self.access().enter();
        let attachment = self.healthy()?;
        let engine = attachment.engine();
        let cut = request(0).flags & receive::TRUNCATE != 0;
        let attempt = |from: usize, look| {
            let room = move |i| {
                let Request { data, cap, .. } = request(from + i);
                (if cap == 0 { core::ptr::dangling_mut() } else { data }, cap)
            };
            let got = move |i, known: Known| got(from + i, known.into());
            // SAFETY: granted by the caller; nothing is written where cap is 0.
            unsafe { engine.try_receive_several(count - from, cut, room, got, look) }
        };
        let patience = attachment.patience(Side::Receiver);
        let waiting = || self.waiting(attachment, Side::Receiver, entered, wait);
        several(count, patience, attempt, waiting)
    }

    /// What the queue has seen.
    pub(super) fn statistics(&self) -> Result<Stats> {
        let engine = self.healthy()?.engine();
        let Counts { sent, received, dropped, recoveries, most } = engine.counts();
        let Users { handles, senders, receivers } = engine.users();
        let (sender, sent_ns) = engine.last_use(Use::Send);
        let (receiver, received_ns) = engine.last_use(Use::Receive);
        Ok(Stats {
            sent,
            received,
            dropped,
            recoveries,
            max_curmsgs: most,
            blocked_senders: senders,
            blocked_receivers: receivers,
            users: handles,
            last_send_pid: sender as u32,
            last_receive_pid: receiver as u32,
            last_send_ns: wall_clock(sent_ns),
            last_receive_ns: wall_clock(received_ns),
        })
    }
}

/// Do up to `count` by `attempt`, which is told how many are done; wait for the first only.
#[inline]
fn several<'a>(
    count: usize,
    patience: &Patience,
    attempt: impl Fn(usize, Look) -> core::result::Result<usize, Refused>,
    waiting: impl FnOnce() -> Waiting<'a>,
) -> Result<usize> {
    let mut done = match attempt(0, Look::Glance) {
        Ok(done) => {
            patience.did_not_wait();
            done
        }
        Err(_) => waiting().run(|look| attempt(0, look))?,
    };
    while done < count {
        match attempt(done, Look::Glance) {
            Ok(more) => done += more,
            Err(_) => break,
        }
    }
    Ok(done)
}

/// A moment of the monotonic clock on the wall clock as it is set now; 0 stays 0.
fn wall_clock(at_ns: i64) -> i64 {
    if at_ns == 0 {
        return 0;
    }
    let ago = clock::monotonic_ns().saturating_sub(at_ns);
    clock::now_ns(Clock::Realtime).saturating_sub(ago)
}

impl From<Known> for Incoming {
    fn from(known: Known) -> Incoming {
        Incoming {
            len: known.len,
            prio: known.prio,
            sequence: known.number,
            sent_ns: known.sent_ns,
            sender_pid: known.sender as u32,
            sender_uid: (known.sender >> 32) as u32,
            state: if known.is_redelivered { state::REDELIVERED } else { 0 },
            ..Incoming::default()
        }
    }
}
