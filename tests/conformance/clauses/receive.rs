//! Receiving.

use super::{Clause, clauses};
use crate::subject::{NOWAIT, Subject};

pub const CLAUSES: &[Clause] = clauses![All:
    an_empty_queue_has_nothing_for_a_receive_that_does_not_wait,
];

fn an_empty_queue_has_nothing_for_a_receive_that_does_not_wait(s: &Subject) {
    let queue = s.queue();

    s.fails(libc::EAGAIN, queue.take_by(NOWAIT));
}
