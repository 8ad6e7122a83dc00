//! How long a call may wait: plain values, checked before anything else happens.

#![forbid(unsafe_code)]

use crate::error::Result;
use crate::report::say;

/// Relative timeout: wait without limit.
pub const FOREVER: i64 = -1;
/// Relative timeout: never wait.
pub const NOWAIT: i64 = 0;

/// The clocks that a deadline may be measured on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Clock {
    /// Wall clock; a deadline follows it when it is set.
    Realtime,
    /// Never set, stands still during suspend.
    Monotonic,
    /// Like monotonic, but runs during suspend.
    Boottime,
}

/// How long one call may wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wait {
    /// As the handle says: for ever, or not at all if it is non-blocking.
    Unlimited,
    /// Not at all, whatever the handle says.
    Never,
    /// At most so many nanoseconds (> 0), measured on the monotonic clock.
    For(i64),
    /// Until an absolute time (>= 0, nanoseconds) on a clock.
    Until(Clock, i64),
}

impl Wait {
    /// From a relative timeout in nanoseconds.
    pub fn timeout(timeout_ns: i64) -> Result<Wait> {
        match timeout_ns {
            FOREVER => Ok(Wait::Unlimited),
            NOWAIT => Ok(Wait::Never),
            ns if ns > 0 => Ok(Wait::For(ns)),
            _ => Err(say(libc::EINVAL, "the timeout is negative; only MQRS_FOREVER (-1) may be")),
        }
    }

    /// From a clock number and an absolute time in nanoseconds.
    pub fn until(clock: i32, deadline_ns: i64) -> Result<Wait> {
        let clock = match clock {
            libc::CLOCK_REALTIME => Clock::Realtime,
            libc::CLOCK_MONOTONIC => Clock::Monotonic,
            libc::CLOCK_BOOTTIME => Clock::Boottime,
            _ => {
                return Err(say(
                    libc::EINVAL,
                    "the clock is none of CLOCK_REALTIME, CLOCK_MONOTONIC and CLOCK_BOOTTIME",
                ));
            }
        };
        if deadline_ns < 0 {
            return Err(say(libc::EINVAL, "the deadline is negative"));
        }
        if deadline_ns == i64::MAX {
            return Ok(Wait::Unlimited);
        }
        Ok(Wait::Until(clock, deadline_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Errno;

    #[test]
    fn timeouts_below_forever_are_refused() {
        assert_eq!(Wait::timeout(-1), Ok(Wait::Unlimited));
        assert_eq!(Wait::timeout(0), Ok(Wait::Never));
        assert_eq!(Wait::timeout(7), Ok(Wait::For(7)));
        assert_eq!(Wait::timeout(-2), Err(Errno(libc::EINVAL)));
        assert_eq!(Wait::timeout(i64::MIN), Err(Errno(libc::EINVAL)));
    }

    #[test]
    fn deadlines_take_three_clocks_and_no_negative_time() {
        assert_eq!(Wait::until(libc::CLOCK_BOOTTIME, 5), Ok(Wait::Until(Clock::Boottime, 5)));
        assert_eq!(Wait::until(libc::CLOCK_REALTIME, i64::MAX), Ok(Wait::Unlimited));
        assert_eq!(Wait::until(libc::CLOCK_REALTIME, -1), Err(Errno(libc::EINVAL)));
        assert_eq!(Wait::until(libc::CLOCK_PROCESS_CPUTIME_ID, 5), Err(Errno(libc::EINVAL)));
    }
}
