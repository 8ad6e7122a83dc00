//! What every wait has in common: whose it is, when its time is up, and how it says that it
//! ended in vain. How to sleep is each transport's own affair.
//!
//! Source: clock_gettime(2).

#![forbid(unsafe_code)]

use crate::deadline::{Clock, Wait};
use crate::error::Errno;
use crate::report::say;
use crate::sys::clock;

/// Longest sleep towards a time on a clock that may be set, which the sleep does not follow.
/// It does not divide a second, so that signals on the second do not come between two sleeps.
const SLICE_SET: i64 = 97_300_000;

/// Which side of the queue waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// For room.
    Sender,
    /// For a message.
    Receiver,
}

impl Side {
    /// The answer of a call that must not wait.
    pub fn would_block(self) -> Errno {
        match self {
            Side::Sender => say(libc::EAGAIN, "the queue is full and the call must not wait"),
            Side::Receiver => say(libc::EAGAIN, "the queue is empty and the call must not wait"),
        }
    }

    /// The answer of a call that has waited in vain.
    pub fn timed_out(self) -> Errno {
        match self {
            Side::Sender => say(libc::ETIMEDOUT, "the queue was full until the time was up"),
            Side::Receiver => say(libc::ETIMEDOUT, "the queue was empty until the time was up"),
        }
    }
}

/// The answer of a call that a signal handler has ended.
pub fn interrupted() -> Errno {
    say(libc::EINTR, "a signal handler ran while the call waited")
}

/// The answer of a call that would wait and must not any longer, since somebody ended it.
pub fn cancelled() -> Errno {
    say(libc::ECANCELED, "the call was ended by mqrs_cancel or mqrs_set_cancelled")
}

/// When a call's time is up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Limit {
    /// At once.
    Now,
    /// Not before.
    At(Clock, i64),
    /// Never.
    Never,
}

impl Limit {
    /// The limit of a call that begins to wait now.
    pub fn of(wait: Wait) -> Limit {
        match wait {
            Wait::Unlimited => Limit::Never,
            Wait::Never => Limit::Now,
            Wait::For(ns) => match clock::monotonic_ns().saturating_add(ns) {
                i64::MAX => Limit::Never,
                at => Limit::At(Clock::Monotonic, at),
            },
            Wait::Until(clock, at) => Limit::At(clock, at),
        }
    }

    /// Nanoseconds left; none or less if the time is up.
    pub fn left(self) -> i64 {
        match self {
            Limit::Now => 0,
            Limit::At(clock, at) => at.saturating_sub(clock::now_ns(clock)),
            Limit::Never => i64::MAX,
        }
    }

    /// Whether the time is up.
    pub fn is_over(self) -> bool {
        self.left() <= 0
    }

    /// How long to sleep, at most so many nanoseconds, before a look at the clock; none or
    /// less if the time is up.
    pub fn slice(self, most: i64) -> i64 {
        let most = match self {
            Limit::At(Clock::Realtime | Clock::Boottime, _) => most.min(SLICE_SET),
            _ => most,
        };
        self.left().min(most)
    }

    /// The same as a time on the monotonic clock; `None` if the time is up.
    pub fn sleep_until(self, most: i64) -> Option<i64> {
        let slice = self.slice(most);
        (slice > 0).then(|| clock::monotonic_ns().saturating_add(slice))
    }
}

// Miri has no clocks that may be set.
#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_may_be_set_is_looked_at_often() {
        for clock in [Clock::Realtime, Clock::Boottime] {
            let limit = Limit::At(clock, i64::MAX - 1);

            assert_eq!(limit.slice(i64::MAX), SLICE_SET);
        }
        assert!(Limit::At(Clock::Monotonic, i64::MAX - 1).slice(i64::MAX) > SLICE_SET);
    }

    #[test]
    fn no_sleep_is_longer_than_the_time_that_is_left() {
        let limit = Limit::of(Wait::For(1));

        assert!(limit.left() <= 1);
        assert_eq!(limit.sleep_until(0), None);
        assert_eq!(Limit::Now.sleep_until(7), None);
        assert_eq!(Limit::Never.slice(7), 7);
        assert_eq!(Limit::At(Clock::Boottime, 1).sleep_until(7), None);
    }

    #[test]
    fn a_relative_timeout_beyond_the_clocks_range_is_for_ever() {
        assert_eq!(Limit::of(Wait::For(i64::MAX)), Limit::Never);
        assert_eq!(Limit::of(Wait::For(i64::MAX - 1)), Limit::Never);
    }
}
