//! Calls that are ended from outside, and waits for a queue beside others.

use super::{Clause, clauses};
use crate::process::{spawn, wait_until_asleep};
use crate::subject::{HOUR, MS, NOWAIT, Queue, Result, Subject, Wait, long_waits};
use libc::O_RDWR;
use mqueue_core::wait_many::event::{ALL, READABLE, WRITABLE};
use std::sync::mpsc;

pub const CLAUSES: &[Clause] = clauses![All:
    a_cancel_ends_a_receive_that_waits,
    a_cancel_ends_a_send_that_waits,
    a_cancel_ends_a_wait_for_several,
    a_cancel_is_nothing_to_later_calls,
    a_cancel_is_nothing_to_other_handles_and_processes,
    while_waits_are_forbidden_what_would_wait_fails,
    while_waits_are_forbidden_what_need_not_wait_is_done,
    a_child_has_its_own_cancels,
    a_queue_is_ready_for_what_would_not_wait,
    a_message_ends_a_wait_for_several,
    room_ends_a_wait_for_several,
    a_wait_for_several_ends_in_time,
];

/// What a call gives that sleeps in another thread, when this was done.
#[track_caller]
fn ended_by<T: Send>(call: impl FnOnce() -> T + Send, end: impl FnOnce()) -> T {
    std::thread::scope(|scope| {
        let (tell, told) = mpsc::channel();
        let caller = scope.spawn(move || {
            // SAFETY: always succeeds.
            tell.send(unsafe { libc::gettid() }).expect("somebody waits for it");
            call()
        });
        wait_until_asleep(told.recv().expect("a thread"));
        end();
        caller.join().expect("no panic")
    })
}

fn full(s: &Subject) -> Queue {
    let (_, queue) = s.create(2, 16);
    queue.fill(16);
    queue
}

fn a_cancel_ends_a_receive_that_waits(s: &Subject) {
    let queue = s.queue();

    for wait in long_waits() {
        let got = ended_by(|| queue.take_short(wait), || assert_eq!(queue.cancel(), Ok(())));
        assert_eq!(got, Err(libc::ECANCELED));
    }
    s.fails(libc::EAGAIN, queue.take_short(NOWAIT));
}

fn a_cancel_ends_a_send_that_waits(s: &Subject) {
    let queue = full(s);

    for wait in long_waits() {
        let sent = ended_by(|| queue.send(&[0; 16], 0, wait), || queue.cancel().expect("0"));
        assert_eq!(sent, Err(libc::ECANCELED));
    }
    assert_eq!(queue.drain(), 2);
}

fn a_cancel_ends_a_wait_for_several(s: &Subject) {
    let queue = s.queue();

    for timeout in [-1, HOUR] {
        let ready = ended_by(|| queue.wait(READABLE, timeout), || queue.cancel().expect("0"));
        assert_eq!(ready, Err(libc::ECANCELED));
    }
}

fn a_cancel_is_nothing_to_later_calls(s: &Subject) {
    let queue = s.queue();

    assert_eq!(queue.cancel(), Ok(()));

    s.fails(libc::ETIMEDOUT, queue.take_short(Wait::For(MS)));
    assert_eq!(queue.wait(READABLE, MS), Ok(0));
}

fn a_cancel_is_nothing_to_other_handles_and_processes(s: &Subject) {
    let (address, queue) = s.create(2, 16);
    let another = s.another(&address, O_RDWR);
    let child = spawn(|| assert_eq!(queue.take_short(Wait::Plain), Ok((b"x".to_vec(), 0))));
    child.wait_until_asleep();

    let got = ended_by(
        || another.take_short(Wait::For(HOUR)),
        || {
            assert_eq!(queue.cancel(), Ok(()));
            assert_eq!(queue.set_cancelled(true), Ok(()));
            queue.put("x", 0);
            queue.put("x", 0);
        },
    );

    assert_eq!(got, Ok((b"x".to_vec(), 0)));
    child.join();
}

fn while_waits_are_forbidden_what_would_wait_fails(s: &Subject) {
    let (empty, full) = (s.queue(), full(s));
    let both = |on| [&empty, &full].map(|queue| queue.set_cancelled(on));

    assert_eq!(both(true), [Ok(()), Ok(())]);
    for wait in long_waits() {
        s.fails(libc::ECANCELED, empty.take_short(wait));
        s.fails(libc::ECANCELED, full.send(&[0; 16], 0, wait));
    }
    s.fails(libc::ECANCELED, empty.wait(READABLE, HOUR));

    assert_eq!(both(false), [Ok(()), Ok(())]);
    s.fails(libc::ETIMEDOUT, empty.take_short(Wait::For(MS)));
    s.fails(libc::ETIMEDOUT, full.send(&[0; 16], 0, Wait::For(MS)));
}

fn while_waits_are_forbidden_what_need_not_wait_is_done(s: &Subject) {
    let queue = s.queue();
    queue.set_cancelled(true).expect("0");

    for wait in long_waits() {
        assert_eq!(queue.send(b"x", 0, wait), Ok(()));
        assert_eq!(queue.wait(ALL, HOUR), Ok(ALL));
        assert_eq!(queue.take_short(wait), Ok((b"x".to_vec(), 0)));
    }
    s.fails(libc::EAGAIN, queue.take_short(NOWAIT));
    assert_eq!(queue.wait(READABLE, 0), Ok(0));
}

fn a_child_has_its_own_cancels(s: &Subject) {
    let queue = s.queue();
    queue.set_cancelled(true).expect("0");

    spawn(|| {
        s.fails(libc::ECANCELED, queue.take_short(Wait::Plain));
        queue.set_cancelled(false).expect("0");
        s.fails(libc::ETIMEDOUT, queue.take_short(Wait::For(MS)));
        let got = ended_by(|| queue.take_short(Wait::Plain), || queue.cancel().expect("0"));
        assert_eq!(got, Err(libc::ECANCELED));
    })
    .join();

    s.fails(libc::ECANCELED, queue.take_short(Wait::Plain));
}

fn a_queue_is_ready_for_what_would_not_wait(s: &Subject) {
    let (_, queue) = s.create(2, 16);
    let looks = |queue: &Queue| -> [Result<u32>; 3] {
        [READABLE, WRITABLE, ALL].map(|events| queue.wait(events, 0))
    };

    assert_eq!(looks(&queue), [Ok(0), Ok(WRITABLE), Ok(WRITABLE)]);
    queue.put([0; 16], 0);
    assert_eq!(looks(&queue), [Ok(READABLE), Ok(WRITABLE), Ok(ALL)]);
    queue.put([0; 16], 0);
    assert_eq!(looks(&queue), [Ok(READABLE), Ok(0), Ok(READABLE)]);
    assert_eq!(queue.set_nonblock(true), Ok(()));
    assert_eq!(queue.wait(READABLE, HOUR), Ok(READABLE));
}

fn a_message_ends_a_wait_for_several(s: &Subject) {
    let queue = s.queue();

    for timeout in [-1, HOUR] {
        let waiter = spawn(|| assert_eq!(queue.wait(READABLE, timeout), Ok(READABLE)));
        waiter.wait_until_asleep();
        queue.put("x", 0);
        waiter.join();
        queue.drain();
    }
}

fn room_ends_a_wait_for_several(s: &Subject) {
    let queue = full(s);

    for timeout in [-1, HOUR] {
        let waiter = spawn(|| assert_eq!(queue.wait(WRITABLE, timeout), Ok(WRITABLE)));
        waiter.wait_until_asleep();
        queue.take();
        waiter.join();
        queue.put([0; 16], 0);
    }
}

fn a_wait_for_several_ends_in_time(s: &Subject) {
    let queue = s.queue();
    let begun = crate::subject::now(libc::CLOCK_MONOTONIC);

    assert_eq!(queue.wait(READABLE, 30 * MS), Ok(0));

    assert!(crate::subject::now(libc::CLOCK_MONOTONIC) - begun >= 30 * MS);
    s.fails(libc::EINVAL, queue.wait(READABLE, -2));
}
