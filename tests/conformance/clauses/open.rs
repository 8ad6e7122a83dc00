//! Opening, creating, naming, removing.

use super::{Clause, clauses};
use crate::subject::Subject;
use libc::{O_CREAT, O_EXCL, O_RDWR, O_TRUNC, O_WRONLY};

pub const CLAUSES: &[Clause] = clauses![All:
    a_queue_that_does_not_exist_is_not_opened,
    flags_that_mean_nothing_are_refused,
];

fn a_queue_that_does_not_exist_is_not_opened(s: &Subject) {
    s.fails(libc::ENOENT, s.open(&s.address(), O_RDWR));
}

fn flags_that_mean_nothing_are_refused(s: &Subject) {
    let address = s.address();

    for oflag in [O_WRONLY | O_RDWR, O_RDWR | O_TRUNC, O_RDWR | O_EXCL, -1] {
        s.fails(libc::EINVAL, s.open(&address, oflag));
        s.fails(libc::EINVAL, s.open(&address, oflag | O_CREAT | O_TRUNC));
    }
}
