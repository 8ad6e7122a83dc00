//! The kernel's POSIX queues: mq_overview(7).

use super::{End, Role, Spec, Transport, Waiting, checked, errno, new_name, whole};
use libc::{c_int, c_long, mode_t};
use std::ffi::CString;
use std::{io, mem};

/// Removes the name.
pub struct Kernel {
    name: CString,
    flags: c_int,
}

/// A descriptor.
pub struct Descriptor(libc::mqd_t);

impl Transport for Kernel {
    type End = Descriptor;

    fn create(spec: &Spec) -> io::Result<Kernel> {
        let flags =
            libc::O_RDWR | if spec.waiting == Waiting::Never { libc::O_NONBLOCK } else { 0 };
        let queue = Kernel { name: new_name(), flags };
        // SAFETY: integers only, so all zeros are a value.
        let mut attr: libc::mq_attr = unsafe { mem::zeroed() };
        attr.mq_maxmsg = spec.depth as c_long;
        attr.mq_msgsize = spec.size as c_long;
        let oflag = flags | libc::O_CREAT | libc::O_EXCL;
        let mode: mode_t = 0o600;
        // SAFETY: a C string, and the two arguments that O_CREAT asks for.
        let descriptor = unsafe { libc::mq_open(queue.name.as_ptr(), oflag, mode, &raw mut attr) };
        checked(descriptor as isize, errno).map_err(|error| match error.raw_os_error() {
            Some(libc::EMFILE) => io::Error::other("beyond RLIMIT_MSGQUEUE"),
            Some(libc::EINVAL) => io::Error::other("beyond fs.mqueue.msg_max or msgsize_max"),
            _ => error,
        })?;
        drop(Descriptor(descriptor));
        Ok(queue)
    }

    fn open(&self, _: Role) -> io::Result<Descriptor> {
        // SAFETY: a C string.
        let descriptor = unsafe { libc::mq_open(self.name.as_ptr(), self.flags) };
        checked(descriptor as isize, errno).map(|_| Descriptor(descriptor))
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        // SAFETY: a C string.
        unsafe { libc::mq_unlink(self.name.as_ptr()) };
    }
}

impl End for Descriptor {
    #[inline]
    fn send(&mut self, message: &[u8], priority: u32) -> io::Result<()> {
        let (start, len) = (message.as_ptr().cast(), message.len());
        // SAFETY: len bytes to read.
        let result = unsafe { libc::mq_send(self.0, start, len, priority) };
        checked(result as isize, errno).map(drop)
    }

    #[inline]
    fn receive(&mut self, message: &mut [u8]) -> io::Result<()> {
        let mut priority = 0;
        let (start, room) = (message.as_mut_ptr().cast(), message.len());
        // SAFETY: so many bytes to write, and a place for the priority.
        let len = unsafe { libc::mq_receive(self.0, start, room, &mut priority) };
        checked(len, errno).and_then(|len| whole(len, room))
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: open until now, and nobody uses it any more.
        unsafe { libc::mq_close(self.0) };
    }
}
