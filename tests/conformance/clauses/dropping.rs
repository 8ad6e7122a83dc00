//! A full queue that drops its oldest message instead of making its sender wait.

use super::message::outgoing;
use super::{Clause, clauses};
use crate::process::spawn;
use crate::subject::{HOUR, Queue, Result, Subject};
use libc::O_NONBLOCK;
use mqueue_core::message::{Outgoing, send};

pub const CLAUSES: &[Clause] = clauses![All:
    the_oldest_message_of_the_lowest_priority_is_dropped,
    a_queue_with_room_drops_nothing,
    what_is_of_a_higher_priority_is_not_dropped,
    a_sender_that_may_drop_nothing_waits_for_room,
    what_was_dropped_is_counted_and_not_received,
];

fn send_dropping(queue: &Queue, message: &str, prio: u32, timeout: i64) -> Result<()> {
    let message = Outgoing { prio, flags: send::DROP_OLDEST, ..outgoing(message.as_bytes()) };
    queue.send_message(&message, timeout)
}

fn the_oldest_message_of_the_lowest_priority_is_dropped(s: &Subject) {
    let (_, queue) = s.create(4, 16);
    for (message, prio) in [("high", 5), ("low", 1), ("middle", 3), ("low too", 1)] {
        queue.put(message, prio);
    }

    for (message, prio) in [("a", 3), ("b", 3), ("c", 3)] {
        assert_eq!(send_dropping(&queue, message, prio, 0), Ok(()));
    }

    assert_eq!(queue.take().0, b"high");
    assert_eq!([(); 3].map(|()| queue.take().0), ["a", "b", "c"].map(|m| m.as_bytes().to_vec()));
}

fn a_queue_with_room_drops_nothing(s: &Subject) {
    let (_, queue) = s.create(2, 16);
    queue.put("a", 0);

    assert_eq!(send_dropping(&queue, "b", 5, 0), Ok(()));

    assert_eq!(queue.stats().expect("statistics").dropped, 0);
    assert_eq!(queue.drain(), 2);
}

fn what_is_of_a_higher_priority_is_not_dropped(s: &Subject) {
    let (address, queue) = s.create(2, 16);
    let impatient = s.another(&address, libc::O_RDWR | O_NONBLOCK);
    queue.put("a", 2);
    queue.put("b", 3);

    s.fails(libc::EAGAIN, send_dropping(&queue, "c", 1, 0));
    s.fails(libc::EAGAIN, send_dropping(&impatient, "c", 1, HOUR));
    s.fails(libc::ETIMEDOUT, send_dropping(&queue, "c", 1, 1000));

    assert_eq!([(); 2].map(|()| queue.take()), [(b"b".to_vec(), 3), (b"a".to_vec(), 2)]);
}

fn a_sender_that_may_drop_nothing_waits_for_room(s: &Subject) {
    let (_, queue) = s.create(2, 16);

    for timeout in [-1, HOUR] {
        queue.put("a", 2);
        queue.put("b", 2);
        let sender = spawn(|| send_dropping(&queue, "c", 1, timeout).expect("room"));
        sender.wait_until_asleep();
        queue.take();
        sender.join();

        assert_eq!([(); 2].map(|()| queue.take().0), [b"b", b"c"]);
    }
}

fn what_was_dropped_is_counted_and_not_received(s: &Subject) {
    let (_, queue) = s.create(3, 16);
    for prio in [0, 0, 0, 0, 1, 1, 1, 2, 2] {
        send_dropping(&queue, "x", prio, 0).expect("room, or what may be dropped");
    }
    queue.take();

    let stats = queue.stats().expect("statistics");

    assert_eq!((stats.sent, stats.received, stats.dropped), (9, 1, 6));
    assert_eq!(queue.curmsgs(), 2);
}
