//! What is shown after each kind of call, when nobody is in the midst of one.

use crate::processes::lamp::{BETWEEN, EMPTY, FULL, Lamp, receive, send};
use crate::{in_child, stage};
use mqueue_core::attr::{OpenOptions, option};
use mqueue_core::deadline::Wait;
use mqueue_core::error::Errno;
use mqueue_core::message::{Outgoing, Request, send as sending};
use mqueue_core::queue::Queue;
use mqueue_core::transport::Transport as _;

cases! {
    every_level_of_a_queue_is_shown,
    a_queue_of_one_message_is_never_both,
    what_was_there_before_the_beacon_is_shown,
    what_other_processes_do_is_shown,
    what_a_forked_child_does_to_an_unlinked_queue_is_shown,
    several_at_once_are_shown,
    a_message_that_is_dropped_for_another_leaves_the_queue_full,
    what_is_done_in_place_is_shown,
    a_queue_that_was_shut_down_is_both,
    a_message_for_one_who_sleeps_is_his,
    what_a_dead_one_had_acquired_is_shown_again,
}

fn every_level_of_a_queue_is_shown() {
    let stage = stage(3);
    let lamp = Lamp::of(&stage.inside);
    for _ in 0..100 {
        assert_eq!(lamp.shows(), EMPTY);
        for shown in [BETWEEN, BETWEEN, FULL] {
            send(&stage.queue, Wait::Never).expect("sent");
            assert_eq!(lamp.shows(), shown);
        }
        assert_eq!(send(&stage.queue, Wait::Never), Err(Errno(libc::EAGAIN)));
        assert_eq!(lamp.shows(), FULL);
        for shown in [BETWEEN, BETWEEN, EMPTY] {
            receive(&stage.queue, Wait::Never).expect("received");
            assert_eq!(lamp.shows(), shown);
        }
        assert_eq!(receive(&stage.queue, Wait::Never), Err(Errno(libc::EAGAIN)));
    }
}

fn a_queue_of_one_message_is_never_both() {
    let stage = stage(1);
    let lamp = Lamp::of(&stage.inside);
    for _ in 0..100 {
        assert_eq!(lamp.shows(), EMPTY);
        send(&stage.queue, Wait::Never).expect("sent");
        assert_eq!(lamp.shows(), FULL);
        receive(&stage.queue, Wait::Never).expect("received");
    }
}

fn what_was_there_before_the_beacon_is_shown() {
    for (messages, shown) in [(0, EMPTY), (1, BETWEEN), (2, FULL)] {
        let (name, options) = (crate::processes::new_name(), crate::processes::options(2, 8));
        let open = || crate::processes::open_inside(&name, libc::O_CREAT | libc::O_RDWR, &options);
        let queue = open();
        for _ in 0..messages {
            // SAFETY: 8 readable bytes.
            unsafe { queue.send([0u8; 8].as_ptr(), 8, 0, Wait::Never) }.expect("sent");
        }

        assert_eq!(Lamp::of(&queue).shows(), shown);
        // What the FIFO holds goes with the last who have it open.
        drop(queue);
        assert_eq!(Lamp::of(&open()).shows(), shown);
        mqueue_core::queue::unlink(&name).expect("unlinked");
    }
}

fn what_other_processes_do_is_shown() {
    let stage = stage(2);
    let early = stage.open();
    let lamp = Lamp::of(&stage.inside);
    in_child(|| send(&stage.open(), Wait::Never).expect("sent"));
    assert_eq!(lamp.shows(), BETWEEN);
    in_child(|| send(&early, Wait::Never).expect("sent by an inherited handle"));
    assert_eq!(lamp.shows(), FULL);
    in_child(|| {
        let late = stage.open();
        receive(&late, Wait::Never).expect("received");
        receive(&late, Wait::Never).expect("received");
    });
    assert_eq!(lamp.shows(), EMPTY);
}

fn what_a_forked_child_does_to_an_unlinked_queue_is_shown() {
    let stage = stage(2);
    let lamp = Lamp::of(&stage.inside);
    mqueue_core::queue::unlink(&stage.name).expect("unlinked");

    // The one handle has made the beacon. The other has never had to do with it.
    // SAFETY: 8 readable bytes.
    let sent = || unsafe { stage.inside.send([0u8; 8].as_ptr(), 8, 0, Wait::Never) };
    in_child(|| sent().expect("sent"));
    assert_eq!(lamp.shows(), BETWEEN);
    in_child(|| sent().expect("sent"));
    assert_eq!(lamp.shows(), FULL);
}

fn outgoing(flags: u64) -> Outgoing {
    Outgoing { data: [0u8; 8].as_ptr(), len: 8, prio: 0, kind: 0, flags }
}

fn several_at_once_are_shown() {
    let stage = stage(8);
    let lamp = Lamp::of(&stage.inside);
    let mut buffer = [0u8; 8];
    let data = buffer.as_mut_ptr();
    let request = |_| Request { data, cap: 8, kind: 0, flags: 0, prio: 0, sequence: 0 };
    for (count, shown) in [(3, BETWEEN), (5, FULL)] {
        // SAFETY: readable bytes.
        let sent = unsafe { stage.queue.send_batch(count, |_| outgoing(0), Wait::Never) };
        assert_eq!(sent, Ok(count));
        assert_eq!(lamp.shows(), shown);
    }
    for (count, shown) in [(2, BETWEEN), (6, EMPTY)] {
        // SAFETY: writable bytes.
        let got = unsafe { stage.queue.receive_batch(count, request, |_, _| (), Wait::Never) };
        assert_eq!(got, Ok(count));
        assert_eq!(lamp.shows(), shown);
    }
}

fn a_message_that_is_dropped_for_another_leaves_the_queue_full() {
    let stage = stage(2);
    let lamp = Lamp::of(&stage.inside);
    for shown in [BETWEEN, FULL, FULL] {
        // SAFETY: readable bytes.
        unsafe { stage.queue.send_message(&outgoing(sending::DROP_OLDEST), Wait::Never) }
            .expect("sent");
        assert_eq!(lamp.shows(), shown);
    }
    // One more that goes, and no other comes.
    stage.inside.attachment().expect("attached").engine().drop_oldest(0).expect("dropped");
    receive(&stage.queue, Wait::Never).expect("received");
    assert_eq!(lamp.shows(), EMPTY);
}

fn what_is_done_in_place_is_shown() {
    let stage = stage(2);
    let lamp = Lamp::of(&stage.inside);
    let slot = stage.queue.reserve(8, Wait::Never).expect("reserved");
    assert_eq!(lamp.shows(), EMPTY);
    stage.queue.commit(slot, 8, 0, Wait::Never).expect("committed");
    assert_eq!(lamp.shows(), BETWEEN);
    send(&stage.queue, Wait::Never).expect("sent");
    let (data, ..) = stage.queue.acquire(Wait::Never).expect("acquired");
    assert_eq!(lamp.shows(), BETWEEN);
    stage.queue.requeue(data).expect("requeued");
    assert_eq!(lamp.shows(), FULL);
    let (one, ..) = stage.queue.acquire(Wait::Never).expect("acquired");
    let (two, ..) = stage.queue.acquire(Wait::Never).expect("acquired");
    assert_eq!(lamp.shows(), EMPTY);
    stage.queue.release(one).expect("released");
    stage.queue.release(two).expect("released");
    assert_eq!(lamp.shows(), EMPTY);
}

fn a_queue_that_was_shut_down_is_both() {
    for messages in 0..3 {
        let stage = stage(2);
        let lamp = Lamp::of(&stage.inside);
        for _ in 0..messages {
            send(&stage.queue, Wait::Never).expect("sent");
        }

        stage.queue.shutdown().expect("shut down");

        assert_eq!(lamp.shows(), BETWEEN);
        for _ in 0..messages {
            receive(&stage.queue, Wait::Never).expect("received");
        }
        assert_eq!(receive(&stage.queue, Wait::Never), Err(Errno(libc::EPIPE)));
        assert_eq!(lamp.shows(), BETWEEN);
    }
}

fn a_message_for_one_who_sleeps_is_his() {
    let stage = stage(2);
    let lamp = Lamp::of(&stage.inside);
    let sleeper = crate::processes::spawn(|| {
        let queue = stage.open();
        for _ in 0..100 {
            receive(&queue, Wait::Unlimited).expect("received");
        }
    });
    let mut sleeper = sleeper;
    for _ in 0..100 {
        crate::crowd::await_sleeper(&stage);
        send(&stage.queue, Wait::Never).expect("sent");
        // Nobody else is told of it.
        assert_eq!(lamp.wait(BETWEEN, 0) & libc::POLLIN, 0);
    }
    assert_eq!(sleeper.wait(crate::PATIENCE), crate::processes::Fate::Exited(0));
    assert_eq!(lamp.shows(), EMPTY);
    send(&stage.queue, Wait::Never).expect("sent");
    assert_eq!(lamp.shows(), BETWEEN);
}

fn what_a_dead_one_had_acquired_is_shown_again() {
    let options = OpenOptions { flags: option::REDELIVER, ..crate::processes::options(1, 8) };
    let stage = crate::processes::Stage::of(crate::processes::new_name(), options);
    let lamp = Lamp::of(&stage.inside);
    send(&stage.queue, Wait::Never).expect("sent");
    let mut dead = crate::processes::spawn(|| {
        let queue: Queue = stage.open();
        queue.acquire(Wait::Never).expect("acquired");
        // SAFETY: touches no memory.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    });
    dead.wait(crate::PATIENCE);
    assert_eq!(lamp.shows(), EMPTY);

    stage.engine().reclaim();

    assert_eq!(lamp.shows(), FULL);
}
