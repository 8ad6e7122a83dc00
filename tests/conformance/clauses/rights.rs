//! Who may do what: mode, umask, owner.

use super::{Clause, clauses};
use crate::process::{as_user, need_root, set_umask};
use crate::subject::{NOBODY, Queue, SOMEBODY, Subject};
use libc::{O_CREAT, O_RDONLY, O_RDWR, O_WRONLY};
use mqueue_core::attr::{OpenOptions, option};

pub const CLAUSES: &[Clause] = clauses![All:
    a_queue_is_its_creators_alone_unless_the_mode_says_otherwise,
    the_mode_is_masked_by_umask,
    an_exact_mode_is_not_masked_by_umask,
    an_exact_mode_may_be_none_at_all,
    a_creator_may_use_the_queue_whatever_its_mode,
    other_users_need_permission,
    other_users_may_use_what_the_mode_lets_them,
    who_may_read_may_receive_and_not_send,
    the_mode_can_be_changed,
    a_mode_that_no_queue_can_have_is_refused,
    a_queue_can_be_given_away,
    only_its_owner_changes_a_queue,
];

fn mode_of(queue: &Queue) -> u32 {
    queue.attr().expect("attributes").mode
}

fn with_mode(mode: u32, flags: u64) -> OpenOptions {
    OpenOptions { mode, flags, maxmsg: 4, msgsize: 16 }
}

fn a_queue_is_its_creators_alone_unless_the_mode_says_otherwise(s: &Subject) {
    set_umask(0);

    let (_, queue) = s.create(4, 16);

    assert_eq!(mode_of(&queue), 0o600);
}

fn the_mode_is_masked_by_umask(s: &Subject) {
    set_umask(0o022);

    let (_, queue) = s.create_with(&with_mode(0o666, 0));

    assert_eq!(mode_of(&queue), 0o644);
}

fn an_exact_mode_is_not_masked_by_umask(s: &Subject) {
    set_umask(0o077);

    let (_, queue) = s.create_with(&with_mode(0o666, option::EXACT_MODE));

    assert_eq!(mode_of(&queue), 0o666);
}

fn an_exact_mode_may_be_none_at_all(s: &Subject) {
    let (_, queue) =
        s.create_with(&OpenOptions { flags: option::EXACT_MODE, maxmsg: 0, msgsize: 0, mode: 0 });

    assert_eq!(mode_of(&queue), 0);
}

fn a_creator_may_use_the_queue_whatever_its_mode(s: &Subject) {
    s.as_ordinary_user(|| {
        let address = s.address();
        let options = OpenOptions { flags: option::EXACT_MODE, ..OpenOptions::default() };

        let queue = s.open_with(&address, O_CREAT | O_RDWR, &options).expect("a queue");

        queue.put("allowed", 1);
        assert_eq!(queue.take(), (b"allowed".to_vec(), 1));
        s.fails(libc::EACCES, s.open(&address, O_RDWR));
    });
}

fn other_users_need_permission(s: &Subject) {
    need_root();
    let (address, _queue) = s.create(4, 16);

    as_user(NOBODY, || {
        for oflag in [O_RDONLY, O_WRONLY, O_RDWR, O_RDWR | O_CREAT] {
            s.fails(libc::EACCES, s.open(&address, oflag));
        }
    })
    .join();
}

fn other_users_may_use_what_the_mode_lets_them(s: &Subject) {
    need_root();
    set_umask(0);
    let (address, queue) = s.create_with(&with_mode(0o666, 0));

    as_user(NOBODY, || {
        s.another(&address, O_WRONLY).put("from nobody", 0);
        assert_eq!(s.another(&address, O_RDWR).take().0, b"from nobody");
        s.another(&address, O_RDWR | O_CREAT).put("to root", 0);
    })
    .join();

    assert_eq!(queue.take().0, b"to root");
}

fn who_may_read_may_receive_and_not_send(s: &Subject) {
    need_root();
    set_umask(0);
    let (address, queue) = s.create_with(&with_mode(0o644, 0));
    queue.put("for all", 0);

    as_user(NOBODY, || {
        s.fails(libc::EACCES, s.open(&address, O_WRONLY));
        s.fails(libc::EACCES, s.open(&address, O_RDWR));
        assert_eq!(s.another(&address, O_RDONLY).take().0, b"for all");
    })
    .join();
}

fn the_mode_can_be_changed(s: &Subject) {
    let (_, queue) = s.create(4, 16);
    let before = queue.attr().expect("attributes");

    assert_eq!(queue.set_owner(0o640, u32::MAX, u32::MAX), Ok(()));

    let after = queue.attr().expect("attributes");
    assert_eq!((after.mode, after.uid, after.gid), (0o640, before.uid, before.gid));
    assert_eq!(queue.set_owner(u32::MAX, u32::MAX, u32::MAX), Ok(()));
    assert_eq!(queue.attr(), Ok(after));
}

fn a_mode_that_no_queue_can_have_is_refused(s: &Subject) {
    let (_, queue) = s.create(4, 16);

    for mode in [0o1000, 0o4755, 1 << 31] {
        s.fails(libc::EINVAL, queue.set_owner(mode, u32::MAX, u32::MAX));
    }

    assert_eq!(mode_of(&queue), 0o600);
}

fn a_queue_can_be_given_away(s: &Subject) {
    need_root();
    let (address, queue) = s.create(4, 16);

    assert_eq!(queue.set_owner(u32::MAX, NOBODY, SOMEBODY), Ok(()));

    let attr = queue.attr().expect("attributes");
    assert_eq!((attr.mode, attr.uid, attr.gid), (0o600, NOBODY, SOMEBODY));
    as_user(NOBODY, || s.another(&address, O_RDWR).put("mine now", 0)).join();
    as_user(SOMEBODY, || s.fails(libc::EACCES, s.open(&address, O_RDWR))).join();
}

fn only_its_owner_changes_a_queue(s: &Subject) {
    need_root();
    set_umask(0);
    let (address, queue) = s.create_with(&with_mode(0o666, 0));

    as_user(NOBODY, || {
        let opened = s.another(&address, O_RDWR);
        s.fails(libc::EPERM, opened.set_owner(0o600, u32::MAX, u32::MAX));
        s.fails(libc::EPERM, opened.set_owner(u32::MAX, NOBODY, u32::MAX));
    })
    .join();

    assert_eq!((mode_of(&queue), queue.attr().expect("attributes").uid), (0o666, 0));
}
