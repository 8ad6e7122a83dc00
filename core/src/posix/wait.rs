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
use crate::report::say;
use crate::sys::mq::{Moment, PAST};
use crate::sys::{clock, poll};

/// Longest poll towards a clock that may be set, which no poll follows.
const SLICE_SET: i64 = 100_000_000;
const SECOND: i64 = 1_000_000_000;

/// Which side of the queue waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// For room.
    Sender,
    /// For a message.
    Receiver,
}

impl Side {
    fn events(self) -> i16 {
        match self {
            Side::Sender => poll::WRITABLE,
            Side::Receiver => poll::READABLE,
        }
    }

    fn would_block(self) -> Errno {
        match self {
            Side::Sender => say(libc::EAGAIN, "the queue is full and the call must not wait"),
            Side::Receiver => say(libc::EAGAIN, "the queue is empty and the call must not wait"),
        }
    }

    fn timed_out(self) -> Errno {
        match self {
            Side::Sender => say(libc::ETIMEDOUT, "the queue was full until the time was up"),
            Side::Receiver => say(libc::ETIMEDOUT, "the queue was empty until the time was up"),
        }
    }
}

/// When a call's time is up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Limit {
    /// At once.
    Now,
    /// Not before.
    At(Clock, i64),
    /// Never.
    Never,
}

impl Limit {
    fn of(wait: Wait) -> Limit {
        match wait {
            Wait::Unlimited => Limit::Never,
            Wait::Never => Limit::Now,
            Wait::For(ns) => match clock::monotonic_ns().checked_add(ns) {
                None | Some(i64::MAX) => Limit::Never,
                Some(at) => Limit::At(Clock::Monotonic, at),
            },
            Wait::Until(clock, at) => Limit::At(clock, at),
        }
    }

    /// Nanoseconds left; none or less if the time is up.
    fn left(self) -> i64 {
        match self {
            Limit::Now => 0,
            Limit::At(clock, at) => at.saturating_sub(clock::now_ns(clock)),
            Limit::Never => i64::MAX,
        }
    }

    /// What to tell the kernel.
    fn moment(self) -> Option<Moment> {
        match self {
            Limit::Now => Some(PAST),
            Limit::At(Clock::Realtime, at) => Some(moment_of(at)),
            Limit::At(..) => match self.left() {
                ..=0 => Some(PAST),
                left => moment_after(clock::now_ns(Clock::Realtime), left),
            },
            Limit::Never => None,
        }
    }

    /// Whether the kernel, whose sleep has ended, is right.
    fn is_over(self) -> bool {
        matches!(self, Limit::At(Clock::Realtime, _)) || self.left() <= 0
    }

    /// How long to poll without looking at the clock.
    fn slice(self) -> i64 {
        match self {
            Limit::At(Clock::Realtime | Clock::Boottime, _) => self.left().min(SLICE_SET),
            _ => self.left(),
        }
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
            match call(limit.moment()) {
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
        let slice = limit.slice();
        if slice <= 0 {
            return Err(self.side.timed_out());
        }
        let mut polled = [poll::Polled { fd: self.fd, events: self.side.events(), revents: 0 }];
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
        Err(say(libc::EINTR, "a signal handler ran while the call waited"))
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
    fn a_relative_timeout_beyond_the_clocks_range_is_for_ever() {
        assert_eq!(Limit::of(Wait::For(i64::MAX)), Limit::Never);
        assert_eq!(Limit::of(Wait::For(i64::MAX)).moment(), None);
    }

    #[test]
    fn a_deadline_on_the_wall_clock_goes_to_the_kernel_as_it_is() {
        let limit = Limit::of(Wait::Until(Clock::Realtime, 3 * SECOND + 7));

        assert_eq!(limit.moment(), Some([3, 7]));
    }

    #[test]
    fn what_is_over_or_must_not_wait_has_a_moment_long_past() {
        assert_eq!(Limit::of(Wait::Never).moment(), Some(PAST));
        assert_eq!(Limit::of(Wait::Until(Clock::Monotonic, 0)).moment(), Some(PAST));
        assert_eq!(Limit::of(Wait::Until(Clock::Boottime, 1)).moment(), Some(PAST));
    }
}
