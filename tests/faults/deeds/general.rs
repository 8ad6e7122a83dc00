//! The general form of send and receive, one message or several; looking, dropping, ending.

use super::messages::{RECEIVE, RECEIVE_WAITS, SEND, SEND_WAITS, SEND_WAKES};
use super::{DEED, Deed, NO_FUTEX_WAITV};
use crate::stage::{
    BIG, MAXMSG, MSGSIZE, Stage, Transport, attributes, close, drain, join_peer, make, open,
    received, send,
};
use mqueue_core::attr::option;
use mqueue_core::message;
use mqueue_rs::*;
use std::ptr::null_mut;

pub const DEEDS: &[Deed] = &[
    SENDMMSG,
    Deed { name: "sendmmsg in a child", in_child: true, ..SENDMMSG },
    Deed { name: "posix: sendmmsg", transport: Transport::Posix, ..SENDMMSG },
    Deed { name: "sysv: sendmmsg", transport: Transport::Sysv, ..SENDMMSG },
    SENDMMSG_WAITS,
    Deed { name: "sendmmsg waits without futex_waitv", without: NO_FUTEX_WAITV, ..SENDMMSG_WAITS },
    SENDMMSG_WAKES,
    RECVMMSG,
    Deed { name: "recvmmsg in a child", in_child: true, ..RECVMMSG },
    Deed { name: "posix: recvmmsg", transport: Transport::Posix, ..RECVMMSG },
    Deed { name: "sysv: recvmmsg", transport: Transport::Sysv, ..RECVMMSG },
    RECVMMSG_WAITS,
    Deed { name: "recvmmsg waits without futex_waitv", without: NO_FUTEX_WAITV, ..RECVMMSG_WAITS },
    LOOK,
    Deed { name: "recvmsg looks in a child", in_child: true, ..LOOK },
    LOOK_WAITS,
    Deed {
        name: "recvmsg looks and waits without futex_waitv",
        without: NO_FUTEX_WAITV,
        ..LOOK_WAITS
    },
    SENDMSG_DROPS,
    Deed { name: "sendmsg drops the oldest in a child", in_child: true, ..SENDMSG_DROPS },
    SEND_STAMPS,
    GETSTATS,
    Deed { name: "getstats in a child", in_child: true, ..GETSTATS },
    CANCEL,
    SET_CANCELLED,
    SHUTDOWN,
    Deed { name: "shutdown in a child", in_child: true, ..SHUTDOWN },
    SHUTDOWN_WAKES,
];

const MSG: usize = size_of::<mqrs_msg>();
const SEVERAL: usize = 3;
/// Of a System V queue, ever after.
const GONE: i32 = -libc::EIDRM;

/// Send several, all bytes of which are 7; the next call sends what the one before left.
fn sendmmsg(stage: &mut Stage) -> isize {
    let mut bytes = [7u8; MSGSIZE];
    let data = bytes.as_mut_ptr().cast();
    let v = [mqrs_msg { data, len: MSGSIZE, ..mqrs_msg::default() }; SEVERAL];
    let mut sent = 0;
    while sent < SEVERAL {
        let rest = &v[sent..];
        // SAFETY: an open handle, and the messages are readable.
        match unsafe { mqrs_sendmmsg(stage.queue, rest.as_ptr(), MSG, rest.len(), 0, -1) } {
            more @ 1.. => sent += more as usize,
            answer => return answer,
        }
    }
    0
}

const SENDMMSG: Deed = Deed {
    name: "sendmmsg",
    function: "mqrs_sendmmsg",
    run: sendmmsg,
    verify: |stage| (0..SEVERAL).try_for_each(|_| received(stage.queue, 7)),
    // What was sent before the error is there.
    unchanged: |stage| drain(stage.queue).map(drop),
    ..SEND
};

const SENDMMSG_WAITS: Deed = Deed {
    name: "sendmmsg waits for room",
    run: |stage| {
        let mut bytes = [7u8; MSGSIZE];
        let m = mqrs_msg { data: bytes.as_mut_ptr().cast(), len: MSGSIZE, ..mqrs_msg::default() };
        // SAFETY: an open handle, and the messages are readable.
        let sent = unsafe { mqrs_sendmmsg(stage.queue, [m, m].as_ptr(), MSG, 2, 0, -1) };
        sent.min(1)
    },
    expected: 1,
    function: "mqrs_sendmmsg",
    ..SEND_WAITS
};

const SENDMMSG_WAKES: Deed = Deed {
    name: "sendmmsg wakes a receiver",
    function: "mqrs_sendmmsg",
    run: sendmmsg,
    verify: |stage| {
        join_peer(stage)?;
        (1..SEVERAL).try_for_each(|_| received(stage.queue, 7))
    },
    unchanged: |stage| drain(stage.queue).map(drop),
    ..SEND_WAKES
};

/// Receive `SEVERAL`, as many calls as it takes; 0 for bytes that are all 7.
fn recvmmsg(stage: &mut Stage) -> isize {
    let mut buffers = [[0xA5u8; MSGSIZE]; SEVERAL];
    let before = buffers.each_mut().map(|buffer| mqrs_msg {
        data: buffer.as_mut_ptr().cast(),
        cap: MSGSIZE,
        ..mqrs_msg::default()
    });
    let mut v = before;
    let mut got = 0;
    while got < SEVERAL {
        let rest = &mut v[got..];
        // SAFETY: an open handle, and the outputs are writable.
        match unsafe { mqrs_recvmmsg(stage.queue, rest.as_mut_ptr(), MSG, rest.len(), 0, -1) } {
            more @ 1.. => got += more as usize,
            answer => {
                let is_new = |i: usize| v[i] != before[i] || buffers[i] != [0xA5; MSGSIZE];
                stage.is_touched = (got..SEVERAL).any(is_new);
                // The next call finds as many as this one did, unless the queue is gone.
                let is_good = |sent| matches!(sent as i32, 0 | GONE);
                (0..got).for_each(|_| assert!(is_good(send(stage.queue, 7))));
                return answer;
            }
        }
    }
    if buffers == [[7; MSGSIZE]; SEVERAL] { 0 } else { 1 }
}

const RECVMMSG: Deed = Deed {
    name: "recvmmsg",
    function: "mqrs_recvmmsg",
    prepare: |stage| {
        make(stage);
        (0..SEVERAL).for_each(|_| assert_eq!(send(stage.queue, 7), 0));
    },
    run: recvmmsg,
    ..RECEIVE
};

const RECVMMSG_WAITS: Deed = Deed {
    name: "recvmmsg waits for a message",
    function: "mqrs_recvmmsg",
    run: |stage| {
        let mut buffers = [[0xA5u8; MSGSIZE]; 2];
        let mut v = buffers.each_mut().map(|buffer| mqrs_msg {
            data: buffer.as_mut_ptr().cast(),
            cap: MSGSIZE,
            ..mqrs_msg::default()
        });
        // SAFETY: an open handle, and the outputs are writable.
        let got = unsafe { mqrs_recvmmsg(stage.queue, v.as_mut_ptr(), MSG, 2, 0, -1) };
        stage.is_touched = got < 0 && buffers != [[0xA5; MSGSIZE]; 2];
        got
    },
    expected: 1,
    ..RECEIVE_WAITS
};

/// Receive in the general form; 0 for bytes that are all 7.
pub fn recvmsg(stage: &mut Stage, what: mqrs_msg, cap: usize, flags: u64) -> isize {
    let mut buffer = [0xA5u8; BIG];
    let before = mqrs_msg { data: buffer.as_mut_ptr().cast(), cap, ..what };
    let mut message = before;
    // SAFETY: an open handle, and the outputs are writable.
    let got = unsafe { mqrs_recvmsg(stage.queue, &mut message, MSG, flags, -1) };
    if got < 0 {
        stage.is_touched = buffer != [0xA5; BIG] || message != before;
        return got;
    }
    let len = (got as usize).min(cap);
    if buffer[..len].iter().all(|byte| *byte == 7) && message.len == got as usize { 0 } else { 1 }
}

const LOOK: Deed = Deed {
    name: "recvmsg looks",
    function: "mqrs_recvmsg",
    run: |stage| recvmsg(stage, mqrs_msg::default(), MSGSIZE, message::receive::PEEK),
    verify: |stage| received(stage.queue, 7),
    ..RECEIVE
};

const LOOK_WAITS: Deed = Deed {
    name: "recvmsg looks and waits for a message",
    function: "mqrs_recvmsg",
    run: LOOK.run,
    verify: |stage| {
        join_peer(stage)?;
        received(stage.queue, 7)
    },
    ..RECEIVE_WAITS
};

const SENDMSG_DROPS: Deed = Deed {
    name: "sendmsg drops the oldest",
    function: "mqrs_sendmsg",
    prepare: |stage| {
        make(stage);
        (1..=MAXMSG as u8).for_each(|number| assert_eq!(send(stage.queue, number), 0));
    },
    run: |stage| {
        let mut bytes = [7u8; MSGSIZE];
        let m = mqrs_msg { data: bytes.as_mut_ptr().cast(), len: MSGSIZE, ..mqrs_msg::default() };
        // SAFETY: an open handle; the message is readable.
        unsafe { mqrs_sendmsg(stage.queue, &m, MSG, message::send::DROP_OLDEST, -1) as isize }
    },
    verify: |stage| {
        (2..=MAXMSG as u8).try_for_each(|number| received(stage.queue, number))?;
        received(stage.queue, 7)
    },
    unchanged: |stage| match attributes(stage.queue)?.curmsgs as usize {
        MAXMSG => Ok(()),
        count => Err(format!("{count} messages are queued")),
    },
    ..DEED
};

const SEND_STAMPS: Deed = Deed {
    name: "send to a queue that keeps stamps, in a child",
    prepare: |stage| {
        assert_eq!(open(stage, libc::O_CREAT | libc::O_RDWR, 0o600, option::STAMP), 0);
        stage.queue = std::mem::replace(&mut stage.made, null_mut());
    },
    verify: |stage| match stats(stage.queue) {
        Ok(mqrs_stats { sent: 1, last_send_pid, .. }) if last_send_pid == std::process::id() => {
            received(stage.queue, 7)
        }
        stats => Err(format!("{stats:?}")),
    },
    in_child: true,
    ..SEND
};

fn stats(queue: *mut mqrs_queue) -> Result<mqrs_stats, isize> {
    let mut stats = mqrs_stats { dropped: u64::MAX, ..mqrs_stats::default() };
    // SAFETY: an open handle, and `stats` is writable.
    match unsafe { mqrs_getstats(queue, &mut stats, size_of::<mqrs_stats>()) } {
        0 => Ok(stats),
        answer => Err(if stats.dropped == u64::MAX { answer as isize } else { isize::MIN }),
    }
}

const GETSTATS: Deed = Deed {
    name: "getstats",
    function: "mqrs_getstats",
    prepare: |stage| {
        make(stage);
        assert_eq!(send(stage.queue, 7), 0);
    },
    run: |stage| match stats(stage.queue) {
        Ok(mqrs_stats { sent: 1, received: 0, dropped: 0, .. }) => 0,
        Ok(_) => 1,
        Err(answer) => answer,
    },
    verify: |stage| received(stage.queue, 7),
    ..DEED
};

const CANCEL: Deed = Deed {
    name: "cancel in a child",
    function: "mqrs_cancel",
    prepare: make,
    // SAFETY: an open handle.
    run: |stage| unsafe { mqrs_cancel(stage.queue) as isize },
    in_child: true,
    ..DEED
};

const SET_CANCELLED: Deed = Deed {
    name: "set_cancelled in a child",
    function: "mqrs_set_cancelled",
    // SAFETY: an open handle.
    run: |stage| unsafe { mqrs_set_cancelled(stage.queue, 1) as isize },
    verify: |stage| {
        // SAFETY: as above; nothing is written to an empty buffer.
        let waited = unsafe { mqrs_receive(stage.queue, null_mut(), 0, null_mut()) };
        // SAFETY: as above.
        let off = unsafe { mqrs_set_cancelled(stage.queue, 0) };
        match (waited, off) {
            (waited, 0) if waited == -libc::ECANCELED as isize => Ok(()),
            answers => Err(format!("{answers:?}")),
        }
    },
    ..CANCEL
};

const SHUTDOWN: Deed = Deed {
    name: "shutdown",
    function: "mqrs_shutdown",
    prepare: make,
    // SAFETY: an open handle.
    run: |stage| unsafe { mqrs_shutdown(stage.queue) as isize },
    verify: |stage| {
        let answer = send(stage.queue, 7);
        // For what comes there is a queue that can be used.
        close(&mut stage.queue);
        // SAFETY: a C string.
        unsafe { mqrs_unlink(stage.name.as_ptr()) };
        if answer == -libc::EPIPE as isize { Ok(()) } else { Err(format!("sending: {answer}")) }
    },
    unchanged: |stage| match send(stage.queue, 7) {
        0 => received(stage.queue, 7),
        answer => Err(format!("sending: {answer}")),
    },
    ..DEED
};

const SHUTDOWN_WAKES: Deed = Deed {
    name: "shutdown wakes a receiver",
    prepare: |stage| {
        use crate::{calls, processes::spawn, stage};
        make(stage);
        let (shared, name) = (stage.shared, stage.name.clone());
        stage.peer = Some(spawn(move || {
            let queue = stage::open_or_panic(&name);
            calls::watch(shared);
            // SAFETY: an open handle; nothing is written to an empty buffer.
            let answer = unsafe { mqrs_receive(queue, null_mut(), 0, null_mut()) };
            assert_eq!(answer, -libc::EPIPE as isize);
        }));
        stage::wait_for_sleep(stage);
    },
    verify: |stage| {
        join_peer(stage)?;
        (SHUTDOWN.verify)(stage)
    },
    ..SHUTDOWN
};
