//! The kernel's POSIX message queues, by their system calls.
//!
//! Never through libc's `mq_*`: a library that takes the place of those names may be in
//! front of us. The kernel takes a name without its slash, returns the length and wants
//! times on CLOCK_REALTIME.
//!
//! Source: mq_overview(7), the sections "C library/kernel differences" of mq_open(3) and
//! mq_getattr(3), mq_notify(3); ipc/mqueue.c of Linux.

use super::file::Descriptor;
use crate::error::{Errno, Result};
use core::ffi::CStr;
use core::ptr::null;
use libc::{c_long, c_void};

/// struct mq_attr.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
pub struct Attr {
    /// O_NONBLOCK of the description.
    pub flags: c_long,
    /// Most messages the queue may hold.
    pub maxmsg: c_long,
    /// Most bytes in a message.
    pub msgsize: c_long,
    /// Messages queued.
    pub curmsgs: c_long,
    /// Nothing yet.
    pub reserved: [c_long; 4],
}

/// A moment of CLOCK_REALTIME: seconds and nanoseconds.
pub type Moment = [i64; 2];

/// Has always passed; the kernel does not even look at a clock.
pub const PAST: Moment = [0, 0];

fn checked(result: c_long) -> Result<c_long> {
    if result < 0 { Err(Errno::last()) } else { Ok(result) }
}

/// mq_open(2); without `attr` a new queue has the kernel's sizes.
pub fn open(name: &CStr, flags: i32, mode: u32, attr: Option<&Attr>) -> Result<Descriptor> {
    let attr = attr.map_or(null(), core::ptr::from_ref);
    let flags = flags | libc::O_CLOEXEC;
    loop {
        // SAFETY: `name` is a C string, `attr` null or an mq_attr; both are read only.
        let fd = unsafe { libc::syscall(libc::SYS_mq_open, name.as_ptr(), flags, mode, attr) };
        match checked(fd) {
            Err(Errno(libc::EINTR)) => {}
            // Narrower in 32-bit programs.
            #[allow(clippy::unnecessary_cast)]
            other => return other.map(|fd| Descriptor::adopt(fd as i32)),
        }
    }
}

/// mq_unlink(2).
pub fn unlink(name: &CStr) -> Result<()> {
    // SAFETY: a C string.
    checked(unsafe { libc::syscall(libc::SYS_mq_unlink, name.as_ptr()) }).map(drop)
}

/// mq_getsetattr(2), only asking; `EBADF` if `fd` is no queue, `ENOSYS` if the kernel knows
/// none.
pub fn attr(fd: i32) -> Result<Attr> {
    let mut attr = Attr::default();
    // SAFETY: writes one mq_attr.
    checked(unsafe { libc::syscall(libc::SYS_mq_getsetattr, fd, null::<Attr>(), &raw mut attr) })?;
    Ok(attr)
}

/// mq_timedsend(2).
///
/// # Safety
/// `message` is readable for `len` bytes.
pub unsafe fn send(
    fd: i32,
    message: *const u8,
    len: usize,
    prio: u32,
    until: Moment,
) -> Result<()> {
    timed(TIMEDSEND, until, |number, until| {
        // SAFETY: granted by the caller; `until` is a time as this call has it.
        unsafe { libc::syscall(number, fd, message, len, prio, until) }
    })
    .map(drop)
}

/// mq_timedreceive(2). Gives length and priority.
///
/// # Safety
/// `buf` is writable for `cap` bytes.
pub unsafe fn receive(fd: i32, buf: *mut u8, cap: usize, until: Moment) -> Result<(usize, u32)> {
    let mut prio: u32 = 0;
    let prio_at = &raw mut prio;
    let len = timed(TIMEDRECEIVE, until, |number, until| {
        // SAFETY: as above; the priority goes to a number that is alive.
        unsafe { libc::syscall(number, fd, buf, cap, prio_at, until) }
    })?;
    Ok((len as usize, prio))
}

/// A call with a time: its number with 64-bit times, and the older one of 32-bit systems.
struct Numbers {
    wide: c_long,
    #[cfg(target_pointer_width = "32")]
    narrow: c_long,
}

#[cfg(target_pointer_width = "64")]
const TIMEDSEND: Numbers = Numbers { wide: libc::SYS_mq_timedsend };
#[cfg(target_pointer_width = "64")]
const TIMEDRECEIVE: Numbers = Numbers { wide: libc::SYS_mq_timedreceive };
// mq_timedsend_time64 and mq_timedreceive_time64 have the same numbers on every 32-bit
// architecture (Linux 5.1).
#[cfg(target_pointer_width = "32")]
const TIMEDSEND: Numbers = Numbers { wide: 418, narrow: libc::SYS_mq_timedsend };
#[cfg(target_pointer_width = "32")]
const TIMEDRECEIVE: Numbers = Numbers { wide: 419, narrow: libc::SYS_mq_timedreceive };

/// Make a call with a time, by the older call where the kernel lacks the newer.
fn timed(
    numbers: Numbers,
    until: Moment,
    call: impl Fn(c_long, *const c_void) -> c_long,
) -> Result<c_long> {
    let result = checked(call(numbers.wide, until.as_ptr().cast()));
    #[cfg(target_pointer_width = "32")]
    if result == Err(Errno(libc::ENOSYS)) {
        // Seconds that do not fit end sooner: then the caller looks at the clock again.
        let [seconds, rest] = until;
        let until = [c_long::try_from(seconds).unwrap_or(c_long::MAX), rest as c_long];
        return checked(call(numbers.narrow, until.as_ptr().cast()));
    }
    result
}

/// How mq_notify(2) is to notify: struct sigevent.
#[repr(C)]
pub struct Event {
    /// A signal's value, or where a cookie is.
    value: usize,
    /// A signal's number, or a socket's.
    signo: i32,
    how: i32,
    rest: [u8; EVENT_REST],
    /// Not the kernel's: the cookie that `value` is to point to.
    cookie: super::socket::Cookie,
}

const EVENT_REST: usize = 64 - 8 - size_of::<usize>();
const _: () = assert!(core::mem::offset_of!(Event, cookie) == 64);

impl Event {
    /// A signal with a value; 0 for none at all.
    pub fn signal(signo: i32, value: isize) -> Event {
        let how = libc::SIGEV_SIGNAL;
        Event { value: value as usize, signo, how, rest: [0; EVENT_REST], cookie: [0; 32] }
    }

    /// A cookie, written to a netlink socket.
    pub fn cookie(socket: i32, cookie: super::socket::Cookie) -> Event {
        let how = libc::SIGEV_THREAD;
        Event { value: 0, signo: socket, how, rest: [0; EVENT_REST], cookie }
    }
}

/// mq_notify(2); without an event drop this process's registration, if it has one.
pub fn notify(fd: i32, mut event: Option<Event>) -> Result<()> {
    if let Some(event) = event.as_mut().filter(|event| event.how == libc::SIGEV_THREAD) {
        event.value = event.cookie.as_ptr() as usize;
    }
    let event = event.as_ref().map_or(null(), core::ptr::from_ref);
    loop {
        // SAFETY: `event` is null or a sigevent, whose cookie is alive; both are read only.
        match checked(unsafe { libc::syscall(libc::SYS_mq_notify, fd, event) }) {
            Err(Errno(libc::EINTR)) => {}
            other => return other.map(drop),
        }
    }
}

/// What read(2) tells of a queue.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct State {
    /// Bytes queued.
    pub bytes: u64,
    /// How the registered process is notified: SIGEV_SIGNAL is 0, as is no registration.
    pub how: i32,
    /// By which signal.
    pub signo: i32,
    /// The process that is registered, 0 if none (or one of another pid namespace).
    pub registrant: i32,
}

/// Ask for it; needs a descriptor that is open for receiving.
pub fn state(fd: i32) -> Result<State> {
    let mut text = [0; 128];
    let len = super::file::read_start(fd, &mut text)?;
    Ok(parse_state(text.get(..len).unwrap_or(&[])))
}

/// From `QSIZE:129 NOTIFY:2 SIGNO:0 NOTIFY_PID:8260`, each number padded by blanks.
fn parse_state(text: &[u8]) -> State {
    let mut state = State::default();
    for word in core::str::from_utf8(text).unwrap_or("").split_ascii_whitespace() {
        let Some((key, value)) = word.split_once(':') else { continue };
        match key {
            "QSIZE" => state.bytes = value.parse().unwrap_or(0),
            "NOTIFY" => state.how = value.parse().unwrap_or(0),
            "SIGNO" => state.signo = value.parse().unwrap_or(0),
            "NOTIFY_PID" => state.registrant = value.parse().unwrap_or(0),
            _ => {}
        }
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_line_is_read_number_by_number() {
        let line = b"QSIZE:129        NOTIFY:2     SIGNO:10    NOTIFY_PID:8260  \n";

        let state = parse_state(line);

        assert_eq!(state, State { bytes: 129, how: 2, signo: 10, registrant: 8260 });
    }

    #[test]
    fn a_line_of_another_kernel_is_no_error() {
        assert_eq!(parse_state(b"QSIZE:x NEW:1 word"), State::default());
        assert_eq!(parse_state(b"\xff"), State::default());
    }
}
