//! Named steps of the algorithms: where a test may kill, stop or abandon a caller.
//!
//! Without the feature `faults` (and outside the models) a step is nothing at all.
//! With it, [`arm`] makes the process send itself a signal when it reaches a step for
//! the n-th time, and [`unsettle`] makes a thread dawdle at random steps. In tests with
//! threads instead of processes the calling thread unwinds from there and never comes back,
//! which is what a process stopped for ever looks like to the others.

#![forbid(unsafe_code)]

macro_rules! steps {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A place between two changes that others can see.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u32)]
        pub enum Step { $($(#[$doc])* $name,)* }

        impl Step {
            /// Every step, in the order of the algorithms.
            pub const ALL: &'static [Step] = &[$(Step::$name,)*];
        }
    };
}

steps! {
    /// Send: a slot is claimed.
    SendClaimed,
    /// Send: header and payload are written.
    SendCopied,
    /// Send: the send before is confirmed.
    SendHelped,
    /// Send: the tail names this send.
    SendPublished,
    /// Send: the slot is QUEUED.
    SendConfirmed,
    /// Send: the tail's hint is written.
    SendHinted,
    /// Send: the index entry is written.
    SendIndexed,
    /// Send: receivers that were looking look again.
    SendLinearized,
    /// Send: done, receivers not yet woken.
    SendUnwoken,
    /// Receive: nothing done yet.
    ReceiveBegun,
    /// Receive: the look for the best message is announced in the head.
    ReceiveSnapped,
    /// Receive: a message is chosen, its slot not yet stamped.
    ReceiveChosen,
    /// Receive: the slot is stamped TAKING.
    ReceiveStamped,
    /// Receive: the head names this receive.
    ReceivePublished,
    /// Receive: the slot is TAKEN.
    ReceiveFinalized,
    /// Receive: the head moved on without this receive.
    ReceiveLost,
    /// Receive: the payload is copied, the slot not yet free.
    ReceiveCopied,
    /// Receive: done, senders not yet woken.
    ReceiveUnwoken,
    /// Receive: the tail is no longer settled, the head still in mixed mode.
    LaneUnsettled,
    /// Receive: the head is back in lane mode, the tail not yet.
    LaneHalfway,
    /// Finder: it is wanted, and not yet locked.
    FinderWanted,
    /// Finder: its holder is found dead, the lock not yet taken over.
    FinderStealing,
    /// Finder: locked.
    FinderLocked,
    /// Finder: the rebuild has begun.
    FinderRebuilding,
    /// Finder: one message is drained into the heap.
    FinderDrained,
    /// Finder: the heap is one shorter, its last entry in nobody's place.
    FinderHalfway,
    /// Finder: a stale entry is dropped.
    FinderDropped,
    /// Finder: the message is taken, its entry not yet removed.
    FinderStale,
    /// Finder: the entry is removed, the lock still held.
    FinderPopped,
    /// Reserve, acquire: a permit is taken that names no slot yet.
    LoanPermitted,
    /// Reserve: a slot is claimed that the permit does not name yet.
    ReserveClaimed,
    /// Acquire: a message is taken that the permit does not name yet.
    AcquireTaken,
    /// Commit: the slot is in hand, nothing done yet.
    CommitBegun,
    /// Commit: the claim is stamped anew, the message not yet sent.
    CommitStamped,
    /// Abort, release: the slot is free, the permit not.
    LoanFreed,
    /// Commit, requeue: the message is sent, the permit not free.
    LoanSent,
    /// Requeue, reclaim: the slot is RETURNING, the message not yet sent.
    ReturnStamped,
    /// Requeue, reclaim: there was no room, the slot is still RETURNING.
    ReturnRefused,
    /// Take: the tail is in mixed mode, the head not yet.
    TakeMixed,
    /// Drop: the message is taken and counted, its slot not yet free.
    DropCounted,
    /// Shutdown: the tail says so, nobody is woken yet.
    ShutUnwoken,
    /// Wait: announced as a sleeper.
    WaitAnnounced,
    /// Wait: asleep is over, the queue not yet looked at.
    WaitWoken,
    /// Wait for several: announced and marked, the queues not yet looked at.
    PollAnnounced,
    /// Wait for several: asleep is over, the announcement not yet withdrawn.
    PollWoken,
    /// Wake: the mark is taken away, the pollers not yet woken.
    WakeUnmarked,
    /// Wake: the pollers are woken, the file not yet touched.
    WakeUntouched,
    /// Beacon: somebody is to change it, and it is locked.
    BeaconLocked,
    /// Beacon: it is not what it should be, and locked.
    BeaconLooked,
    /// Beacon: it has one packet more or less, and is still locked.
    BeaconChanged,
    /// Beacon: its FIFO is complete, and has no name that anybody looks for.
    BeaconUnnamed,
    /// Beacon: its FIFO has its name, the queue does not know of it yet.
    BeaconNamed,
    /// Beacon: the queue knows of it, nobody looks at it yet.
    BeaconRecorded,
    /// Unlink: the queue's name is gone, its beacon's is not.
    UnlinkHalfway,
    /// Reclaim: a dead owner's slot is found, not yet freed.
    ReclaimFound,
    /// Reclaim: all that a dead owner held is dealt with, its number not yet free.
    ReclaimSwept,
    /// Notification: the registration word is ours, the tail not yet armed.
    NotifyRegistered,
    /// Notification: a receiver that sleeps is to be woken instead, and is not yet.
    NotifyCalled,
    /// Notification: fired, the tail's flags not yet cleared.
    NotifyFired,
    /// Notification: done, the registrant's helper not yet woken.
    NotifyUnwoken,
    /// Notification: the tail is disarmed, the registration word not yet free.
    NotifyDisarmed,
    /// Attach: the owner's lock is held, its row not yet written.
    AttachLocked,
    /// Create: the file is complete, its name not yet given.
    CreateUnnamed,
    /// Create: the name is given, nothing returned yet.
    CreateNamed,
    /// End: nobody is attached, and nobody can be; not yet marked.
    EndLocked,
    /// End: marked, everything let go, the name still there.
    EndMarked,
    /// End: the name is the queue's own, not yet taken from it.
    EndLooked,
    /// End: the file is aside, under the name by which nobody looks for it.
    EndAside,
    /// End: nobody else is at it, that name not yet removed.
    EndAlone,
    /// Typed send: the message is counted in, the tail does not name it yet.
    TypedCharged,
    /// Typed receive: the message is counted out, its slot not yet free.
    TypedDischarged,
    /// Typed queue: more slots have memory, the count of them is not yet raised.
    TypedGrown,
    /// Typed queue: it has its key, not yet its number.
    TypedKeyed,
    /// Typed queue: marked as removed, nobody woken yet.
    TypedRemoved,
    /// Typed queue: removed, its number not yet, its key perhaps.
    TypedUnnamed,
}

/// Declare that a named step is reached.
macro_rules! step {
    ($name:ident) => {
        #[cfg(any(loom, feature = "faults"))]
        $crate::fault::reached($crate::fault::Step::$name);
    };
}
pub(crate) use step;

#[cfg(all(feature = "faults", not(loom)))]
mod armed {
    use super::Step;
    use crate::sync::Ordering::Relaxed;
    use crate::sync::local::{AtomicI32, AtomicU64};
    use std::cell::Cell;

    const ANY: u64 = u64::MAX;
    static STEP: AtomicU64 = AtomicU64::new(ANY);
    static COUNTDOWN: AtomicU64 = AtomicU64::new(u64::MAX);
    static SIGNAL: AtomicI32 = AtomicI32::new(0);

    /// Send `signal` to this process at the `nth` time (from 1) that `step`, or any
    /// step if `None`, is reached.
    pub fn arm(step: Option<Step>, nth: u64, signal: i32) {
        SIGNAL.store(signal, Relaxed);
        STEP.store(step.map_or(ANY, |s| s as u64), Relaxed);
        COUNTDOWN.store(nth, Relaxed);
    }

    std::thread_local! {
        /// The random state of a thread that is slow at times; 0: this one is not.
        static UNREST: Cell<u64> = const { Cell::new(0) };
    }

    /// Make this thread slow at random steps, so that others do much in the midst of its
    /// calls; the same ones for the same `seed`.
    pub fn unsettle(seed: u64) {
        UNREST.set(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    }

    #[cold]
    fn dawdle(mut unrest: u64) {
        unrest ^= unrest << 13;
        unrest ^= unrest >> 7;
        unrest ^= unrest << 17;
        UNREST.set(unrest);
        let pauses = match unrest >> 32 & 31 {
            0..4 => unrest & 63,
            4 => unrest & 1023,
            5 => return crate::sync::yield_now(),
            _ => 0,
        };
        for _ in 0..pauses {
            crate::sync::pause();
        }
    }

    #[inline]
    pub(super) fn reached(step: Step) {
        let unrest = UNREST.get();
        if unrest != 0 {
            dawdle(unrest);
        }
        if COUNTDOWN.load(Relaxed) == u64::MAX {
            return;
        }
        let wanted = STEP.load(Relaxed);
        if wanted != ANY && wanted != step as u64 {
            return;
        }
        if COUNTDOWN.fetch_sub(1, Relaxed) == 1 {
            COUNTDOWN.store(u64::MAX, Relaxed);
            crate::sys::process::signal_self(SIGNAL.load(Relaxed));
        }
    }
}
#[cfg(all(feature = "faults", not(loom)))]
pub use armed::{arm, unsettle};

/// A thread is at a named step.
#[cfg(any(loom, feature = "faults"))]
#[inline]
pub(crate) fn reached(step: Step) {
    #[cfg(not(loom))]
    armed::reached(step);
    abandoned::reached(step);
}

#[cfg(any(loom, feature = "faults"))]
mod abandoned {
    use super::Step;
    #[cfg(loom)]
    use loom::thread_local;
    use std::cell::Cell;

    type Action = Box<dyn FnOnce()>;

    // Not const: loom's macro knows no such initializers.
    thread_local! {
        #[allow(clippy::missing_const_for_thread_local)]
        static STEP: Cell<Option<Step>> = Cell::new(None);
        #[allow(clippy::missing_const_for_thread_local)]
        static ACTION: Cell<Option<Action>> = Cell::new(None);
    }

    /// What a thread unwinds with when it reaches its step.
    pub struct Abandoned;

    /// Run `work`; if it reaches `step` it is left there for ever and `None` comes back.
    pub fn abandon_at<R>(step: Step, work: impl FnOnce() -> R) -> Option<R> {
        STEP.with(|s| s.set(Some(step)));
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        STEP.with(|s| s.set(None));
        match done {
            Ok(value) => Some(value),
            Err(reason) if reason.is::<Abandoned>() => None,
            Err(reason) => std::panic::resume_unwind(reason),
        }
    }

    /// Run `work`; when it first reaches `step`, run `action` in its midst, as a signal
    /// handler or a schedule of other processes would. Tells whether the step was reached.
    pub fn interrupt_at<R>(
        step: Step,
        action: impl FnOnce() + 'static,
        work: impl FnOnce() -> R,
    ) -> (R, bool) {
        ACTION.with(|a| a.set(Some(Box::new(action))));
        STEP.with(|s| s.set(Some(step)));
        let done = work();
        STEP.with(|s| s.set(None));
        (done, ACTION.with(|a| a.take()).is_none())
    }

    pub(super) fn reached(step: Step) {
        if STEP.with(|s| s.get()) == Some(step) {
            STEP.with(|s| s.set(None));
            match ACTION.with(|a| a.take()) {
                Some(action) => action(),
                None => std::panic::resume_unwind(Box::new(Abandoned)),
            }
        }
    }
}
#[cfg(any(loom, feature = "faults"))]
pub use abandoned::{abandon_at, interrupt_at};
