//! Queues of the library, through the functions that C programs call.

use super::{End, Role, Spec, Transport, Waiting, checked, new_name, whole};
use libc::{c_char, c_int, c_void, size_t, ssize_t};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
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
    fn mqrs_dup_fd(q: *const c_void) -> c_int;
    fn mqrs_close(q: *mut c_void) -> c_int;
    fn mqrs_unlink(name: *const c_char) -> c_int;
    fn mqrs_send(q: *mut c_void, msg: *const c_void, len: size_t, prio: u32) -> c_int;
    fn mqrs_receive(q: *mut c_void, buf: *mut c_void, cap: size_t, prio: *mut u32) -> ssize_t;
}

/// Removes the name.
pub struct Shm {
    name: CString,
    flags: c_int,
}

/// A handle.
pub struct Handle(*mut c_void);

fn open(name: &CStr, oflag: c_int, options: Option<&Options>) -> io::Result<Handle> {
    let mut queue = null_mut();
    let (options, size) = match options {
        Some(options) => (&raw const *options, size_of::<Options>()),
        None => (null(), 0),
    };
    // SAFETY: a C string, a struct of the size that is told, and a place for the handle.
    let err = unsafe { mqrs_open(name.as_ptr(), oflag, options, size, &mut queue) };
    checked(err as isize, || -err).map(|_| Handle(queue))
}

impl Transport for Shm {
    type End = Handle;

    fn create(spec: &Spec) -> io::Result<Shm> {
        let flags =
            libc::O_RDWR | if spec.waiting == Waiting::Never { libc::O_NONBLOCK } else { 0 };
        let queue = Shm { name: new_name(), flags };
        let options =
            Options { maxmsg: spec.depth as u64, msgsize: spec.size as u64, ..Default::default() };
        open(&queue.name, flags | libc::O_CREAT | libc::O_EXCL, Some(&options))?;
        Ok(queue)
    }

    fn open(&self, _: Role) -> io::Result<Handle> {
        open(&self.name, self.flags, None)
    }

    fn memory(&self) -> Option<(u64, u64)> {
        let handle = open(&self.name, self.flags, None).ok()?;
        // SAFETY: an open handle; the descriptor is nobody else's.
        let file = unsafe {
            let descriptor = mqrs_dup_fd(handle.0);
            (descriptor >= 0).then(|| OwnedFd::from_raw_fd(descriptor))?
        };
        let file = File::from(file).metadata().ok()?;
        Some((file.size(), file.blocks() * 512))
    }
}

impl Drop for Shm {
    fn drop(&mut self) {
        // SAFETY: a C string.
        unsafe { mqrs_unlink(self.name.as_ptr()) };
    }
}

impl End for Handle {
    #[inline]
    fn send(&mut self, message: &[u8], priority: u32) -> io::Result<()> {
        let (start, len) = (message.as_ptr().cast(), message.len());
        // SAFETY: an open handle, and len bytes to read.
        let err = unsafe { mqrs_send(self.0, start, len, priority) };
        checked(err as isize, || -err).map(drop)
    }

    #[inline]
    fn receive(&mut self, message: &mut [u8]) -> io::Result<()> {
        let mut priority = 0;
        let (start, room) = (message.as_mut_ptr().cast(), message.len());
        // SAFETY: an open handle, so many bytes to write, and a place for the priority.
        let len = unsafe { mqrs_receive(self.0, start, room, &mut priority) };
        checked(len, || -len as i32).and_then(|len| whole(len, room))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: open until now, and nobody uses it any more.
        unsafe { mqrs_close(self.0) };
    }
}
