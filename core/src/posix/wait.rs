//! Waiting in the kernel, towards a time on any clock.
//!
//! A call sleeps in the kernel itself, so that a receiver is a blocked one for the
//! registration of others, waiters are served by priority and age, and SA_RESTART works.
//! But the kernel knows times on CLOCK_REALTIME only:
//!
//! ```text
//! the time left, on our clock  --added to now-->  a moment of CLOCK_REALTIME  --> kernel
//! the kernel says ETIMEDOUT    --> is it over on our clock?   no: once more
//! ```
//!
//! A wall clock that is set forward ends the kernel's sleep early: then we look and sleep
//! again. One that is set back makes that sleep longer by as much, and nobody tells us: only
//! a timer or a thread of our own could, and the library has neither here. (A deadline on
//! CLOCK_REALTIME itself is the kernel's own affair and right in both cases.)
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
use crate::waiting::{Limit, Side, interrupted};

const SECOND: i64 = 1_000_000_000;

fn events(side: Side) -> i16 {
    match side {
        Side::Sender => poll::WRITABLE,
        Side::Receiver => poll::READABLE,
    }
}

/// When to give up, as the kernel is told.
fn moment(limit: Limit) -> Option<Moment> {
    match limit {
        Limit::Now => Some(PAST),
        Limit::At(Clock::Realtime, at) => Some(moment_of(at)),
        Limit::At(..) => match limit.left() {
            ..=0 => Some(PAST),
            left => moment_after(clock::now_ns(Clock::Realtime), left),
        },
        Limit::Never => None,
    }
}

fn moment_of(ns: i64) -> Moment {
    [ns / SECOND, ns % SECOND]
}

/// So long after a time; `None`, which is for ever, if that is no time (after 2262).
fn moment_after(now: i64, left: i64) -> Option<Moment> {
    // A wall clock before 1970 cannot be, and such a moment would not be valid.
    now.checked_add(left).map(|at| moment_of(at.max(1)))
}

/// One wait: where, and how long.
pub struct Waiting {
    /// The queue's descriptor.
    pub fd: i32,
    /// Which side of it.
    pub side: Side,
    /// How long.
    pub wait: Wait,
    /// Waits go on after a signal handler.
    pub restart: bool,
}

impl Waiting {
    /// Make the kernel's call until it succeeds, fails, or the time is up.
    pub fn run<T>(&self, mut call: impl FnMut(Option<Moment>) -> Result<T>) -> Result<T> {
        let limit = Limit::of(self.wait);
        loop {
            match call(moment(limit)) {
                Err(Errno(libc::ETIMEDOUT | libc::EAGAIN)) if limit == Limit::Now => {
                    return Err(self.side.would_block());
                }
                Err(Errno(libc::ETIMEDOUT)) if limit.is_over() => {
                    return Err(self.side.timed_out());
                }
                // The wall clock was set forward.
                Err(Errno(libc::ETIMEDOUT)) => {}
                Err(Errno(libc::EAGAIN)) => self.poll(limit)?,
                Err(Errno(libc::EINTR)) => self.go_on(limit)?,
                other => return other,
            }
        }
    }

    /// The description is non-blocking: sleep until it is ready.
    fn poll(&self, limit: Limit) -> Result<()> {
        let slice = limit.slice(i64::MAX);
        if slice <= 0 {
            return Err(self.side.timed_out());
        }
        let mut polled = [poll::Polled { fd: self.fd, events: events(self.side), revents: 0 }];
        match poll::wait(&mut polled, slice) {
            Err(Errno(libc::EINTR)) => self.go_on(limit),
            Err(error) => Err(super::explained(error, "cannot wait for the queue")),
            Ok(_) => Ok(()),
        }
    }

    /// A signal handler ran. What must not wait has not slept: the handler only came by.
    fn go_on(&self, limit: Limit) -> Result<()> {
        if self.restart || limit == Limit::Now {
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
        assert_eq!(moment_after(5 * SECOND + 1, 2 * SECOND + 3), Some([7, 4]));
        assert_eq!(moment_after(SECOND - 1, 1), Some([1, 0]));
    }

    #[test]
    fn a_moment_beyond_the_range_of_clocks_never_comes() {
        assert_eq!(moment_after(i64::MAX - 5, 5), Some(moment_of(i64::MAX)));
        assert_eq!(moment_after(i64::MAX - 5, 6), None);
        assert_eq!(moment_after(i64::MAX, i64::MAX), None);
    }

    #[test]
    fn a_wall_clock_before_1970_gives_a_moment_that_the_kernel_takes() {
        assert_eq!(moment_after(i64::MIN, 1), Some([0, 1]));
        assert_eq!(moment_after(-SECOND, 5), Some([0, 1]));
    }

    #[test]
    fn a_deadline_on_the_wall_clock_goes_to_the_kernel_as_it_is() {
        let limit = Limit::At(Clock::Realtime, 3 * SECOND + 7);

        assert_eq!(moment(limit), Some([3, 7]));
    }

    #[test]
    fn what_is_over_or_must_not_wait_has_a_moment_long_past() {
        assert_eq!(moment(Limit::Never), None);
        assert_eq!(moment(Limit::Now), Some(PAST));
        assert_eq!(moment(Limit::At(Clock::Monotonic, 0)), Some(PAST));
        assert_eq!(moment(Limit::At(Clock::Boottime, 1)), Some(PAST));
    }
}
