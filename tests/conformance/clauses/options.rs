//! What a queue is asked to be when it is made, beyond its sizes.

use super::{Clause, clauses};
use crate::process::spawn;
use crate::subject::Subject;
use libc::{O_CREAT, O_EXCL, O_RDWR};
use mqueue_core::attr::{OpenOptions, option};

pub const CLAUSES: &[Clause] = clauses![All:
    an_ephemeral_queue_goes_with_its_last_handle,
    an_ephemeral_queue_goes_with_its_last_process,
    a_queue_can_be_made_with_any_option,
    options_for_making_mean_nothing_where_nothing_is_made,
];

const EPHEMERAL: OpenOptions =
    OpenOptions { flags: option::EPHEMERAL, maxmsg: 4, msgsize: 16, mode: 0 };

fn an_ephemeral_queue_goes_with_its_last_handle(s: &Subject) {
    let (address, first) = s.create_with(&EPHEMERAL);
    let last = s.another(&address, O_RDWR);
    drop(first);
    s.another(&address, O_RDWR).put("kept", 1);
    assert_eq!(last.take(), (b"kept".to_vec(), 1));

    drop(last);

    s.fails(libc::ENOENT, s.open(&address, O_RDWR));
    s.fails(libc::ENOENT, s.language.unlink(&address));
}

fn an_ephemeral_queue_goes_with_its_last_process(s: &Subject) {
    let address = s.address();
    let oflag = O_CREAT | O_EXCL | O_RDWR;

    spawn(|| {
        let queue = s.open_with(&address, oflag, &EPHEMERAL).expect("a queue");
        queue.put("lost", 1);
        // It ends without closing.
        std::mem::forget(queue);
    })
    .join();

    s.fails(libc::ENOENT, s.open(&address, O_RDWR));
    let anew = s.open_with(&address, oflag, &EPHEMERAL).expect("a new queue");
    assert_eq!(anew.curmsgs(), 0);
}

fn a_queue_can_be_made_with_any_option(s: &Subject) {
    for flags in [option::EPHEMERAL, option::STAMP, option::REDELIVER, option::ALL] {
        let options = OpenOptions { flags, mode: 0o600, ..OpenOptions::default() };

        let queue = s.open_with(&s.address(), O_CREAT | O_RDWR, &options).expect("a queue");

        queue.put("x", 1);
        assert_eq!(queue.take(), (b"x".to_vec(), 1));
    }
}

fn options_for_making_mean_nothing_where_nothing_is_made(s: &Subject) {
    let (address, first) = s.create(4, 16);
    first.put("kept", 1);

    let opened = s.open_with(&address, O_RDWR, &OpenOptions { flags: option::ALL, ..EPHEMERAL });
    drop(first);
    drop(opened.expect("the queue"));

    assert_eq!(s.another(&address, O_RDWR).take(), (b"kept".to_vec(), 1));
}
