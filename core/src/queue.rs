//! One handle over one queue, whatever its transport.
//!
//! Only shared memory is there yet; the addresses of the other transports answer
//! `ENOTSUP`.

use crate::attr::{Attr, Limits, OpenOptions, transport};
use crate::deadline::Wait;
use crate::error::Result;
use crate::name::Address;
use crate::notify;
use crate::oflag::{Direction, OpenFlags};
use crate::report::say;
use crate::shm::handle::{self, ShmQueue};
use std::ffi::CStr;

pub use crate::notify::Notification;

/// An open queue. Dropping it closes it, its registration for notification included.
pub struct Queue {
    shm: ShmQueue,
}

impl Queue {
    /// Open or create a queue. `None` with `O_CREAT | O_EXCL` makes one with a random name.
    pub fn open(name: Option<&CStr>, oflag: i32, options: &OpenOptions) -> Result<Queue> {
        let flags = OpenFlags::parse(oflag)?;
        let name = match name {
            Some(address) => Some(Address::parse(address)?.into_shm()?),
            None => None,
        };
        Ok(Queue { shm: ShmQueue::open(name, flags, options)? })
    }

    /// Adopt a descriptor of a queue; owned by the handle on success only.
    pub fn open_fd(fd: i32, oflag: i32, option_flags: u64) -> Result<Queue> {
        let flags = OpenFlags::parse_adopting(oflag)?;
        Ok(Queue { shm: ShmQueue::open_fd(fd, flags, option_flags)? })
    }

    /// A new close-on-exec descriptor of the queue, the caller's.
    pub fn dup_fd(&self) -> Result<i32> {
        self.shm.dup_fd()
    }

    /// Change mode, user, group; `u32::MAX` leaves one as it is.
    pub fn set_owner(&self, mode: u32, uid: u32, gid: u32) -> Result<()> {
        self.shm.set_owner(mode, uid, gid)
    }

    /// The full address, "" if unknown; valid as long as the handle.
    pub fn name(&self) -> &CStr {
        self.shm.name()
    }

    /// What the handle may be used for.
    pub fn direction(&self) -> Direction {
        self.shm.direction()
    }

    /// Most bytes in a message.
    pub fn msgsize(&self) -> usize {
        self.shm.msgsize()
    }

    /// Send one message.
    ///
    /// # Safety
    /// `msg` is null or readable for `len` bytes.
    #[inline(always)]
    pub unsafe fn send(&self, msg: *const u8, len: usize, prio: u32, wait: Wait) -> Result<()> {
        // SAFETY: granted by the caller.
        unsafe { self.shm.send(msg, len, prio, wait) }
    }

    /// Take the oldest message of the highest priority; gives its length and priority.
    ///
    /// # Safety
    /// `buf` is null or writable for `cap` bytes.
    #[inline(always)]
    pub unsafe fn receive(&self, buf: *mut u8, cap: usize, wait: Wait) -> Result<(usize, u32)> {
        // SAFETY: granted by the caller.
        unsafe { self.shm.receive(buf, cap, wait) }
    }

    /// The queue's attributes now.
    pub fn attr(&self) -> Result<Attr> {
        self.shm.attr()
    }

    /// Switch waiting off (`true`) or on (`false`) for every call on this handle.
    pub fn set_nonblock(&self, on: bool) -> Result<()> {
        self.shm.set_nonblock(on)
    }

    /// Register for the next arrival on an empty queue.
    pub fn notify(&self, notification: Notification) -> Result<()> {
        notify::register(self.shm.healthy()?, notification)
    }

    /// Drop this handle's registration, if there is one, and wait out its callback.
    pub fn notify_cancel(&self) -> Result<()> {
        // A child that has not used the handle yet has no registration.
        if let Some(attachment) = self.shm.attachment_if_any() {
            notify::cancel(attachment);
            self.shm.healthy()?;
        }
        Ok(())
    }

    /// `EBADMSG` if the queue was found damaged.
    pub fn check(&self) -> Result<()> {
        self.shm.healthy().map(drop)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let _ = self.notify_cancel();
    }
}

/// Remove a queue's name.
pub fn unlink(name: &CStr) -> Result<()> {
    handle::unlink(&Address::parse(name)?.into_shm()?)
}

/// What a transport allows here now.
pub fn limits(which: u32) -> Result<Limits> {
    match which {
        transport::SHM => Ok(handle::limits()),
        transport::POSIX | transport::SYSV | transport::AMQP => {
            Ok(Limits { unavailable: libc::ENOTSUP, ..Limits::default() })
        }
        _ => Err(say(libc::EINVAL, "there is no transport of this number")),
    }
}
