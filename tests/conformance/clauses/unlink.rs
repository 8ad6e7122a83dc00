//! Closing and removing.

use super::{Clause, clauses};
use crate::process::{as_user, need_root, set_umask, spawn};
use crate::subject::{NOBODY, NOWAIT, Subject};
use libc::{O_CREAT, O_EXCL, O_RDWR, O_WRONLY};
use mqueue_core::attr::OpenOptions;

pub const CLAUSES: &[Clause] = clauses![All:
    closing_the_last_handle_leaves_the_queue_and_its_messages,
    closing_one_handle_leaves_the_others,
    unlinking_removes_the_name_at_once,
    users_keep_a_queue_that_was_unlinked,
    the_name_of_an_unlinked_queue_makes_a_new_one,
    a_queue_that_does_not_exist_is_not_unlinked,
    the_queue_of_another_user_is_not_unlinked,
    a_queue_outlives_its_creators_process,
];

fn closing_the_last_handle_leaves_the_queue_and_its_messages(s: &Subject) {
    let (address, queue) = s.create(4, 16);
    queue.put("second", 1);
    queue.put("first", 2);

    drop(queue);

    let again = s.another(&address, O_RDWR);
    assert_eq!(again.take(), (b"first".to_vec(), 2));
    assert_eq!(again.take(), (b"second".to_vec(), 1));
}

fn closing_one_handle_leaves_the_others(s: &Subject) {
    let (address, first) = s.create(4, 16);
    let second = s.another(&address, O_RDWR);

    drop(first);

    second.put("still", 0);
    assert_eq!(second.take().0, b"still");
}

fn unlinking_removes_the_name_at_once(s: &Subject) {
    let (address, _queue) = s.create(4, 16);

    assert_eq!(s.language.unlink(&address), Ok(()));

    s.fails(libc::ENOENT, s.open(&address, O_RDWR));
    s.fails(libc::ENOENT, s.language.unlink(&address));
}

fn users_keep_a_queue_that_was_unlinked(s: &Subject) {
    let (address, queue) = s.create(4, 16);
    let other = s.another(&address, O_WRONLY);
    queue.put("before", 0);

    assert_eq!(s.language.unlink(&address), Ok(()));

    other.put("after", 0);
    assert_eq!(queue.take().0, b"before");
    assert_eq!(queue.take().0, b"after");
    assert_eq!(queue.name(), address);
}

fn the_name_of_an_unlinked_queue_makes_a_new_one(s: &Subject) {
    let (address, old) = s.create(4, 16);
    old.put("old", 0);
    assert_eq!(s.language.unlink(&address), Ok(()));

    let new = s.another(&address, O_CREAT | O_EXCL | O_RDWR);

    s.fails(libc::EAGAIN, new.take_by(NOWAIT));
    new.put("new", 0);
    drop(old);
    assert_eq!(s.another(&address, O_RDWR).take().0, b"new");
}

fn a_queue_that_does_not_exist_is_not_unlinked(s: &Subject) {
    s.fails(libc::ENOENT, s.language.unlink(&s.address()));
}

fn the_queue_of_another_user_is_not_unlinked(s: &Subject) {
    need_root();
    set_umask(0);
    let options = OpenOptions { mode: 0o666, ..OpenOptions::default() };
    let (address, _queue) = s.create_with(&options);

    as_user(NOBODY, || s.fails(libc::EACCES, s.language.unlink(&address))).join();

    s.another(&address, O_RDWR).put("there", 0);
}

fn a_queue_outlives_its_creators_process(s: &Subject) {
    let address = s.address();

    spawn(|| s.another(&address, O_CREAT | O_EXCL | O_RDWR).put("inherited", 7)).join();

    assert_eq!(s.another(&address, O_RDWR).take(), (b"inherited".to_vec(), 7));
}
