//! Receiving: buffers, directions, and the order of messages.

use super::{Clause, clauses};
use crate::subject::{HOUR, NOWAIT, Subject, Wait};
use crate::world;
use libc::{CLOCK_MONOTONIC, O_RDWR, O_WRONLY};
use mqueue_core::attr::capability;
use std::collections::BTreeMap;

pub const CLAUSES: &[Clause] = clauses![All:
    an_empty_queue_has_nothing_for_a_receive_that_does_not_wait,
    the_highest_priority_comes_first,
    within_a_priority_the_oldest_comes_first,
    the_order_is_that_of_a_model,
    all_handles_send_into_one_order,
    a_deep_queue_keeps_its_order,
    a_message_that_the_buffer_cannot_hold_stays_at_its_place,
    a_buffer_may_be_shorter_than_the_longest_message,
    a_capability_tells_whether_a_buffer_may_be_short,
    a_handle_for_sending_does_not_receive,
    a_receive_checks_its_timeout_before_its_direction,
    a_receive_that_failed_leaves_the_buffer_as_it_was,
    a_queue_can_be_filled_and_drained_again_and_again,
];

fn an_empty_queue_has_nothing_for_a_receive_that_does_not_wait(s: &Subject) {
    let queue = s.queue();

    s.fails(libc::EAGAIN, queue.take_by(NOWAIT));

    queue.put("one", 0);
    queue.take();
    s.fails(libc::EAGAIN, queue.take_by(NOWAIT));
}

fn the_highest_priority_comes_first(s: &Subject) {
    let queue = s.queue();

    for prio in [3, 0, 32767, 7, 1] {
        queue.put(prio.to_string(), prio);
    }

    for prio in [32767, 7, 3, 1, 0] {
        assert_eq!(queue.take(), (prio.to_string().into_bytes(), prio));
    }
}

fn within_a_priority_the_oldest_comes_first(s: &Subject) {
    let (_, queue) = s.create(9, 16);

    for (index, message) in ["a", "b", "c", "d", "e", "f", "g", "h", "i"].iter().enumerate() {
        queue.put(message, index as u32 % 3);
    }

    let order: Vec<_> = (0..9).map(|_| queue.take().0).collect();
    assert_eq!(order.concat(), b"cfibehadg");
}

fn the_order_is_that_of_a_model(s: &Subject) {
    let (_, queue) = s.create(8, 8);
    let mut model: BTreeMap<(u32, u64), ()> = BTreeMap::new();
    let mut seed = 7u64;

    for number in 0..400u64 {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let random = (seed >> 33) as u32;
        if model.len() < 8 && (model.is_empty() || random % 5 < 3) {
            let prio = [0, 1, 1, 2, 500, 32767][(random / 5 % 6) as usize];
            queue.put(number.to_ne_bytes(), prio);
            // Highest priority first, oldest first.
            model.insert((u32::MAX - prio, number), ());
        } else {
            let ((prio, number), ()) = model.pop_first().expect("not empty");
            assert_eq!(queue.take(), (number.to_ne_bytes().to_vec(), u32::MAX - prio));
        }
    }
}

fn a_deep_queue_keeps_its_order(s: &Subject) {
    let depth = if world::is_roomy() { 400u32 } else { 10 };
    let (_, queue) = s.create(depth.into(), 8);
    // Seven priorities, each many times, in an order that looks like none.
    let prio = |number: u32| number * 37 % 7;

    for number in 0..depth {
        queue.put(u64::from(number).to_ne_bytes(), prio(number));
    }

    let mut expected: Vec<_> = (0..depth).collect();
    // Numbers of one priority stay in order: the sort is stable.
    expected.sort_by_key(|&number| std::cmp::Reverse(prio(number)));
    for number in expected {
        assert_eq!(queue.take(), (u64::from(number).to_ne_bytes().to_vec(), prio(number)));
    }
}

fn all_handles_send_into_one_order(s: &Subject) {
    let (address, queue) = s.create(8, 16);
    let others = [s.another(&address, O_WRONLY), s.another(&address, O_RDWR)];

    for number in 0..8u8 {
        others[usize::from(number) % 2].put([number], 4);
    }

    assert_eq!((0..8).map(|_| queue.take().0[0]).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6, 7]);
}

fn a_message_that_the_buffer_cannot_hold_stays_at_its_place(s: &Subject) {
    let queue = s.queue();
    queue.put("this one is long", 1);
    queue.put("short", 1);
    queue.put("low", 0);

    for cap in [0, 1, 15] {
        s.fails(libc::EMSGSIZE, queue.receive(&mut vec![0; cap], NOWAIT));
    }

    assert_eq!(queue.curmsgs(), 3);
    assert_eq!(queue.take(), (b"this one is long".to_vec(), 1));
    assert_eq!(queue.take(), (b"short".to_vec(), 1));
}

fn a_buffer_may_be_shorter_than_the_longest_message(s: &Subject) {
    let queue = s.queue();
    queue.put("exact", 1);
    queue.put("", 0);
    let mut buffer = [0; 5];

    assert_eq!(queue.receive(&mut buffer, NOWAIT), Ok((5, 1)));
    assert_eq!(&buffer, b"exact");
    assert_eq!(queue.receive(&mut [], NOWAIT), Ok((0, 0)));
    s.fails(libc::EAGAIN, queue.receive(&mut [], NOWAIT));
}

fn a_capability_tells_whether_a_buffer_may_be_short(s: &Subject) {
    let queue = s.queue();
    queue.put("x", 0);

    let received = queue.receive(&mut [0], NOWAIT);

    let capabilities = queue.attr().expect("attributes").capabilities;
    assert_eq!(received.is_ok(), capabilities & capability::SMALL_BUFFER != 0);
}

fn a_handle_for_sending_does_not_receive(s: &Subject) {
    let (address, queue) = s.create(4, 16);
    queue.put("still there", 0);
    let sender = s.another(&address, O_WRONLY);

    for wait in [Wait::Plain, NOWAIT, Wait::For(HOUR), Wait::Until(CLOCK_MONOTONIC, 0)] {
        s.fails(libc::EBADF, sender.take_by(wait));
        // The direction is looked at before the length of the buffer.
        s.fails(libc::EBADF, sender.receive(&mut [], wait));
    }

    assert_eq!(queue.curmsgs(), 1);
}

fn a_receive_checks_its_timeout_before_its_direction(s: &Subject) {
    let (address, _queue) = s.create(4, 16);
    let sender = s.another(&address, O_WRONLY);

    s.fails(libc::EINVAL, sender.take_by(Wait::For(-2)));
    s.fails(libc::EINVAL, sender.take_by(Wait::Until(CLOCK_MONOTONIC, -1)));
    s.fails(libc::EINVAL, sender.take_by(Wait::Until(99, 0)));
}

fn a_receive_that_failed_leaves_the_buffer_as_it_was(s: &Subject) {
    let queue = s.queue();
    let mut buffer = [7; 64];

    s.fails(libc::EAGAIN, queue.receive(&mut buffer, NOWAIT));
    queue.put("too long for four", 0);
    s.fails(libc::EMSGSIZE, queue.receive(&mut buffer[..4], NOWAIT));
    s.fails(libc::EINVAL, queue.receive(&mut buffer, Wait::For(-2)));

    assert_eq!(buffer, [7; 64]);
}

fn a_queue_can_be_filled_and_drained_again_and_again(s: &Subject) {
    let (_, queue) = s.create(5, 24);

    for round in 0..30 {
        assert_eq!(queue.fill(24), 5, "round {round}");
        for _ in 0..=round % 5 {
            queue.take();
        }
        assert_eq!(queue.fill(24), round % 5 + 1, "round {round}");
        assert_eq!(queue.drain(), 5, "round {round}");
    }
}
