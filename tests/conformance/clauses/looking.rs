//! Looking at messages without taking them, and what is known of each message.

use super::message::{ANY, get};
use super::{Clause, clauses};
use crate::process::spawn;
use crate::subject::{HOUR, MS, Queue, Result, Subject, now};
use libc::{O_RDONLY, O_WRONLY};
use mqueue_core::attr::{OpenOptions, option};
use mqueue_core::message::{Incoming, Request, receive};

pub const CLAUSES: &[Clause] = clauses![All:
    messages_are_looked_at_in_the_order_of_their_receipt,
    a_look_goes_on_behind_a_message_that_is_gone,
    a_look_begins_anew_where_nothing_was_looked_at,
    a_look_may_begin_behind_any_message,
    a_look_waits_for_a_message,
    a_look_behind_the_last_message_waits_for_the_next,
    who_looks_does_not_keep_a_notification_away,
    a_message_too_long_for_a_look_stays,
    a_look_may_be_cut,
    only_who_may_receive_may_look,
    a_look_is_not_counted_as_a_receive,
    messages_are_numbered_in_the_order_of_sends,
    a_number_stays_with_its_message,
    a_message_tells_its_sender_and_when_it_was_sent,
];

pub const IN_C: &[Clause] = clauses![C:
    several_messages_can_be_looked_at_at_once,
];

const LOOK: Request = Request { flags: receive::PEEK, ..ANY };

/// Look at the message behind this one.
fn look_behind(queue: &Queue, prio: u32, sequence: u64) -> Result<(Vec<u8>, Incoming)> {
    get(queue, Request { prio, sequence, ..LOOK }, 0)
}

/// All messages that a loop of looks sees, from this message on.
fn browse(queue: &Queue, mut prio: u32, mut sequence: u64) -> Vec<String> {
    let mut seen = Vec::new();
    while let Ok((message, incoming)) = look_behind(queue, prio, sequence) {
        seen.push(String::from_utf8(message).expect("letters"));
        (prio, sequence) = (incoming.prio, incoming.sequence);
    }
    seen
}

fn messages_are_looked_at_in_the_order_of_their_receipt(s: &Subject) {
    let queue = s.queue();
    for (message, prio) in [("d", 1), ("a", 9), ("e", 1), ("c", 2), ("b", 9), ("f", 0)] {
        queue.put(message, prio);
    }

    let seen = browse(&queue, 0, 0);

    assert_eq!(seen, ["a", "b", "c", "d", "e", "f"]);
    let received = [(); 6].map(|()| queue.take().0);
    assert_eq!(received.map(|message| String::from_utf8(message).expect("letters")), *seen);
}

fn a_look_goes_on_behind_a_message_that_is_gone(s: &Subject) {
    let queue = s.queue();
    for prio in [2, 1] {
        queue.put_all(["a", "b", "c"], prio);
    }
    let (_, first) = look_behind(&queue, 0, 0).expect("a message");

    queue.take();

    assert_eq!(browse(&queue, first.prio, first.sequence), ["b", "c", "a", "b", "c"]);
    assert_eq!([(); 2].map(|()| queue.take().0), [b"b", b"c"]);
    assert_eq!(browse(&queue, first.prio, first.sequence), ["a", "b", "c"]);
    queue.put("sent before it in the order", 3);
    assert_eq!(browse(&queue, first.prio, first.sequence), ["a", "b", "c"]);
    queue.put("d", 2);
    assert_eq!(browse(&queue, first.prio, first.sequence), ["d", "a", "b", "c"]);
}

fn a_look_begins_anew_where_nothing_was_looked_at(s: &Subject) {
    let queue = s.queue();
    queue.put("a", 1);

    // Without a number the priority means nothing.
    for prio in [0, 1, 32767, u32::MAX] {
        let (message, incoming) = look_behind(&queue, prio, 0).expect("a message");
        assert_eq!((message, incoming.prio), (b"a".to_vec(), 1));
    }
}

fn a_look_may_begin_behind_any_message(s: &Subject) {
    let queue = s.queue();
    for (message, prio) in [("a", 3), ("b", 2), ("c", 2), ("d", 1)] {
        queue.put(message, prio);
    }

    assert_eq!(browse(&queue, 32767, 1), ["a", "b", "c", "d"]);
    assert_eq!(browse(&queue, 3, u64::MAX), ["b", "c", "d"]);
    assert_eq!(browse(&queue, 2, 2), ["c", "d"]);
    assert_eq!(browse(&queue, 2, 3), ["d"]);
    assert_eq!(browse(&queue, 0, u64::MAX), [""; 0]);
    s.fails(libc::EINVAL, look_behind(&queue, 32768, 1));
}

fn a_look_waits_for_a_message(s: &Subject) {
    let queue = s.queue();
    s.fails(libc::EAGAIN, get(&queue, LOOK, 0));
    s.fails(libc::ETIMEDOUT, get(&queue, LOOK, 1000));

    for timeout in [-1, HOUR] {
        let looking = spawn(|| {
            let (message, incoming) = get(&queue, LOOK, timeout).expect("a message");
            assert_eq!((message, incoming.prio), (b"x".to_vec(), 3));
        });
        looking.wait_until_asleep();
        queue.put("x", 3);
        looking.join();

        assert_eq!(queue.take(), (b"x".to_vec(), 3));
    }
}

fn a_look_behind_the_last_message_waits_for_the_next(s: &Subject) {
    let queue = s.queue();
    queue.put("a", 1);
    let (_, last) = look_behind(&queue, 0, 0).expect("a message");
    let behind = Request { prio: last.prio, sequence: last.sequence, ..LOOK };
    s.fails(libc::EAGAIN, get(&queue, behind, 0));

    let looking = spawn(|| assert_eq!(get(&queue, behind, -1).expect("a message").0, b"b"));
    looking.wait_until_asleep();
    queue.put("b", 1);

    looking.join();
    assert_eq!(queue.drain(), 2);
}

fn who_looks_does_not_keep_a_notification_away(s: &Subject) {
    let queue = s.queue();
    queue.notify_signal(0, 0).expect("a registration");
    let looking = spawn(|| assert_eq!(get(&queue, LOOK, -1).expect("a message").0, b"x"));
    looking.wait_until_asleep();

    queue.put("x", 0);

    looking.join();
    assert_eq!(queue.notify_signal(0, 0), Ok(()), "there is no registration any more");
}

fn a_message_too_long_for_a_look_stays(s: &Subject) {
    let queue = s.queue();
    queue.put("longer", 1);

    s.fails(libc::EMSGSIZE, get(&queue, Request { cap: 5, ..LOOK }, 0));

    assert_eq!(queue.take().0, b"longer");
}

fn a_look_may_be_cut(s: &Subject) {
    let queue = s.queue();
    queue.put("longer", 1);
    let mut buffer = *b".....";
    let flags = receive::PEEK | receive::TRUNCATE;
    let request = Request { data: buffer.as_mut_ptr(), cap: 4, flags, ..ANY };

    let incoming = queue.receive_message(&request, 0).expect("a message");

    assert_eq!((&buffer, incoming.len), (b"long.", 6));
    assert_eq!(queue.take().0, b"longer");
}

fn only_who_may_receive_may_look(s: &Subject) {
    let (address, queue) = s.create(4, 16);
    queue.put("x", 0);

    s.fails(libc::EBADF, get(&s.another(&address, O_WRONLY), LOOK, 0));

    assert_eq!(get(&s.another(&address, O_RDONLY), LOOK, 0).expect("a message").0, b"x");
}

fn a_look_is_not_counted_as_a_receive(s: &Subject) {
    let queue = s.queue();
    queue.put("x", 0);

    get(&queue, LOOK, 0).expect("a message");

    let stats = queue.stats().expect("statistics");
    assert_eq!((stats.sent, stats.received, queue.curmsgs()), (1, 0, 1));
}

fn messages_are_numbered_in_the_order_of_sends(s: &Subject) {
    let queue = s.queue();
    for round in 0..3 {
        queue.put_all(["a", "b", "c", "d"], 0);

        let numbers = [(); 4].map(|()| get(&queue, ANY, 0).expect("a message").1.sequence);

        assert_eq!(numbers, [1, 2, 3, 4].map(|number| 4 * round + number));
    }
}

fn a_number_stays_with_its_message(s: &Subject) {
    let queue = s.queue();
    for (message, prio) in [("a", 0), ("b", 2), ("c", 1)] {
        queue.put(message, prio);
    }

    for expected in [2, 3, 1] {
        let (_, seen) = get(&queue, LOOK, 0).expect("a message");
        let (_, received) = get(&queue, ANY, 0).expect("a message");
        assert_eq!((seen.sequence, received.sequence), (expected, expected));
    }
}

fn a_message_tells_its_sender_and_when_it_was_sent(s: &Subject) {
    let (_, queue) = s.create_with(&OpenOptions { flags: option::STAMP, ..OpenOptions::default() });
    let before = now(libc::CLOCK_MONOTONIC_COARSE);

    let sender = spawn(|| queue.put("x", 0));
    let pid = sender.pid() as u32;
    sender.join();

    let after = now(libc::CLOCK_MONOTONIC);
    for request in [LOOK, ANY] {
        let (_, incoming) = get(&queue, request, 0).expect("a message");
        // SAFETY: always succeeds.
        let uid = unsafe { libc::getuid() };
        assert_eq!((incoming.sender_pid, incoming.sender_uid), (pid, uid));
        assert!((before..=after).contains(&incoming.sent_ns), "{} ms", incoming.sent_ns / MS);
    }
}

fn several_messages_can_be_looked_at_at_once(s: &Subject) {
    let queue = s.queue();
    queue.put_all(["a", "b", "c", "d", "e"], 1);
    let mut letters = [b'.'; 4];
    let mut look = |sequence, count| {
        let requests: Vec<_> = letters[..count]
            .iter_mut()
            .map(|letter| Request { data: letter, cap: 1, prio: 1, sequence, ..LOOK })
            .collect();
        let seen = queue.receive_batch(&requests, 0)?;
        Ok((letters, seen.len(), seen.last().map_or(0, |last| last.sequence)))
    };

    assert_eq!(look(0, 3), Ok((*b"abc.", 3, 3)));
    assert_eq!(look(3, 4), Ok((*b"dec.", 2, 5)));
    s.fails(libc::EAGAIN, look(5, 4));

    assert_eq!(queue.drain(), 5);
}
