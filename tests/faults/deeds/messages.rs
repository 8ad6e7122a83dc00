//! Sending and receiving.

use super::open::OPEN_MAKES_HIDDEN;
use super::{DEED, Deed, NO_FUTEX_WAITV, NO_OPENING_AGAIN, NO_PROC, NO_WIPING};
use crate::calls;
use crate::processes::spawn;
use crate::stage::{
    MAXMSG, MSGSIZE, attributes, drain, join_peer, make, open, open_or_panic, receive, received,
    send, wait_for_sleep, with_peer_when_asleep,
};
use mqueue_core::attr::option;
use mqueue_rs::*;
use std::ptr::null_mut;

/// Longer than a call takes to fall asleep.
pub const SHORT_NS: i64 = 3_000_000;

pub const DEEDS: &[Deed] = &[
    SEND,
    Deed { name: "send in a child", in_child: true, ..SEND },
    Deed {
        name: "send in a child where pages survive fork",
        in_child: true,
        without: NO_WIPING,
        ..SEND
    },
    Deed {
        name: "send in a child that may not open the queue",
        in_child: true,
        then_without: NO_OPENING_AGAIN,
        ..SEND
    },
    Deed { name: "send in a child without /proc", in_child: true, without: NO_PROC, ..SEND },
    SEND_HIDDEN,
    SENDALL,
    SEND_WAITS,
    Deed { name: "send waits without futex_waitv", without: NO_FUTEX_WAITV, ..SEND_WAITS },
    SEND_TIMES_OUT,
    SEND_WAKES,
    RECEIVE,
    Deed { name: "receive in a child", in_child: true, ..RECEIVE },
    RECEIVE_WAKES,
    RECEIVE_WAITS,
    Deed { name: "receive waits without futex_waitv", without: NO_FUTEX_WAITV, ..RECEIVE_WAITS },
    RECEIVE_WAITS_ON,
    Deed {
        name: "receive waits on after signals without futex_waitv",
        without: NO_FUTEX_WAITV,
        ..RECEIVE_WAITS_ON
    },
    RECEIVE_TIMES_OUT,
    RECEIVE_UNTIL,
    Deed {
        name: "receive until a time without futex_waitv",
        without: NO_FUTEX_WAITV,
        ..RECEIVE_UNTIL
    },
];

pub const SEND: Deed = Deed {
    name: "send",
    function: "mqrs_send",
    prepare: make,
    run: |stage| send(stage.queue, 7),
    verify: |stage| received(stage.queue, 7),
    ..DEED
};

pub const SEND_HIDDEN: Deed = Deed {
    name: "send in a child through the spare descriptor",
    prepare: |stage| {
        assert_eq!((OPEN_MAKES_HIDDEN.run)(stage), 0);
        stage.queue = std::mem::replace(&mut stage.made, null_mut());
    },
    in_child: true,
    then_without: NO_OPENING_AGAIN,
    ..SEND
};

pub const SENDALL: Deed = Deed {
    name: "sendall",
    function: "mqrs_sendall",
    run: |stage| {
        let data = [9u8; 3 * MSGSIZE];
        let mut rest = &data[..];
        // What was sent before an error counts; the next call sends the rest.
        while !rest.is_empty() {
            // SAFETY: an open handle; `rest` is readable.
            let sent = unsafe { mqrs_sendall(stage.queue, rest.as_ptr().cast(), rest.len(), 0) };
            match usize::try_from(sent) {
                Ok(sent) => rest = &rest[sent..],
                Err(_) => return sent,
            }
        }
        0
    },
    verify: |stage| (0..3).try_for_each(|_| received(stage.queue, 9)),
    // What was sent before the error is there.
    unchanged: |stage| drain(stage.queue).map(drop),
    ..SEND
};

pub const SEND_WAITS: Deed = Deed {
    name: "send waits for room",
    prepare: |stage| {
        make(stage);
        (0..MAXMSG).for_each(|_| assert_eq!(send(stage.queue, 1), 0));
        with_peer_when_asleep(stage, |queue| received(queue, 1).expect("a message"));
    },
    verify: |stage| {
        join_peer(stage)?;
        (1..MAXMSG).try_for_each(|_| received(stage.queue, 1))?;
        received(stage.queue, 7)
    },
    ..SEND
};

pub const SEND_TIMES_OUT: Deed = Deed {
    name: "send waits in vain",
    function: "mqrs_timedsend",
    prepare: |stage| {
        make(stage);
        (0..MAXMSG).for_each(|_| assert_eq!(send(stage.queue, 1), 0));
    },
    run: |stage| {
        let message = [7u8; MSGSIZE];
        // SAFETY: an open handle; the message is readable.
        unsafe {
            mqrs_timedsend(stage.queue, message.as_ptr().cast(), MSGSIZE, 0, SHORT_NS) as isize
        }
    },
    expected: -libc::ETIMEDOUT as isize,
    verify: |stage| match attributes(stage.queue)?.curmsgs as usize {
        MAXMSG => Ok(()),
        count => Err(format!("{count} messages are queued")),
    },
    ..SEND
};

pub const SEND_WAKES: Deed = Deed {
    name: "send wakes a receiver",
    prepare: |stage| {
        make(stage);
        let (shared, name) = (stage.shared, stage.name.clone());
        stage.peer = Some(spawn(move || {
            let queue = open_or_panic(&name);
            calls::watch(shared);
            received(queue, 7).expect("the message");
        }));
        wait_for_sleep(stage);
    },
    verify: join_peer,
    ..SEND
};

pub const RECEIVE_WAKES: Deed = Deed {
    name: "receive wakes a sender",
    prepare: |stage| {
        make(stage);
        (0..MAXMSG).for_each(|_| assert_eq!(send(stage.queue, 7), 0));
        let (shared, name) = (stage.shared, stage.name.clone());
        stage.peer = Some(spawn(move || {
            let queue = open_or_panic(&name);
            calls::watch(shared);
            assert_eq!(send(queue, 8), 0);
        }));
        wait_for_sleep(stage);
    },
    verify: join_peer,
    ..RECEIVE
};

pub const RECEIVE: Deed = Deed {
    name: "receive",
    function: "mqrs_receive",
    prepare: |stage| {
        make(stage);
        assert_eq!(send(stage.queue, 7), 0);
    },
    run: |stage| {
        receive(stage, |queue, buffer, cap, prio| {
            // SAFETY: an open handle, and the outputs are writable.
            unsafe { mqrs_receive(queue, buffer, cap, prio) }
        })
    },
    ..DEED
};

pub const RECEIVE_WAITS: Deed = Deed {
    name: "receive waits for a message",
    prepare: |stage| {
        make(stage);
        with_peer_when_asleep(stage, |queue| assert_eq!(send(queue, 7), 0));
    },
    verify: join_peer,
    ..RECEIVE
};

pub const RECEIVE_WAITS_ON: Deed = Deed {
    name: "receive waits on after signals",
    prepare: |stage| {
        let oflag = libc::O_CREAT | libc::O_RDWR;
        assert_eq!(open(stage, oflag, 0o600, option::RESTART), 0);
        stage.queue = std::mem::replace(&mut stage.made, null_mut());
        with_peer_when_asleep(stage, |queue| assert_eq!(send(queue, 7), 0));
    },
    ..RECEIVE_WAITS
};

pub const RECEIVE_TIMES_OUT: Deed = Deed {
    name: "receive waits in vain",
    function: "mqrs_timedreceive",
    prepare: make,
    run: |stage| {
        receive(stage, |queue, buffer, cap, prio| {
            // SAFETY: an open handle, and the outputs are writable.
            unsafe { mqrs_timedreceive(queue, buffer, cap, SHORT_NS, prio) }
        })
    },
    expected: -libc::ETIMEDOUT as isize,
    ..DEED
};

pub const RECEIVE_UNTIL: Deed = Deed {
    name: "receive until a time",
    function: "mqrs_receive_until",
    prepare: make,
    run: |stage| {
        receive(stage, |queue, buffer, cap, prio| {
            let clock = libc::CLOCK_REALTIME;
            let deadline =
                mqueue_core::sys::clock::now_ns(mqueue_core::deadline::Clock::Realtime) + SHORT_NS;
            // SAFETY: an open handle, and the outputs are writable.
            unsafe { mqrs_receive_until(queue, buffer, cap, clock, deadline, prio) }
        })
    },
    expected: -libc::ETIMEDOUT as isize,
    ..DEED
};
