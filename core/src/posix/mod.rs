//! Posix queues of the kernel.
use crate::address::PosixName;
use crate::attr::{Attr, Limits, OpenOptions};
use crate::deadline::Wait;
use crate::error::Result;
use crate::list::Found;
use crate::message::{Incoming, Outgoing, Request};
use crate::oflag::OpenFlags;
use crate::transport::{Access, Transport, not_here};
use core::ffi::CStr;

/// An open queue.
pub struct PosixQueue {
    access: Access,
}

impl PosixQueue {
    /// Open or make a queue.
    pub fn open(_name: PosixName, flags: OpenFlags, options: &OpenOptions) -> Result<PosixQueue> {
        let _ = Access::new(flags, options.flags);
        Err(not_here("the posix transport is not part of this build"))
    }
    /// Adopt.
    pub fn open_fd(_fd: i32, _flags: OpenFlags, _options: u64) -> Result<PosixQueue> {
        Err(not_here("the posix transport is not part of this build"))
    }
}

impl Transport for PosixQueue {
    fn name(&self) -> &CStr {
        c""
    }
    fn access(&self) -> &Access {
        &self.access
    }
    fn msgsize(&self) -> Result<usize> {
        Ok(0)
    }
    unsafe fn send(&self, _: *const u8, _: usize, _: u32, _: Wait) -> Result<()> {
        Ok(())
    }
    unsafe fn receive(&self, _: *mut u8, _: usize, _: Wait) -> Result<(usize, u32)> {
        Ok((0, 0))
    }
    unsafe fn send_message(&self, _: &Outgoing, _: Wait) -> Result<()> {
        Ok(())
    }
    unsafe fn receive_message(&self, _: &Request, _: Wait) -> Result<Incoming> {
        Ok(Incoming::default())
    }
    fn attr(&self) -> Result<Attr> {
        Ok(Attr::default())
    }
    fn set_owner(&self, _: u32, _: u32, _: u32) -> Result<()> {
        Ok(())
    }
    fn dup_fd(&self) -> Result<i32> {
        Ok(0)
    }
}

/// Whether a descriptor is one of a queue.
pub fn is_queue(_fd: i32) -> bool {
    false
}
/// Remove a queue's name.
pub fn unlink(_: &PosixName) -> Result<()> {
    Err(not_here("the posix transport is not part of this build"))
}
/// What is allowed here now.
pub fn limits() -> Limits {
    Limits { unavailable: libc::ENOTSUP, ..Limits::default() }
}
/// The addresses of all queues.
pub fn list(_: &mut Found<'_>) -> Result<()> {
    Err(not_here("the posix transport is not part of this build"))
}
