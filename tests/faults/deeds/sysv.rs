//! What is more, or other, with the kernel's System V queues.

use super::attr::{GETATTR, GETLIMITS, SET_NONBLOCK, SET_OWNER};
use super::general::recvmsg;
use super::messages::{
    RECEIVE, RECEIVE_TIMES_OUT, RECEIVE_UNTIL, RECEIVE_WAITS, SEND, SEND_TIMES_OUT, SEND_WAITS,
    SENDALL,
};
use super::open::{CLOSE, OPEN_FINDS, OPEN_MAKES, UNLINK};
use super::{DEED, Deed, NO_FUTEX_WAITV, NO_PROC, NO_UNNAMED_FILES};
use crate::kinds::Kind;
use crate::processes::new_name;
use crate::stage::{
    BIG, MSGSIZE, PATIENCE, Stage, Transport, allow_big_messages, attributes, make, receive,
    received, send, take_name,
};
use mqueue_core::address::{Address, SysvAddress};
use mqueue_core::message;
use mqueue_core::sys::msg;
use mqueue_rs::*;
use std::ffi::{CStr, CString};
use std::ptr::null_mut;

pub const DEEDS: &[Deed] = &[
    Deed { name: "sysv: open makes a queue", ..SYSV_MAKES },
    Deed {
        name: "sysv: open makes a queue where files have names",
        without: NO_UNNAMED_FILES,
        ..SYSV_MAKES
    },
    Deed { name: "sysv: open makes a queue without /proc", without: NO_PROC, ..SYSV_MAKES },
    MAKES_AGAIN,
    MAKES_TWIN,
    MAKES_BY_KEY,
    MAKES_PRIVATE,
    Deed { name: "sysv: open finds a queue", ..SYSV_FINDS },
    FINDS_BY_KEY,
    FINDS_BY_NUMBER,
    Deed { name: "sysv: close", transport: Transport::Sysv, ..CLOSE },
    Deed { name: "sysv: unlink", ..SYSV_UNLINK },
    Deed {
        name: "sysv: unlink of a name whose queue is gone",
        prepare: leave_record,
        expected: -libc::ENOENT as isize,
        verify: |_| Ok(()),
        ..SYSV_UNLINK
    },
    UNLINKS_BY_KEY,
    UNLINKS_BY_NUMBER,
    Deed { name: "sysv: getattr", transport: Transport::Sysv, ..GETATTR },
    GETSTATS,
    Deed { name: "sysv: getlimits", transport: Transport::Sysv, ..GETLIMITS },
    Deed { name: "sysv: set_owner", transport: Transport::Sysv, ..SET_OWNER },
    Deed { name: "sysv: set_nonblock", transport: Transport::Sysv, ..SET_NONBLOCK },
    SET_MAXBYTES,
    Deed { name: "sysv: send", transport: Transport::Sysv, ..SEND },
    Deed { name: "sysv: send in a child", transport: Transport::Sysv, in_child: true, ..SEND },
    SENDALL_OF_ONE,
    SEND_BIG,
    Deed { name: "sysv: send waits for room", transport: Transport::Sysv, ..SEND_WAITS },
    SEND_WAITS_A_WHILE,
    Deed {
        name: "sysv: send waits in vain",
        transport: Transport::Sysv,
        looks_again: true,
        ..SEND_TIMES_OUT
    },
    SENDMSG,
    Deed { name: "sysv: receive", transport: Transport::Sysv, ..RECEIVE },
    RECEIVE_BIG,
    Deed {
        name: "sysv: receive waits for a message",
        transport: Transport::Sysv,
        looks_again: true,
        ..RECEIVE_WAITS
    },
    RECEIVE_WAITS_A_WHILE,
    Deed {
        name: "sysv: receive waits a while without futex_waitv",
        without: NO_FUTEX_WAITV,
        ..RECEIVE_WAITS_A_WHILE
    },
    Deed {
        name: "sysv: receive waits in vain",
        transport: Transport::Sysv,
        looks_again: true,
        ..RECEIVE_TIMES_OUT
    },
    Deed {
        name: "sysv: receive until a time",
        transport: Transport::Sysv,
        looks_again: true,
        ..RECEIVE_UNTIL
    },
    RECVMSG_BY_TYPE,
    RECVMSG_CUTS,
    PEEK,
];

const SYSV_MAKES: Deed = Deed { transport: Transport::Sysv, ..OPEN_MAKES };
const SYSV_FINDS: Deed = Deed { transport: Transport::Sysv, ..OPEN_FINDS };
const SYSV_UNLINK: Deed = Deed {
    transport: Transport::Sysv,
    believes: &[
        (Kind::OpenRecord, libc::ENOENT),
        (Kind::OpenRecord, libc::EACCES),
        (Kind::OpenRecord, libc::ELOOP),
        (Kind::OpenRecord, libc::ENXIO),
        (Kind::OpenRecord, libc::EPERM),
        (Kind::FindSysv, libc::ENOENT),
        (Kind::RemoveSysv, libc::EIDRM),
        (Kind::RemoveSysv, libc::EINVAL),
    ],
    ..UNLINK
};
/// Who is told that the record is gone looks again, and again.
const NO_RECORD: &[(Kind, i32)] = &[
    (Kind::OpenRecord, libc::ENOENT),
    (Kind::LookForName, libc::ENOENT),
    (Kind::UnlinkTemporary, libc::ENOENT),
];
const SYSV_SEND: Deed = Deed { transport: Transport::Sysv, ..SEND };
const SYSV_RECEIVE: Deed = Deed { transport: Transport::Sysv, ..RECEIVE };

/// Over the record of a queue that another program has removed.
const MAKES_AGAIN: Deed = Deed {
    name: "sysv: open makes a queue whose name is recorded",
    prepare: leave_record,
    believes: NO_RECORD,
    ..SYSV_MAKES
};

/// Over such a record of another name.
const MAKES_TWIN: Deed = Deed {
    name: "sysv: open makes a queue whose key is recorded for another name",
    prepare: |stage| {
        stage.name = TWINS[0].into();
        leave_record(stage);
        stage.name = TWINS[1].into();
    },
    believes: NO_RECORD,
    ..SYSV_MAKES
};

const MAKES_BY_KEY: Deed =
    Deed { name: "sysv: open makes a queue by key", prepare: be_known_by_key, ..SYSV_MAKES };

const MAKES_PRIVATE: Deed = Deed {
    name: "sysv: open makes a private queue",
    prepare: |stage| stage.name = c"sysv:private".into(),
    verify: |stage| {
        take_name(stage, stage.made);
        Ok(())
    },
    unchanged: |_| Ok(()),
    ..SYSV_MAKES
};

const FINDS_BY_KEY: Deed = Deed {
    name: "sysv: open finds a queue by key",
    prepare: |stage| {
        be_known_by_key(stage);
        make(stage);
    },
    ..SYSV_FINDS
};

const FINDS_BY_NUMBER: Deed =
    Deed { name: "sysv: open finds a queue by number", prepare: make_private, ..SYSV_FINDS };

const UNLINKS_BY_KEY: Deed =
    Deed { name: "sysv: unlink by key", prepare: FINDS_BY_KEY.prepare, ..SYSV_UNLINK };

const UNLINKS_BY_NUMBER: Deed = Deed {
    name: "sysv: unlink by number",
    prepare: make_private,
    verify: |stage| {
        (UNLINK.verify)(stage)?;
        // Nobody can make a queue with that number.
        be_known_by_key(stage);
        Ok(())
    },
    ..SYSV_UNLINK
};

const GETSTATS: Deed = Deed {
    name: "sysv: getstats",
    function: "mqrs_getstats",
    transport: Transport::Sysv,
    prepare: make,
    run: |stage| {
        let untouched = mqrs_stats { dropped: u64::MAX, ..mqrs_stats::default() };
        let mut stats = untouched;
        // SAFETY: an open handle, and `stats` is writable.
        let answer = unsafe { mqrs_getstats(stage.queue, &mut stats, size_of::<mqrs_stats>()) };
        stage.is_touched = answer < 0 && stats != untouched;
        answer as isize
    },
    ..DEED
};

const SET_MAXBYTES: Deed = Deed {
    name: "sysv: set_maxbytes",
    function: "mqrs_set_maxbytes",
    transport: Transport::Sysv,
    prepare: make,
    // SAFETY: an open handle.
    run: |stage| unsafe { mqrs_set_maxbytes(stage.queue, 1000) as isize },
    verify: |stage| match attributes(stage.queue)?.maxmsg {
        1000 => Ok(()),
        bytes => Err(format!("it holds {bytes} bytes")),
    },
    ..DEED
};

const SEND_BIG: Deed = Deed {
    name: "sysv: send a big message",
    prepare: make_big,
    run: |stage| {
        // SAFETY: an open handle; the message is readable.
        unsafe { mqrs_send(stage.queue, [7u8; BIG].as_ptr().cast(), BIG, 0) as isize }
    },
    verify: |stage| match receive_big(stage) {
        0 => Ok(()),
        got => Err(format!("receiving it: {got}")),
    },
    ..SYSV_SEND
};

/// There all is one message.
const SENDALL_OF_ONE: Deed = Deed {
    name: "sysv: sendall",
    transport: Transport::Sysv,
    verify: |stage| {
        let mut buffer = [0u8; BIG];
        // SAFETY: an open handle, and the buffer is writable.
        let got = unsafe {
            mqrs_timedreceive(stage.queue, buffer.as_mut_ptr().cast(), BIG, 0, null_mut())
        };
        if got == 3 * MSGSIZE as isize { Ok(()) } else { Err(format!("receiving all: {got}")) }
    },
    ..SENDALL
};

const SEND_WAITS_A_WHILE: Deed = Deed {
    name: "sysv: send waits a while for room",
    function: "mqrs_timedsend",
    transport: Transport::Sysv,
    run: |stage| {
        let message = [7u8; MSGSIZE];
        // SAFETY: an open handle; the message is readable.
        unsafe {
            mqrs_timedsend(stage.queue, message.as_ptr().cast(), MSGSIZE, 0, A_WHILE) as isize
        }
    },
    looks_again: true,
    ..SEND_WAITS
};

const SENDMSG: Deed = Deed {
    name: "sysv: sendmsg with a type",
    function: "mqrs_sendmsg",
    run: |stage| {
        let mut bytes = [7u8; MSGSIZE];
        let data = bytes.as_mut_ptr().cast();
        let message = mqrs_msg { data, len: MSGSIZE, r#type: 40_000, ..mqrs_msg::default() };
        // SAFETY: an open handle; the message is readable.
        unsafe {
            mqrs_sendmsg(stage.queue, &message, size_of::<mqrs_msg>(), message::send::TYPE, -1)
                as isize
        }
    },
    ..SYSV_SEND
};

const RECEIVE_BIG: Deed = Deed {
    name: "sysv: receive a big message",
    prepare: |stage| {
        make_big(stage);
        assert_eq!((SEND_BIG.run)(stage), 0);
    },
    run: receive_big,
    ..SYSV_RECEIVE
};

const RECEIVE_WAITS_A_WHILE: Deed = Deed {
    name: "sysv: receive waits a while for a message",
    function: "mqrs_timedreceive",
    transport: Transport::Sysv,
    run: |stage| {
        receive(stage, |queue, buffer, cap, prio| {
            // SAFETY: an open handle, and the outputs are writable.
            unsafe { mqrs_timedreceive(queue, buffer, cap, A_WHILE, prio) }
        })
    },
    looks_again: true,
    ..RECEIVE_WAITS
};

const RECVMSG_BY_TYPE: Deed = Deed {
    name: "sysv: recvmsg by type",
    function: "mqrs_recvmsg",
    prepare: |stage| {
        make(stage);
        assert_eq!((SENDMSG.run)(stage), 0);
        assert_eq!(send(stage.queue, 1), 0);
    },
    run: |stage| {
        let what = mqrs_msg { r#type: 40_000, ..mqrs_msg::default() };
        recvmsg(stage, what, MSGSIZE, message::receive::TYPE)
    },
    verify: |stage| received(stage.queue, 1),
    unchanged: |stage| {
        let count = attributes(stage.queue)?.curmsgs;
        if count == 2 { Ok(()) } else { Err(format!("{count} messages are left")) }
    },
    ..SYSV_RECEIVE
};

const RECVMSG_CUTS: Deed = Deed {
    name: "sysv: recvmsg cuts a big message",
    function: "mqrs_recvmsg",
    run: |stage| recvmsg(stage, mqrs_msg::default(), MSGSIZE, message::receive::TRUNCATE),
    ..RECEIVE_BIG
};

const PEEK: Deed = Deed {
    name: "sysv: recvmsg looks and leaves",
    function: "mqrs_recvmsg",
    run: |stage| recvmsg(stage, mqrs_msg::default(), MSGSIZE, message::receive::PEEK),
    verify: |stage| received(stage.queue, 7),
    ..SYSV_RECEIVE
};

/// Two names that make one key; found by trying.
const TWINS: [&CStr; 2] = [c"sysv:/twin-72235", c"sysv:/twin-90705"];
/// Long enough for whoever it waits for.
const A_WHILE: i64 = PATIENCE.as_nanos() as i64;

/// Let a queue be removed as another program does it: the record of its name stays.
fn leave_record(stage: &mut Stage) {
    make(stage);
    let id = msg::get(key_of(stage), 0).expect("the queue");
    msg::remove(id).expect("the queue");
    crate::stage::close(&mut stage.queue);
}

fn key_of(stage: &Stage) -> u32 {
    match Address::parse(&stage.name) {
        Ok(Address::Sysv(SysvAddress::Named(name))) => name.key(),
        _ => panic!("the queue has no name of System V"),
    }
}

/// The queue has a key and no name, as those of other programs.
fn be_known_by_key(stage: &mut Stage) {
    stage.name = Transport::Sysv.address(&new_name());
    stage.name = CString::new(format!("sysv:{:#x}", key_of(stage))).expect("no zero");
}

fn make_private(stage: &mut Stage) {
    stage.name = c"sysv:private".into();
    make(stage);
    take_name(stage, stage.queue);
}

fn make_big(stage: &mut Stage) {
    allow_big_messages(stage);
    make(stage);
    // SAFETY: an open handle.
    assert_eq!(unsafe { mqrs_set_maxbytes(stage.queue, 2 * BIG as u64) }, 0);
}

fn receive_big(stage: &mut Stage) -> isize {
    let mut buffer = [0xA5u8; BIG];
    let mut prio = u32::MAX;
    // SAFETY: an open handle, and the outputs are writable.
    let got = unsafe { mqrs_receive(stage.queue, buffer.as_mut_ptr().cast(), BIG, &mut prio) };
    if got < 0 {
        stage.is_touched = buffer != [0xA5; BIG] || prio != u32::MAX;
        return got;
    }
    if got == BIG as isize && buffer == [7; BIG] && prio == 0 { 0 } else { 1 }
}
