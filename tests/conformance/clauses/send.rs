//! Sending, with what a send may refuse.

use super::{Clause, clauses};
use crate::subject::{HOUR, NOWAIT, Subject, Wait};
use libc::{CLOCK_MONOTONIC, O_RDONLY, O_RDWR, O_WRONLY};

pub const CLAUSES: &[Clause] = clauses![All:
    a_message_arrives_as_it_was_sent,
    an_empty_message_is_a_message,
    the_longest_message_fits,
    a_message_that_is_too_long_is_refused,
    priorities_reach_up_to_32767,
    a_full_queue_refuses_a_send_that_does_not_wait,
    a_queue_holds_as_many_messages_as_it_was_made_for,
    a_handle_for_receiving_does_not_send,
    a_send_checks_its_timeout_and_priority_before_its_direction,
    a_send_checks_its_direction_before_its_length,
    a_send_checks_its_length_before_it_looks_for_room,
    a_send_that_failed_has_sent_nothing,
];

fn a_message_arrives_as_it_was_sent(s: &Subject) {
    let (address, queue) = s.create(4, 256);
    let sender = s.another(&address, O_WRONLY);
    let every_byte: Vec<u8> = (0..=255).collect();

    sender.put(&every_byte, 9);

    assert_eq!(queue.take(), (every_byte, 9));
}

fn an_empty_message_is_a_message(s: &Subject) {
    let queue = s.queue();

    queue.put("", 5);
    queue.put("", 6);

    assert_eq!(queue.curmsgs(), 2);
    assert_eq!(queue.take(), (vec![], 6));
    assert_eq!(queue.take(), (vec![], 5));
}

fn the_longest_message_fits(s: &Subject) {
    let queue = s.queue();
    let longest = vec![b'l'; queue.attr().expect("attributes").msgsize as usize];

    queue.put(&longest, 1);

    assert_eq!(queue.take(), (longest, 1));
}

fn a_message_that_is_too_long_is_refused(s: &Subject) {
    let queue = s.queue();
    let msgsize = queue.attr().expect("attributes").msgsize as usize;

    for wait in [Wait::Plain, NOWAIT, Wait::For(HOUR), Wait::Until(CLOCK_MONOTONIC, 0)] {
        s.fails(libc::EMSGSIZE, queue.send(&vec![0; msgsize + 1], 0, wait));
        s.fails(libc::EMSGSIZE, queue.send(&vec![0; 10 * msgsize], 0, wait));
    }

    assert_eq!(queue.curmsgs(), 0);
}

fn priorities_reach_up_to_32767(s: &Subject) {
    let queue = s.queue();

    for prio in [32768, 1 << 31, u32::MAX] {
        s.fails(libc::EINVAL, queue.send(b"", prio, NOWAIT));
    }
    for prio in [0, 1, 32766, 32767] {
        queue.put("", prio);
    }

    assert_eq!([(); 4].map(|()| queue.take().1), [32767, 32766, 1, 0]);
}

fn a_full_queue_refuses_a_send_that_does_not_wait(s: &Subject) {
    let (_, queue) = s.create(4, 16);
    queue.fill(16);

    for _ in 0..3 {
        s.fails(libc::EAGAIN, queue.send(&[b'x'; 16], 0, NOWAIT));
    }

    queue.take();
    queue.put([b'x'; 16], 0);
    s.fails(libc::EAGAIN, queue.send(&[b'x'; 16], 32767, NOWAIT));
}

fn a_queue_holds_as_many_messages_as_it_was_made_for(s: &Subject) {
    for maxmsg in [1, 2, 7, 10] {
        let (_, queue) = s.create(maxmsg, 32);

        assert_eq!(queue.fill(32), maxmsg as usize);
        assert_eq!(queue.curmsgs(), maxmsg);
        assert_eq!(queue.drain(), maxmsg as usize);
    }
}

fn a_handle_for_receiving_does_not_send(s: &Subject) {
    let (address, queue) = s.create(4, 16);
    let receiver = s.another(&address, O_RDONLY);

    for wait in [Wait::Plain, NOWAIT, Wait::For(HOUR), Wait::Until(CLOCK_MONOTONIC, 0)] {
        s.fails(libc::EBADF, receiver.send(b"", 0, wait));
    }

    assert_eq!(queue.curmsgs(), 0);
}

fn a_send_checks_its_timeout_and_priority_before_its_direction(s: &Subject) {
    let (address, _queue) = s.create(4, 16);
    let receiver = s.another(&address, O_RDONLY);

    s.fails(libc::EINVAL, receiver.send(b"", 32768, NOWAIT));
    s.fails(libc::EINVAL, receiver.send(b"", 0, Wait::For(-2)));
    s.fails(libc::EINVAL, receiver.send(b"", 0, Wait::Until(CLOCK_MONOTONIC, -1)));
}

fn a_send_checks_its_direction_before_its_length(s: &Subject) {
    let (address, queue) = s.create(4, 16);
    let too_long = vec![0; queue.attr().expect("attributes").msgsize as usize + 1];
    let receiver = s.another(&address, O_RDONLY);

    s.fails(libc::EBADF, receiver.send(&too_long, 0, NOWAIT));
}

fn a_send_checks_its_length_before_it_looks_for_room(s: &Subject) {
    let (_, queue) = s.create(4, 16);
    let too_long = vec![0; queue.attr().expect("attributes").msgsize as usize + 1];
    queue.fill(16);

    s.fails(libc::EMSGSIZE, queue.send(&too_long, 0, NOWAIT));
    s.fails(libc::EMSGSIZE, queue.send(&too_long, 0, Wait::Plain));
}

fn a_send_that_failed_has_sent_nothing(s: &Subject) {
    let (address, queue) = s.create(2, 16);
    let other = s.another(&address, O_RDWR);
    queue.put("the only one", 0);

    s.fails(libc::EINVAL, other.send(b"no", 32768, NOWAIT));
    s.fails(libc::EINVAL, other.send(b"no", 0, Wait::For(i64::MIN)));
    s.fails(libc::EMSGSIZE, other.send(&[0; 100], 0, NOWAIT));

    assert_eq!(queue.take().0, b"the only one");
    s.fails(libc::EAGAIN, queue.take_by(NOWAIT));
}
