//! Sending.

use super::{Clause, clauses};
use crate::subject::{NOWAIT, Subject};

pub const CLAUSES: &[Clause] = clauses![All:
    a_full_queue_refuses_a_send_that_does_not_wait,
];

fn a_full_queue_refuses_a_send_that_does_not_wait(s: &Subject) {
    let (_, queue) = s.create(4, 16);

    assert_eq!(queue.fill(16), 4);

    s.fails(libc::EAGAIN, queue.send(&[b'x'; 16], 0, NOWAIT));
}
