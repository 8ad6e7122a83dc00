//! Looking at queues and changing them.

use super::{DEED, Deed};
use crate::stage::{MAXMSG, MSGSIZE, Transport, UNTOUCHED, attributes, make};
use mqueue_rs::*;
use std::ptr::null_mut;

pub const DEEDS: &[Deed] = &[
    GETATTR,
    Deed { name: "getattr in a child", in_child: true, ..GETATTR },
    GETLIMITS,
    SET_OWNER,
    Deed { name: "set_owner in a child", in_child: true, ..SET_OWNER },
    SET_NONBLOCK,
    Deed { name: "set_nonblock in a child", in_child: true, ..SET_NONBLOCK },
    WORDS,
];

pub const GETATTR: Deed = Deed {
    name: "getattr",
    function: "mqrs_getattr",
    prepare: make,
    run: |stage| {
        let untouched = mqrs_attr { curbytes: UNTOUCHED as u64, ..mqrs_attr::default() };
        let mut attr = untouched;
        // SAFETY: an open handle, and `attr` is writable.
        let answer = unsafe { mqrs_getattr(stage.queue, &mut attr, size_of::<mqrs_attr>()) };
        stage.is_touched = answer < 0 && attr != untouched;
        answer as isize
    },
    verify: |stage| match attributes(stage.queue)? {
        attr if attr.maxmsg == maxmsg(stage.transport) && attr.curmsgs == 0 => Ok(()),
        attr => Err(format!("{attr:?}")),
    },
    ..DEED
};

pub const GETLIMITS: Deed = Deed {
    name: "getlimits",
    is_report: true,
    // `unavailable` is what mqrs_open would return.
    function: "mqrs_open",
    run: |stage| {
        let mut limits = mqrs_limits::default();
        let which = stage.transport.number();
        // SAFETY: `limits` is writable.
        let answer = unsafe { mqrs_getlimits(which, &mut limits, size_of::<mqrs_limits>()) };
        assert_eq!(answer, 0);
        -limits.unavailable as isize
    },
    ..DEED
};

pub const SET_OWNER: Deed = Deed {
    name: "set_owner",
    function: "mqrs_set_owner",
    prepare: make,
    run: |stage| {
        // SAFETY: an open handle; geteuid always succeeds.
        unsafe { mqrs_set_owner(stage.queue, 0o640, libc::geteuid(), u32::MAX) as isize }
    },
    verify: |stage| match attributes(stage.queue)?.mode {
        0o640 => Ok(()),
        mode => Err(format!("the mode is {mode:o}")),
    },
    unchanged: |stage| match attributes(stage.queue)?.mode {
        0o600 => Ok(()),
        mode => Err(format!("the mode is {mode:o}")),
    },
    ..DEED
};

pub const SET_NONBLOCK: Deed = Deed {
    name: "set_nonblock",
    function: "mqrs_set_nonblock",
    prepare: make,
    // SAFETY: an open handle.
    run: |stage| unsafe { mqrs_set_nonblock(stage.queue, 1) as isize },
    verify: |stage| match attributes(stage.queue)?.flags {
        flags if flags & libc::O_NONBLOCK as u32 != 0 => Ok(()),
        flags => Err(format!("the flags are {flags:#o}")),
    },
    ..DEED
};

pub const WORDS: Deed = Deed {
    name: "words and numbers",
    function: "mqrs_open",
    prepare: make,
    run: |stage| {
        // SAFETY: an open handle; constant texts.
        unsafe {
            let texts =
                [mqrs_name(stage.queue), mqrs_strerror(-1), mqrs_errname(-1), mqrs_version()];
            let is_complete = texts.iter().all(|text| !text.is_null());
            let len = mqrs_last_error(null_mut(), 0);
            if is_complete && len < 1000 && mqrs_version_number() > 0 { 0 } else { -1 }
        }
    },
    ..DEED
};

/// What is said of how many messages there can be; of System V, bytes.
fn maxmsg(transport: Transport) -> u64 {
    match transport {
        Transport::Sysv => (MAXMSG * MSGSIZE) as u64,
        _ => MAXMSG as u64,
    }
}
