//! Waiting until the queue is not empty, or not full.
//!
//! ```text
//! try                              the common case ends here
//! poll for a while                 unless the other side cannot be running meanwhile
//! announce, try, sleep a slice     until done, the time has come, or a signal handler ran
//! ```
//!
//! How long polling pays is learnt from how long it took when it succeeded. It never
//! pays when the process that will end the wait runs on our own processor: whoever wakes
//! a sleeper notes where it runs. Then who is alone on his side lets it run (sched_yield)
//! before he sleeps; among several that would give what is left of one's time to the
//! others, so they sleep at once. Where messages stream, the first look comes late, so
//! that the two sides do not fight for a cache line and messages gather; how late, and
//! whether at all, is learnt from what had gathered.
//!
//! A call that is cancelled ends where it would sleep: it looks whether it is after it has
//! announced itself, and who cancels wakes everybody.
//!
//! A sleep lasts one slice at most. That covers a peer that was killed between its
//! change and its wake, or a woken sleeper that was killed before it looked; nothing is
//! lost then but time.

use super::engine::{Engine, Look, Refused};
use super::event::{Event, Slept};
use super::layout::WaitWords;
use super::word::{Head, Tail, take_distance};
use crate::deadline::Wait;
use crate::error::{Errno, Result};
use crate::report::say;
use crate::sync::local::AtomicU32;
use crate::sync::{Ordering::Relaxed, pause, yield_now};
use crate::sys::{clock, process};
use crate::transport::{Access, Entered};
use crate::waiting::{Limit, Side, cancelled, interrupted};

/// Pauses polled at least, about 8 microseconds.
const POLL_LEAST: u32 = 300;
/// Pauses polled now and then all the same, about 40 microseconds: more than a sleeper
/// needs to wake, or two processes that just met would never find out that polling pays.
const POLL_TRIAL: u32 = 1600;
/// Vain waits after which there is a trial.
const TRIAL_AFTER: u32 = 8;
/// Pauses polled at most, about 100 microseconds.
const POLL_MOST: u32 = 4000;
/// Calls in a row that did not wait, after which a late first look is tried.
const RUN: u32 = 8;
/// Waits among which one tries whether to look late pays.
const LATE_TRIAL: u32 = 64;
/// Pauses before a late first look, to begin with: about 0.4 microseconds.
const LATE_LEAST: u32 = 16;
/// Most, about 10 microseconds.
const LATE_MOST: u32 = 400;
/// How often a wait lets others run before it sleeps, where polling does not pay.
const YIELDS: u32 = 2;
/// For how many waits it is remembered that others do on our side what we do.
const COMPANY: u32 = 1024;
/// First slice of a sleep.
pub(super) const SLICE: i64 = 20_000_000;
/// Longest slice.
pub(super) const SLICE_MOST: i64 = 1_000_000_000;
/// How long a call that must not wait looks for a slot in a queue that is not full.
const SLOT_PATIENCE: i64 = 1_000_000;

/// What a process has learnt about waiting on one side of one queue.
#[repr(C)]
pub(super) struct Patience {
    /// Pauses worth polling.
    budget: AtomicU32,
    /// Waits in a row that polled in vain.
    vain: AtomicU32,
    /// Calls in a row that did not wait.
    run: AtomicU32,
    /// Waits so far.
    waits: AtomicU32,
    /// Pauses before the first look; 0: look at once.
    late: AtomicU32,
    /// Calls of all processes on our side, as counted when the last wait began.
    counted: AtomicU32,
    /// Waits for which we still believe that others send (receive) as we do.
    company: AtomicU32,
}

impl Patience {
    pub(super) const fn new() -> Patience {
        Patience {
            budget: AtomicU32::new(POLL_MOST),
            vain: AtomicU32::new(0),
            run: AtomicU32::new(0),
            waits: AtomicU32::new(0),
            late: AtomicU32::new(0),
            counted: AtomicU32::new(0),
            company: AtomicU32::new(0),
        }
    }

    /// A call did not have to wait.
    #[inline(always)]
    pub(super) fn did_not_wait(&self) {
        // Relaxed, and no atomic addition: an estimate.
        self.run.store(self.run.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// How long to poll.
    fn polls(&self) -> u32 {
        let budget = self.budget.load(Relaxed);
        let trial = self.vain.load(Relaxed) % TRIAL_AFTER == TRIAL_AFTER - 1;
        if trial { budget.max(POLL_TRIAL) } else { budget }
    }

    fn learn(&self, pauses: u32) {
        self.vain.store(0, Relaxed);
        let budget = self.budget.load(Relaxed);
        self.budget.store(((budget * 7 + pauses * 2 + 64) / 8).min(POLL_MOST), Relaxed);
    }

    /// A wait begins when so many calls were made on our side, by whomever.
    fn learn_company(&self, count: u32) {
        let all = take_distance(count, self.counted.swap(count, Relaxed));
        let were_all_ours = all <= self.run.load(Relaxed).wrapping_add(1);
        let company = self.company.load(Relaxed);
        self.company
            .store(if were_all_ours { company.saturating_sub(1) } else { COMPANY }, Relaxed);
    }

    fn is_alone(&self) -> bool {
        self.company.load(Relaxed) == 0
    }

    /// A wait begins: how many pauses to make before the first look; 0: none.
    fn begin(&self, maxmsg: u32) -> u32 {
        let waits = self.waits.load(Relaxed).wrapping_add(1);
        self.waits.store(waits, Relaxed);
        let run = self.run.swap(0, Relaxed);
        match self.late.load(Relaxed) {
            0 if run >= RUN || waits % LATE_TRIAL == 0 => late_least(maxmsg),
            late => late,
        }
    }

    /// A late first look, after so many pauses, found so much. If the other side is at full
    /// speed it is worth while to let more gather, as far as the queue has room for it; if
    /// not, to look late would only be late.
    fn learn_late(&self, pauses: u32, gathered: u32, maxmsg: u32) {
        let streams = gathered >= 2 && gathered * 8 >= pauses;
        let next = if streams { pauses * 2 } else { pauses / 2 };
        let is_worth_it = next >= late_least(maxmsg);
        self.late.store(if is_worth_it { next.min(late_most(maxmsg)) } else { 0 }, Relaxed);
    }

    /// All that polling was in vain.
    fn learn_in_vain(&self) {
        self.vain.store(self.vain.load(Relaxed).wrapping_add(1), Relaxed);
        let budget = self.budget.load(Relaxed);
        self.budget.store((budget * 7 / 8).max(POLL_LEAST), Relaxed);
    }
}

/// Most pauses before a late first look: in proportion to what can gather.
fn late_most(maxmsg: u32) -> u32 {
    (maxmsg * 2 / 5).clamp(4, LATE_MOST)
}

/// Pauses before a late first look, to begin with.
fn late_least(maxmsg: u32) -> u32 {
    LATE_LEAST.min(late_most(maxmsg))
}

/// The processor on which a side was last woken from.
fn waker_processor(side: Side, words: &WaitWords) -> u32 {
    match side {
        Side::Sender => words.receiver_cpu.load(Relaxed),
        Side::Receiver => words.sender_cpu.load(Relaxed),
    }
}

/// One thread of a side, in the count of an owner's sleepers.
fn asleep(side: Side) -> u32 {
    match side {
        Side::Sender => 1,
        Side::Receiver => 1 << 16,
    }
}

/// What a call that sleeps remembers from one sleep to the next.
#[derive(Clone, Copy)]
pub(super) struct Doze {
    limit: Limit,
    slice: i64,
    announced: u32,
}

impl Doze {
    pub(super) fn until(limit: Limit, slice: i64) -> Doze {
        Doze { limit, slice, announced: 0 }
    }
}

/// One wait: who, where, and how long.
pub(super) struct Waiting<'a> {
    pub engine: &'a Engine,
    pub patience: &'a Patience,
    pub side: Side,
    pub wait: Wait,
    /// The handle's, which may cancel the call.
    pub access: &'a Access,
    /// When the call came in.
    pub entered: Entered,
    /// The first slice of its sleep.
    pub slice: i64,
    /// The longest.
    pub longest: i64,
}

impl Waiting<'_> {
    /// Try until `attempt` succeeds, or fails for good.
    #[cold]
    pub(super) fn run<T>(
        self,
        mut attempt: impl FnMut(Look) -> core::result::Result<T, Refused>,
    ) -> Result<T> {
        let event = self.event();
        let mut doze = None;
        let mut slept = None;
        loop {
            match self.step(&mut doze, slept, &mut attempt) {
                Err(came) => return came,
                Ok((announced, until)) => slept = Some(event.sleep(announced, until)),
            }
        }
    }

    /// One step of it, up to the next sleep: while the word is as announced, and until this
    /// time; or what came of it. `slept` is how the last sleep ended.
    #[inline(always)]
    pub(super) fn step<T>(
        &self,
        doze: &mut Option<Doze>,
        mut slept: Option<Slept>,
        mut attempt: impl FnMut(Look) -> core::result::Result<T, Refused>,
    ) -> core::result::Result<(u32, i64), Result<T>> {
        if slept.is_some() {
            self.note_asleep(false);
        }
        let mut has_looked = false;
        loop {
            let came = match self.try_or_wait(doze, slept.take(), &mut attempt) {
                Ok(sleep) => {
                    self.engine.settle_beacon();
                    self.note_asleep(true);
                    return Ok(sleep);
                }
                Err(came) => came,
            };
            let is_end = self.side == Side::Receiver && matches!(came, Err(Errno(libc::EPIPE)));
            if is_end && !has_looked && self.engine.look_for_the_dead_at_once() {
                // Not the end, if somebody has died with messages that come again.
                has_looked = true;
                *doze = None;
                continue;
            }
            if let Err(error) = came {
                note_refusal(self.engine, self.side, error);
            }
            return Err(came);
        }
    }

    fn try_or_wait<T>(
        &self,
        doze: &mut Option<Doze>,
        slept: Option<Slept>,
        mut attempt: impl FnMut(Look) -> core::result::Result<T, Refused>,
    ) -> core::result::Result<(u32, i64), Result<T>> {
        let doze = match doze {
            Some(doze) => doze,
            None if self.wait == Wait::Never => return Err(self.without_waiting(attempt)),
            None => {
                let limit = Limit::of(self.wait);
                if let Some(done) = self.poll(limit, &mut attempt) {
                    return Err(done);
                }
                doze.insert(Doze::until(limit, self.slice))
            }
        };
        self.doze(doze, self.event(), slept, || self.look(&mut attempt))
    }

    fn words(&self) -> &WaitWords {
        &self.engine.segment().control().wait.0
    }

    /// The word on which this side sleeps.
    pub(super) fn event(&self) -> &Event {
        match self.side {
            Side::Sender => &self.words().senders,
            Side::Receiver => &self.words().receivers,
        }
    }

    /// The caller does not come back from a sleep to take the call up again. The wake that he
    /// may have used up was meant for whoever can do something with it.
    pub(super) fn give_up(&self, doze: &Doze) {
        self.note_asleep(false);
        self.event().withdraw(doze.announced);
        self.pass_on();
    }

    /// The call must not wait; but a queue that is not full owes it a slot, which a peer
    /// in mid-call may be about to free.
    fn without_waiting<T>(
        &self,
        mut attempt: impl FnMut(Look) -> core::result::Result<T, Refused>,
    ) -> Result<T> {
        self.look_for_the_dead();
        let mut refused = match attempt(Look::Close) {
            Ok(done) => return Ok(done),
            Err(refused) => refused,
        };
        if refused == Refused::NoSlot {
            let patience = clock::monotonic_ns().saturating_add(SLOT_PATIENCE);
            while refused == Refused::NoSlot && clock::monotonic_ns() < patience {
                yield_now();
                match attempt(Look::Close) {
                    Ok(done) => return Ok(done),
                    Err(again) => refused = again,
                }
            }
        }
        Err(failure(refused).unwrap_or_else(|| self.side.would_block()))
    }

    /// Whether to sleep without polling: only then does a receiver count as blocked for the
    /// registration.
    fn must_sleep(&self) -> bool {
        self.side == Side::Receiver && self.engine.is_armed()
    }

    /// Whether to yield costs us nothing that others on our side keep: the rest of our share
    /// of the processor. Where there is only one, they yield as we do.
    fn yielding_is_fair(&self) -> bool {
        self.patience.is_alone() || !Processors::look().may_use_many()
    }

    /// Whether the process that will end this wait may be running now.
    fn polling_pays(&self) -> bool {
        let waker = waker_processor(self.side, self.words());
        Processors::look().are_many() && (waker == 0 || waker != process::processor())
    }

    fn poll<T>(
        &self,
        limit: Limit,
        attempt: &mut impl FnMut(Look) -> core::result::Result<T, Refused>,
    ) -> Option<Result<T>> {
        let maxmsg = self.engine.segment().geometry().maxmsg;
        self.patience.learn_company(self.count());
        let late = self.patience.begin(maxmsg);
        if self.must_sleep() {
            return None;
        }
        if !self.polling_pays() {
            return if self.yielding_is_fair() { self.let_run(attempt) } else { None };
        }
        let budget = self.patience.polls();
        let mut pauses = 0;
        let mut looks = 0u32;
        while pauses < budget {
            let next = match pauses {
                0 if late > 0 => late,
                0..64 => 1,
                _ => 8,
            };
            for _ in 0..next {
                pause();
            }
            pauses += next;
            looks += 1;
            let close = looks % 32 == 0;
            if self.side == Side::Receiver {
                self.engine.fetch_first();
            }
            let came = attempt(if close { Look::Close } else { Look::Glance });
            if late > 0 && looks == 1 {
                let gathered = self.known() + u32::from(came.is_ok());
                self.patience.learn_late(late, gathered, maxmsg);
            }
            if came.is_ok() {
                self.patience.learn(pauses);
            }
            if let Some(end) = ended(came) {
                return Some(end);
            }
            if close && (limit.is_over() || self.must_sleep()) {
                return None;
            }
        }
        self.patience.learn_in_vain();
        None
    }

    /// Calls of all processes on our side so far.
    fn count(&self) -> u32 {
        let control = self.engine.segment().control();
        match self.side {
            Side::Sender => Tail(control.tail.0.load(Relaxed)).take_count(),
            Side::Receiver => Head(control.head.0.load(Relaxed)).count(),
        }
    }

    /// What has gathered meanwhile: messages or room.
    fn known(&self) -> u32 {
        let control = self.engine.segment().control();
        match self.side {
            Side::Sender => self.engine.known_room(Tail(control.tail.0.load(Relaxed))),
            Side::Receiver => self.engine.known_messages(Head(control.head.0.load(Relaxed))),
        }
    }

    /// The one that ends this wait probably wants our processor: let it run, which is
    /// cheaper than to be woken by it.
    fn let_run<T>(
        &self,
        attempt: &mut impl FnMut(Look) -> core::result::Result<T, Refused>,
    ) -> Option<Result<T>> {
        for _ in 0..YIELDS {
            yield_now();
            if let Some(end) = ended(attempt(Look::Close)) {
                return Some(end);
            }
        }
        None
    }

    /// What comes before a sleep on `event`, and after the one before: the time up to which to
    /// sleep, or what came of it.
    pub(super) fn doze<T>(
        &self,
        doze: &mut Doze,
        event: &Event,
        slept: Option<Slept>,
        mut look: impl FnMut() -> Option<Result<T>>,
    ) -> core::result::Result<(u32, i64), Result<T>> {
        if let Some(slept) = slept {
            if let Some(done) = event.look_after(doze.announced, slept, &mut look) {
                return Err(done);
            }
            if self.access.is_cancelled(self.entered) {
                return Err(Err(cancelled()));
            }
            match slept {
                Slept::Interrupted if !self.access.restart => return Err(Err(interrupted())),
                Slept::TimedOut => {
                    doze.slice = (doze.slice * 2).min(self.longest);
                    self.look_for_the_dead();
                }
                Slept::Interrupted | Slept::Changed => doze.slice = self.slice,
            }
        }
        doze.announced = event.announce_and(look)?;
        let until = match doze.limit.sleep_until(doze.slice) {
            None => Err(self.side.timed_out()),
            // We are announced: who cancels from now on wakes us.
            Some(_) if self.access.is_cancelled(self.entered) => Err(cancelled()),
            Some(until) => Ok((doze.announced, until)),
        };
        until.map_err(|error| {
            event.withdraw(doze.announced);
            Err(error)
        })
    }

    /// What the dead had received may come again: somebody must notice.
    fn look_for_the_dead(&self) {
        if self.side == Side::Receiver {
            self.engine.look_for_the_dead();
        }
    }

    /// Try once, as one who has announced itself.
    fn look<T>(
        &self,
        attempt: &mut impl FnMut(Look) -> core::result::Result<T, Refused>,
    ) -> Option<Result<T>> {
        let done = match attempt(Look::Close) {
            Ok(done) => Ok(done),
            Err(_) if self.engine.is_poisoned() => return Some(Err(damaged())),
            Err(refused) => {
                // The message, or the room, stays, and the wake may have been meant for another.
                match (refused, self.side) {
                    (Refused::TooBig(_) | Refused::NoLoan, Side::Receiver) => {
                        self.engine.wake_receiver();
                    }
                    (Refused::NoLoan, Side::Sender) => {
                        self.engine.wake_sender();
                    }
                    _ => {}
                }
                return failure(refused).map(Err);
            }
        };
        // The wake that we may have used up was perhaps meant for two.
        self.pass_on();
        Some(done)
    }

    /// Wake another one of our side if there is something for it.
    fn pass_on(&self) {
        let queued = self.engine.queued();
        match self.side {
            Side::Receiver if queued > 0 => self.engine.wake_receiver(),
            Side::Sender if queued < self.engine.segment().geometry().maxmsg => {
                self.engine.wake_sender()
            }
            _ => false,
        };
    }

    /// Keep the count of our sleeping threads, for whoever looks.
    fn note_asleep(&self, on: bool) {
        if let Some(row) = self.engine.segment().owner(self.engine.owner()) {
            if on {
                row.asleep.fetch_add(asleep(self.side), Relaxed);
            } else {
                row.asleep.fetch_sub(asleep(self.side), Relaxed);
            }
        }
    }
}

/// A call ends so: if the queue has refused it, the descriptor for poll must not say otherwise.
pub(super) fn note_refusal(engine: &Engine, side: Side, error: Errno) {
    if matches!(error.0, libc::EAGAIN | libc::ETIMEDOUT | libc::EINTR | libc::ECANCELED) {
        engine.descriptor().refused(engine, side);
        engine.correct_beacon_if_any();
    }
}

/// What ends a wait: success, or an error that no waiting can mend.
fn ended<T>(came: core::result::Result<T, Refused>) -> Option<Result<T>> {
    match came {
        Ok(done) => Some(Ok(done)),
        Err(refused) => failure(refused).map(Err),
    }
}

/// The error that no waiting can mend.
pub(super) fn failure(refused: Refused) -> Option<Errno> {
    match refused {
        Refused::WouldBlock | Refused::NoSlot => None,
        Refused::TooBig(len) => Some(crate::report::explain(
            libc::EMSGSIZE,
            format_args!("the next message has {len} bytes, more than the buffer; it stays queued"),
        )),
        Refused::NoLoan => Some(say(
            libc::ENOBUFS,
            "so many slots of the queue are reserved and acquired that there is none left",
        )),
        Refused::Damaged => Some(damaged()),
        Refused::Shut => Some(say(libc::EPIPE, "the queue was shut down")),
    }
}

/// The error of a queue whose shared state was found impossible.
pub(super) fn damaged() -> Errno {
    say(libc::EBADMSG, "the queue's shared state is damaged; it can only be removed")
}

/// Processors as they were when this process first waited.
#[derive(Clone, Copy)]
struct Processors(u32);

impl Processors {
    const ASKED: u32 = 1;
    /// The machine has several.
    const MANY: u32 = 2;
    /// This process may run on several.
    const MANY_OURS: u32 = 4;

    fn look() -> Processors {
        static KNOWN: AtomicU32 = AtomicU32::new(0);
        let mut known = KNOWN.load(Relaxed);
        if known == 0 {
            let many = if process::processors() > 1 { Processors::MANY } else { 0 };
            let ours = if process::own_processors() > 1 { Processors::MANY_OURS } else { 0 };
            known = Processors::ASKED | many | ours;
            KNOWN.store(known, Relaxed);
        }
        Processors(known)
    }

    fn are_many(self) -> bool {
        self.0 & Processors::MANY != 0
    }

    fn may_use_many(self) -> bool {
        self.0 & Processors::MANY_OURS != 0
    }
}
