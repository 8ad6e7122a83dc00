//! Waits that the library makes itself, from sleep to sleep: on queues in shared memory, and
//! timed ones on System V queues.

use crate::stuck::{Side, Stuck};
use crate::world::*;

/// Each behaviour holds for both sides.
fn on_both_sides(check: impl Fn(&Stuck)) {
    for side in [Side::Receiver, Side::Sender] {
        check(&Stuck::new(side));
    }
}
#[test]
fn a_relative_timeout_knows_nothing_of_clocks_that_are_set() {
    on_both_sides(|stuck| {
        let events = [
            (S, Event::Step(YEAR)),
            (2 * S, Event::Step(-3 * YEAR)),
            (3 * S, Event::Suspend(HOUR)),
            (4 * S, Event::Set(0)),
        ];
        let wait = wait_in(&events, BEGIN, || stuck.wait_for(5 * S));

        assert_over(&wait, 5 * S, 0);
    });
}

#[test]
fn a_monotonic_deadline_knows_nothing_of_clocks_that_are_set() {
    on_both_sides(|stuck| {
        let events = [
            (S, Event::Step(YEAR)),
            (2 * S, Event::Step(-3 * YEAR)),
            (3 * S, Event::Suspend(HOUR)),
        ];
        let wait =
            wait_in(&events, BEGIN, || stuck.wait_until(libc::CLOCK_MONOTONIC, BEGIN + 5 * S));

        assert_over(&wait, 5 * S, 0);
    });
}

#[test]
fn a_wall_clock_deadline_comes_sooner_when_the_clock_is_set_forwards() {
    on_both_sides(|stuck| {
        for (by, at) in [(HOUR, 10 * S), (2 * S, HOUR - 2 * S), (30 * YEAR, 10 * S)] {
            let events = [(10 * S + 7, Event::Step(by))];
            let wait = wait_in(&events, BEGIN, || {
                stuck.wait_until(libc::CLOCK_REALTIME, BEGIN_REALTIME + HOUR)
            });

            assert_over(&wait, at, NOTICED + 7);
        }
    });
}

#[test]
fn a_wall_clock_deadline_comes_later_when_the_clock_is_set_back() {
    on_both_sides(|stuck| {
        for back in [1, 2 * S, HOUR] {
            let events = [(5 * S, Event::Step(-back))];
            let wait = wait_in(&events, BEGIN, || {
                stuck.wait_until(libc::CLOCK_REALTIME, BEGIN_REALTIME + 10 * S)
            });

            assert_over(&wait, 10 * S + back, 0);
        }
    });
}

#[test]
fn a_wall_clock_deadline_follows_the_clock_back_and_forth() {
    on_both_sides(|stuck| {
        let events = [
            (S, Event::Step(-20 * YEAR)),
            (2 * S, Event::Step(20 * YEAR - 4 * S)),
            (3 * S, Event::Step(S)),
        ];
        let wait = wait_in(&events, BEGIN, || {
            stuck.wait_until(libc::CLOCK_REALTIME, BEGIN_REALTIME + 10 * S)
        });

        assert_over(&wait, 13 * S, 0);
    });
}

#[test]
fn suspended_time_counts_on_the_boot_clock_alone() {
    on_both_sides(|stuck| {
        let events = [(10 * S, Event::Suspend(HOUR)), (20 * S, Event::Step(-YEAR))];
        let wait = wait_in(&events, BEGIN, || {
            stuck.wait_until(libc::CLOCK_BOOTTIME, BEGIN_BOOTTIME + HOUR + 30 * S)
        });
        assert_over(&wait, 30 * S, 0);

        let wait = wait_in(&events[..1], BEGIN, || {
            stuck.wait_until(libc::CLOCK_BOOTTIME, BEGIN_BOOTTIME + HOUR)
        });
        assert_over(&wait, 10 * S, NOTICED);
    });
}

#[test]
fn what_comes_is_taken_whatever_the_clocks_do() {
    for side in [Side::Receiver, Side::Sender] {
        for clock in [libc::CLOCK_REALTIME, libc::CLOCK_MONOTONIC, libc::CLOCK_BOOTTIME] {
            let stuck = Stuck::new(side);
            let events = [
                (S, Event::Step(-YEAR)),
                (2 * S, Event::Suspend(HOUR)),
                (7 * S + 3, Event::Pass(stuck.queue)),
            ];
            let deadline = BEGIN_REALTIME + 20 * YEAR;
            let wait = wait_in(&events, BEGIN, || stuck.wait_until(clock, deadline));

            assert_eq!((wait.answer, wait.took), (0, 7 * S + 3), "{side:?} {clock}");
        }
    }
}

#[test]
fn a_sleep_towards_a_clock_that_may_be_set_is_short() {
    on_both_sides(|stuck| {
        for (clock, begin) in
            [(libc::CLOCK_REALTIME, BEGIN_REALTIME), (libc::CLOCK_BOOTTIME, BEGIN_BOOTTIME)]
        {
            let wait = wait_in(&[], BEGIN, || stuck.wait_until(clock, begin + HOUR));
            assert_over(&wait, HOUR, 0);
            assert!(wait.longest <= NOTICED, "{} ms", wait.longest / MS);
        }

        // And one that cannot be set costs a wake-up a second, no more.
        let wait = wait_in(&[], BEGIN, || stuck.wait_for(HOUR));
        assert_over(&wait, HOUR, 0);
        assert_eq!(wait.longest, S);
    });
}

#[test]
fn a_timed_wait_of_a_system_v_queue_looks_every_few_milliseconds_and_sleeps_meanwhile() {
    for side in [Side::Receiver, Side::Sender] {
        let stuck = Stuck::in_system_v(side);
        let waits: [&dyn Fn() -> i32; 4] = [
            &|| stuck.wait_for(S),
            &|| stuck.wait_until(libc::CLOCK_MONOTONIC, BEGIN + S),
            &|| stuck.wait_until(libc::CLOCK_REALTIME, BEGIN_REALTIME + S),
            &|| stuck.wait_until(libc::CLOCK_BOOTTIME, BEGIN_BOOTTIME + S),
        ];
        for wait in waits {
            let wait = wait_in(&[], BEGIN, wait);
            assert_over(&wait, S, 0);
            // A program that rings no bell is noticed in time, and costs little.
            assert!(wait.longest <= 10 * MS, "{} ms", wait.longest / MS);
            assert!((100..=200).contains(&wait.sleeps), "{} sleeps", wait.sleeps);
        }

        let events = [(15 * MS, Event::Pass(stuck.queue))];
        let wait = wait_in(&events, BEGIN, || stuck.wait_for(S));
        assert_eq!((wait.answer, wait.took), (0, 15 * MS));
    }
}

#[test]
fn the_ends_of_time_are_times() {
    const LAST: i64 = i64::MAX;
    on_both_sides(|stuck| {
        // Seconds that are more nanoseconds than a number holds: past every deadline.
        for second in [LAST, LAST / S + 1, LAST - 1] {
            let wait = wait_in(&[(S, Event::Set(second))], BEGIN, || {
                stuck.wait_until(libc::CLOCK_REALTIME, LAST - 1)
            });
            assert_over(&wait, S, NOTICED);
        }
        // Before 1970, even before everything.
        for second in [0, -1, -LAST / S - 1, i64::MIN] {
            let events = [(S, Event::Set(second)), (HOUR, Event::Set(LAST))];
            let wait = wait_in(&events, BEGIN, || {
                stuck.wait_until(libc::CLOCK_REALTIME, BEGIN_REALTIME + YEAR)
            });
            assert_over(&wait, HOUR, NOTICED);
        }
        // The last nanoseconds of the monotonic clock.
        for left in [1, S, HOUR] {
            let wait =
                wait_in(&[], LAST - left, || stuck.wait_until(libc::CLOCK_MONOTONIC, LAST - 1));
            assert_over(&wait, left - 1, 0);
            let wait = wait_in(&[], LAST - left, || stuck.wait_for(left - 1));
            assert_eq!(wait.took, left - 1);
            let wait = wait_in(&[], LAST - left, || stuck.wait_for(0));
            assert_eq!(wait.answer, -libc::EAGAIN);
        }
    });
}
