//! Messages in the general form: types, selection, cutting, looking.

#![allow(clippy::unnecessary_cast, reason = "a long has 32 bits in some programs")]

use super::world::*;
use crate::skips::skip;
use libc::{O_RDONLY, O_WRONLY};
use mqueue_core::attr::capability;
use mqueue_core::deadline::Wait;
use mqueue_core::error::Result;
use mqueue_core::message::{Incoming, Outgoing, Request, receive, send};
use mqueue_core::queue::Queue;
use std::ffi::c_long;

fn put(queue: &Queue, kind: i64, message: &str, flags: u64) -> Result<()> {
    let message = Outgoing { data: message.as_ptr(), len: message.len(), prio: 1, kind, flags };
    // SAFETY: a string is readable.
    unsafe { queue.send_message(&message, Wait::Never) }
}

fn ask(
    queue: &Queue,
    kind: i64,
    sequence: u64,
    cap: usize,
    flags: u64,
) -> Result<(Incoming, String)> {
    let mut buffer = vec![0xee; cap];
    let request = Request { data: buffer.as_mut_ptr(), cap, kind, prio: 0, sequence, flags };
    // SAFETY: a vector is writable.
    let came = unsafe { queue.receive_message(&request, Wait::Never) }?;
    let len = came.len.min(cap);
    assert!(buffer[len..].iter().all(|&byte| byte == 0xee), "nothing beyond the message");
    buffer.truncate(len);
    Ok((came, String::from_utf8(buffer).unwrap()))
}

fn take(queue: &Queue, kind: i64, flags: u64) -> Result<(i64, String)> {
    ask(queue, kind, 0, 100, flags).map(|(came, text)| (came.kind, text))
}

fn peek(queue: &Queue, last: u64) -> Result<(Incoming, String)> {
    ask(queue, 0, last, 100, receive::PEEK)
}

/// A queue of the messages "1a", "3b", ...: a type and a letter.
fn queue_of(world: &World, messages: &[&str]) -> Removed {
    let queue = make(&world.key());
    for message in messages {
        put(&queue, message[..1].parse().unwrap(), message, send::TYPE).unwrap();
    }
    queue
}

/// Whether messages can be looked at here; a test that cannot says so.
fn may_peek(queue: &Queue, test: &str) -> bool {
    let may = queue.attr().unwrap().capabilities & capability::PEEK != 0;
    if !may {
        skip(test, "the kernel is built without CONFIG_CHECKPOINT_RESTORE");
    }
    may
}

#[test]
fn a_type_is_sent_and_received_as_it_is() {
    let world = World::new();
    let queue = make(&world.key());
    let id = foreign::id_of(queue.name());
    for kind in [1, 5, 32768, 32769, i64::from(i32::MAX), c_long::MAX as i64] {
        put(&queue, kind, "ours", send::TYPE).unwrap();
        assert_eq!(foreign::receive(id, 0), Some((kind as c_long, b"ours".to_vec())));
        assert_eq!(foreign::send(id, kind as c_long, b"theirs"), 0);

        let (came, text) = ask(&queue, 0, 0, 100, 0).unwrap();

        assert_eq!((came.kind, text.as_str()), (kind, "theirs"));
        assert_eq!(came.prio, if kind > 32768 { 0 } else { 32768 - kind as u32 });
        assert_eq!((came.sequence, came.sent_ns, came.sender_pid), (0, 0, 0));
    }
}

#[test]
fn without_a_type_the_priority_makes_it() {
    let world = World::new();
    let queue = make(&world.key());

    put(&queue, -7, "x", 0).unwrap();

    let (came, _) = ask(&queue, 0, 0, 1, 0).unwrap();
    assert_eq!((came.kind, came.prio), (32767, 1));
}

#[test]
fn with_a_type_no_priority_is_wrong() {
    let world = World::new();
    let queue = make(&world.key());
    let message = Outgoing { data: b"x".as_ptr(), len: 1, prio: 32768, kind: 5, flags: 0 };
    // SAFETY: a byte is readable.
    let put = |message| unsafe { queue.send_message(&message, Wait::Never) };

    assert_eq!(errno(put(message)), libc::EINVAL);
    assert_eq!(put(Outgoing { flags: send::TYPE, ..message }), Ok(()));

    assert_eq!(take(&queue, 0, receive::TYPE).unwrap(), (5, "x".into()));
}

#[test]
fn types_that_there_are_not_are_refused() {
    let world = World::new();
    let key = world.key();
    let queue = make(&key);
    for kind in [0, -1, i64::MIN] {
        assert_eq!(errno(put(&queue, kind, "x", send::TYPE)), libc::EINVAL);
    }
    if c_long::BITS == 32 {
        let beyond = i64::from(i32::MAX) + 1;
        assert_eq!(errno(put(&queue, beyond, "x", send::TYPE)), libc::EINVAL);
        assert_eq!(errno(take(&queue, beyond, receive::TYPE)), libc::EINVAL);
        assert_eq!(errno(take(&queue, -beyond - 1, receive::TYPE)), libc::EINVAL);
    }
    // The flags come before the direction, as with every transport.
    let receiver = open(&key, O_RDONLY).unwrap();
    assert_eq!(errno(put(&receiver, 0, "x", send::TYPE)), libc::EINVAL);
    assert_eq!(errno(put(&receiver, 1, "x", send::TYPE)), libc::EBADF);
    let sender = open(&key, O_WRONLY).unwrap();
    assert_eq!(errno(take(&sender, 0, receive::EXCEPT)), libc::EINVAL);
    assert_eq!(errno(take(&sender, 0, 0)), libc::EBADF);
    assert_eq!(errno(put(&queue, 1, "x", send::DROP_OLDEST)), libc::ENOTSUP);
}

#[test]
fn type_0_takes_the_first_message() {
    let world = World::new();
    let queue = queue_of(&world, &["3a", "1b", "2c"]);
    for text in ["3a", "1b", "2c"] {
        assert_eq!(take(&queue, 0, receive::TYPE).unwrap().1, text);
    }
    assert_eq!(errno(take(&queue, 0, receive::TYPE)), libc::EAGAIN);
}

#[test]
fn a_type_takes_the_first_message_of_that_type() {
    let world = World::new();
    let queue = queue_of(&world, &["3a", "1b", "3c", "1d"]);
    assert_eq!(take(&queue, 1, receive::TYPE).unwrap(), (1, "1b".into()));
    assert_eq!(take(&queue, 3, receive::TYPE).unwrap(), (3, "3a".into()));
    assert_eq!(errno(take(&queue, 2, receive::TYPE)), libc::EAGAIN);
    assert_eq!(take(&queue, 3, receive::TYPE).unwrap(), (3, "3c".into()));
}

#[test]
fn a_negative_type_takes_the_first_of_the_lowest_up_to_it() {
    let world = World::new();
    let queue = queue_of(&world, &["5a", "3b", "2c", "2d", "4e"]);
    assert_eq!(errno(take(&queue, -1, receive::TYPE)), libc::EAGAIN);
    assert_eq!(take(&queue, -3, receive::TYPE).unwrap().1, "2c");
    assert_eq!(take(&queue, -2, receive::TYPE).unwrap().1, "2d");
    assert_eq!(errno(take(&queue, -2, receive::TYPE)), libc::EAGAIN);
    for text in ["3b", "4e", "5a"] {
        assert_eq!(take(&queue, c_long::MIN as i64, receive::TYPE).unwrap().1, text);
    }
}

#[test]
fn except_takes_the_first_message_of_another_type() {
    let world = World::new();
    let queue = queue_of(&world, &["3a", "3b", "1c", "2d"]);
    let flags = receive::TYPE | receive::EXCEPT;
    assert_eq!(take(&queue, 3, flags).unwrap().1, "1c");
    assert_eq!(take(&queue, 3, flags).unwrap().1, "2d");
    assert_eq!(errno(take(&queue, 3, flags)), libc::EAGAIN);
    assert_eq!(take(&queue, 9, flags).unwrap().1, "3a");
    for (kind, flags) in [(3, receive::EXCEPT), (0, flags), (-3, flags)] {
        assert_eq!(errno(take(&queue, kind, flags)), libc::EINVAL);
    }
}

#[test]
fn truncate_cuts_the_message_and_tells_its_length() {
    let world = World::new();
    let queue = queue_of(&world, &["1abcdef", "1ghijkl", "2m"]);

    let (came, text) = ask(&queue, 0, 0, 3, receive::TRUNCATE).unwrap();
    assert_eq!((came.len, text.as_str()), (7, "1ab"));
    let (came, text) = ask(&queue, 0, 0, 0, receive::TRUNCATE).unwrap();
    assert_eq!((came.len, text.as_str()), (7, ""));
    let (came, text) = ask(&queue, 2, 0, 9, receive::TRUNCATE | receive::TYPE).unwrap();
    assert_eq!((came.len, text.as_str()), (2, "2m"));
    assert_eq!(queue.attr().unwrap().curmsgs, 0);
}

#[test]
fn a_long_message_is_cut_and_looked_at_like_others() {
    let Some(world) = World::of_our_own("long-messages-cut") else { return };
    std::fs::write("/proc/sys/kernel/msgmax", "50000").unwrap();
    std::fs::write("/proc/sys/kernel/msgmnb", "50000").unwrap();
    let queue = make(&world.key());
    let long = "0123456789".repeat(4000);
    put(&queue, 3, &long, send::TYPE).unwrap();

    if may_peek(&queue, "long-messages-looked-at") {
        assert_eq!(errno(peek(&queue, 0)), libc::EMSGSIZE);
        let (came, text) = ask(&queue, 0, 0, 50_000, receive::PEEK).unwrap();
        assert!(came.len == 40_000 && text == long);
        let (came, text) = ask(&queue, 0, 0, 5, receive::PEEK | receive::TRUNCATE).unwrap();
        assert_eq!((came.len, came.kind, text.as_str()), (40_000, 3, "01234"));
    }
    let (came, text) = ask(&queue, 0, 0, 12, receive::TRUNCATE).unwrap();
    assert_eq!((came.len, text.as_str()), (40_000, "012345678901"));
}

#[test]
fn looking_goes_through_the_queue_in_the_order_of_arrival() {
    let world = World::new();
    let queue = queue_of(&world, &["3a", "1b", "2c"]);
    if !may_peek(&queue, "sysv-peek") {
        return;
    }
    let mut last = 0;
    for (kind, text) in [(3, "3a"), (1, "1b"), (2, "2c")] {
        let (came, seen) = peek(&queue, last).unwrap();
        assert_eq!((came.kind, seen.as_str(), came.sequence), (kind, text, last + 1));
        assert_eq!(came.prio, 32768 - kind as u32);
        last = came.sequence;
    }
    for beyond in [3, 4, u64::from(u32::MAX), i64::MAX as u64, u64::MAX] {
        assert_eq!(errno(peek(&queue, beyond)), libc::EAGAIN);
    }
    assert_eq!(queue.attr().unwrap().curmsgs, 3);
    for flags in [receive::TYPE, receive::EXCEPT, receive::TYPE | receive::EXCEPT] {
        assert_eq!(errno(ask(&queue, 1, 0, 9, flags | receive::PEEK)), libc::EINVAL);
    }
    assert_eq!(errno(ask(&queue, 0, 0, 1, receive::PEEK)), libc::EMSGSIZE);
}

#[test]
fn looking_waits_while_there_is_nothing_to_look_at() {
    let world = World::new();
    let queue = make(&world.key());
    if !may_peek(&queue, "sysv-peek-waits") {
        return;
    }
    let look = |last: u64, wait: Wait| {
        let mut byte = 0u8;
        let request = Request {
            data: &raw mut byte,
            cap: 1,
            kind: 0,
            prio: 0,
            sequence: last,
            flags: receive::PEEK,
        };
        // SAFETY: room for one byte.
        unsafe { queue.receive_message(&request, wait) }.map(|came| (byte, came.sequence))
    };
    assert_eq!(errno(look(0, Wait::For(1_000_000))), libc::ETIMEDOUT);
    for (last, wait) in [(0, Wait::Unlimited), (1, Wait::For(600_000_000_000))] {
        let waiter = process(|| look(last, wait) == Ok((b'a' + last as u8, last + 1)));
        until_asleep(waiter.pid());
        queue.put(&[b'a' + last as u8], 0, Wait::Never).unwrap();
        assert_eq!(waiter.end(), 0);
    }
    assert_eq!(queue.attr().unwrap().curmsgs, 2);
}
