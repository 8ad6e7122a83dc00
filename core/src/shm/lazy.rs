//! The beacon of a queue that nobody seems to poll.
//!
//! Each time a queue goes from empty to not empty and back, a send and a receive change its FIFO,
//! with four system calls each.
//! Where that happens more often than anybody who polled could answer, and in a process that has
//! a helper thread for it, what is missing is left to the helper for some time:
//!
//! ```text
//! process   has shown so much in so little time: takes a lease, rings for its helper
//! all       leave out to show readiness as long as there is a lease; what is false they still
//!           take away at once
//! helper    looks every few milliseconds: shows what is missing; renews the lease if the queue
//!           is as busy as that, else ends it and looks once more
//! ```
//!
//! So who does poll hears of it some milliseconds late, and after that nothing is left out. A
//! lease that was for nothing makes the next one wait, twice as long each time. A lease ends
//! by itself: its holder may be stopped or killed. So that who polls does not depend on him,
//! everybody who changes the queue meanwhile joins the lease with a helper of his own, or, if
//! he can have none, forbids leases for good. Only if all of them are gone stays what was left
//! out in their last milliseconds unshown, until the next call.
//!
//! Source: leases, after Gray and Cheriton 1989.

#![forbid(unsafe_code)]

use super::engine::Engine;
use super::word::{Head, Tail, take_distance};
use crate::sync::Ordering::{Relaxed, SeqCst};
use crate::sync::dekker_barrier;
use crate::sync::local::{AtomicBool, AtomicU32, AtomicU64};

/// Readiness that was shown so often ...
const OFTEN: u32 = 64;
/// ... in so many nanoseconds: nobody polls, it seems.
const SOON: u64 = 4_000_000;
/// How often the helper looks.
pub const LOOK_EVERY: i64 = 2_000_000;
/// Messages sent and received between two of its looks in a queue that is busy.
const BUSY: u32 = 32;
/// How long a lease is good for.
const LEASE_MS: u32 = 50;
/// How long to wait for the next one, the first time that one was for nothing, and at most.
const PENALTY: (u64, u64) = (100_000_000, 10_000_000_000);

/// What a process knows of a queue's beacon and its helper.
pub(super) struct Lazy {
    /// There is a helper that looks after this view.
    is_allowed: AtomicBool,
    /// There is none, and it would be worth while.
    is_wanted: AtomicBool,
    /// It is to look now and then.
    is_on: AtomicBool,
    /// How often readiness was shown.
    shows: AtomicU32,
    /// When that was last a multiple of OFTEN.
    since_ns: AtomicU64,
    /// No lease before.
    not_before_ns: AtomicU64,
    /// How long the last one that was for nothing was punished. The helper's own, as is what
    /// follows.
    penalty_ns: AtomicU64,
    /// Looks of this lease.
    looks: AtomicU32,
    /// When it last looked.
    looked_ns: AtomicU64,
    /// Sends and receives as of then.
    sent: AtomicU32,
    received: AtomicU32,
}

impl Lazy {
    pub(super) const fn new() -> Lazy {
        Lazy {
            is_allowed: AtomicBool::new(false),
            is_wanted: AtomicBool::new(false),
            is_on: AtomicBool::new(false),
            shows: AtomicU32::new(0),
            since_ns: AtomicU64::new(0),
            not_before_ns: AtomicU64::new(0),
            penalty_ns: AtomicU64::new(0),
            looks: AtomicU32::new(0),
            looked_ns: AtomicU64::new(0),
            sent: AtomicU32::new(0),
            received: AtomicU32::new(0),
        }
    }
}

#[cfg(not(loom))]
fn now_ns() -> u64 {
    crate::sys::clock::monotonic_ns() as u64
}

/// Time stands still in the models.
#[cfg(loom)]
fn now_ns() -> u64 {
    1
}

#[cfg(not(loom))]
use crate::sys::clock::coarse_ms;

#[cfg(loom)]
fn coarse_ms() -> u32 {
    1
}

impl Engine {
    /// Whether readiness is left to somebody's helper.
    pub(super) fn is_lazy(&self) -> bool {
        // SYNC: Dekker pair with end_lease: the queue was changed, now this is read.
        match self.control().wait.0.lazy_until_ms.load(SeqCst) {
            0 => false,
            until => {
                (1..=LEASE_MS).contains(&until.wrapping_sub(coarse_ms()))
                    && self.control().wait.0.never_lazy.load(SeqCst) == 0
            }
        }
    }

    /// A helper looks after this view from now on.
    pub fn allow_lazy(&self) {
        self.lazy.is_wanted.store(false, Relaxed);
        self.lazy.is_allowed.store(true, SeqCst);
        if self.is_lazy() {
            self.take_lease();
        }
    }

    /// There can be no helper that looks after this view, and somebody else's may be gone when
    /// it matters: from now on everything is shown at once.
    pub fn forbid_lazy(&self) {
        self.lazy.is_wanted.store(false, Relaxed);
        let wait = &self.control().wait.0;
        wait.never_lazy.store(1, SeqCst);
        wait.lazy_until_ms.store(0, SeqCst);
        // SYNC: Dekker pair with is_lazy.
        dekker_barrier();
        self.correct_beacon();
    }

    /// Under a lease of another's everybody who changes the queue has his own helper look, too:
    /// who polls must not depend on one who may be gone.
    pub(super) fn join_lease(&self) {
        if !self.lazy.is_on.load(Relaxed) && self.is_lazy() {
            self.want_lease();
        }
    }

    fn want_lease(&self) {
        match self.lazy.is_allowed.load(Relaxed) {
            true => self.take_lease(),
            false => self.lazy.is_wanted.store(true, Relaxed),
        }
    }

    /// Whether it would be worth while that a helper looked after this view.
    #[inline]
    pub fn wants_lazy(&self) -> bool {
        self.lazy.is_wanted.load(Relaxed)
    }

    /// Whether there is such a helper.
    pub fn may_be_lazy(&self) -> bool {
        self.lazy.is_allowed.load(SeqCst)
    }

    /// Readiness is about to be shown.
    pub(super) fn note_shown(&self) {
        let lazy = &self.lazy;
        let shows = lazy.shows.fetch_add(1, Relaxed).wrapping_add(1);
        if shows % OFTEN != 0 {
            return;
        }
        let now = now_ns();
        let since = lazy.since_ns.swap(now, Relaxed);
        let is_forbidden = || self.control().wait.0.never_lazy.load(Relaxed) != 0;
        let is_often = now.wrapping_sub(since) < SOON && now >= lazy.not_before_ns.load(Relaxed);
        if is_often && !is_forbidden() {
            self.want_lease();
        }
    }

    /// Leave readiness to our helper.
    pub fn take_lease(&self) {
        let lazy = &self.lazy;
        if !lazy.is_on.swap(true, SeqCst) {
            lazy.looks.store(0, Relaxed);
            self.note_look();
            self.renew_lease();
            #[cfg(not(loom))]
            crate::notify::ring();
        }
    }

    fn renew_lease(&self) {
        let until = coarse_ms().wrapping_add(LEASE_MS).max(1);
        self.control().wait.0.lazy_until_ms.store(until, SeqCst);
    }

    /// No lease any more; and what was left out is shown.
    pub fn end_lease(&self) {
        if self.lazy.is_on.swap(false, SeqCst) {
            self.control().wait.0.lazy_until_ms.store(0, SeqCst);
            // SYNC: Dekker pair with is_lazy.
            dekker_barrier();
            self.correct_beacon();
        }
    }

    /// Whether the helper is to look now and then.
    pub fn has_lease(&self) -> bool {
        self.lazy.is_on.load(SeqCst)
    }

    /// Note what was sent and received by now; gives how much since the last time.
    fn note_look(&self) -> u32 {
        let lazy = &self.lazy;
        lazy.looked_ns.store(now_ns(), Relaxed);
        let sent = Tail(self.tail_word().load(SeqCst)).take_count();
        let received = Head(self.head_word().load(SeqCst)).count();
        take_distance(sent, lazy.sent.swap(sent, Relaxed))
            .saturating_add(take_distance(received, lazy.received.swap(received, Relaxed)))
    }

    /// For the helper: look after the beacon, if it is time.
    pub fn look_after_beacon(&self) {
        let lazy = &self.lazy;
        let ago = now_ns().wrapping_sub(lazy.looked_ns.load(Relaxed));
        if !self.has_lease() || ago < LOOK_EVERY as u64 / 2 {
            return;
        }
        if self.note_look() >= BUSY {
            lazy.looks.fetch_add(1, Relaxed);
            self.renew_lease();
            self.correct_beacon();
            return;
        }
        let (least, most) = PENALTY;
        let penalty = match lazy.looks.load(Relaxed) {
            0 => (lazy.penalty_ns.load(Relaxed) * 2).clamp(least, most),
            _ => 0,
        };
        lazy.penalty_ns.store(penalty, Relaxed);
        lazy.not_before_ns.store(now_ns().wrapping_add(penalty), Relaxed);
        self.end_lease();
    }
}
