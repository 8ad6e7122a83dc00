//! Waits in the kernel's POSIX queues, which know the wall clock alone.

use crate::stuck::{Side, Stuck};
use crate::world::*;

/// Longest sleep in the kernel.
const SLICE: i64 = 90 * MS;

/// Each behaviour holds for both sides.
fn on_both_sides_in_the_kernel(check: impl Fn(&Stuck)) {
    for side in [Side::Receiver, Side::Sender] {
        check(&Stuck::in_kernel(side));
    }
}
#[test]
fn a_wait_in_the_kernel_goes_on_when_its_clock_is_set_forwards() {
    on_both_sides_in_the_kernel(|stuck| {
        let events =
            [(S, Event::Step(YEAR)), (2 * S, Event::Suspend(HOUR)), (3 * S, Event::Step(2 * S))];
        let wait = wait_in(&events, BEGIN, || stuck.wait_for(5 * S));
        assert_over(&wait, 5 * S, 0);

        let wait =
            wait_in(&events, BEGIN, || stuck.wait_until(libc::CLOCK_MONOTONIC, BEGIN + 5 * S));
        assert_over(&wait, 5 * S, 0);

        let wait = wait_in(&[events[0]], BEGIN, || {
            stuck.wait_until(libc::CLOCK_BOOTTIME, BEGIN_BOOTTIME + 5 * S)
        });
        assert_over(&wait, 5 * S, 0);
    });
}

#[test]
fn a_sleep_in_the_kernel_becomes_longer_by_what_its_clock_is_set_back_and_no_more() {
    on_both_sides_in_the_kernel(|stuck| {
        let events = [(S, Event::Step(-HOUR)), (4 * S, Event::Step(-S))];
        let wait = wait_in(&events, BEGIN, || stuck.wait_for(5 * S));
        assert_over(&wait, S + HOUR + S, SLICE);

        // Which is nothing to a wait that has as much time left.
        let events = [(S, Event::Step(-2 * S)), (4 * S, Event::Step(-S / 2))];
        let wait = wait_in(&events, BEGIN, || stuck.wait_for(5 * S));
        assert_over(&wait, 5 * S, 0);

        // Unless it is set again.
        let events = [(S, Event::Step(-HOUR)), (2 * S, Event::Step(HOUR))];
        let wait = wait_in(&events, BEGIN, || stuck.wait_for(5 * S));
        assert_over(&wait, 5 * S, 0);
    });
}

#[test]
fn a_wall_clock_deadline_in_the_kernel_follows_the_clock_at_once() {
    on_both_sides_in_the_kernel(|stuck| {
        let until = || stuck.wait_until(libc::CLOCK_REALTIME, BEGIN_REALTIME + 10 * S);
        for (events, at) in [
            (vec![(S + 7, Event::Step(HOUR))], S + 7),
            (vec![(S, Event::Step(2 * S))], 8 * S),
            (vec![(S, Event::Step(-HOUR))], 10 * S + HOUR),
            (vec![(S, Event::Step(-20 * YEAR)), (2 * S, Event::Step(20 * YEAR + S))], 9 * S),
            (vec![(S, Event::Suspend(HOUR))], S),
        ] {
            let wait = wait_in(&events, BEGIN, until);

            assert_over(&wait, at, 0);
        }
    });
}

#[test]
fn suspended_time_counts_in_the_kernel_on_the_boot_clock() {
    on_both_sides_in_the_kernel(|stuck| {
        let events = [(10 * S, Event::Suspend(HOUR))];
        let wait = wait_in(&events, BEGIN, || {
            stuck.wait_until(libc::CLOCK_BOOTTIME, BEGIN_BOOTTIME + HOUR + 30 * S)
        });
        assert_over(&wait, 30 * S, 0);

        let wait = wait_in(&events, BEGIN, || {
            stuck.wait_until(libc::CLOCK_BOOTTIME, BEGIN_BOOTTIME + HOUR)
        });
        assert_over(&wait, 10 * S, 0);
    });
}

#[test]
fn what_comes_is_taken_from_the_kernel_whatever_the_clocks_do() {
    for side in [Side::Receiver, Side::Sender] {
        for clock in [libc::CLOCK_REALTIME, libc::CLOCK_MONOTONIC, libc::CLOCK_BOOTTIME] {
            let stuck = Stuck::in_kernel(side);
            let events = [
                (S, Event::Step(-YEAR)),
                (2 * S, Event::Suspend(HOUR)),
                (3 * S, Event::Step(YEAR)),
                (7 * S + 3, Event::Pass(stuck.queue)),
            ];
            let deadline = BEGIN_REALTIME + 20 * YEAR;
            let wait = wait_in(&events, BEGIN, || stuck.wait_until(clock, deadline));

            assert_eq!((wait.answer, wait.took), (0, 7 * S + 3), "{side:?} {clock}");
        }
    }
}

#[test]
fn the_ends_of_time_are_times_in_the_kernel() {
    const LAST: i64 = i64::MAX;
    for side in [Side::Receiver, Side::Sender] {
        // Beyond the range of the clock, or of the kernel's: for ever.
        let beyond: [&dyn Fn(&Stuck) -> i32; 4] = [
            &|stuck| stuck.wait_for(LAST),
            &|stuck| stuck.wait_for(LAST - BEGIN),
            &|stuck| stuck.wait_until(libc::CLOCK_MONOTONIC, LAST - 1),
            &|stuck| stuck.wait_until(libc::CLOCK_BOOTTIME, LAST - 1),
        ];
        for wait_beyond in beyond {
            let stuck = Stuck::in_kernel(side);
            let events = [(HOUR, Event::Pass(stuck.queue))];
            let wait = wait_in(&events, BEGIN, || wait_beyond(&stuck));
            assert_eq!((wait.answer, wait.took), (0, HOUR));
            // A call that is cancelled looks ten times a second.
            let looks = i64::from(wait.kernel_waits);
            assert!((HOUR / SLICE..HOUR / SLICE + 2).contains(&looks), "{looks}");
        }

        let stuck = Stuck::in_kernel(side);
        // Seconds that are more nanoseconds than a number holds: past every deadline.
        for second in [LAST, LAST / S + 1, LAST - 1] {
            let wait = wait_in(&[(S, Event::Set(second))], BEGIN, || {
                stuck.wait_until(libc::CLOCK_REALTIME, LAST - 1)
            });
            assert_over(&wait, S, 0);
        }
        // The last nanoseconds of the monotonic clock.
        for left in [1, S, HOUR] {
            let wait =
                wait_in(&[], LAST - left, || stuck.wait_until(libc::CLOCK_MONOTONIC, LAST - 1));
            assert_over(&wait, left - 1, 0);
            let wait = wait_in(&[], LAST - left, || stuck.wait_for(0));
            assert_eq!((wait.answer, wait.took), (-libc::EAGAIN, 0));
        }
        // A deadline that was over long ago is no time that the kernel would refuse.
        for clock in [libc::CLOCK_REALTIME, libc::CLOCK_MONOTONIC, libc::CLOCK_BOOTTIME] {
            let wait = wait_in(&[], BEGIN, || stuck.wait_until(clock, 0));
            assert_over(&wait, 0, 0);
        }
    }
}
