//! Readiness that comes and goes very often, and is left to a helper thread.

use crate::processes::lamp::{BETWEEN, EMPTY, FULL, Lamp, receive, send};
use crate::processes::{Fate, Stage, pause, spawn};
use crate::{PATIENCE, stage};
use libc::POLLIN;
use mqueue_core::deadline::Wait;
use mqueue_core::shm::ShmQueue;
use mqueue_core::transport::Transport as _;
use std::time::{Duration, Instant};

cases! {
    a_queue_that_is_busy_is_left_to_the_helper,
    what_is_false_is_taken_away_at_once_all_the_same,
    who_polls_is_told_of_every_message_all_the_same,
    what_a_killed_one_had_left_out_is_shown_by_a_later_call,
    a_handle_that_is_closed_leaves_nothing_out,
    a_process_without_a_helper_shows_everything,
}

fn pair(queue: &ShmQueue) {
    let mut message = [0u8; 8];
    // SAFETY: 8 bytes, readable and writable.
    unsafe {
        queue.send(message.as_ptr(), 8, 0, Wait::Never).expect("sent");
        queue.receive(message.as_mut_ptr(), 8, Wait::Never).expect("received");
    }
}

fn has_lease(queue: &ShmQueue) -> bool {
    queue.attachment().expect("attached").engine().has_lease()
}

/// Go from empty to not empty and back until that is left to the helper.
fn be_busy(queue: &ShmQueue) {
    let until = Instant::now() + PATIENCE;
    while !has_lease(queue) {
        assert!(Instant::now() < until, "never left to the helper");
        pair(queue);
    }
}

fn lit(maxmsg: u64) -> (Stage, Lamp) {
    let stage = stage(maxmsg);
    let lamp = Lamp::of(&stage.inside);
    stage.inside.allow_lazy_beacon().expect("a helper");
    (stage, lamp)
}

fn a_queue_that_is_busy_is_left_to_the_helper() {
    let (stage, lamp) = lit(4);
    be_busy(&stage.inside);
    send(&stage.queue, Wait::Never).expect("sent");

    assert_eq!(lamp.wait(POLLIN, 30_000), POLLIN);

    // And as nothing happens any more, it is over.
    let until = Instant::now() + PATIENCE;
    while has_lease(&stage.inside) {
        assert!(Instant::now() < until, "the lease has no end");
        pause(Duration::from_millis(1));
    }
    assert_eq!(lamp.shows(), BETWEEN);
    receive(&stage.queue, Wait::Never).expect("received");
    assert_eq!(lamp.shows(), EMPTY);
    send(&stage.queue, Wait::Never).expect("sent");
    assert_eq!(lamp.shows(), BETWEEN);
}

fn what_is_false_is_taken_away_at_once_all_the_same() {
    let (stage, lamp) = lit(2);
    for _ in 0..20 {
        be_busy(&stage.inside);
        for _ in 0..1000 {
            send(&stage.queue, Wait::Never).expect("sent");
            send(&stage.queue, Wait::Never).expect("sent");
            assert_eq!(lamp.shows(), FULL);
            receive(&stage.queue, Wait::Never).expect("received");
            receive(&stage.queue, Wait::Never).expect("received");
            assert_eq!(lamp.shows(), EMPTY);
        }
    }
}

fn who_polls_is_told_of_every_message_all_the_same() {
    let stage = stage(4);
    let lamp = Lamp::of(&stage.inside);
    let mut sender = spawn(|| {
        let inside = stage.open_inside();
        inside.allow_lazy_beacon().expect("a helper");
        for _ in 0..200 {
            inside.attachment().expect("attached").engine().take_lease();
            // SAFETY: 8 readable bytes.
            unsafe { inside.send([0u8; 8].as_ptr(), 8, 0, Wait::For(30_000_000_000)) }
                .expect("sent");
        }
    });
    for received in 0..200 {
        assert_eq!(lamp.wait(POLLIN, 30_000), POLLIN, "not told of message {received}");
        receive(&stage.queue, Wait::Never).expect("what was seen is there");
    }
    assert_eq!(sender.wait(PATIENCE), Fate::Exited(0));
    assert_eq!(lamp.shows(), EMPTY);
}

fn what_a_killed_one_had_left_out_is_shown_by_a_later_call() {
    let stage = stage(4);
    let lamp = Lamp::of(&stage.inside);
    let mut dead = spawn(|| {
        let inside = stage.open_inside();
        inside.allow_lazy_beacon().expect("a helper");
        inside.attachment().expect("attached").engine().take_lease();
        send(&stage.queue, Wait::Never).expect("sent");
        // SAFETY: touches no memory.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    });
    assert_eq!(dead.wait(PATIENCE), Fate::Killed(libc::SIGKILL));

    let until = Instant::now() + PATIENCE;
    while lamp.wait(POLLIN, 1) != POLLIN {
        assert!(Instant::now() < until, "never shown");
        pair(&stage.inside);
    }
}

fn a_handle_that_is_closed_leaves_nothing_out() {
    let stage = stage(4);
    let lamp = Lamp::of(&stage.inside);
    for is_closed in [true, false] {
        let inside = stage.open_inside();
        inside.allow_lazy_beacon().expect("a helper");
        be_busy(&inside);
        send(&stage.queue, Wait::Never).expect("sent");
        if is_closed {
            drop(inside);
        } else {
            inside.end_lazy_beacon();
        }
        assert_eq!(lamp.shows(), BETWEEN);
        receive(&stage.queue, Wait::Never).expect("received");
    }
}

fn a_process_without_a_helper_shows_everything() {
    let stage = stage(4);
    let lamp = Lamp::of(&stage.inside);
    for _ in 0..5000 {
        pair(&stage.inside);
        assert!(!has_lease(&stage.inside));
    }
    send(&stage.queue, Wait::Never).expect("sent");
    assert_eq!(lamp.shows(), BETWEEN);
}
