//! What only the kernel's POSIX queues have: their limits, as they are at the moment of a call,
//! and descriptors that are shared with programs that do not use this library.
//!
//! Source: mq_overview(7), getrlimit(2).

use super::{Clause, clauses};
use crate::keeper::skip;
use crate::process::spawn;
use crate::subject::{Queue, Result, Subject, Wait, long_waits};
use crate::world;
use libc::{O_CREAT, O_RDWR};
use mqueue_core::attr::OpenOptions;
use std::fs;

pub const CLAUSES: &[Clause] = clauses![Posix:
    kernel_limits_are_those_of_this_moment,
    too_many_messages_are_refused_by_the_name_of_the_limit,
    too_long_messages_are_refused_by_the_name_of_the_limit,
    too_many_bytes_for_the_user_are_refused_by_the_name_of_the_limit,
    too_many_queues_are_refused_by_the_name_of_the_limit,
    a_descriptor_that_others_made_nonblocking_waits_all_the_same,
    an_adopted_queue_has_no_name,
    a_list_without_a_mounted_file_system_says_how_to_mount_it,
];

/// Set limits in a namespace of our own.
pub fn set(limits: &[(&str, u64)]) {
    if !world::is_roomy() {
        skip("the kernel's limits are those of the whole machine here");
    }
    for (path, value) in limits {
        fs::write(path, value.to_string()).expect(path);
    }
}

/// The last failure's sentence has all these words.
#[track_caller]
pub fn sentence_has(s: &Subject, words: &[&str]) {
    let sentence = s.language.last_error();
    for word in words {
        assert!(sentence.contains(word), "{word:?} is not in: {sentence}");
    }
}

const MSG_MAX: &str = "/proc/sys/fs/mqueue/msg_max";
const MSGSIZE_MAX: &str = "/proc/sys/fs/mqueue/msgsize_max";
const MSG_DEFAULT: &str = "/proc/sys/fs/mqueue/msg_default";
const MSGSIZE_DEFAULT: &str = "/proc/sys/fs/mqueue/msgsize_default";
const QUEUES_MAX: &str = "/proc/sys/fs/mqueue/queues_max";

fn create(s: &Subject, maxmsg: u64, msgsize: u64) -> Result<()> {
    let options = OpenOptions { maxmsg, msgsize, ..OpenOptions::default() };
    s.open_with(&s.address(), O_CREAT | O_RDWR, &options).map(drop)
}

fn kernel_limits_are_those_of_this_moment(s: &Subject) {
    for (maxmsg, msgsize) in [(30, 300), (20, 200)] {
        set(&[
            (MSG_MAX, maxmsg + 5),
            (MSG_DEFAULT, maxmsg),
            (MSGSIZE_MAX, msgsize + 5),
            (MSGSIZE_DEFAULT, msgsize),
            (QUEUES_MAX, maxmsg * 2),
        ]);

        let limits = s.language.limits(s.transport.number()).expect("limits");
        let queue = s.open(&s.address(), O_CREAT | O_RDWR).expect("a queue");

        assert_eq!((limits.maxmsg_max, limits.maxmsg_default), (maxmsg + 5, maxmsg));
        assert_eq!((limits.msgsize_max, limits.msgsize_default), (msgsize + 5, msgsize));
        assert_eq!(limits.queues_max, maxmsg * 2);
        let attr = queue.attr().expect("attributes");
        assert_eq!((attr.maxmsg, attr.msgsize), (maxmsg, msgsize));
    }
}

fn too_many_messages_are_refused_by_the_name_of_the_limit(s: &Subject) {
    set(&[(MSG_MAX, 23)]);

    s.as_ordinary_user(|| {
        s.fails(libc::EINVAL, create(s, 24, 1));
        sentence_has(s, &["msg_max", "23", MSG_MAX]);
        assert_eq!(create(s, 23, 1), Ok(()));
    });
}

fn too_long_messages_are_refused_by_the_name_of_the_limit(s: &Subject) {
    set(&[(MSGSIZE_MAX, 1234)]);

    s.as_ordinary_user(|| {
        s.fails(libc::EINVAL, create(s, 1, 1235));
        sentence_has(s, &["msgsize_max", "1234", MSGSIZE_MAX]);
        assert_eq!(create(s, 1, 1234), Ok(()));
    });
}

fn too_many_bytes_for_the_user_are_refused_by_the_name_of_the_limit(s: &Subject) {
    s.as_ordinary_user(|| {
        let limit = libc::rlimit { rlim_cur: 4321, rlim_max: 4321 };
        // SAFETY: a whole struct.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_MSGQUEUE, &limit) }, 0);

        s.fails(libc::EMFILE, create(s, 10, 1000));
        sentence_has(s, &["RLIMIT_MSGQUEUE", "4321"]);
        assert!(!s.language.last_error().contains("open files"));
    });
}

fn too_many_queues_are_refused_by_the_name_of_the_limit(s: &Subject) {
    set(&[(QUEUES_MAX, 1)]);

    s.as_ordinary_user(|| {
        assert_eq!(create(s, 1, 1), Ok(()));
        s.fails(libc::ENOSPC, create(s, 1, 1));
        sentence_has(s, &["queues_max", "1", QUEUES_MAX]);
    });
}

/// A handle of a queue, by a descriptor on which somebody has set O_NONBLOCK.
fn nonblocking_underneath(s: &Subject, queue: &Queue) -> Queue {
    let fd = queue.dup_fd().expect("a descriptor");
    // SAFETY: touches no memory.
    assert_eq!(unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK) }, 0);
    s.language.open_fd(fd, O_RDWR, 0).expect("a queue")
}

fn a_descriptor_that_others_made_nonblocking_waits_all_the_same(s: &Subject) {
    let (_, queue) = s.create(2, 16);
    let adopted = nonblocking_underneath(s, &queue);

    s.fails(libc::ETIMEDOUT, adopted.take_by(Wait::For(1000)));
    for wait in long_waits() {
        let receiver = spawn(|| assert_eq!(adopted.take_by(wait), Ok((b"x".to_vec(), 0))));
        receiver.wait_until_asleep();
        queue.put("x", 0);
        receiver.join();

        queue.fill(16);
        let sender = spawn(|| assert_eq!(adopted.send(&[0; 16], 0, wait), Ok(())));
        sender.wait_until_asleep();
        queue.take();
        sender.join();
        queue.drain();
    }
    adopted.set_nonblock(true).expect("a switch");
    s.fails(libc::EAGAIN, adopted.take_by(Wait::Plain));
}

fn an_adopted_queue_has_no_name(s: &Subject) {
    let queue = s.queue();

    let adopted = s.language.open_fd(queue.dup_fd().expect("a descriptor"), O_RDWR, 0);

    assert_eq!(adopted.expect("a queue").name().as_c_str(), c"");
}

fn a_list_without_a_mounted_file_system_says_how_to_mount_it(s: &Subject) {
    let _queue = s.queue();
    world::unmount();

    s.fails(libc::ENOTSUP, s.language.list(s.transport.number()));

    sentence_has(s, &["mount -t mqueue"]);
    assert_eq!(s.language.list(0), Ok(vec![]), "among all transports it is passed over");
}
