//! System V queues: their addresses, their types, and the kernel's limits for them.
//!
//! Source: sysvipc(7), msgget(2), msgctl(2).

use super::message::{ANY, get, put_typed};
use super::posix::{sentence_has, set};
use super::{Clause, clauses};
use crate::process::spawn;
use crate::subject::{NOWAIT, Subject, Wait};
use crate::world;
use libc::{O_CREAT, O_EXCL, O_RDWR};
use mqueue_core::attr::OpenOptions;

pub const CLAUSES: &[Clause] = clauses![Sysv:
    a_key_is_one_in_decimal_and_in_hexadecimal,
    addresses_that_are_no_key_name_or_number_are_refused,
    a_private_queue_is_new_each_time_and_found_by_its_number,
    a_number_makes_no_queue,
    names_of_one_key_are_told_apart,
    a_key_in_use_belongs_to_no_name,
    a_name_whose_queue_has_gone_is_free,
    a_type_that_no_priority_makes_is_priority_0,
    a_priority_is_a_type,
    a_queue_is_full_of_bytes_or_of_empty_messages,
    a_removal_by_another_program_is_noticed,
    limits_are_those_of_this_moment,
    too_long_a_message_is_refused_by_the_name_of_the_limit,
    too_many_queues_are_refused_by_their_limit,
    too_many_bytes_are_refused_by_their_limit,
];

/// Two names that make one key, and the key.
const NAME: &str = "/queue-15486";
const SAME: &str = "/queue-26502";
const KEY: &str = "0xd4727335";

const MSGMAX: &str = "/proc/sys/kernel/msgmax";
const MSGMNB: &str = "/proc/sys/kernel/msgmnb";
const MSGMNI: &str = "/proc/sys/kernel/msgmni";

/// These tests use keys of their choice, which elsewhere may be somebody's.
fn need_namespace() {
    set(&[]);
}

fn a_key_is_one_in_decimal_and_in_hexadecimal(s: &Subject) {
    need_namespace();
    let queue = s.another(&s.address_of("4660"), O_CREAT | O_EXCL | O_RDWR);
    queue.put("one queue", 0);

    for rest in ["4660", "0x1234", "0x00001234", "04660"] {
        s.fails(libc::EEXIST, s.open(&s.address_of(rest), O_CREAT | O_EXCL | O_RDWR));
    }

    assert_eq!(s.another(&s.address_of("0x1234"), O_RDWR).take().0, b"one queue");
    assert_eq!(s.another(&queue.name(), O_RDWR).name(), queue.name());
    assert_eq!(s.language.unlink(&s.address_of("0x1234")), Ok(()));
    s.fails(libc::ENOENT, s.open(&s.address_of("4660"), O_RDWR));
}

fn addresses_that_are_no_key_name_or_number_are_refused(s: &Subject) {
    for rest in
        ["0", "0x0", "0x", "-1", "+1", "1 ", "4294967297", "x", "id:", "id:-1", "id:x", "privately"]
    {
        let address = s.address_of(rest);

        s.fails(libc::EINVAL, s.open(&address, O_CREAT | O_RDWR));
        s.fails(libc::EINVAL, s.language.unlink(&address));
    }
}

fn a_private_queue_is_new_each_time_and_found_by_its_number(s: &Subject) {
    let create = || s.another(&s.address_of("private"), O_CREAT | O_RDWR);

    let (one, other) = (create(), create());

    one.put("only here", 0);
    s.fails(libc::EAGAIN, other.take_by(NOWAIT));
    assert!(one.name().to_bytes().starts_with(b"sysv:id:"));
    assert_eq!(s.another(&one.name(), O_RDWR).take().0, b"only here");
    for queue in [one, other] {
        assert_eq!(s.language.unlink(&queue.name()), Ok(()));
        s.fails(libc::ENOENT, s.open(&queue.name(), O_RDWR));
    }
}

fn a_number_makes_no_queue(s: &Subject) {
    s.fails(libc::EINVAL, s.open(&s.address_of("id:7"), O_CREAT | O_RDWR));
    s.fails(libc::ENOENT, s.open(&s.address_of("id:2147483647"), O_RDWR));
    s.fails(libc::ENOENT, s.language.unlink(&s.address_of("id:2147483647")));
}

fn names_of_one_key_are_told_apart(s: &Subject) {
    need_namespace();
    let queue = s.another(&s.address_of(NAME), O_CREAT | O_RDWR);

    s.fails(libc::EADDRINUSE, s.open(&s.address_of(SAME), O_CREAT | O_RDWR));
    s.fails(libc::EADDRINUSE, s.open(&s.address_of(SAME), O_CREAT | O_EXCL | O_RDWR));
    s.fails(libc::ENOENT, s.open(&s.address_of(SAME), O_RDWR));
    s.fails(libc::ENOENT, s.language.unlink(&s.address_of(SAME)));

    queue.put("unharmed", 0);
    assert_eq!(s.another(&s.address_of(NAME), O_RDWR).take().0, b"unharmed");
    assert_eq!(s.another(&s.address_of(KEY), O_RDWR).curmsgs(), 0, "the key is the same");
}

fn a_key_in_use_belongs_to_no_name(s: &Subject) {
    need_namespace();
    let _foreign = s.another(&s.address_of(KEY), O_CREAT | O_RDWR);

    s.fails(libc::EADDRINUSE, s.open(&s.address_of(NAME), O_CREAT | O_RDWR));
    s.fails(libc::ENOENT, s.open(&s.address_of(NAME), O_RDWR));
    s.fails(libc::ENOENT, s.language.unlink(&s.address_of(NAME)));

    assert_eq!(s.another(&s.address_of(KEY), O_RDWR).curmsgs(), 0, "it is still there");
}

fn a_name_whose_queue_has_gone_is_free(s: &Subject) {
    need_namespace();
    drop(s.another(&s.address_of(NAME), O_CREAT | O_RDWR));
    // As ipcrm does it: the record stays.
    s.language.unlink(&s.address_of(KEY)).expect("the queue of the key");

    s.fails(libc::ENOENT, s.open(&s.address_of(NAME), O_RDWR));

    s.another(&s.address_of(SAME), O_CREAT | O_EXCL | O_RDWR).put("new", 0);
    assert_eq!(s.another(&s.address_of(SAME), O_RDWR).take().0, b"new");
}

fn a_type_that_no_priority_makes_is_priority_0(s: &Subject) {
    let queue = s.queue();

    for kind in [32769, 1 << 30] {
        put_typed(&queue, "foreign", kind).expect("room");
        assert_eq!(queue.take(), (b"foreign".to_vec(), 0));
    }
}

fn a_priority_is_a_type(s: &Subject) {
    let queue = s.queue();

    for prio in [0, 1, 32767] {
        queue.put("x", prio);
        let (_, incoming) = get(&queue, ANY, 0).expect("a message");
        assert_eq!((incoming.prio, incoming.kind), (prio, i64::from(32768 - prio)));
    }
}

fn a_queue_is_full_of_bytes_or_of_empty_messages(s: &Subject) {
    let queue = s.another(&s.address(), O_CREAT | O_RDWR);
    queue.set_maxbytes(100).expect("a size");

    assert_eq!(queue.fill(30), 3);
    assert_eq!(queue.fill(10), 1);
    queue.drain();
    assert_eq!(queue.fill(0), 100);
}

fn a_removal_by_another_program_is_noticed(s: &Subject) {
    let queue = s.another(&s.address_of("private"), O_CREAT | O_RDWR);
    let name = queue.name().into_string().expect("ASCII");
    let number: i32 = name.trim_start_matches("sysv:id:").parse().expect("a number");
    let receivers = [Wait::Plain, Wait::For(i64::MAX)].map(|wait| {
        let queue = &queue;
        spawn(move || s.fails(libc::EIDRM, queue.take_short(wait)))
    });
    receivers.iter().for_each(|receiver| receiver.wait_until_asleep());

    // SAFETY: removes a queue, and touches no memory.
    assert_eq!(unsafe { libc::msgctl(number, libc::IPC_RMID, std::ptr::null_mut()) }, 0);

    receivers.into_iter().for_each(|receiver| receiver.join());
    s.fails(libc::EIDRM, queue.send(b"x", 0, NOWAIT));
    s.fails(libc::EIDRM, queue.attr());
    s.fails(libc::EIDRM, queue.set_maxbytes(10));
}

fn limits_are_those_of_this_moment(s: &Subject) {
    for (msgmax, msgmnb, msgmni) in [(1000, 3000, 20), (5000, 2000, 30)] {
        set(&[(MSGMAX, msgmax), (MSGMNB, msgmnb), (MSGMNI, msgmni)]);

        let limits = s.language.limits(s.transport.number()).expect("limits");
        let queue = s.open(&s.address(), O_CREAT | O_RDWR).expect("a queue");

        assert_eq!(limits.maxmsg_default, msgmnb);
        assert_eq!(limits.queues_max, msgmni);
        let attr = queue.attr().expect("attributes");
        assert_eq!((attr.maxmsg, attr.msgsize), (msgmnb, msgmax.min(msgmnb)));
        assert_eq!(limits.msgsize_default, attr.msgsize);
    }
}

fn too_long_a_message_is_refused_by_the_name_of_the_limit(s: &Subject) {
    set(&[(MSGMAX, 777)]);
    let queue = s.another(&s.address(), O_CREAT | O_RDWR);

    s.fails(libc::EMSGSIZE, queue.send(&[0; 778], 0, NOWAIT));

    sentence_has(s, &["msgmax", "777", MSGMAX]);
    assert!(world::is_roomy());
}

fn too_many_queues_are_refused_by_their_limit(s: &Subject) {
    set(&[(MSGMNI, 1)]);
    let _queue = s.another(&s.address(), O_CREAT | O_RDWR);

    s.fails(libc::ENOSPC, s.open(&s.address(), O_CREAT | O_RDWR));

    sentence_has(s, &["msgmni", "1", MSGMNI]);
}

fn too_many_bytes_are_refused_by_their_limit(s: &Subject) {
    set(&[(MSGMNB, 5000)]);

    s.as_ordinary_user(|| {
        let options = OpenOptions::default();
        let queue = s.open_with(&s.address(), O_CREAT | O_RDWR, &options).expect("a queue");

        s.fails(libc::EPERM, queue.set_maxbytes(5001));

        sentence_has(s, &["msgmnb", "5000", MSGMNB]);
        assert_eq!(queue.set_maxbytes(4000), Ok(()));
    });
}
