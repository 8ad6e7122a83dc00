//! Attributes, limits, statistics.

use super::{Clause, clauses};
use crate::subject::{MS, NOWAIT, Subject, Transport, now};
use libc::{O_CREAT, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY};
use mqueue_core::attr::{Limits, OpenOptions, capability, option, transport};
use mqueue_core::message::{Outgoing, Request, receive, send};
use mqueue_core::queue::how;

pub const CLAUSES: &[Clause] = clauses![All:
    attributes_tell_the_transport_and_the_creator,
    attributes_count_messages_and_bytes,
    attributes_tell_the_handles_direction_and_whether_it_waits,
    a_capability_is_there_where_its_functions_are,
    the_limits_are_those_that_hold,
    limits_of_what_is_no_transport_are_not_told,
    statistics_count_messages,
    statistics_tell_who_was_the_last_and_when,
    a_queue_can_be_made_to_hold_fewer_bytes,
];

fn attributes_tell_the_transport_and_the_creator(s: &Subject) {
    let queue = s.queue();

    let attr = queue.attr().expect("attributes");

    assert_eq!(attr.transport, s.transport.number());
    // SAFETY: both always succeed.
    unsafe { assert_eq!((attr.uid, attr.gid), (libc::geteuid(), libc::getegid())) };
}

fn attributes_count_messages_and_bytes(s: &Subject) {
    let (address, queue) = s.create(8, 16);
    let other = s.another(&address, O_WRONLY);
    let counts = || {
        let attr = queue.attr().expect("attributes");
        (attr.curmsgs, attr.curbytes)
    };

    assert_eq!(counts(), (0, 0));
    other.put("four", 0);
    other.put("", 1);
    other.put("sixteen bytes...", 2);
    assert_eq!(counts(), (3, 20));
    queue.take();
    assert_eq!(counts(), (2, 4));
    queue.drain();
    assert_eq!(counts(), (0, 0));
}

fn attributes_tell_the_handles_direction_and_whether_it_waits(s: &Subject) {
    let (address, _queue) = s.create(4, 16);

    for direction in [O_RDONLY, O_WRONLY, O_RDWR] {
        for waits in [0, O_NONBLOCK] {
            let handle = s.another(&address, direction | waits);
            let flags = || handle.attr().expect("attributes").flags as i32;

            assert_eq!(flags(), direction | waits);
            handle.set_nonblock(true).expect("a switch");
            assert_eq!(flags(), direction | O_NONBLOCK);
            handle.set_nonblock(false).expect("a switch");
            assert_eq!(flags(), direction);
        }
    }
}

fn a_capability_is_there_where_its_functions_are(s: &Subject) {
    let queue = s.queue();
    let capabilities = queue.attr().expect("attributes").capabilities;
    let message = |flags| Outgoing { data: b"x".as_ptr(), len: 1, prio: 0, kind: 1, flags };
    let mut buffer = [0; 64];
    let mut request = |flags| Request {
        data: buffer.as_mut_ptr(),
        cap: 64,
        kind: 0,
        prio: 0,
        sequence: 0,
        flags,
    };

    for (bit, result) in [
        (capability::FD, queue.fd().map(drop)),
        (capability::NOTIFY, queue.notify_signal(0, 0)),
        (capability::PERSISTENT_NOTIFY, queue.notify_signal_as(0, 0, how::PERSISTENT)),
        (capability::STATS, queue.stats().map(drop)),
        (capability::TYPES, queue.send_message(&message(send::TYPE), 0)),
        (capability::TYPES, queue.receive_message(&request(receive::TYPE), 0).map(drop)),
        (capability::PEEK, queue.receive_message(&request(receive::PEEK), 0).map(drop)),
        (capability::DROP_OLDEST, queue.send_message(&message(send::DROP_OLDEST), 0)),
        (capability::SHUTDOWN, queue.shutdown()),
    ] {
        assert_eq!(result != Err(libc::ENOTSUP), capabilities & bit != 0, "bit {bit}");
    }
}

fn the_limits_are_those_that_hold(s: &Subject) {
    let limits = s.language.limits(s.transport.number()).expect("limits");

    assert_eq!(limits.unavailable, 0);
    assert_eq!(limits.prio_max, 32767);
    for (default, most) in
        [(limits.maxmsg_default, limits.maxmsg_max), (limits.msgsize_default, limits.msgsize_max)]
    {
        assert!(default > 0);
        assert!(most == 0 || default <= most, "0 means that there is no limit");
    }
    let attr = s.another(&s.address(), O_CREAT | O_RDWR).attr().expect("attributes");
    assert!(attr.maxmsg <= limits.maxmsg_max || limits.maxmsg_max == 0);
    assert!(attr.msgsize <= limits.msgsize_max || limits.msgsize_max == 0);
}

fn limits_of_what_is_no_transport_are_not_told(s: &Subject) {
    for number in [transport::ANY, 5, u32::MAX] {
        s.fails(libc::EINVAL, s.language.limits(number));
    }
    // One that is not part of this build has limits, and they say so.
    let amqp = s.language.limits(transport::AMQP);
    assert_eq!(amqp, Ok(Limits { unavailable: libc::ENOTSUP, ..Limits::default() }));
}

fn statistics_count_messages(s: &Subject) {
    let queue = s.queue();
    for _ in 0..3 {
        queue.put("x", 0);
    }
    queue.take();
    s.fails(libc::EMSGSIZE, queue.receive(&mut [], NOWAIT));

    let stats = queue.stats().expect("statistics");

    assert_eq!((stats.sent, stats.received, stats.dropped), (3, 1, 0));
}

fn statistics_tell_who_was_the_last_and_when(s: &Subject) {
    // In shared memory only where the queue was made to keep stamps.
    let flags = if s.transport == Transport::Shm { option::STAMP } else { 0 };
    let (_, queue) = s.create_with(&OpenOptions { flags, ..OpenOptions::default() });
    // The kernel takes whole seconds, of the clock that it keeps by ticks.
    let before = now(libc::CLOCK_REALTIME_COARSE) / (1000 * MS) * (1000 * MS);

    let sender = crate::process::spawn(|| queue.put("x", 0));
    let pid = sender.pid() as u32;
    sender.join();
    queue.take();

    let stats = queue.stats().expect("statistics");
    assert_eq!((stats.last_send_pid, stats.last_receive_pid), (pid, std::process::id()));
    for time in [stats.last_send_ns, stats.last_receive_ns] {
        assert!(time >= before, "{time} is before {before}");
    }
}

fn a_queue_can_be_made_to_hold_fewer_bytes(s: &Subject) {
    let queue = s.another(&s.address(), O_CREAT | O_RDWR);

    assert_eq!(queue.set_maxbytes(100), Ok(()));

    assert_eq!(queue.fill(10), 10);
    assert_eq!(queue.set_maxbytes(120), Ok(()));
    assert_eq!(queue.fill(10), 2);
}
