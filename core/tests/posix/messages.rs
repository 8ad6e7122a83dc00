//! What goes through a queue, and in which order.

use crate::place::{Place, errno, in_child, receive, send, send_for, sentence};
use libc::{O_NONBLOCK, O_RDONLY, O_WRONLY};
use mqueue_core::deadline::Wait;
use mqueue_core::error::Result;
use mqueue_core::message::{self, Incoming, Outgoing, Request};
use mqueue_core::queue::Queue;

fn outgoing(text: &[u8], flags: u64) -> Outgoing {
    Outgoing { data: text.as_ptr(), len: text.len(), prio: 5, kind: 0, flags }
}

fn receive_message(queue: &Queue, buffer: &mut [u8], flags: u64) -> Result<Incoming> {
    let data = if buffer.is_empty() { core::ptr::null_mut() } else { buffer.as_mut_ptr() };
    let request = Request { data, cap: buffer.len(), kind: 0, prio: 0, sequence: 0, flags };
    // SAFETY: a writable buffer, or null for none.
    unsafe { queue.receive_message(&request, Wait::Never) }
}

#[test]
fn the_highest_priority_comes_first_and_the_oldest_of_one() {
    let place = Place::new("the_highest_priority");
    let queue = place.make(4, 8);

    for (text, prio) in [("a", 1), ("b", 32767), ("c", 1), ("d", 0)] {
        send(&queue, text, prio).expect("sent");
    }

    for (text, prio) in [("b", 32767), ("a", 1), ("c", 1), ("d", 0)] {
        assert_eq!(receive(&queue), Ok((text.into(), prio)));
    }
}

#[test]
fn a_message_is_from_nothing_to_msgsize_long() {
    let place = Place::new("a_message_is_from_nothing");
    let queue = place.make(2, 8);

    // SAFETY: nothing is read.
    unsafe { queue.send(core::ptr::null(), 0, 0, Wait::Never) }.expect("sent");
    send(&queue, "12345678", 0).expect("sent");
    assert_eq!(errno(send(&queue, "123456789", 0)), libc::EMSGSIZE);

    assert_eq!(receive(&queue), Ok((String::new(), 0)));
    assert_eq!(receive(&queue), Ok(("12345678".into(), 0)));
}

#[test]
fn a_buffer_smaller_than_msgsize_is_refused_at_once() {
    let place = Place::new("a_buffer_smaller");
    let queue = place.make(1, 8);
    let mut buffer = [0u8; 7];
    for _ in 0..2 {
        // SAFETY: a writable buffer.
        let refused = unsafe { queue.receive(buffer.as_mut_ptr(), 7, Wait::Unlimited) };

        assert_eq!(errno(refused), libc::EMSGSIZE);
        assert!(sentence().contains("msgsize"), "{}", sentence());
        let _ = send_for(&queue, "x", 0, Wait::Never);
    }
    assert_eq!(queue.attr().expect("attributes").curmsgs, 1);
}

#[test]
fn arguments_are_checked_in_the_order_of_the_header() {
    let place = Place::new("arguments_are_checked");
    let _both = place.make(1, 8);
    let sender = place.open(O_WRONLY | O_NONBLOCK).expect("opened");
    let receiver = place.open(O_RDONLY | O_NONBLOCK).expect("opened");
    let null = core::ptr::null_mut();

    // SAFETY: null is refused before it is touched.
    unsafe {
        assert_eq!(errno(receiver.send(null, 99, 32768, Wait::Never)), libc::EINVAL);
        assert_eq!(errno(receiver.send(null, 99, 0, Wait::Never)), libc::EBADF);
        assert_eq!(errno(sender.send(null, 99, 0, Wait::Never)), libc::EFAULT);
        assert_eq!(errno(sender.receive(null, 1, Wait::Never)), libc::EBADF);
        assert_eq!(errno(receiver.receive(null, 1, Wait::Never)), libc::EFAULT);
        assert_eq!(errno(receiver.receive(null, 0, Wait::Never)), libc::EMSGSIZE);
    }
}

#[test]
fn bytes_are_counted_where_the_handle_may_receive() {
    let place = Place::new("bytes_are_counted");
    let queue = place.make(4, 100);
    let sender = place.open(O_WRONLY).expect("opened");

    send(&sender, "12345", 0).expect("sent");
    send(&sender, "1234567", 3).expect("sent");

    let seen = queue.attr().expect("attributes");
    assert_eq!((seen.curmsgs, seen.curbytes), (2, 12));
    let seen = sender.attr().expect("attributes");
    assert_eq!((seen.curmsgs, seen.curbytes), (2, 0));
}

#[test]
fn a_message_may_be_cut_to_any_buffer_and_its_length_told() {
    let place = Place::new("a_message_may_be_cut");
    let queue = place.make(4, 8);
    for _ in 0..4 {
        send(&queue, "12345678", 7).expect("sent");
    }

    for cap in [0, 3, 8, 9] {
        let mut buffer = vec![b'-'; cap];
        let got = receive_message(&queue, &mut buffer, message::receive::TRUNCATE);

        let Incoming { len, prio, .. } = got.expect("received");
        assert_eq!((len, prio), (8, 7));
        assert_eq!(&buffer[..cap.min(8)], &b"12345678"[..cap.min(8)]);
        assert!(buffer[cap.min(8)..].iter().all(|byte| *byte == b'-'));
    }
}

#[test]
fn a_large_message_is_cut_as_well() {
    let Some(place) = Place::of_its_own("a_large_message") else { return };
    if std::fs::write("/proc/sys/fs/mqueue/msgsize_max", "100000").is_err() {
        return crate::skips::skip("a_large_message", "it may not change a limit");
    }
    let queue = place.make(1, 100_000);
    let text: String = (0..90_000u32).map(|n| char::from(b'a' + (n % 26) as u8)).collect();
    send(&queue, &text, 1).expect("sent");

    let mut buffer = [0; 5000];
    let got = receive_message(&queue, &mut buffer, message::receive::TRUNCATE).expect("received");

    assert_eq!(got.len, 90_000);
    assert_eq!(&buffer[..], &text.as_bytes()[..5000]);
}

#[test]
fn what_these_queues_cannot_do_is_said() {
    let place = Place::new("what_these_queues_cannot_do");
    let queue = place.make(1, 8);
    let mut buffer = [0; 8];

    for flag in [message::send::TYPE, message::send::DROP_OLDEST] {
        // SAFETY: a readable text.
        let refused = unsafe { queue.send_message(&outgoing(b"x", flag), Wait::Never) };
        assert_eq!(errno(refused), libc::ENOTSUP);
    }
    use message::receive::{EXCEPT, PEEK, TYPE};
    for flag in [PEEK, TYPE, TYPE | EXCEPT] {
        assert_eq!(errno(receive_message(&queue, &mut buffer, flag)), libc::ENOTSUP);
    }
    assert_eq!(errno(queue.stats()), libc::ENOTSUP);
    assert_eq!(errno(queue.set_maxbytes(1)), libc::ENOTSUP);

    // SAFETY: a readable text.
    unsafe { queue.send_message(&outgoing(b"x", 0), Wait::Never) }.expect("sent");
    assert_eq!(receive_message(&queue, &mut buffer, 0).expect("received").prio, 5);
}

#[test]
fn parent_and_child_share_a_queue_by_an_inherited_handle() {
    let place = Place::new("parent_and_child");
    let queue = place.make(2, 8);

    let child = in_child(|| {
        assert_eq!(receive(&queue), Ok(("ping".into(), 1)));
        send(&queue, "pong", 2).expect("sent");
        // The child's own.
        queue.set_nonblock(true).expect("set");
    });
    send(&queue, "ping", 1).expect("sent");

    child.join();
    assert!(queue.access().wait_for(Wait::Unlimited) == Wait::Unlimited);
    assert_eq!(receive(&queue), Ok(("pong".into(), 2)));
}

#[test]
fn nonblocking_is_the_handles_own_and_never_the_descriptions() {
    let place = Place::new("nonblocking_is_the_handles_own");
    let queue = place.make(1, 8);
    queue.set_nonblock(true).expect("set");
    assert_eq!(errno(receive(&queue)), libc::EAGAIN);
    assert_eq!(sentence(), "the queue is empty and the call must not wait");
    send(&queue, "x", 0).expect("sent");
    assert_eq!(errno(send(&queue, "y", 0)), libc::EAGAIN);
    assert_eq!(sentence(), "the queue is full and the call must not wait");

    let opened = place.open(libc::O_RDWR | O_NONBLOCK).expect("opened");
    for handle in [&queue, &opened] {
        let fd = handle.fd().expect("a descriptor");

        // SAFETY: touches no memory.
        assert_eq!(unsafe { libc::fcntl(fd, libc::F_GETFL) } & O_NONBLOCK, 0);
    }
}
