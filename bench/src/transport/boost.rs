//! Boost.Interprocess's message_queue: a mutex, two condition variables and an array of
//! messages in order, in shared memory. boost.cpp makes C functions of it.

use super::{End, Role, Spec, Transport, Waiting, checked, new_name, whole};
use libc::{c_char, c_int, c_uint, c_void, size_t, ssize_t};
use std::ffi::{CStr, CString};
use std::os::unix::fs::MetadataExt;
use std::{fs, io};

// The functions of boost.cpp.
unsafe extern "C" {
    fn bench_boost_create(name: *const c_char, depth: size_t, size: size_t) -> *mut c_void;
    fn bench_boost_open(name: *const c_char) -> *mut c_void;
    fn bench_boost_close(queue: *mut c_void);
    fn bench_boost_remove(name: *const c_char);
    fn bench_boost_send(
        queue: *mut c_void,
        message: *const c_void,
        len: size_t,
        priority: c_uint,
        waits: bool,
    ) -> c_int;
    fn bench_boost_receive(
        queue: *mut c_void,
        message: *mut c_void,
        room: size_t,
        waits: bool,
    ) -> ssize_t;
}

/// Removes the name.
pub struct Boost {
    name: CString,
    waits: bool,
}

/// The queue in use.
pub struct Queue {
    queue: *mut c_void,
    waits: bool,
}

impl Boost {
    /// Boost puts the slash before it itself.
    fn name(&self) -> &CStr {
        CStr::from_bytes_with_nul(&self.name.as_bytes_with_nul()[1..]).unwrap_or_default()
    }

    fn queue(&self, queue: *mut c_void) -> io::Result<Queue> {
        if queue.is_null() {
            return Err(io::Error::other("Boost cannot make the queue"));
        }
        Ok(Queue { queue, waits: self.waits })
    }
}

impl Transport for Boost {
    type End = Queue;

    fn create(spec: &Spec) -> io::Result<Boost> {
        let queue = Boost { name: new_name(), waits: spec.waiting != Waiting::Never };
        // SAFETY: a C string.
        let made = unsafe { bench_boost_create(queue.name().as_ptr(), spec.depth, spec.size) };
        queue.queue(made)?;
        Ok(queue)
    }

    fn open(&self, _: Role) -> io::Result<Queue> {
        // SAFETY: a C string.
        self.queue(unsafe { bench_boost_open(self.name().as_ptr()) })
    }

    fn memory(&self) -> Option<(u64, u64)> {
        let file = fs::metadata(format!("/dev/shm{}", self.name.to_str().ok()?)).ok()?;
        Some((file.size(), file.blocks() * 512))
    }
}

impl Drop for Boost {
    fn drop(&mut self) {
        // SAFETY: a C string.
        unsafe { bench_boost_remove(self.name().as_ptr()) };
    }
}

impl End for Queue {
    #[inline]
    fn send(&mut self, message: &[u8], priority: u32) -> io::Result<()> {
        let (start, len) = (message.as_ptr().cast(), message.len());
        // SAFETY: an open queue, and len bytes to read.
        let result = unsafe { bench_boost_send(self.queue, start, len, priority, self.waits) };
        checked(result as isize, || -result).map(drop)
    }

    #[inline]
    fn receive(&mut self, message: &mut [u8]) -> io::Result<()> {
        let (start, room) = (message.as_mut_ptr().cast(), message.len());
        // SAFETY: an open queue, and so many bytes to write.
        let len = unsafe { bench_boost_receive(self.queue, start, room, self.waits) };
        whole(checked(len, || -len as i32)?, room)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: open until now, and nobody uses it any more.
        unsafe { bench_boost_close(self.queue) };
    }
}
