//! Waiting: how long, on which clock, and what interrupts it.

use crate::place::{
    Place, RECEIVING, SENDING, errno, handle, in_child, interrupt, make_description_nonblocking,
    receive, receive_for, send, send_for, sentence, thread_id, until_in_call,
};
use libc::SYS_ppoll;
use mqueue_core::attr::{OpenOptions, option};
use mqueue_core::deadline::{Clock, Wait};
use mqueue_core::error::Result;
use mqueue_core::queue::Queue;
use mqueue_core::sys::clock;
use std::sync::mpsc;

const MS: i64 = 1_000_000;

#[test]
fn a_wait_ends_when_the_other_side_has_done_its_part() {
    let place = Place::new("a_wait_ends");
    let queue = place.make(1, 8);

    let receiver = in_child(|| assert_eq!(receive(&queue), Ok(("x".into(), 3))));
    receiver.until_in(RECEIVING);
    send(&queue, "x", 3).expect("sent");
    receiver.join();

    send(&queue, "y", 0).expect("sent");
    let sender = in_child(|| send(&queue, "z", 0).expect("sent"));
    sender.until_in(SENDING);
    assert_eq!(receive(&queue), Ok(("y".into(), 0)));
    sender.join();
    assert_eq!(receive(&queue), Ok(("z".into(), 0)));
}

#[test]
fn time_is_up_on_every_clock_and_not_before() {
    let place = Place::new("time_is_up");
    let queue = place.make(1, 8);
    for is_full in [false, true] {
        if is_full {
            send(&queue, "x", 0).expect("sent");
        }
        let in_vain = |wait| match is_full {
            true => send_for(&queue, "y", 0, wait),
            false => receive_for(&queue, wait).map(drop),
        };
        for clock in [Clock::Realtime, Clock::Monotonic, Clock::Boottime] {
            let until = clock::now_ns(clock) + 20 * MS;

            assert_eq!(errno(in_vain(Wait::Until(clock, until))), libc::ETIMEDOUT);

            assert!(clock::now_ns(clock) >= until, "{clock:?}");
            assert!(sentence().contains("until the time was up"), "{}", sentence());
            assert_eq!(errno(in_vain(Wait::Until(clock, 0))), libc::ETIMEDOUT);
        }
        let begin = clock::monotonic_ns();
        assert_eq!(errno(in_vain(Wait::For(20 * MS))), libc::ETIMEDOUT);
        assert!(clock::monotonic_ns() >= begin + 20 * MS);
        assert_eq!(errno(in_vain(Wait::For(1))), libc::ETIMEDOUT);
        assert_eq!(errno(in_vain(Wait::Never)), libc::EAGAIN);
    }
}

#[test]
fn what_can_be_done_at_once_is_done_however_short_the_time() {
    let place = Place::new("what_can_be_done_at_once");
    let queue = place.make(1, 8);
    let waits = [
        Wait::Never,
        Wait::For(1),
        Wait::For(i64::MAX),
        Wait::Until(Clock::Realtime, 0),
        Wait::Until(Clock::Monotonic, 0),
        Wait::Until(Clock::Boottime, 1),
        Wait::Until(Clock::Realtime, i64::MAX - 1),
        Wait::Until(Clock::Monotonic, i64::MAX - 1),
    ];
    for wait in waits {
        send_for(&queue, "x", 0, wait).expect("sent");
        receive_for(&queue, wait).expect("received");
    }
}

#[test]
fn a_nonblocking_handle_wins_over_every_timeout() {
    let place = Place::new("a_nonblocking_handle_wins");
    let queue = place.make(1, 8);
    queue.set_nonblock(true).expect("set");

    for wait in [Wait::For(1000 * MS), Wait::Until(Clock::Realtime, 0), Wait::Unlimited] {
        assert_eq!(errno(receive_for(&queue, wait)), libc::EAGAIN);
    }
}

#[test]
fn times_beyond_all_clocks_wait() {
    let place = Place::new("times_beyond_all_clocks");
    let queue = place.make(1, 8);
    let waits = [
        Wait::For(i64::MAX),
        Wait::For(i64::MAX - 1),
        Wait::Until(Clock::Realtime, i64::MAX - 1),
        Wait::Until(Clock::Monotonic, i64::MAX - 1),
        Wait::Until(Clock::Boottime, i64::MAX - 1),
    ];
    for wait in waits {
        let receiver = in_child(|| assert_eq!(receive_for(&queue, wait), Ok(("x".into(), 0))));
        receiver.until_in(RECEIVING);
        send(&queue, "x", 0).expect("sent");
        receiver.join();
    }
}

/// Receive in a thread, which is interrupted while it sleeps in that system call; then a
/// message comes, if the wait goes on.
fn interrupted(
    queue: &Queue,
    signal: i32,
    sleeping_in: libc::c_long,
    wait: Wait,
    goes_on: bool,
) -> Result<(String, u32)> {
    std::thread::scope(|scope| {
        let (tell, told) = mpsc::channel();
        let receiver = scope.spawn(move || {
            tell.send(thread_id()).expect("told");
            receive_for(queue, wait)
        });
        let thread = told.recv().expect("its number");
        until_in_call(thread, sleeping_in);
        interrupt(thread, signal);
        if goes_on {
            // Only a wait that goes on gets there again, or gets the message.
            send(queue, "x", 0).expect("sent");
        }
        receiver.join().expect("no panic")
    })
}

#[test]
fn a_handler_interrupts_a_wait_unless_it_is_to_restart() {
    let place = Place::new("a_handler_interrupts");
    let queue = place.make(1, 8);
    handle(libc::SIGUSR1, 0);
    handle(libc::SIGUSR2, libc::SA_RESTART);

    for wait in [Wait::Unlimited, Wait::For(60_000 * MS)] {
        let cut = interrupted(&queue, libc::SIGUSR1, RECEIVING, wait, false);
        assert_eq!(errno(cut), libc::EINTR);

        let came = interrupted(&queue, libc::SIGUSR2, RECEIVING, wait, true);
        assert_eq!(came, Ok(("x".into(), 0)));
    }
}

#[test]
fn a_handle_that_restarts_goes_on_after_any_handler_and_ends_in_time() {
    let place = Place::new("a_handle_that_restarts");
    let _made = place.make(1, 8);
    handle(libc::SIGUSR1, 0);
    let options = OpenOptions { flags: option::RESTART, ..OpenOptions::default() };
    let queue = Queue::open(Some(&place.address), libc::O_RDWR, &options).expect("opened");

    let came = interrupted(&queue, libc::SIGUSR1, RECEIVING, Wait::Unlimited, true);
    assert_eq!(came, Ok(("x".into(), 0)));

    let until = clock::monotonic_ns() + 300 * MS;
    let wait = Wait::Until(Clock::Monotonic, until);
    let late = interrupted(&queue, libc::SIGUSR1, RECEIVING, wait, false);
    assert_eq!(errno(late), libc::ETIMEDOUT);
    assert!(clock::monotonic_ns() >= until);
}

#[test]
fn calls_that_may_wait_do_so_on_a_description_that_somebody_made_nonblocking() {
    let place = Place::new("calls_that_may_wait");
    let queue = place.make(1, 8);
    make_description_nonblocking(queue.fd().expect("a descriptor"));

    let receiver = in_child(|| assert_eq!(receive(&queue), Ok(("x".into(), 0))));
    receiver.until_in(SYS_ppoll);
    send(&queue, "x", 0).expect("sent");
    receiver.join();

    send(&queue, "y", 0).expect("sent");
    let sender = in_child(|| send(&queue, "z", 0).expect("sent"));
    sender.until_in(SYS_ppoll);
    receive(&queue).expect("received");
    sender.join();
    receive(&queue).expect("received");

    for clock in [Clock::Realtime, Clock::Monotonic, Clock::Boottime] {
        let until = clock::now_ns(clock) + 20 * MS;
        let late = receive_for(&queue, Wait::Until(clock, until));
        assert_eq!(errno(late), libc::ETIMEDOUT);
        assert!(clock::now_ns(clock) >= until, "{clock:?}");
    }
    assert_eq!(errno(receive_for(&queue, Wait::Never)), libc::EAGAIN);
    assert_eq!(errno(receive_for(&queue, Wait::For(1))), libc::ETIMEDOUT);

    handle(libc::SIGUSR1, 0);
    let cut = interrupted(&queue, libc::SIGUSR1, SYS_ppoll, Wait::Unlimited, false);
    assert_eq!(errno(cut), libc::EINTR);
}

#[test]
fn waiting_in_one_process_leaves_the_queue_to_others_when_it_is_killed() {
    let place = Place::new("waiting_in_one_process");
    let queue = place.make(1, 8);

    let receiver = in_child(|| drop(receive(&queue)));
    receiver.until_in(RECEIVING);
    receiver.kill();

    send(&queue, "x", 0).expect("sent");
    assert_eq!(receive(&queue), Ok(("x".into(), 0)));
}
