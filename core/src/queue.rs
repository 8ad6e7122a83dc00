//! One handle over one queue, whatever its transport.

use crate::attr::{Attr, Limits, OpenOptions};
use crate::deadline::Wait;
use crate::error::{Errno, Result};
use std::ffi::CStr;

/// An open queue.
pub struct Queue {}

/// What happens when a message arrives on an empty queue.
#[derive(Clone, Copy)]
pub enum Notification {
    /// A signal with a value, as `mq_notify` sends it.
    Signal {
        /// The signal's number; 0 takes the registration but sends nothing.
        signo: i32,
        /// Arrives as `si_value`.
        value: isize,
    },
    /// A call of `function(argument, user)` on the helper thread.
    Callback {
        /// What is called.
        function: unsafe extern "C" fn(*mut core::ffi::c_void, *mut core::ffi::c_void),
        /// Its first argument.
        argument: *mut core::ffi::c_void,
        /// Its second argument.
        user: *mut core::ffi::c_void,
    },
}

impl Queue {
    /// Open or create a queue. `None` with `O_CREAT | O_EXCL` makes one with a random name.
    pub fn open(name: Option<&CStr>, oflag: i32, options: &OpenOptions) -> Result<Queue> {
        let _ = (name, oflag, options);
        Err(Errno(libc::ENOSYS))
    }
    /// Adopt a descriptor of a queue; owned by the handle on success only.
    pub fn open_fd(fd: i32, oflag: i32, option_flags: u64) -> Result<Queue> {
        let _ = (fd, oflag, option_flags);
        Err(Errno(libc::ENOSYS))
    }
    /// A new close-on-exec descriptor of the queue, the caller's.
    pub fn dup_fd(&self) -> Result<i32> {
        Err(Errno(libc::ENOSYS))
    }
    /// Change mode, user, group; `u32::MAX` leaves one as it is.
    pub fn set_owner(&self, mode: u32, uid: u32, gid: u32) -> Result<()> {
        let _ = (mode, uid, gid);
        Err(Errno(libc::ENOSYS))
    }
    /// The full address, "" if unknown; valid as long as the handle.
    pub fn name(&self) -> &CStr {
        c""
    }
    /// Send one message.
    ///
    /// # Safety
    /// `msg` is null or readable for `len` bytes.
    pub unsafe fn send(&self, msg: *const u8, len: usize, prio: u32, wait: Wait) -> Result<()> {
        let _ = (msg, len, prio, wait);
        Err(Errno(libc::ENOSYS))
    }
    /// Take the oldest message of the highest priority; gives its length and priority.
    ///
    /// # Safety
    /// `buf` is null or writable for `cap` bytes.
    pub unsafe fn receive(&self, buf: *mut u8, cap: usize, wait: Wait) -> Result<(usize, u32)> {
        let _ = (buf, cap, wait);
        Err(Errno(libc::ENOSYS))
    }
    /// The queue's attributes now.
    pub fn attr(&self) -> Result<Attr> {
        Err(Errno(libc::ENOSYS))
    }
    /// Switch waiting off (`true`) or on for calls without a timeout of their own.
    pub fn set_nonblock(&self, on: bool) -> Result<()> {
        let _ = on;
        Err(Errno(libc::ENOSYS))
    }
    /// Register for the next arrival on an empty queue.
    pub fn notify(&self, notification: Notification) -> Result<()> {
        let _ = notification;
        Err(Errno(libc::ENOSYS))
    }
    /// Drop this handle's registration, if there is one, and wait out its callback.
    pub fn notify_cancel(&self) -> Result<()> {
        Err(Errno(libc::ENOSYS))
    }
}

/// Remove a queue's name.
pub fn unlink(name: &CStr) -> Result<()> {
    let _ = name;
    Err(Errno(libc::ENOSYS))
}

/// What a transport allows here now.
pub fn limits(transport: u32) -> Result<Limits> {
    let _ = transport;
    Err(Errno(libc::ENOSYS))
}
