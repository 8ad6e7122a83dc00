//! How long calls wait, and what ends their waiting.

use super::{Clause, clauses};
use crate::process::{Child, Shared, spawn, wait_until};
use crate::subject::{CLOCKS, HOUR, MS, NOWAIT, Queue, Subject, Wait, long_waits, now};
use libc::{CLOCK_MONOTONIC, CLOCK_REALTIME, O_NONBLOCK, O_RDWR};
use mqueue_core::sync::Ordering::SeqCst;
use mqueue_core::sync::local::AtomicU32;

pub const CLAUSES: &[Clause] = clauses![All:
    a_call_that_can_proceed_succeeds_however_short_its_timeout,
    a_call_that_can_proceed_succeeds_however_old_its_deadline,
    a_deadline_that_is_over_is_met_at_once,
    a_timeout_ends_a_receive_and_not_before_its_time,
    a_timeout_ends_a_send_and_not_before_its_time,
    a_deadline_on_any_clock_ends_a_receive_and_not_before_its_time,
    a_deadline_on_any_clock_ends_a_send_and_not_before_its_time,
    negative_timeouts_are_refused_even_where_nothing_has_to_wait,
    negative_deadlines_are_refused_even_where_nothing_has_to_wait,
    unknown_clocks_are_refused_even_where_nothing_has_to_wait,
    a_nonblocking_handle_never_waits,
    nonblocking_can_be_switched_on_and_off,
    nonblocking_is_each_handles_own,
    a_message_ends_every_kind_of_waiting,
    room_ends_every_kind_of_waiting,
    a_timeout_beyond_all_clocks_waits_for_ever,
    threads_of_one_process_wake_each_other,
    one_message_wakes_one_receiver,
    one_place_wakes_one_sender,
    a_killed_receiver_leaves_the_message_to_the_others,
    a_killed_sender_leaves_the_room_to_the_others,
];

/// Both sides, with nothing to receive and no room: each has to wait.
fn stuck(s: &Subject) -> (Queue, Queue) {
    let (_, empty) = s.create(2, 16);
    let (_, full) = s.create(2, 16);
    full.fill(16);
    (empty, full)
}

/// A message that fills its place.
const WHOLE: [u8; 16] = [b'x'; 16];

fn a_call_that_can_proceed_succeeds_however_short_its_timeout(s: &Subject) {
    let queue = s.queue();

    for wait in [NOWAIT, Wait::For(1), Wait::For(i64::MAX)] {
        assert_eq!(queue.send(b"x", 0, wait), Ok(()));
        assert_eq!(queue.take_by(wait), Ok((b"x".to_vec(), 0)));
    }
}

fn a_call_that_can_proceed_succeeds_however_old_its_deadline(s: &Subject) {
    let queue = s.queue();

    for clock in CLOCKS {
        for deadline in [0, 1, now(clock) - 1, i64::MAX - 1, i64::MAX] {
            let wait = Wait::Until(clock, deadline);

            assert_eq!(queue.send(b"x", 0, wait), Ok(()));
            assert_eq!(queue.take_by(wait), Ok((b"x".to_vec(), 0)));
        }
    }
}

fn a_deadline_that_is_over_is_met_at_once(s: &Subject) {
    let (empty, full) = stuck(s);

    for clock in CLOCKS {
        for deadline in [0, 1, now(clock) - 1] {
            let wait = Wait::Until(clock, deadline);

            s.fails(libc::ETIMEDOUT, empty.take_by(wait));
            s.fails(libc::ETIMEDOUT, full.send(&WHOLE, 0, wait));
        }
    }
}

fn a_timeout_ends_a_receive_and_not_before_its_time(s: &Subject) {
    let queue = s.queue();

    for timeout in [1, MS, 40 * MS] {
        let begin = now(CLOCK_MONOTONIC);

        s.fails(libc::ETIMEDOUT, queue.take_by(Wait::For(timeout)));

        assert!(now(CLOCK_MONOTONIC) - begin >= timeout);
    }
}

fn a_timeout_ends_a_send_and_not_before_its_time(s: &Subject) {
    let (_, full) = stuck(s);

    for timeout in [1, MS, 40 * MS] {
        let begin = now(CLOCK_MONOTONIC);

        s.fails(libc::ETIMEDOUT, full.send(&WHOLE, 0, Wait::For(timeout)));

        assert!(now(CLOCK_MONOTONIC) - begin >= timeout);
    }
    assert_eq!(full.drain(), 2);
}

fn a_deadline_on_any_clock_ends_a_receive_and_not_before_its_time(s: &Subject) {
    let queue = s.queue();

    for clock in CLOCKS {
        let deadline = now(clock) + 20 * MS;

        s.fails(libc::ETIMEDOUT, queue.take_by(Wait::Until(clock, deadline)));

        assert!(now(clock) >= deadline, "clock {clock}");
    }
}

fn a_deadline_on_any_clock_ends_a_send_and_not_before_its_time(s: &Subject) {
    let (_, full) = stuck(s);

    for clock in CLOCKS {
        let deadline = now(clock) + 20 * MS;

        s.fails(libc::ETIMEDOUT, full.send(&WHOLE, 0, Wait::Until(clock, deadline)));

        assert!(now(clock) >= deadline, "clock {clock}");
    }
    assert_eq!(full.drain(), 2);
}

/// Refused on a queue where nothing has to wait, on one where everything has to, and on a
/// handle that never waits.
fn is_refused(s: &Subject, wait: Wait) {
    let (empty, full) = stuck(s);
    let ready = s.queue();
    ready.put("ready", 0);

    for queue in [&empty, &full, &ready] {
        for nonblock in [false, true] {
            queue.set_nonblock(nonblock).expect("a switch");
            s.fails(libc::EINVAL, queue.send(b"x", 0, wait));
            s.fails(libc::EINVAL, queue.take_by(wait));
        }
    }

    assert_eq!((empty.drain(), full.drain(), ready.drain()), (0, 2, 1));
}

fn negative_timeouts_are_refused_even_where_nothing_has_to_wait(s: &Subject) {
    for timeout in [-2, -HOUR, i64::MIN] {
        is_refused(s, Wait::For(timeout));
    }
}

fn negative_deadlines_are_refused_even_where_nothing_has_to_wait(s: &Subject) {
    for clock in CLOCKS {
        is_refused(s, Wait::Until(clock, -1));
    }
    is_refused(s, Wait::Until(CLOCK_REALTIME, i64::MIN));
}

fn unknown_clocks_are_refused_even_where_nothing_has_to_wait(s: &Subject) {
    for clock in [libc::CLOCK_PROCESS_CPUTIME_ID, libc::CLOCK_MONOTONIC_RAW, 99, -1] {
        is_refused(s, Wait::Until(clock, 0));
    }
}

fn a_nonblocking_handle_never_waits(s: &Subject) {
    let (address, queue) = s.create(2, 16);
    let nonblocking = s.another(&address, O_RDWR | O_NONBLOCK);

    for wait in long_waits() {
        s.fails(libc::EAGAIN, nonblocking.take_by(wait));
    }
    queue.fill(16);
    for wait in long_waits() {
        s.fails(libc::EAGAIN, nonblocking.send(&WHOLE, 0, wait));
    }
    // Not even for a moment that is over.
    s.fails(libc::EAGAIN, nonblocking.send(&WHOLE, 0, Wait::Until(CLOCK_MONOTONIC, 0)));
}

fn nonblocking_can_be_switched_on_and_off(s: &Subject) {
    let queue = s.queue();

    assert_eq!(queue.set_nonblock(true), Ok(()));
    s.fails(libc::EAGAIN, queue.take_by(Wait::For(MS)));
    assert_eq!(queue.set_nonblock(false), Ok(()));
    s.fails(libc::ETIMEDOUT, queue.take_by(Wait::For(MS)));
}

fn nonblocking_is_each_handles_own(s: &Subject) {
    let (address, first) = s.create(2, 16);
    let second = s.another(&address, O_RDWR);

    first.set_nonblock(true).expect("a switch");
    spawn(|| second.set_nonblock(true).expect("a switch")).join();

    s.fails(libc::EAGAIN, first.take_by(Wait::For(MS)));
    s.fails(libc::ETIMEDOUT, second.take_by(Wait::For(MS)));
}

fn a_message_ends_every_kind_of_waiting(s: &Subject) {
    let (_, queue) = s.create(2, 16);

    for wait in long_waits() {
        let receiver = spawn(|| assert_eq!(queue.take_by(wait), Ok((b"awaited".to_vec(), 7))));
        receiver.wait_until_asleep();

        queue.put("awaited", 7);

        receiver.join();
    }
}

fn room_ends_every_kind_of_waiting(s: &Subject) {
    let (_, queue) = s.create(2, 16);

    for wait in long_waits() {
        queue.fill(16);
        let sender = spawn(|| assert_eq!(queue.send(&[b'y'; 16], 7, wait), Ok(())));
        sender.wait_until_asleep();

        assert_eq!(queue.take(), (WHOLE.to_vec(), 0));

        sender.join();
        assert_eq!(queue.take(), (vec![b'y'; 16], 7));
    }
}

fn a_timeout_beyond_all_clocks_waits_for_ever(s: &Subject) {
    let (_, queue) = s.create(2, 16);

    for wait in [
        Wait::For(i64::MAX),
        Wait::Until(CLOCK_REALTIME, i64::MAX),
        Wait::Until(CLOCK_REALTIME, i64::MAX - 1),
        Wait::Until(CLOCK_MONOTONIC, i64::MAX),
    ] {
        let receiver = spawn(|| assert_eq!(queue.take_by(wait), Ok((b"late".to_vec(), 0))));
        receiver.wait_until_asleep();

        queue.put("late", 0);

        receiver.join();
    }
}

fn threads_of_one_process_wake_each_other(s: &Subject) {
    let (_, requests) = s.create(1, 16);
    let (_, replies) = s.create(1, 16);

    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..200u8 {
                assert_eq!(requests.take_by(Wait::Plain), Ok((vec![number; 16], 0)));
                assert_eq!(replies.send(&[number; 16], 0, Wait::Plain), Ok(()));
            }
        });
        for number in 0..200u8 {
            assert_eq!(requests.send(&[number; 16], 0, Wait::Plain), Ok(()));
            assert_eq!(replies.take_by(Wait::Plain), Ok((vec![number; 16], 0)));
        }
    });
}

/// Children that each do it once and count, all asleep.
fn asleep(count: usize, done: &Shared<AtomicU32>, call: impl Fn()) -> Vec<Child> {
    let children: Vec<_> = (0..count)
        .map(|_| {
            spawn(|| {
                call();
                done.fetch_add(1, SeqCst);
            })
        })
        .collect();
    children.iter().for_each(Child::wait_until_asleep);
    children
}

fn one_message_wakes_one_receiver(s: &Subject) {
    let (_, queue) = s.create(8, 16);
    let done = Shared::<AtomicU32>::new();
    let receivers = asleep(3, &done, || drop(queue.take_by(Wait::Plain).expect("a message")));

    for sent in 1..=3 {
        queue.put("one", 0);
        wait_until(|| done.load(SeqCst) == sent);
    }

    receivers.into_iter().for_each(Child::join);
    assert_eq!(queue.curmsgs(), 0);
}

fn one_place_wakes_one_sender(s: &Subject) {
    let (_, queue) = s.create(2, 16);
    queue.fill(16);
    let done = Shared::<AtomicU32>::new();
    let senders = asleep(3, &done, || queue.send(&WHOLE, 0, Wait::Plain).expect("room"));

    for taken in 1..=3 {
        queue.take();
        wait_until(|| done.load(SeqCst) == taken);
    }

    senders.into_iter().for_each(Child::join);
    assert_eq!(queue.drain(), 2);
}

fn a_killed_receiver_leaves_the_message_to_the_others(s: &Subject) {
    let (_, queue) = s.create(2, 16);
    let done = Shared::<AtomicU32>::new();
    let mut receivers = asleep(2, &done, || drop(queue.take_by(Wait::Plain).expect("a message")));

    receivers.remove(0).kill();
    queue.put("for the living", 0);

    receivers.into_iter().for_each(Child::join);
    s.fails(libc::EAGAIN, queue.take_by(NOWAIT));
}

fn a_killed_sender_leaves_the_room_to_the_others(s: &Subject) {
    let (_, queue) = s.create(2, 16);
    queue.fill(16);
    let done = Shared::<AtomicU32>::new();
    let mut senders = asleep(2, &done, || queue.send(&WHOLE, 0, Wait::Plain).expect("room"));

    senders.remove(0).kill();
    queue.take();

    senders.into_iter().for_each(Child::join);
    assert_eq!(queue.drain(), 2);
}
