//! What is more, or other, with the kernel's POSIX queues.

use super::attr::{GETATTR, GETLIMITS, SET_NONBLOCK, SET_OWNER};
use super::messages::{
    RECEIVE, RECEIVE_TIMES_OUT, RECEIVE_UNTIL, RECEIVE_WAITS, SEND, SEND_TIMES_OUT, SEND_WAITS,
    SENDALL,
};
use super::notify::{
    CALLBACK_COMES, CLOSE_REGISTERED, NOTIFY_CALLBACK, NOTIFY_CANCEL, NOTIFY_SIGNAL, SIGNAL_COMES,
    is_told,
};
use super::open::{CLOSE, DUP_FD, OPEN_FD, OPEN_FINDS, OPEN_MAKES, UNLINK};
use super::{DEED, Deed};
use crate::calls;
use crate::kinds::Kind;
use crate::stage::{
    BIG, MSGSIZE, PATIENCE, Stage, Transport, allow_big_messages, attributes, make, open, options,
    receive, send, wait_for,
};
use mqueue_core::attr::option;
use mqueue_core::message;
use mqueue_core::sync::Ordering::SeqCst;
use mqueue_rs::*;
use std::ptr::null_mut;

pub const DEEDS: &[Deed] = &[
    Deed { name: "posix: open makes a queue", ..POSIX_MAKES },
    MAKES_EXACTLY,
    MAKES_OF_THE_KERNELS_SIZE,
    MAKES_TOO_MANY_BYTES,
    Deed { name: "posix: open finds a queue", transport: Transport::Posix, ..OPEN_FINDS },
    Deed { name: "posix: open_fd adopts", transport: Transport::Posix, ..OPEN_FD },
    Deed { name: "posix: dup_fd", transport: Transport::Posix, ..DUP_FD },
    FD,
    Deed { name: "posix: close", transport: Transport::Posix, ..CLOSE },
    Deed { name: "posix: unlink", transport: Transport::Posix, ..UNLINK },
    Deed { name: "posix: getattr", transport: Transport::Posix, ..GETATTR },
    Deed { name: "posix: getlimits", transport: Transport::Posix, ..GETLIMITS },
    Deed { name: "posix: set_owner", transport: Transport::Posix, ..SET_OWNER },
    Deed { name: "posix: set_nonblock", transport: Transport::Posix, ..SET_NONBLOCK },
    Deed { name: "posix: send", transport: Transport::Posix, ..SEND },
    Deed { name: "posix: send in a child", transport: Transport::Posix, in_child: true, ..SEND },
    Deed { name: "posix: sendall", transport: Transport::Posix, ..SENDALL },
    SENDMSG,
    Deed { name: "posix: send waits for room", transport: Transport::Posix, ..SEND_WAITS },
    Deed { name: "posix: send waits in vain", transport: Transport::Posix, ..SEND_TIMES_OUT },
    Deed { name: "posix: receive", transport: Transport::Posix, ..RECEIVE },
    Deed { name: "posix: receive waits for a message", ..POSIX_RECEIVE_WAITS },
    RECEIVE_WAITS_A_WHILE,
    RECEIVE_POLLS,
    Deed { name: "posix: receive waits in vain", transport: Transport::Posix, ..RECEIVE_TIMES_OUT },
    Deed { name: "posix: receive until a time", transport: Transport::Posix, ..RECEIVE_UNTIL },
    RECVMSG_CUTS,
    RECVMSG_CUTS_BIG,
    Deed { name: "posix: notify_signal", ..POSIX_NOTIFY_SIGNAL },
    Deed { name: "posix: notify_signal in a child", in_child: true, ..POSIX_NOTIFY_SIGNAL },
    Deed { name: "posix: notify_callback", ..POSIX_NOTIFY_CALLBACK },
    Deed {
        name: "posix: notify_callback in a child",
        prepare: |stage| {
            // The parent's channel is not the child's.
            make(stage);
            assert_eq!((NOTIFY_CALLBACK.run)(stage), 0);
            // SAFETY: an open handle.
            assert_eq!(unsafe { mqrs_notify_cancel(stage.queue) }, 0);
        },
        in_child: true,
        ..POSIX_NOTIFY_CALLBACK
    },
    Deed { name: "posix: notify_cancel", ..POSIX_NOTIFY_CANCEL },
    CANCEL_SIGNAL,
    CANCEL_WAKES,
    Deed { name: "posix: a signal comes", transport: Transport::Posix, ..SIGNAL_COMES },
    Deed {
        name: "posix: a callback comes",
        transport: Transport::Posix,
        believes: CLOSED,
        ..CALLBACK_COMES
    },
    Deed {
        name: "posix: close with a registration",
        transport: Transport::Posix,
        believes: CLOSED,
        ..CLOSE_REGISTERED
    },
    CLOSE_ANOTHER,
];

/// A descriptor that cannot be looked at is one that the program has closed: whatever it
/// means now is left alone, and with it the kernel has dropped the registration.
const CLOSED: &[(Kind, i32)] =
    &[(Kind::Status, libc::EBADF), (Kind::Status, libc::ENOMEM), (Kind::ForgetPosix, libc::EBADF)];

const POSIX_MAKES: Deed = Deed { transport: Transport::Posix, ..OPEN_MAKES };
const POSIX_RECEIVE_WAITS: Deed = Deed { transport: Transport::Posix, ..RECEIVE_WAITS };

const MAKES_EXACTLY: Deed = Deed {
    name: "posix: open makes a queue with a mode that umask forbids",
    run: |stage| open(stage, libc::O_CREAT | libc::O_RDWR, 0o666, option::EXACT_MODE),
    verify: |stage| match attributes(stage.made)?.mode {
        0o666 => Ok(()),
        mode => Err(format!("its mode is {mode:o}")),
    },
    ..POSIX_MAKES
};

const MAKES_OF_THE_KERNELS_SIZE: Deed = Deed {
    name: "posix: open makes a queue of the kernel's size",
    run: |stage| make_of(stage, mqrs_options { maxmsg: 4, ..mqrs_options::default() }),
    ..POSIX_MAKES
};

const MAKES_TOO_MANY_BYTES: Deed = Deed {
    name: "posix: open makes no queue of more bytes than the user may have",
    prepare: |_| limit_bytes(0),
    expected: -libc::EMFILE as isize,
    verify: |_| {
        limit_bytes(800_000);
        Ok(())
    },
    ..POSIX_MAKES
};

const FD: Deed = Deed {
    name: "posix: fd",
    function: "mqrs_fd",
    transport: Transport::Posix,
    prepare: make,
    // SAFETY: an open handle.
    run: |stage| unsafe { mqrs_fd(stage.queue).min(0) as isize },
    ..DEED
};

const SENDMSG: Deed = Deed {
    name: "posix: sendmsg",
    function: "mqrs_sendmsg",
    transport: Transport::Posix,
    run: |stage| {
        let mut bytes = [7u8; MSGSIZE];
        let data = bytes.as_mut_ptr().cast();
        let message = mqrs_msg { data, len: MSGSIZE, ..mqrs_msg::default() };
        // SAFETY: an open handle; the message is readable.
        unsafe { mqrs_sendmsg(stage.queue, &message, size_of::<mqrs_msg>(), 0, -1) as isize }
    },
    ..SEND
};

const RECEIVE_WAITS_A_WHILE: Deed = Deed {
    name: "posix: receive waits a while for a message",
    function: "mqrs_timedreceive",
    run: |stage| {
        receive(stage, |queue, buffer, cap, prio| {
            let a_while = PATIENCE.as_nanos() as i64;
            // SAFETY: an open handle, and the outputs are writable.
            unsafe { mqrs_timedreceive(queue, buffer, cap, a_while, prio) }
        })
    },
    ..POSIX_RECEIVE_WAITS
};

const RECEIVE_POLLS: Deed = Deed {
    name: "posix: receive waits where the description does not",
    prepare: |stage| {
        (POSIX_RECEIVE_WAITS.prepare)(stage);
        // SAFETY: an open handle, whose descriptor it is.
        unsafe {
            let fd = mqrs_fd(stage.queue);
            assert_eq!(libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK), 0);
        }
    },
    ..POSIX_RECEIVE_WAITS
};

const RECVMSG_CUTS: Deed = Deed {
    name: "posix: recvmsg cuts a message",
    function: "mqrs_recvmsg",
    transport: Transport::Posix,
    run: recvmsg_cuts,
    ..RECEIVE
};

const RECVMSG_CUTS_BIG: Deed = Deed {
    name: "posix: recvmsg cuts where messages may be big",
    prepare: |stage| {
        allow_big_messages(stage);
        let sizes = mqrs_options { maxmsg: 4, msgsize: BIG as u64, ..mqrs_options::default() };
        assert_eq!(make_of(stage, sizes), 0);
        stage.queue = std::mem::replace(&mut stage.made, null_mut());
        assert_eq!(send(stage.queue, 7), 0);
    },
    ..RECVMSG_CUTS
};

const POSIX_NOTIFY_SIGNAL: Deed = Deed { transport: Transport::Posix, ..NOTIFY_SIGNAL };
const POSIX_NOTIFY_CALLBACK: Deed = Deed { transport: Transport::Posix, ..NOTIFY_CALLBACK };

const POSIX_NOTIFY_CANCEL: Deed =
    Deed { transport: Transport::Posix, believes: CLOSED, ..NOTIFY_CANCEL };

const CANCEL_SIGNAL: Deed = Deed {
    name: "posix: notify_cancel of a signal",
    prepare: |stage| {
        (NOTIFY_SIGNAL.prepare)(stage);
        assert_eq!((NOTIFY_SIGNAL.run)(stage), 0);
    },
    ..POSIX_NOTIFY_CANCEL
};

/// The helper sleeps until a message or the bell comes.
const CANCEL_WAKES: Deed = Deed {
    name: "posix: notify_cancel wakes the helper",
    prepare: |stage| {
        make(stage);
        calls::watch(stage.shared);
        assert_eq!((NOTIFY_CALLBACK.run)(stage), 0);
        wait_for("a helper that polls", || stage.shared.polls.load(SeqCst) > 0 && is_asleep());
        let_others_run_only_while_we_sleep();
    },
    run: |stage| {
        let before = stage.shared.asleep.load(SeqCst);
        let answer = cancel(stage);
        // It looks at everything, and goes to sleep again.
        wait_for("a look", || answer < 0 || stage.shared.asleep.load(SeqCst) > before);
        // Without this bell if it was just looking. (The kernel tells it of what is cancelled,
        // too, and it would look because of that.)
        assert!(stage.shared.has_seen(Kind::RingBell), "{}", crate::NOT_MADE);
        answer as isize
    },
    ..POSIX_NOTIFY_CANCEL
};

/// The kernel would drop the registration: the descriptor is parked, and closed later.
const CLOSE_ANOTHER: Deed = Deed {
    name: "posix: close of one handle beside the registration of another",
    transport: Transport::Posix,
    believes: CLOSED,
    prepare: |stage| {
        (CANCEL_SIGNAL.prepare)(stage);
        assert_eq!(open(stage, libc::O_RDWR, 0, 0), 0);
    },
    run: |stage| {
        let queue = std::mem::replace(&mut stage.made, null_mut());
        // SAFETY: an open handle, which nobody uses any more.
        unsafe { mqrs_close(queue) as isize }
    },
    verify: |stage| {
        is_told(stage)?;
        // Here what is parked is closed.
        match cancel(stage) {
            0 => Ok(()),
            answer => Err(format!("cancelling: {answer}")),
        }
    },
    has_helper: true,
    ..CLOSE
};

fn cancel(stage: &Stage) -> i32 {
    // SAFETY: an open handle.
    unsafe { mqrs_notify_cancel(stage.queue) }
}

/// The threads other than this one.
fn others() -> impl Iterator<Item = libc::pid_t> {
    let me = std::process::id() as libc::pid_t;
    let tasks = std::fs::read_dir("/proc/self/task").expect("the threads");
    tasks
        .filter_map(|task| task.expect("a thread").file_name().to_str()?.parse().ok())
        .filter(move |thread| *thread != me)
}

/// Whether a thread other than this one sleeps.
fn is_asleep() -> bool {
    others().any(|thread| {
        // The state stands behind the name.
        let status = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat"));
        status.unwrap_or_default().contains(") S ")
    })
}

/// Put all threads on one processor, where the others do not run beside this one.
fn let_others_run_only_while_we_sleep() {
    // SAFETY: numbers only, so all zeros are a value; the calls read them.
    unsafe {
        let mut one: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(libc::sched_getcpu() as usize, &mut one);
        let none: libc::sched_param = std::mem::zeroed();
        assert_eq!(libc::sched_setaffinity(0, size_of_val(&one), &one), 0);
        for thread in others() {
            assert_eq!(libc::sched_setaffinity(thread, size_of_val(&one), &one), 0);
            assert_eq!(libc::sched_setscheduler(thread, libc::SCHED_IDLE, &none), 0);
        }
    }
}

/// Change RLIMIT_MSGQUEUE of this process.
fn limit_bytes(bytes: u64) {
    let mut limit = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: writes, and reads, one struct.
    unsafe {
        assert_eq!(libc::getrlimit64(libc::RLIMIT_MSGQUEUE, &mut limit), 0);
        limit.rlim_cur = bytes.min(limit.rlim_max);
        assert_eq!(libc::setrlimit64(libc::RLIMIT_MSGQUEUE, &limit), 0);
    }
}

fn make_of(stage: &mut Stage, sizes: mqrs_options) -> isize {
    let options = mqrs_options { maxmsg: sizes.maxmsg, msgsize: sizes.msgsize, ..options(0, 0) };
    let mut out = std::ptr::without_provenance_mut(crate::stage::UNTOUCHED);
    let name = stage.name.as_ptr();
    let oflag = libc::O_CREAT | libc::O_RDWR;
    // SAFETY: every pointer is valid.
    let answer = unsafe { mqrs_open(name, oflag, &options, size_of::<mqrs_options>(), &mut out) };
    crate::stage::keep(stage, answer, out);
    answer as isize
}

/// Receive less than there is; 0 for bytes that are all 7.
fn recvmsg_cuts(stage: &mut Stage) -> isize {
    let mut buffer = [0xA5u8; MSGSIZE / 2];
    let data = buffer.as_mut_ptr().cast();
    let before = mqrs_msg { data, cap: buffer.len(), ..mqrs_msg::default() };
    let mut message = before;
    let (size, flags) = (size_of::<mqrs_msg>(), message::receive::TRUNCATE);
    // SAFETY: an open handle, and the outputs are writable.
    let got = unsafe { mqrs_recvmsg(stage.queue, &mut message, size, flags, -1) };
    if got < 0 {
        stage.is_touched = buffer != [0xA5; MSGSIZE / 2] || message != before;
        return got;
    }
    if got == MSGSIZE as isize && buffer == [7; MSGSIZE / 2] { 0 } else { 1 }
}
