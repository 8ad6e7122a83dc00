//! Queues of the library, through the functions that C programs call.

use super::{MESSAGE, Message, Transport, Waiting, checked, whole};
use libc::{c_char, c_int, c_void, size_t, ssize_t};
use std::ffi::CStr;
use std::io;
use std::ptr::{null, null_mut};

/// `struct mqrs_options` of mqueue_rs.h.
#[repr(C)]
#[derive(Default)]
struct Options {
    flags: u64,
    maxmsg: u64,
    msgsize: u64,
    mode: u32,
    reserved: u32,
}

// The declarations of mqueue_rs.h.
#[link(name = "mqueue_rs", kind = "dylib")]
unsafe extern "C" {
    fn mqrs_open(
        name: *const c_char,
        oflag: c_int,
        opt: *const Options,
        opt_size: size_t,
        out: *mut *mut c_void,
    ) -> c_int;
    fn mqrs_close(q: *mut c_void) -> c_int;
    fn mqrs_unlink(name: *const c_char) -> c_int;
    fn mqrs_send(q: *mut c_void, msg: *const c_void, len: size_t, prio: u32) -> c_int;
    fn mqrs_receive(q: *mut c_void, buf: *mut c_void, cap: size_t, prio: *mut u32) -> ssize_t;
}

/// A handle.
pub struct Shm(*mut c_void);

impl Shm {
    fn open_with(name: &CStr, oflag: c_int, options: Option<&Options>) -> io::Result<Shm> {
        let mut queue = null_mut();
        let (options, size) = match options {
            Some(options) => (&raw const *options, size_of::<Options>()),
            None => (null(), 0),
        };
        // SAFETY: a C string, a struct of the size that is told, and a place for the handle.
        let err = unsafe { mqrs_open(name.as_ptr(), oflag, options, size, &mut queue) };
        checked(err as isize, || -err).map(|_| Shm(queue))
    }
}

fn flags(waiting: Waiting) -> c_int {
    libc::O_RDWR | if waiting == Waiting::Nonblocking { libc::O_NONBLOCK } else { 0 }
}

impl Transport for Shm {
    fn create(name: &CStr, depth: u32, waiting: Waiting) -> io::Result<Shm> {
        let options =
            Options { maxmsg: depth as u64, msgsize: MESSAGE as u64, ..Default::default() };
        Shm::open_with(name, flags(waiting) | libc::O_CREAT | libc::O_EXCL, Some(&options))
    }

    fn open(name: &CStr, waiting: Waiting) -> io::Result<Shm> {
        Shm::open_with(name, flags(waiting), None)
    }

    fn unlink(name: &CStr) -> io::Result<()> {
        // SAFETY: a C string.
        let err = unsafe { mqrs_unlink(name.as_ptr()) };
        checked(err as isize, || -err).map(drop)
    }

    #[inline]
    fn send(&self, message: &Message) -> io::Result<()> {
        // SAFETY: an open handle, and MESSAGE bytes to read.
        let err = unsafe { mqrs_send(self.0, message.as_ptr().cast(), MESSAGE, 0) };
        checked(err as isize, || -err).map(drop)
    }

    #[inline]
    fn receive(&self, message: &mut Message) -> io::Result<()> {
        let mut prio = 0;
        // SAFETY: an open handle, MESSAGE bytes to write, and a place for the priority.
        let len = unsafe { mqrs_receive(self.0, message.as_mut_ptr().cast(), MESSAGE, &mut prio) };
        checked(len, || -len as i32).and_then(whole)
    }
}

impl Drop for Shm {
    fn drop(&mut self) {
        // SAFETY: open until now, and nobody uses it any more.
        unsafe { mqrs_close(self.0) };
    }
}
