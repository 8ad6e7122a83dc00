//! What programs do with the library, one function each, so that every call of the system
//! that it leads to can be made to fail.

use super::calls::{self, Kind, Shared};
use super::processes::{Child, Fate, Numbers, pause, spawn};
use mqueue_core::attr::{option, transport};
use mqueue_core::sync::Ordering::SeqCst;
use mqueue_core::sync::local::AtomicU32;
use mqueue_rs::*;
use std::ffi::{CStr, CString, c_int, c_void};
use std::ptr::{null, null_mut};
use std::time::{Duration, Instant};

pub const MAXMSG: usize = 4;
pub const MSGSIZE: usize = 64;
/// What outputs hold that nobody has written.
const UNTOUCHED: usize = 0x5A5A;
const PATIENCE: Duration = Duration::from_secs(100);
/// Longer than a call takes to fall asleep.
const SHORT_NS: i64 = 3_000_000;

/// Where a deed takes place.
pub struct Stage {
    pub shared: &'static Shared,
    pub name: CString,
    /// The handle from before the deed, or null.
    pub queue: *mut mqrs_queue,
    /// The handle that the deed makes, or null.
    pub made: *mut mqrs_queue,
    /// A descriptor that belongs to the test, or -1.
    pub fd: c_int,
    pub peer: Option<Child>,
    pub numbers: Option<Numbers>,
    /// An output was written though the call failed.
    pub is_touched: bool,
}

impl Stage {
    pub fn new(shared: &'static Shared, name: CString) -> Stage {
        Stage {
            shared,
            name,
            queue: null_mut(),
            made: null_mut(),
            fd: -1,
            peer: None,
            numbers: None,
            is_touched: false,
        }
    }
}

pub struct Deed {
    pub name: &'static str,
    /// Whose comment in the header tells the errors.
    pub function: &'static str,
    pub prepare: fn(&mut Stage),
    pub run: fn(&mut Stage) -> isize,
    /// What it returns when nothing fails.
    pub expected: isize,
    /// Whether it did what it is for.
    pub verify: fn(&mut Stage) -> Result<(), String>,
    /// Whether it did nothing, after an error.
    pub unchanged: fn(&mut Stage) -> Result<(), String>,
    /// What the system lacks from the beginning.
    pub without: &'static [(Kind, i32)],
    /// What it lacks from the deed on.
    pub then_without: &'static [(Kind, i32)],
    /// There is one owner number left, that of a dead process.
    pub has_one_number: bool,
    /// It is the first thing that a forked child does with the handle.
    pub in_child: bool,
    /// It lets the helper thread start, which stays, and whose calls come when they come.
    pub has_helper: bool,
}

const DEED: Deed = Deed {
    name: "",
    function: "",
    prepare: |_| (),
    run: |_| 0,
    expected: 0,
    verify: |_| Ok(()),
    unchanged: |_| Ok(()),
    without: &[],
    then_without: &[],
    has_one_number: false,
    in_child: false,
    has_helper: false,
};

const NO_UNNAMED_FILES: &[(Kind, i32)] = &[(Kind::OpenUnnamed, libc::EOPNOTSUPP)];
const NO_FUTEX_WAITV: &[(Kind, i32)] = &[(Kind::WaitAny, libc::ENOSYS)];
const NO_WIPING: &[(Kind, i32)] = &[(Kind::WipeOnFork, libc::EINVAL)];
const NO_OPENING_AGAIN: &[(Kind, i32)] = &[(Kind::OpenProc, libc::EACCES)];
const NO_PROC: &[(Kind, i32)] = &[
    (Kind::LookAtProc, libc::ENOENT),
    (Kind::OpenProc, libc::ENOENT),
    (Kind::LinkUnnamed, libc::ENOENT),
];
const NO_RANDOM: &[(Kind, i32)] =
    &[(Kind::Random, libc::ENOSYS), (Kind::OpenUnnamed, libc::EOPNOTSUPP)];

pub const DEEDS: &[Deed] = &[
    // Opening.
    OPEN_MAKES,
    Deed {
        name: "open makes a queue where files have names",
        without: NO_UNNAMED_FILES,
        ..OPEN_MAKES
    },
    Deed { name: "open makes a queue where pages survive fork", without: NO_WIPING, ..OPEN_MAKES },
    OPEN_MAKES_HIDDEN,
    Deed {
        name: "open makes a queue that may not be opened, where files have names",
        without: NO_UNNAMED_FILES,
        ..OPEN_MAKES_HIDDEN
    },
    Deed { name: "open makes a queue without /proc", without: NO_PROC, ..OPEN_MAKES },
    Deed {
        name: "open makes a queue that may not be opened, without /proc",
        without: NO_PROC,
        ..OPEN_MAKES_HIDDEN
    },
    OPEN_MAKES_ANY,
    Deed {
        name: "open makes a queue with a name from the clock",
        without: NO_RANDOM,
        ..OPEN_MAKES_ANY
    },
    OPEN_FINDS,
    Deed { name: "open finds a queue in a child", in_child: true, ..OPEN_FINDS },
    Deed { name: "open finds a queue without /proc", without: NO_PROC, ..OPEN_FINDS },
    OPEN_CLEARS_UP,
    OPEN_FD,
    Deed { name: "open_fd adopts without /proc", without: NO_PROC, ..OPEN_FD },
    Deed {
        name: "open_fd adopts what may not be opened",
        then_without: NO_OPENING_AGAIN,
        ..OPEN_FD
    },
    DUP_FD,
    Deed { name: "dup_fd in a child", in_child: true, ..DUP_FD },
    Deed { name: "dup_fd of what may not be opened", then_without: NO_OPENING_AGAIN, ..DUP_FD },
    // Looking and changing.
    GETATTR,
    Deed { name: "getattr in a child", in_child: true, ..GETATTR },
    GETLIMITS,
    SET_OWNER,
    Deed { name: "set_owner in a child", in_child: true, ..SET_OWNER },
    SET_NONBLOCK,
    Deed { name: "set_nonblock in a child", in_child: true, ..SET_NONBLOCK },
    WORDS,
    // Sending and receiving.
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
    // Notification.
    NOTIFY_SIGNAL,
    Deed { name: "notify_signal in a child", in_child: true, ..NOTIFY_SIGNAL },
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
    // Ending.
    CLOSE,
    Deed { name: "close in a child", in_child: true, ..CLOSE },
    CLOSE_REGISTERED,
    UNLINK,
];

pub const OPEN_MAKES: Deed = Deed {
    name: "open makes a queue",
    function: "mqrs_open",
    run: |stage| open(stage, libc::O_CREAT | libc::O_RDWR, 0o600, 0),
    unchanged: nothing_is_there,
    ..DEED
};

const OPEN_MAKES_HIDDEN: Deed = Deed {
    name: "open makes a queue that may not be opened",
    run: |stage| {
        open(stage, libc::O_CREAT | libc::O_EXCL | libc::O_RDWR, 0o200, option::EXACT_MODE)
    },
    verify: |stage| match attributes(stage.made)?.mode {
        0o200 => Ok(()),
        mode => Err(format!("its mode is {mode:o}")),
    },
    ..OPEN_MAKES
};

const OPEN_MAKES_ANY: Deed = Deed {
    name: "open makes a queue with a random name",
    run: |stage| {
        let oflag = libc::O_CREAT | libc::O_EXCL | libc::O_RDWR;
        let mut out = std::ptr::without_provenance_mut(UNTOUCHED);
        // SAFETY: every pointer is valid or null where it may be.
        let answer = unsafe {
            mqrs_open(null(), oflag, &options(0, 0), size_of::<mqrs_options>(), &mut out)
        };
        keep(stage, answer, out);
        answer as isize
    },
    verify: |stage| {
        // SAFETY: an open handle; the name lives as long.
        stage.name = unsafe { CStr::from_ptr(mqrs_name(stage.made)) }.to_owned();
        Ok(())
    },
    ..OPEN_MAKES
};

const OPEN_FINDS: Deed = Deed {
    name: "open finds a queue",
    function: "mqrs_open",
    prepare: make,
    run: |stage| open(stage, libc::O_RDWR, 0, 0),
    ..DEED
};

const OPEN_CLEARS_UP: Deed = Deed {
    name: "open clears up after the dead",
    prepare: |stage| {
        make(stage);
        // SAFETY: an open handle.
        let fd = unsafe { mqrs_dup_fd(stage.queue) };
        stage.numbers = Some(Numbers::leave(fd, 1));
        let name = stage.name.clone();
        let dead = spawn(|| {
            open_or_panic(&name);
            // It ends without closing.
        });
        join(dead).expect("it opens the queue");
    },
    verify: |stage| {
        stage.numbers = None;
        Ok(())
    },
    has_one_number: true,
    ..OPEN_FINDS
};

pub const OPEN_FD: Deed = Deed {
    name: "open_fd adopts",
    function: "mqrs_open_fd",
    prepare: |stage| {
        make(stage);
        // SAFETY: an open handle.
        stage.fd = unsafe { mqrs_dup_fd(stage.queue) };
        assert!(stage.fd >= 0);
    },
    run: |stage| {
        let mut out = std::ptr::without_provenance_mut(UNTOUCHED);
        // SAFETY: `out` is writable.
        let answer = unsafe { mqrs_open_fd(stage.fd, libc::O_RDWR, 0, &mut out) };
        keep(stage, answer, out);
        if answer == 0 {
            // It is the handle's now.
            stage.fd = -1;
        }
        answer as isize
    },
    unchanged: |stage| {
        // SAFETY: touches no memory.
        match unsafe { libc::fcntl(stage.fd, libc::F_GETFD) } {
            0.. => Ok(()),
            _ => Err("the descriptor is not the caller's any more".into()),
        }
    },
    ..DEED
};

const DUP_FD: Deed = Deed {
    name: "dup_fd",
    function: "mqrs_dup_fd",
    prepare: make,
    run: |stage| {
        // SAFETY: an open handle.
        let fd = unsafe { mqrs_dup_fd(stage.queue) };
        stage.fd = fd.max(-1);
        fd.min(0) as isize
    },
    verify: |stage| {
        (OPEN_FD.run)(stage);
        if stage.made.is_null() { Err("it is not one of a queue".into()) } else { Ok(()) }
    },
    ..DEED
};

const GETATTR: Deed = Deed {
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
        attr if attr.maxmsg == MAXMSG as u64 && attr.curmsgs == 0 => Ok(()),
        attr => Err(format!("{attr:?}")),
    },
    ..DEED
};

const GETLIMITS: Deed = Deed {
    name: "getlimits",
    // `unavailable` is what mqrs_open would return.
    function: "mqrs_open",
    run: |_| {
        let mut limits = mqrs_limits::default();
        // SAFETY: `limits` is writable.
        let answer =
            unsafe { mqrs_getlimits(transport::SHM, &mut limits, size_of::<mqrs_limits>()) };
        assert_eq!(answer, 0);
        -limits.unavailable as isize
    },
    ..DEED
};

const SET_OWNER: Deed = Deed {
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

const SET_NONBLOCK: Deed = Deed {
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

const WORDS: Deed = Deed {
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

pub const SEND: Deed = Deed {
    name: "send",
    function: "mqrs_send",
    prepare: make,
    run: |stage| send(stage.queue, 7),
    verify: |stage| received(stage.queue, 7),
    ..DEED
};

const SEND_HIDDEN: Deed = Deed {
    name: "send in a child through the spare descriptor",
    prepare: |stage| {
        assert_eq!((OPEN_MAKES_HIDDEN.run)(stage), 0);
        stage.queue = std::mem::replace(&mut stage.made, null_mut());
    },
    in_child: true,
    then_without: NO_OPENING_AGAIN,
    ..SEND
};

const SENDALL: Deed = Deed {
    name: "sendall",
    function: "mqrs_sendall",
    run: |stage| {
        let data = [9u8; 3 * MSGSIZE];
        // SAFETY: an open handle; `data` is readable.
        let sent = unsafe { mqrs_sendall(stage.queue, data.as_ptr().cast(), data.len(), 0) };
        if sent == data.len() as isize { 0 } else { sent }
    },
    verify: |stage| (0..3).try_for_each(|_| received(stage.queue, 9)),
    ..SEND
};

const SEND_WAITS: Deed = Deed {
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

const SEND_TIMES_OUT: Deed = Deed {
    name: "send waits in vain",
    function: "mqrs_timedsend",
    prepare: |stage| {
        make(stage);
        (0..MAXMSG).for_each(|_| assert_eq!(send(stage.queue, 1), 0));
    },
    run: |stage| {
        // SAFETY: an open handle; no bytes.
        unsafe { mqrs_timedsend(stage.queue, null(), 0, 0, SHORT_NS) as isize }
    },
    expected: -libc::ETIMEDOUT as isize,
    verify: |stage| match attributes(stage.queue)?.curmsgs as usize {
        MAXMSG => Ok(()),
        count => Err(format!("{count} messages are queued")),
    },
    ..SEND
};

const SEND_WAKES: Deed = Deed {
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

const RECEIVE_WAKES: Deed = Deed {
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

const RECEIVE: Deed = Deed {
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

const RECEIVE_WAITS_ON: Deed = Deed {
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

const RECEIVE_UNTIL: Deed = Deed {
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

const NOTIFY_SIGNAL: Deed = Deed {
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

const NOTIFY_CALLBACK: Deed = Deed {
    name: "notify_callback",
    function: "mqrs_notify_callback",
    // SAFETY: an open handle, and a function that needs no argument.
    run: |stage| unsafe { mqrs_notify_callback(stage.queue, Some(called), null_mut(), 0) as isize },
    ..NOTIFY_SIGNAL
};

const NOTIFY_CANCEL: Deed = Deed {
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

const NOTIFY_CANCEL_NOTHING: Deed = Deed {
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

const CALLBACK_COMES: Deed = Deed {
    name: "a callback comes",
    function: "mqrs_notify_callback",
    prepare: |stage| {
        make(stage);
        assert_eq!((NOTIFY_CALLBACK.run)(stage), 0);
        with_peer_at_go(stage);
    },
    ..SIGNAL_COMES
};

const CLOSE: Deed = Deed {
    name: "close",
    function: "mqrs_close",
    prepare: make,
    run: |stage| {
        let queue = std::mem::replace(&mut stage.queue, null_mut());
        // SAFETY: an open handle, which nobody uses any more.
        unsafe { mqrs_close(queue) as isize }
    },
    ..DEED
};

const CLOSE_REGISTERED: Deed = Deed {
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

const UNLINK: Deed = Deed {
    name: "unlink",
    function: "mqrs_unlink",
    prepare: make,
    // SAFETY: a C string.
    run: |stage| unsafe { mqrs_unlink(stage.name.as_ptr()) as isize },
    verify: |stage| match open(stage, libc::O_RDWR, 0, 0) as i32 {
        answer if answer == -libc::ENOENT => {
            // The old queue is nobody else's now.
            close(&mut stage.queue);
            Ok(())
        }
        answer => Err(format!("opening it: {answer}")),
    },
    ..DEED
};

pub fn options(mode: u32, flags: u64) -> mqrs_options {
    mqrs_options {
        flags,
        maxmsg: MAXMSG as u64,
        msgsize: MSGSIZE as u64,
        mode,
        ..mqrs_options::default()
    }
}

fn keep(stage: &mut Stage, answer: c_int, out: *mut mqrs_queue) {
    if answer == 0 {
        stage.made = out;
    } else {
        stage.is_touched = out.addr() != UNTOUCHED;
    }
}

fn open(stage: &mut Stage, oflag: c_int, mode: u32, flags: u64) -> isize {
    let mut out = std::ptr::without_provenance_mut(UNTOUCHED);
    let name = stage.name.as_ptr();
    // SAFETY: every pointer is valid.
    let answer = unsafe {
        mqrs_open(name, oflag, &options(mode, flags), size_of::<mqrs_options>(), &mut out)
    };
    keep(stage, answer, out);
    answer as isize
}

fn make(stage: &mut Stage) {
    assert_eq!(open(stage, libc::O_CREAT | libc::O_RDWR, 0o600, 0), 0);
    stage.queue = std::mem::replace(&mut stage.made, null_mut());
}

/// A handle of this process alone.
pub fn open_or_panic(name: &CStr) -> *mut mqrs_queue {
    let mut out = null_mut();
    let oflag = libc::O_CREAT | libc::O_RDWR;
    // SAFETY: every pointer is valid.
    let answer = unsafe {
        mqrs_open(name.as_ptr(), oflag, &options(0, 0), size_of::<mqrs_options>(), &mut out)
    };
    assert_eq!(answer, 0);
    out
}

pub fn close(queue: &mut *mut mqrs_queue) {
    // SAFETY: null or an open handle, which nobody uses any more.
    assert_eq!(unsafe { mqrs_close(*queue) }, 0);
    *queue = null_mut();
}

fn attributes(queue: *mut mqrs_queue) -> Result<mqrs_attr, String> {
    let mut attr = mqrs_attr::default();
    // SAFETY: an open handle, and `attr` is writable.
    match unsafe { mqrs_getattr(queue, &mut attr, size_of::<mqrs_attr>()) } {
        0 => Ok(attr),
        answer => Err(format!("getattr: {answer}")),
    }
}

/// Send one message, of whose bytes and priority the number tells.
pub fn send(queue: *mut mqrs_queue, number: u8) -> isize {
    let message = [number; MSGSIZE];
    // SAFETY: an open handle; the message is readable.
    unsafe { mqrs_send(queue, message.as_ptr().cast(), MSGSIZE, 0) as isize }
}

/// Receive into outputs whose touching is noticed; 0 for the message that is expected.
fn receive(
    stage: &mut Stage,
    call: fn(*mut mqrs_queue, *mut c_void, usize, *mut u32) -> isize,
) -> isize {
    let mut buffer = [0xA5u8; MSGSIZE];
    let mut prio = UNTOUCHED as u32;
    let got = call(stage.queue, buffer.as_mut_ptr().cast(), MSGSIZE, &mut prio);
    if got < 0 {
        stage.is_touched = buffer != [0xA5; MSGSIZE] || prio != UNTOUCHED as u32;
        return got;
    }
    if got == MSGSIZE as isize && buffer == [7; MSGSIZE] && prio == 0 { 0 } else { 1 }
}

/// Receive the message with this number.
pub fn received(queue: *mut mqrs_queue, number: u8) -> Result<(), String> {
    let mut buffer = [0u8; MSGSIZE];
    let timeout = PATIENCE.as_nanos() as i64;
    // SAFETY: an open handle; the buffer is writable.
    let got = unsafe {
        mqrs_timedreceive(queue, buffer.as_mut_ptr().cast(), MSGSIZE, timeout, null_mut())
    };
    if got == MSGSIZE as isize && buffer == [number; MSGSIZE] {
        return Ok(());
    }
    Err(format!("receiving {number}: {got}, {:?}", buffer[0]))
}

/// Take what is there; the number of messages.
pub fn drain(queue: *mut mqrs_queue) -> Result<usize, String> {
    let mut buffer = [0u8; MSGSIZE];
    for count in 0.. {
        // SAFETY: an open handle; the buffer is writable.
        let got =
            unsafe { mqrs_timedreceive(queue, buffer.as_mut_ptr().cast(), MSGSIZE, 0, null_mut()) };
        if got == -libc::EAGAIN as isize {
            return Ok(count);
        }
        if got < 0 {
            return Err(format!("draining: {got}"));
        }
    }
    unreachable!()
}

/// A process that does something with the queue once this one is asleep.
fn with_peer_when_asleep(stage: &mut Stage, then: fn(*mut mqrs_queue)) {
    let (shared, name) = (stage.shared, stage.name.clone());
    stage.peer = Some(spawn(move || {
        let queue = open_or_panic(&name);
        wait_for("a sleeper", || shared.asleep.load(SeqCst) > 0);
        then(queue);
    }));
}

/// A process that sends when it is told to.
fn with_peer_at_go(stage: &mut Stage) {
    let (shared, name) = (stage.shared, stage.name.clone());
    stage.peer = Some(spawn(move || {
        let queue = open_or_panic(&name);
        wait_for("a word", || shared.go.load(SeqCst) > 0);
        assert_eq!(send(queue, 7), 0);
    }));
}

/// The peer is asleep in its call.
fn wait_for_sleep(stage: &Stage) {
    let pid = stage.peer.as_ref().expect("a peer").pid();
    wait_for("a sleeper", || {
        // The state stands behind the name of the program.
        let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("its status");
        stage.shared.asleep.load(SeqCst) > 0 && status.contains(") S ")
    });
}

pub fn wait_for(what: &str, is_there: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_there() {
        assert!(Instant::now() < until, "waited too long for {what}");
        pause(Duration::from_micros(50));
    }
}

fn join(mut child: Child) -> Result<(), String> {
    match child.wait(PATIENCE) {
        Fate::Exited(0) => Ok(()),
        fate => Err(format!("the other process: {fate:?}")),
    }
}

fn join_peer(stage: &mut Stage) -> Result<(), String> {
    stage.peer.take().map_or(Ok(()), join)
}

fn nothing_is_there(stage: &mut Stage) -> Result<(), String> {
    match open(stage, libc::O_RDWR, 0, 0) as i32 {
        answer if answer == -libc::ENOENT => Ok(()),
        answer => Err(format!("there is a queue: {answer}")),
    }
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
fn comes(stage: &mut Stage) -> isize {
    let before = TOLD.load(SeqCst);
    stage.shared.go.store(1, SeqCst);
    wait_for("the notification", || TOLD.load(SeqCst) > before);
    0
}

/// The registration does what it is for.
fn is_told(stage: &mut Stage) -> Result<(), String> {
    with_peer_at_go(stage);
    comes(stage);
    join_peer(stage)?;
    received(stage.queue, 7)
}
