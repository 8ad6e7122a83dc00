//! Lists of queues.

use super::{DEED, Deed, Stage};
use crate::kinds::Kind;
use crate::stage::{Transport, UNTOUCHED, make, show_queues};
use mqueue_core::attr::transport;
use mqueue_rs::*;
use std::ffi::CStr;
use std::ptr::null_mut;

pub const DEEDS: &[Deed] = &[
    LIST_OPEN,
    LIST_NEXT,
    Deed { name: "posix: list_open", ..POSIX_LIST_OPEN },
    Deed { name: "posix: list_next", ..POSIX_LIST_NEXT },
    Deed {
        name: "posix: list_open with a registration",
        prepare: be_registered,
        ..POSIX_LIST_OPEN
    },
    Deed {
        name: "posix: list_next with a registration",
        prepare: |stage| {
            be_registered(stage);
            assert_eq!(list_open(stage, transport::POSIX), 0);
        },
        ..POSIX_LIST_NEXT
    },
    Deed { name: "sysv: list_open", transport: Transport::Sysv, ..LIST_OPEN },
    Deed { name: "sysv: list_next", transport: Transport::Sysv, ..LIST_NEXT },
    Deed {
        name: "sysv: list_open of all",
        transport: Transport::Sysv,
        run: |stage| list_open(stage, transport::ANY),
        ..LIST_OPEN
    },
];

const LIST_OPEN: Deed = Deed {
    name: "list_open",
    function: "mqrs_list_open",
    prepare: make,
    run: |stage| list_open(stage, stage.transport.number()),
    verify: |stage| {
        let answer = list_next(stage);
        assert_eq!(answer, 0);
        is_listed(stage)
    },
    may_overlook: true,
    ..DEED
};

const LIST_NEXT: Deed = Deed {
    name: "list_next",
    function: "mqrs_list_next",
    prepare: |stage| {
        make(stage);
        assert_eq!(list_open(stage, stage.transport.number()), 0);
    },
    run: list_next,
    verify: is_listed,
    may_overlook: true,
    ..DEED
};

const POSIX_LIST_OPEN: Deed = Deed {
    transport: Transport::Posix,
    // A queue that only the file system knows is in another namespace.
    believes: &[(Kind::FindPosix, libc::ENOENT)],
    prepare: |stage| {
        show_queues();
        make(stage);
    },
    ..LIST_OPEN
};

const POSIX_LIST_NEXT: Deed = Deed {
    transport: Transport::Posix,
    prepare: |stage| {
        show_queues();
        (LIST_NEXT.prepare)(stage);
    },
    ..LIST_NEXT
};

/// Its descriptors are parked, not closed.
fn be_registered(stage: &mut Stage) {
    (POSIX_LIST_OPEN.prepare)(stage);
    // SAFETY: an open handle. Signal 0 is none.
    assert_eq!(unsafe { mqrs_notify_signal(stage.queue, 0, 0, 0) }, 0);
}

fn list_open(stage: &mut Stage, which: u32) -> isize {
    let mut out = std::ptr::without_provenance_mut(UNTOUCHED);
    // SAFETY: `out` is writable.
    let answer = unsafe { mqrs_list_open(which, &mut out) };
    match answer {
        0 => stage.list = out,
        _ => stage.is_touched = out.addr() != UNTOUCHED,
    }
    answer as isize
}

/// See whether the queue of the stage is the next in the list.
fn list_next(stage: &mut Stage) -> isize {
    let untouched = mqrs_entry { name: [0x5A; 264], ..mqrs_entry::default() };
    let mut entry = untouched;
    // SAFETY: an open list, and `entry` is writable.
    let answer = unsafe { mqrs_list_next(stage.list, &mut entry, size_of::<mqrs_entry>()) };
    if answer < 0 {
        stage.is_touched = entry != untouched;
        return answer as isize;
    }
    // SAFETY: the library ends it with a NUL.
    let name = unsafe { CStr::from_ptr(entry.name.as_ptr()) };
    let name = name.to_str().expect("ASCII").trim_start_matches("shm:");
    stage.is_listed = answer == 1
        && name == stage.name.to_str().expect("ASCII")
        && entry.attr.transport == stage.transport.number()
        && entry.attr.maxmsg > 0;
    0
}

/// The list has the queue, and is not needed any more.
fn is_listed(stage: &mut Stage) -> Result<(), String> {
    let list = std::mem::replace(&mut stage.list, null_mut());
    // SAFETY: an open list, which nobody uses any more.
    assert_eq!(unsafe { mqrs_list_close(list) }, 0);
    if stage.is_listed { Ok(()) } else { Err("the queue is not in the list".into()) }
}
