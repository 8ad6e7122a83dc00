//! Sending and receiving in place.

use super::{Clause, clauses};
use crate::subject::{HOUR, Queue, Subject};
use libc::O_RDONLY;
use mqueue_core::attr::capability;

pub const CLAUSES: &[Clause] = clauses![All:
    a_message_can_be_written_and_read_in_place,
    a_reserved_slot_can_be_given_back,
    an_acquired_message_can_be_sent_again,
];

/// Write a message where it will lie.
fn write(queue: &Queue, message: &[u8]) -> *mut u8 {
    let slot = queue.reserve(message.len(), HOUR).expect("room");
    // SAFETY: room for so many bytes, the caller's alone.
    unsafe { slot.copy_from_nonoverlapping(message.as_ptr(), message.len()) };
    slot
}

fn a_message_can_be_written_and_read_in_place(s: &Subject) {
    let (address, queue) = s.create(2, 16);
    let other = s.another(&address, libc::O_RDWR);

    let slot = write(&queue, b"in place");
    assert_eq!(queue.attr().expect("attributes").curmsgs, 0);
    queue.commit(slot, 8, 3, HOUR).expect("room");
    let (data, len, prio) = other.acquire(0).expect("a message");

    assert_eq!((len, prio), (8, 3));
    // SAFETY: an acquired message of so many bytes.
    assert_eq!(unsafe { std::slice::from_raw_parts(data, len) }, b"in place");
    assert_eq!(queue.attr().expect("attributes").curmsgs, 0);
    other.release(data).expect("acquired");
    s.fails(libc::EINVAL, other.release(data));
    assert_ne!(queue.attr().expect("attributes").capabilities & capability::ZERO_COPY, 0);
}

fn a_reserved_slot_can_be_given_back(s: &Subject) {
    let queue = s.queue();
    let slot = write(&queue, b"not sent");

    queue.abort(slot).expect("reserved");

    s.fails(libc::EINVAL, queue.commit(slot, 8, 0, 0));
    s.fails(libc::EAGAIN, queue.acquire(0));
}

fn an_acquired_message_can_be_sent_again(s: &Subject) {
    let (address, queue) = s.create(2, 16);
    let receiver = s.another(&address, O_RDONLY);
    queue.put("first", 1);
    queue.put("second", 1);
    let (first, ..) = receiver.acquire(0).expect("a message");

    receiver.requeue(first).expect("room");

    assert_eq!(queue.take(), (b"second".to_vec(), 1));
    assert_eq!(queue.take(), (b"first".to_vec(), 1));
    s.fails(libc::EINVAL, receiver.requeue(first));
}
