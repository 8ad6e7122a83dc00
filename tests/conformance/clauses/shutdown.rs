//! The end of a queue for all who use it.

use super::message::{ANY, get, outgoing};
use super::{Clause, clauses};
use crate::process::{Child, spawn};
use crate::subject::{NOWAIT, Subject, Wait};
use libc::{EPIPE, O_CREAT, O_RDONLY, O_RDWR, O_WRONLY};
use mqueue_core::message::{Outgoing, Request, receive, send};

pub const CLAUSES: &[Clause] = clauses![All:
    a_queue_that_is_shut_down_takes_no_message,
    a_queue_that_is_shut_down_gives_what_it_has,
    a_shutdown_ends_every_call_that_waits,
    a_shutdown_holds_for_handles_opened_later,
    a_queue_may_be_shut_down_again,
    only_who_may_send_may_shut_down,
];

fn a_queue_that_is_shut_down_takes_no_message(s: &Subject) {
    let (_, queue) = s.create(2, 16);
    let dropping = Outgoing { flags: send::DROP_OLDEST, ..outgoing(b"x") };
    queue.put("before", 0);

    assert_eq!(queue.shutdown(), Ok(()));

    for left in [1, 0] {
        for wait in [Wait::Plain, NOWAIT, Wait::For(1000)] {
            s.fails(EPIPE, queue.send(b"x", 0, wait));
        }
        s.fails(EPIPE, queue.send_message(&outgoing(b"x"), 0));
        s.fails(EPIPE, queue.send_message(&dropping, 0));
        s.fails(EPIPE, queue.send_batch(&[outgoing(b"x"); 3], 0));
        assert_eq!(queue.curmsgs(), left);
        // The arguments are looked at first.
        s.fails(libc::EINVAL, queue.send(b"x", 32768, NOWAIT));
        if left > 0 {
            queue.take();
        }
    }
}

fn a_queue_that_is_shut_down_gives_what_it_has(s: &Subject) {
    let queue = s.queue();
    queue.put_all(["a", "b", "c", "d", "e"], 0);
    let look = Request { flags: receive::PEEK, ..ANY };

    queue.shutdown().expect("the end");

    assert_eq!(get(&queue, look, -1).expect("a message").0, b"a");
    assert_eq!(queue.take_by(Wait::Plain).expect("a message").0, b"a");
    assert_eq!(get(&queue, ANY, -1).expect("a message").0, b"b");
    let mut buffers = [[0; 64]; 4];
    let requests = buffers.each_mut().map(|b| Request { data: b.as_mut_ptr(), cap: 64, ..ANY });
    assert_eq!(queue.receive_batch(&requests, -1).expect("messages").len(), 3);
    for wait in [Wait::Plain, NOWAIT, Wait::For(1000)] {
        s.fails(EPIPE, queue.take_by(wait));
    }
    s.fails(EPIPE, get(&queue, ANY, 0));
    s.fails(EPIPE, get(&queue, look, -1));
    s.fails(EPIPE, queue.receive_batch(&requests, -1));
}

fn a_shutdown_ends_every_call_that_waits(s: &Subject) {
    let (empty, full) = (s.queue(), s.create(2, 16).1);
    full.fill(16);
    let look = Request { flags: receive::PEEK, ..ANY };
    let waiting = [
        spawn(|| s.fails(EPIPE, empty.take_by(Wait::Plain))),
        spawn(|| s.fails(EPIPE, empty.take_by(Wait::For(i64::MAX)))),
        spawn(|| s.fails(EPIPE, get(&empty, look, -1))),
        spawn(|| s.fails(EPIPE, full.send(b"x", 0, Wait::Plain))),
        spawn(|| s.fails(EPIPE, full.send_batch(&[outgoing(b"x"); 2], -1))),
    ];
    waiting.iter().for_each(|child| child.wait_until_asleep());

    empty.shutdown().expect("the end");
    full.shutdown().expect("the end");

    waiting.into_iter().for_each(Child::join);
    assert_eq!(full.drain_until(EPIPE), 2);
}

fn a_shutdown_holds_for_handles_opened_later(s: &Subject) {
    let (address, queue) = s.create(4, 16);
    queue.put("left", 0);

    spawn(|| s.another(&address, O_WRONLY).shutdown().expect("the end")).join();

    let later = s.another(&address, O_CREAT | O_RDWR);
    s.fails(EPIPE, later.send(b"x", 0, NOWAIT));
    assert_eq!(later.take().0, b"left");
    s.fails(EPIPE, later.take_by(NOWAIT));
    // Another queue of the name is another queue.
    s.language.unlink(&address).expect("the name");
    s.another(&address, O_CREAT | O_RDWR).put("x", 0);
}

fn a_queue_may_be_shut_down_again(s: &Subject) {
    let queue = s.queue();
    queue.put("left", 0);

    assert_eq!(queue.shutdown(), Ok(()));
    assert_eq!(queue.shutdown(), Ok(()));

    assert_eq!(queue.take().0, b"left");
}

fn only_who_may_send_may_shut_down(s: &Subject) {
    let (address, queue) = s.create(4, 16);

    s.fails(libc::EBADF, s.another(&address, O_RDONLY).shutdown());

    queue.put("x", 0);
    assert_eq!(s.another(&address, O_WRONLY).shutdown(), Ok(()));
}
