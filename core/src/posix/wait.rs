//! Waiting in the kernel, towards a time on any clock.
//!
//! A call sleeps in the kernel itself, so that a receiver is a blocked one for the
//! registration of others, waiters are served by priority and age, and SA_RESTART works.
//! But nothing there ends such a sleep for a call that is cancelled, so it lasts a slice at
//! most; and the kernel knows times on CLOCK_REALTIME only:
//!
//! ```text
//! the time left, on our clock, or a slice  --added to now-->  CLOCK_REALTIME  --> kernel
//! the kernel says ETIMEDOUT   --> is it over on our clock, or cancelled?   no: once more
//! ```
//!
//! Between two slices a receiver is for an instant no blocked one, and it is the youngest
//! again among those who wait.
//!
//! A wall clock that is set forward ends the kernel's sleep early: then we look and sleep
//! again. One that is set back makes that slice longer by as much, and nobody tells us: only
//! a timer or a thread of our own could, and the library has neither here. A deadline on
//! CLOCK_REALTIME itself is right in both cases.
//!
//! A call that must not wait passes a moment long past. O_NONBLOCK of a handle is such a
//! call; the flag of the kernel's description is never set, since processes share that. Where
//! somebody else has set it (on a descriptor that was adopted, or in an event loop) a call
//! that may wait polls and tries again: it works, but such a receiver is no blocked one for
//! notification, and a handler with SA_RESTART interrupts it as well.
//!
//! Source: mq_send(3), mq_receive(3), ppoll(2), signal(7); wq_sleep in ipc/mqueue.c of Linux.

#![forbid(unsafe_code)]

use crate::deadline::{Clock, Wait};
use crate::error::{Errno, Result};
use crate::sys::mq::{Moment, PAST};
use crate::sys::{clock, poll};
use crate::transport::{Access, Entered};
use crate::waiting::{Limit, Side, cancelled, interrupted};

const SECOND: i64 = 1_000_000_000;
/// Longest sleep without a look whether the call is cancelled.
const SLICE: i64 = 90_000_000;

fn events(side: Side) -> i16 {
    match side {
        Side::Sender => poll::WRITABLE,
        Side::Receiver => poll::READABLE,
    }
}

/// When to wake up, as the kernel is told.
fn moment(limit: Limit) -> Moment {
    let left = match limit {
        Limit::Now => return PAST,
        Limit::At(..) => limit.left().min(SLICE),
        // Nobody minds when exactly, and this clock is cheap everywhere.
        Limit::Never => return moment_after(clock::coarse_realtime_ns(), SLICE),
    };
    if left <= 0 {
        return PAST;
    }
    let slice = moment_after(clock::now_ns(Clock::Realtime), left);
    match limit {
        // Not what is left of it: the clock may be set between our look and the kernel's.
        Limit::At(Clock::Realtime, at) => slice.min(moment_of(at)),
        _ => slice,
    }
}

fn moment_of(ns: i64) -> Moment {
    [ns / SECOND, ns % SECOND]
}

/// So long after a time.
fn moment_after(now: i64, left: i64) -> Moment {
    // A wall clock before 1970 cannot be, and such a moment would not be valid.
    moment_of(now.saturating_add(left).max(1))
}

/// One wait: where, and how long.
pub struct Waiting<'a> {
    /// The queue's descriptor.
    pub fd: i32,
    /// Which side of it.
    pub side: Side,
    /// How long.
    pub wait: Wait,
    /// The handle's, which may cancel the call.
    pub access: &'a Access,
    /// When the call came in.
    pub entered: Entered,
}

impl Waiting<'_> {
    /// Make the kernel's call until it succeeds, fails, is cancelled, or the time is up.
    pub fn run<T>(&self, mut call: impl FnMut(Moment) -> Result<T>) -> Result<T> {
        let limit = Limit::of(self.wait);
        loop {
            let is_cancelled = self.access.is_cancelled(self.entered);
            match call(if is_cancelled { PAST } else { moment(limit) }) {
                Err(Errno(libc::ETIMEDOUT | libc::EAGAIN)) if limit == Limit::Now => {
                    return Err(self.side.would_block());
                }
                Err(Errno(libc::ETIMEDOUT | libc::EAGAIN)) if limit.is_over() => {
                    return Err(self.side.timed_out());
                }
                Err(Errno(libc::ETIMEDOUT | libc::EAGAIN)) if is_cancelled => {
                    return Err(cancelled());
                }
                // The end of a slice; or the wall clock was set forward.
                Err(Errno(libc::ETIMEDOUT)) => {}
                Err(Errno(libc::EAGAIN)) => self.poll(limit)?,
                Err(Errno(libc::EINTR)) => self.go_on(limit)?,
                other => return other,
            }
        }
    }

    /// The description is non-blocking: sleep until it is ready.
    fn poll(&self, limit: Limit) -> Result<()> {
        let slice = limit.slice(SLICE).max(0);
        let mut polled = [poll::Polled { fd: self.fd, events: events(self.side), revents: 0 }];
        match poll::wait(&mut polled, slice) {
            Err(Errno(libc::EINTR)) => self.go_on(limit),
            Err(error) => Err(super::explained(error, "cannot wait for the queue")),
            Ok(_) => Ok(()),
        }
    }

    /// A signal handler ran. What must not wait has not slept: the handler only came by. If
    /// it cancelled the call, that is found out by another try.
    fn go_on(&self, limit: Limit) -> Result<()> {
        let Waiting { access, entered, .. } = *self;
        if access.restart || limit == Limit::Now || access.is_cancelled(entered) {
            return Ok(());
        }
        Err(interrupted())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_left_becomes_a_moment_of_the_wall_clock() {
        assert_eq!(moment_after(5 * SECOND + 1, 2 * SECOND + 3), [7, 4]);
        assert_eq!(moment_after(SECOND - 1, 1), [1, 0]);
    }

    #[test]
    fn a_moment_beyond_the_range_of_clocks_is_the_last_there_is() {
        assert_eq!(moment_after(i64::MAX - 5, 6), moment_of(i64::MAX));
        assert_eq!(moment_after(i64::MAX, i64::MAX), moment_of(i64::MAX));
    }

    #[test]
    fn a_wall_clock_before_1970_gives_a_moment_that_the_kernel_takes() {
        assert_eq!(moment_after(i64::MIN, 1), [0, 1]);
        assert_eq!(moment_after(-SECOND, 5), [0, 1]);
    }

    #[test]
    fn a_near_deadline_on_the_wall_clock_goes_to_the_kernel_as_it_is() {
        let at = clock::now_ns(Clock::Realtime) + SLICE / 2;

        assert_eq!(moment(Limit::At(Clock::Realtime, at)), moment_of(at));
    }

    #[test]
    fn no_sleep_is_longer_than_a_slice() {
        let far = i64::MAX - 1;
        let limits =
            [Clock::Realtime, Clock::Monotonic, Clock::Boottime].map(|c| Limit::At(c, far));

        for limit in [Limit::Never].into_iter().chain(limits) {
            let until = moment(limit);
            assert!(until > PAST && until <= moment_after(clock::now_ns(Clock::Realtime), SLICE));
        }
    }

    #[test]
    fn what_is_over_or_must_not_wait_has_a_moment_long_past() {
        assert_eq!(moment(Limit::Now), PAST);
        assert_eq!(moment(Limit::At(Clock::Realtime, 7)), PAST);
        assert_eq!(moment(Limit::At(Clock::Monotonic, 0)), PAST);
        assert_eq!(moment(Limit::At(Clock::Boottime, 1)), PAST);
    }
}
