//! Notification.

use super::open::{CLOSE, OPEN_FINDS};
use super::{DEED, Deed, Kind, NO_FUTEX_WAITV, Stage};
use crate::stage::{join_peer, make, received, send, wait_for, with_peer_at_go};
use mqueue_core::queue::how;
use mqueue_core::sync::Ordering::SeqCst;
use mqueue_core::sync::local::{AtomicI32, AtomicU32};
use mqueue_rs::*;
use std::ffi::{c_int, c_void};
use std::ptr::null_mut;

pub const DEEDS: &[Deed] = &[
    NOTIFY_SIGNAL,
    Deed { name: "notify_signal in a child", in_child: true, ..NOTIFY_SIGNAL },
    NOTIFY_TO_STAY,
    NOTIFY_NOW,
    NOTIFY_CALLBACK,
    NOTIFY_CANCEL,
    Deed { name: "notify_cancel without futex_waitv", without: NO_FUTEX_WAITV, ..NOTIFY_CANCEL },
    NOTIFY_CANCEL_NOTHING,
    SIGNAL_COMES,
    Deed { name: "a signal comes without futex_waitv", without: NO_FUTEX_WAITV, ..SIGNAL_COMES },
    CALLBACK_COMES,
    Deed {
        name: "a callback comes without futex_waitv",
        without: NO_FUTEX_WAITV,
        ..CALLBACK_COMES
    },
    CLOSE_REGISTERED,
    FD,
    Deed { name: "fd in a child", in_child: true, ..FD },
    POLL_ENDS,
    Deed { name: "a poll ends without futex_waitv", without: NO_FUTEX_WAITV, ..POLL_ENDS },
];

pub const NOTIFY_SIGNAL: Deed = Deed {
    name: "notify_signal",
    function: "mqrs_notify_signal",
    prepare: |stage| {
        handle_signal();
        make(stage);
    },
    // SAFETY: an open handle.
    run: |stage| unsafe { mqrs_notify_signal(stage.queue, libc::SIGUSR1, 7, 0) as isize },
    verify: is_told,
    has_helper: true,
    ..DEED
};

const NOTIFY_TO_STAY: Deed = Deed {
    name: "notify_signal, to stay",
    // SAFETY: an open handle.
    run: |stage| unsafe {
        mqrs_notify_signal(stage.queue, libc::SIGUSR1, 7, how::PERSISTENT) as isize
    },
    verify: |stage| (0..2).try_for_each(|_| is_told(stage)),
    ..NOTIFY_SIGNAL
};

const NOTIFY_NOW: Deed = Deed {
    name: "notify_signal at once",
    prepare: |stage| {
        (NOTIFY_SIGNAL.prepare)(stage);
        assert_eq!(send(stage.queue, 7), 0);
    },
    // SAFETY: an open handle.
    run: |stage| unsafe { mqrs_notify_signal(stage.queue, libc::SIGUSR1, 7, how::NOW) as isize },
    verify: |stage| {
        wait_for("a signal", || TOLD.load(SeqCst) > 0);
        received(stage.queue, 7)
    },
    ..NOTIFY_SIGNAL
};

pub const NOTIFY_CALLBACK: Deed = Deed {
    name: "notify_callback",
    function: "mqrs_notify_callback",
    // SAFETY: an open handle, and a function that needs no argument.
    run: |stage| unsafe { mqrs_notify_callback(stage.queue, Some(called), null_mut(), 0) as isize },
    ..NOTIFY_SIGNAL
};

pub const NOTIFY_CANCEL: Deed = Deed {
    name: "notify_cancel",
    function: "mqrs_notify_cancel",
    prepare: |stage| {
        make(stage);
        assert_eq!((NOTIFY_CALLBACK.run)(stage), 0);
    },
    // SAFETY: an open handle.
    run: |stage| unsafe { mqrs_notify_cancel(stage.queue) as isize },
    // Another registration finds none.
    verify: |stage| match (NOTIFY_CALLBACK.run)(stage) {
        0 => is_told(stage),
        answer => Err(format!("registering again: {answer}")),
    },
    has_helper: true,
    ..DEED
};

pub const NOTIFY_CANCEL_NOTHING: Deed = Deed {
    name: "notify_cancel of nothing, in a child",
    prepare: make,
    verify: |_| Ok(()),
    in_child: true,
    has_helper: false,
    ..NOTIFY_CANCEL
};

pub const SIGNAL_COMES: Deed = Deed {
    name: "a signal comes",
    function: "mqrs_notify_signal",
    prepare: |stage| {
        (NOTIFY_SIGNAL.prepare)(stage);
        assert_eq!((NOTIFY_SIGNAL.run)(stage), 0);
        with_peer_at_go(stage);
    },
    run: comes,
    has_helper: true,
    ..DEED
};

pub const CALLBACK_COMES: Deed = Deed {
    name: "a callback comes",
    function: "mqrs_notify_callback",
    prepare: |stage| {
        make(stage);
        assert_eq!((NOTIFY_CALLBACK.run)(stage), 0);
        with_peer_at_go(stage);
    },
    ..SIGNAL_COMES
};

pub const CLOSE_REGISTERED: Deed = Deed {
    name: "close with a registration",
    prepare: NOTIFY_CANCEL.prepare,
    verify: |stage| {
        assert_eq!((OPEN_FINDS.run)(stage), 0);
        stage.queue = std::mem::replace(&mut stage.made, null_mut());
        (NOTIFY_CANCEL.verify)(stage)
    },
    has_helper: true,
    ..CLOSE
};

pub const FD: Deed = Deed {
    name: "fd",
    function: "mqrs_fd",
    prepare: make,
    // SAFETY: an open handle.
    run: |stage| unsafe {
        let fd = mqrs_fd(stage.queue);
        POLLED.store(fd, SeqCst);
        fd.min(0) as isize
    },
    verify: |stage| {
        with_peer_at_go(stage);
        ends(stage);
        join_peer(stage)
    },
    has_helper: true,
    ..DEED
};

pub const POLL_ENDS: Deed = Deed {
    name: "a poll ends",
    prepare: |stage| {
        make(stage);
        assert_eq!((FD.run)(stage), 0);
        with_peer_at_go(stage);
    },
    run: ends,
    verify: join_peer,
    // The kernel says it of an eventfd that is full or empty, and then nothing has to be done.
    believes: &[(Kind::RingBell, libc::EAGAIN), (Kind::SilenceBell, libc::EAGAIN)],
    ..FD
};

/// The descriptor that was asked for last.
static POLLED: AtomicI32 = AtomicI32::new(-1);

/// The descriptor is readable when another process has sent to the empty queue.
fn ends(stage: &mut Stage) -> isize {
    let fd = POLLED.load(SeqCst);
    stage.shared.go.store(1, SeqCst);
    wait_for("poll", || {
        let mut item = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // SAFETY: one whole struct.
        unsafe { libc::poll(&mut item, 1, 0) == 1 }
    });
    0
}

/// Notifications that have come.
static TOLD: AtomicU32 = AtomicU32::new(0);

extern "C" fn signalled(_: c_int) {
    TOLD.fetch_add(1, SeqCst);
}

unsafe extern "C" fn called(_: *mut mqrs_queue, _: *mut c_void) {
    TOLD.fetch_add(1, SeqCst);
}

fn handle_signal() {
    // SAFETY: the handler only changes an atomic.
    unsafe { libc::signal(libc::SIGUSR1, signalled as *const () as libc::sighandler_t) };
}

/// The notification comes when another process sends to the empty queue.
pub fn comes(stage: &mut Stage) -> isize {
    let before = TOLD.load(SeqCst);
    stage.shared.go.store(1, SeqCst);
    wait_for("the notification", || TOLD.load(SeqCst) > before);
    0
}

/// The registration does what it is for.
pub fn is_told(stage: &mut Stage) -> Result<(), String> {
    with_peer_at_go(stage);
    comes(stage);
    join_peer(stage)?;
    received(stage.queue, 7)
}
