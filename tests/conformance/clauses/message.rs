//! The general form of sending and receiving, and what only it can do.

use super::{Clause, clauses};
use crate::process::spawn;
use crate::subject::{HOUR, NOWAIT, Queue, Result, Subject, Wait};
use libc::{O_RDONLY, O_RDWR, O_WRONLY};
use mqueue_core::message::{Incoming, Outgoing, Request, receive, send};

pub const CLAUSES: &[Clause] = clauses![All:
    the_general_form_without_flags_is_the_plain_one,
    the_general_form_checks_what_the_plain_one_checks,
    the_general_form_waits_as_long_as_it_is_told,
    what_was_received_is_told_and_the_rest_is_zero,
    a_message_can_be_looked_at_and_stays,
    one_message_after_the_other_can_be_looked_at,
    looking_begins_with_the_highest_priority,
    a_message_that_is_cut_tells_its_whole_length,
    a_type_selects_the_messages_to_receive,
    a_type_goes_with_its_message,
    who_waits_for_a_type_is_woken_by_that_type,
    a_full_queue_may_drop_its_oldest_message,
];

pub fn outgoing(data: &[u8]) -> Outgoing {
    Outgoing { data: data.as_ptr(), len: data.len(), prio: 0, kind: 0, flags: 0 }
}

/// Receive in the general form.
pub fn get(queue: &Queue, request: Request, timeout: i64) -> Result<(Vec<u8>, Incoming)> {
    let mut buffer = vec![0; request.cap];
    let request = Request { data: buffer.as_mut_ptr(), ..request };
    let incoming = queue.receive_message(&request, timeout)?;
    buffer.truncate(incoming.len);
    Ok((buffer, incoming))
}

/// Without flags.
pub const ANY: Request =
    Request { data: std::ptr::null_mut(), cap: 1 << 16, kind: 0, prio: 0, sequence: 0, flags: 0 };

fn the_general_form_without_flags_is_the_plain_one(s: &Subject) {
    let queue = s.queue();

    queue.send_message(&Outgoing { prio: 3, ..outgoing(b"general") }, 0).expect("room");
    queue.put("plain", 4);

    let (message, incoming) = get(&queue, ANY, 0).expect("a message");
    assert_eq!((message, incoming.len, incoming.prio), (b"plain".to_vec(), 5, 4));
    assert_eq!(queue.take(), (b"general".to_vec(), 3));
}

fn the_general_form_checks_what_the_plain_one_checks(s: &Subject) {
    let (address, queue) = s.create(2, 16);
    let sender = s.another(&address, O_WRONLY);
    let receiver = s.another(&address, O_RDONLY);
    let too_long = vec![0; queue.attr().expect("attributes").msgsize as usize + 1];

    let too_high = Outgoing { prio: 32768, ..outgoing(b"x") };
    s.fails(libc::EINVAL, receiver.send_message(&too_high, 0));
    s.fails(libc::EINVAL, receiver.send_message(&outgoing(b"x"), -2));
    s.fails(libc::EBADF, receiver.send_message(&outgoing(&too_long), 0));
    s.fails(libc::EMSGSIZE, sender.send_message(&outgoing(&too_long), 0));
    s.fails(libc::EINVAL, get(&sender, ANY, -2));
    s.fails(libc::EBADF, get(&sender, ANY, 0));
    queue.put("long", 0);
    s.fails(libc::EMSGSIZE, get(&receiver, Request { cap: 3, ..ANY }, 0));
}

fn the_general_form_waits_as_long_as_it_is_told(s: &Subject) {
    let (_, queue) = s.create(2, 16);

    s.fails(libc::EAGAIN, get(&queue, ANY, 0));
    s.fails(libc::ETIMEDOUT, get(&queue, ANY, 1000));
    queue.fill(16);
    s.fails(libc::EAGAIN, queue.send_message(&outgoing(&[0; 16]), 0));
    s.fails(libc::ETIMEDOUT, queue.send_message(&outgoing(&[0; 16]), 1000));
    queue.set_nonblock(true).expect("a switch");
    s.fails(libc::EAGAIN, queue.send_message(&outgoing(&[0; 16]), HOUR));
}

fn what_was_received_is_told_and_the_rest_is_zero(s: &Subject) {
    let queue = s.queue();
    queue.put("x", 5);

    let (_, incoming) = get(&queue, ANY, 0).expect("a message");

    let Incoming { len, prio, sent_ns, sender_pid, sender_uid, state, .. } = incoming;
    assert_eq!((len, prio), (1, 5));
    assert_eq!((sent_ns, sender_pid, sender_uid, state), (0, 0, 0, 0));
}

fn a_message_can_be_looked_at_and_stays(s: &Subject) {
    let queue = s.queue();
    let look = Request { flags: receive::PEEK, ..ANY };
    s.fails(libc::EAGAIN, get(&queue, look, 0));
    queue.put("first", 2);
    queue.put("second", 2);

    for _ in 0..2 {
        let (message, incoming) = get(&queue, look, 0).expect("a message");
        assert_eq!((message, incoming.prio), (b"first".to_vec(), 2));
    }

    assert_eq!(queue.curmsgs(), 2);
    assert_eq!(queue.take(), (b"first".to_vec(), 2));
}

fn looking_begins_with_the_highest_priority(s: &Subject) {
    let queue = s.queue();
    queue.put("low", 1);
    queue.put("high", 2);

    let (message, incoming) =
        get(&queue, Request { flags: receive::PEEK, ..ANY }, 0).expect("a message");

    assert_eq!((message, incoming.prio), (b"high".to_vec(), 2));
}

fn one_message_after_the_other_can_be_looked_at(s: &Subject) {
    let queue = s.queue();
    for message in ["a", "b", "c"] {
        queue.put(message, 1);
    }

    let mut look = Request { flags: receive::PEEK, ..ANY };
    let mut seen = Vec::new();
    while let Ok((message, incoming)) = get(&queue, look, 0) {
        seen.extend(message);
        look.prio = incoming.prio;
        look.sequence = incoming.sequence;
    }

    assert_eq!(seen, b"abc");
    assert_eq!(queue.curmsgs(), 3);
}

fn a_message_that_is_cut_tells_its_whole_length(s: &Subject) {
    let queue = s.queue();
    queue.put("more than four", 1);

    let mut buffer = [7; 6];
    let request = Request { data: buffer.as_mut_ptr(), cap: 4, flags: receive::TRUNCATE, ..ANY };
    let incoming = queue.receive_message(&request, 0).expect("a message");

    assert_eq!(incoming.len, 14);
    assert_eq!(&buffer, b"more\x07\x07");
    s.fails(libc::EAGAIN, queue.take_by(NOWAIT));
}

/// Send with a type.
pub fn put_typed(queue: &Queue, message: &str, kind: i64) -> Result<()> {
    let outgoing = Outgoing { kind, flags: send::TYPE, ..outgoing(message.as_bytes()) };
    queue.send_message(&outgoing, 0)
}

fn a_type_selects_the_messages_to_receive(s: &Subject) {
    let queue = s.queue();
    for (message, kind) in [("a5", 5), ("b2", 2), ("c5", 5), ("d9", 9), ("e1", 1), ("f7", 7)] {
        put_typed(&queue, message, kind).expect("room");
    }
    let select = |flags, kind| {
        let request = Request { flags: receive::TYPE | flags, kind, ..ANY };
        get(&queue, request, 0).map(|(message, _)| String::from_utf8(message).expect("letters"))
    };

    assert_eq!(select(0, 5), Ok("a5".into()), "the first of that type");
    assert_eq!(select(0, -4), Ok("e1".into()), "the lowest type up to 4");
    assert_eq!(select(0, 0), Ok("b2".into()), "the first of all");
    assert_eq!(select(receive::EXCEPT, 5), Ok("d9".into()), "the first of any other type");
    s.fails(libc::EAGAIN, select(0, 2));
    assert_eq!(select(0, -100), Ok("c5".into()));
    assert_eq!(select(0, 7), Ok("f7".into()));
}

fn a_type_goes_with_its_message(s: &Subject) {
    let (address, queue) = s.create(4, 16);

    put_typed(&s.another(&address, O_RDWR), "typed", 77).expect("room");

    let (message, incoming) = get(&queue, ANY, 0).expect("a message");
    assert_eq!((message, incoming.kind), (b"typed".to_vec(), 77));
    for kind in [0, -1, i64::MIN] {
        let outgoing = Outgoing { kind, flags: send::TYPE, ..outgoing(b"x") };
        s.fails(libc::EINVAL, queue.send_message(&outgoing, 0));
    }
}

fn who_waits_for_a_type_is_woken_by_that_type(s: &Subject) {
    let queue = s.queue();

    for (timeout, kind) in [(-1, 5), (HOUR, 5), (-1, -5), (HOUR, -5)] {
        let receiver = spawn(|| {
            let request = Request { flags: receive::TYPE, kind, ..ANY };
            let (message, incoming) = get(&queue, request, timeout).expect("a message");
            assert_eq!((message, incoming.kind), (b"this".to_vec(), 5));
        });
        receiver.wait_until_asleep();
        put_typed(&queue, "other", 6).expect("room");
        receiver.wait_until_asleep();
        put_typed(&queue, "this", 5).expect("room");
        receiver.join();

        assert_eq!(queue.take().0, b"other");
    }
}

fn a_full_queue_may_drop_its_oldest_message(s: &Subject) {
    let (_, queue) = s.create(2, 16);
    queue.put("oldest", 0);
    queue.put("older", 0);
    let newest = Outgoing { flags: send::DROP_OLDEST, ..outgoing(b"newest") };

    assert_eq!(queue.send_message(&newest, 0), Ok(()));

    assert_eq!(queue.take_by(Wait::Plain).expect("a message").0, b"older");
    assert_eq!(queue.take().0, b"newest");
}
