//! The kernel's POSIX queues: mq_overview(7).

use super::{MESSAGE, Message, Transport, Waiting, checked, whole};
use libc::{c_int, c_long, mode_t};
use std::ffi::CStr;
use std::{fs, io};

const LIMIT: &str = "/proc/sys/fs/mqueue/msg_max";

/// The depth that the kernel allows everybody unless it is told otherwise.
const DEPTH_DEFAULT: u32 = 10;

/// Find out how deep the kernel's queues may be, at most `wanted`. Who may have an IPC
/// namespace of his own raises the limit there, without touching the machine's.
pub fn raise_limit(wanted: u32) -> u32 {
    // SAFETY: concerns this process's queues only, of which there is none yet.
    if unsafe { libc::unshare(libc::CLONE_NEWIPC) } == 0 {
        let allowed = limit();
        if allowed < wanted {
            // If that is refused, the limit is what it was.
            let _ = fs::write(LIMIT, wanted.to_string());
        }
    }
    limit().min(wanted)
}

fn limit() -> u32 {
    let limit = fs::read_to_string(LIMIT).ok();
    limit.and_then(|text| text.trim().parse().ok()).unwrap_or(DEPTH_DEFAULT)
}

/// A descriptor.
pub struct Kernel(libc::mqd_t);

fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

fn flags(waiting: Waiting) -> c_int {
    libc::O_RDWR | if waiting == Waiting::Nonblocking { libc::O_NONBLOCK } else { 0 }
}

impl Transport for Kernel {
    fn create(name: &CStr, depth: u32, waiting: Waiting) -> io::Result<Kernel> {
        // SAFETY: integers only, so all zeros are a value.
        let mut attr: libc::mq_attr = unsafe { std::mem::zeroed() };
        attr.mq_maxmsg = depth as c_long;
        attr.mq_msgsize = MESSAGE as c_long;
        let oflag = flags(waiting) | libc::O_CREAT | libc::O_EXCL;
        let mode: mode_t = 0o600;
        // SAFETY: a C string, and the two arguments that O_CREAT asks for.
        let queue = unsafe { libc::mq_open(name.as_ptr(), oflag, mode, &raw mut attr) };
        checked(queue as isize, errno).map(|_| Kernel(queue))
    }

    fn open(name: &CStr, waiting: Waiting) -> io::Result<Kernel> {
        // SAFETY: a C string.
        let queue = unsafe { libc::mq_open(name.as_ptr(), flags(waiting)) };
        checked(queue as isize, errno).map(|_| Kernel(queue))
    }

    fn unlink(name: &CStr) -> io::Result<()> {
        // SAFETY: a C string.
        let result = unsafe { libc::mq_unlink(name.as_ptr()) };
        checked(result as isize, errno).map(drop)
    }

    #[inline]
    fn send(&self, message: &Message) -> io::Result<()> {
        // SAFETY: MESSAGE bytes to read.
        let result = unsafe { libc::mq_send(self.0, message.as_ptr().cast(), MESSAGE, 0) };
        checked(result as isize, errno).map(drop)
    }

    #[inline]
    fn receive(&self, message: &mut Message) -> io::Result<()> {
        let mut prio = 0;
        // SAFETY: MESSAGE bytes to write, and a place for the priority.
        let len =
            unsafe { libc::mq_receive(self.0, message.as_mut_ptr().cast(), MESSAGE, &mut prio) };
        checked(len, errno).and_then(whole)
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        // SAFETY: open until now, and nobody uses it any more.
        unsafe { libc::mq_close(self.0) };
    }
}
