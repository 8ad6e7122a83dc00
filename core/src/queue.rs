//! One handle over one queue, whatever its transport.

use crate::address::Address;
use crate::attr::{Attr, Limits, OpenOptions, Stats, option, transport};
use crate::deadline::Wait;
use crate::error::Result;
use crate::message::{Incoming, Outgoing, Request};
use crate::oflag::OpenFlags;
use crate::posix::{self, PosixQueue};
use crate::report::say;
use crate::shm::ShmQueue;
use crate::shm::handle as shm;
use crate::sysv::{self, SysvQueue};
use crate::transport::{Access, Entered, Sign, Transport, not_here};
use std::ffi::CStr;

pub use crate::notify::{Notification, how};

/// An open queue. Dropping it closes it, its registration for notification included.
pub struct Queue(Carrier);

#[allow(clippy::large_enum_variant, reason = "boxing would cost every call a step")]
enum Carrier {
    Shm(ShmQueue),
    Posix(PosixQueue),
    Sysv(SysvQueue),
}

/// Ask the transport, known at compile time in each arm.
macro_rules! carrier {
    ($queue:expr, $transport:ident => $call:expr) => {
        match &$queue.0 {
            Carrier::Shm($transport) => $call,
            Carrier::Posix($transport) => $call,
            Carrier::Sysv($transport) => $call,
        }
    };
}

impl Queue {
    /// Open or create a queue. `None` with `O_CREAT | O_EXCL` makes one with a random name.
    pub fn open(name: Option<&CStr>, oflag: i32, options: &OpenOptions) -> Result<Queue> {
        let flags = OpenFlags::parse(oflag)?;
        let carrier = match name.map(Address::parse).transpose()? {
            None => Carrier::Shm(ShmQueue::open(None, flags, options)?),
            Some(Address::Shm(name)) => Carrier::Shm(ShmQueue::open(Some(name), flags, options)?),
            Some(Address::Posix(name)) => {
                check_plain(flags, options)?;
                Carrier::Posix(PosixQueue::open(name, flags, options)?)
            }
            Some(Address::Sysv(address)) => {
                check_plain(flags, options)?;
                Carrier::Sysv(SysvQueue::open(address, flags, options)?)
            }
            Some(Address::Amqp) => return Err(no_broker()),
        };
        Ok(Queue(carrier))
    }

    /// Adopt a descriptor of a queue; owned by the handle on success only.
    pub fn open_fd(fd: i32, oflag: i32, option_flags: u64) -> Result<Queue> {
        let flags = OpenFlags::parse_adopting(oflag)?;
        if posix::is_queue(fd) {
            return Ok(Queue(Carrier::Posix(PosixQueue::open_fd(fd, flags, option_flags)?)));
        }
        Ok(Queue(Carrier::Shm(ShmQueue::open_fd(fd, flags, option_flags)?)))
    }

    /// A new close-on-exec descriptor of the queue, the caller's.
    pub fn dup_fd(&self) -> Result<i32> {
        carrier!(self, queue => queue.dup_fd())
    }

    /// The handle's descriptor for poll.
    pub fn fd(&self) -> Result<i32> {
        carrier!(self, queue => queue.fd())
    }

    /// Change mode, user, group; `u32::MAX` leaves one as it is.
    pub fn set_owner(&self, mode: u32, uid: u32, gid: u32) -> Result<()> {
        carrier!(self, queue => queue.set_owner(mode, uid, gid))
    }

    /// Change how many bytes the queue holds.
    pub fn set_maxbytes(&self, bytes: u64) -> Result<()> {
        carrier!(self, queue => queue.set_maxbytes(bytes))
    }

    /// The full address, "" if unknown; valid as long as the handle.
    pub fn name(&self) -> &CStr {
        carrier!(self, queue => queue.name())
    }

    /// What the handle may be used for, and whether it waits.
    pub fn access(&self) -> &Access {
        carrier!(self, queue => queue.access())
    }

    /// Most bytes in a message, now.
    pub fn msgsize(&self) -> Result<usize> {
        carrier!(self, queue => queue.msgsize())
    }

    /// Send one message.
    ///
    /// # Safety
    /// `msg` is null or readable for `len` bytes.
    #[inline(always)]
    pub unsafe fn send(&self, msg: *const u8, len: usize, prio: u32, wait: Wait) -> Result<()> {
        // SAFETY: granted by the caller.
        unsafe { carrier!(self, queue => queue.send(msg, len, prio, wait)) }
    }

    /// Send one message, in a call of several that came in at `entered`.
    ///
    /// # Safety
    /// `msg` is null or readable for `len` bytes.
    pub unsafe fn send_since(
        &self,
        entered: Entered,
        msg: *const u8,
        len: usize,
        prio: u32,
        wait: Wait,
    ) -> Result<()> {
        // SAFETY: granted by the caller.
        unsafe { carrier!(self, queue => queue.send_since(entered, msg, len, prio, wait)) }
    }

    /// Take the oldest message of the highest priority; gives its length and priority.
    ///
    /// # Safety
    /// `buf` is null or writable for `cap` bytes.
    #[inline(always)]
    pub unsafe fn receive(&self, buf: *mut u8, cap: usize, wait: Wait) -> Result<(usize, u32)> {
        // SAFETY: granted by the caller.
        unsafe { carrier!(self, queue => queue.receive(buf, cap, wait)) }
    }

    /// Send one message in the general form; its flags are known ones.
    ///
    /// # Safety
    /// `message.data` is null or readable for `message.len` bytes.
    pub unsafe fn send_message(&self, message: &Outgoing, wait: Wait) -> Result<()> {
        // SAFETY: granted by the caller.
        unsafe { carrier!(self, queue => queue.send_message(message, wait)) }
    }

    /// Take or look at a message in the general form; the flags are known ones.
    ///
    /// # Safety
    /// `request.data` is null or writable for `request.cap` bytes.
    pub unsafe fn receive_message(&self, request: &Request, wait: Wait) -> Result<Incoming> {
        // SAFETY: granted by the caller.
        unsafe { carrier!(self, queue => queue.receive_message(request, wait)) }
    }

    /// The queue's attributes now.
    pub fn attr(&self) -> Result<Attr> {
        carrier!(self, queue => queue.attr())
    }

    /// Counters and last users.
    pub fn stats(&self) -> Result<Stats> {
        carrier!(self, queue => queue.stats())
    }

    /// Switch waiting off (`true`) or on (`false`) for every call on this handle.
    pub fn set_nonblock(&self, on: bool) -> Result<()> {
        self.check()?;
        carrier!(self, queue => queue.access().set_nonblock(on));
        Ok(())
    }

    /// As [`Transport::check_messages`].
    pub fn check_messages(&self, messages: impl Iterator<Item = Outgoing>) -> Result<()> {
        carrier!(self, queue => queue.check_messages(messages))
    }

    /// As [`Transport::check_requests`].
    pub fn check_requests(&self, requests: impl Iterator<Item = Request>) -> Result<()> {
        carrier!(self, queue => queue.check_requests(requests))
    }

    /// As [`Transport::send_batch`].
    ///
    /// # Safety
    /// As in `send_message`, for each of them.
    pub unsafe fn send_batch(
        &self,
        count: usize,
        message: impl Fn(usize) -> Outgoing + Copy,
        wait: Wait,
    ) -> Result<usize> {
        // SAFETY: granted by the caller.
        unsafe { carrier!(self, queue => queue.send_batch(count, message, wait)) }
    }

    /// As [`Transport::receive_batch`].
    ///
    /// # Safety
    /// As in `receive_message`, for each of them.
    pub unsafe fn receive_batch(
        &self,
        count: usize,
        request: impl Fn(usize) -> Request + Copy,
        got: impl Fn(usize, Incoming) + Copy,
        wait: Wait,
    ) -> Result<usize> {
        // SAFETY: granted by the caller.
        unsafe { carrier!(self, queue => queue.receive_batch(count, request, got, wait)) }
    }

    /// Lend a slot for a message of up to `len` bytes that is to be written in place.
    pub fn reserve(&self, len: usize, wait: Wait) -> Result<*mut u8> {
        carrier!(self, queue => queue.reserve(len, wait))
    }

    /// Send what was written to a reserved slot.
    pub fn commit(&self, slot: *mut u8, len: usize, prio: u32, wait: Wait) -> Result<()> {
        carrier!(self, queue => queue.commit(slot, len, prio, wait))
    }

    /// Give a reserved slot back.
    pub fn abort(&self, slot: *mut u8) -> Result<()> {
        carrier!(self, queue => queue.abort(slot))
    }

    /// Take the next message without copying it; gives where it lies, its length and priority.
    pub fn acquire(&self, wait: Wait) -> Result<(*const u8, usize, u32)> {
        carrier!(self, queue => queue.acquire(wait))
    }

    /// Give an acquired message's slot back.
    pub fn release(&self, data: *const u8) -> Result<()> {
        carrier!(self, queue => queue.release(data))
    }

    /// Send an acquired message again.
    pub fn requeue(&self, data: *const u8) -> Result<()> {
        carrier!(self, queue => queue.requeue(data))
    }

    /// End the queue: no more sends, and no more waits.
    pub fn shutdown(&self) -> Result<()> {
        carrier!(self, queue => queue.shutdown())
    }

    /// End the calls of this process that are running on this handle.
    pub fn cancel(&self) -> Result<()> {
        carrier!(self, queue => {
            queue.access().cancel();
            queue.wake_waiting();
        });
        Ok(())
    }

    /// Forbid calls of this process on this handle to wait, or allow it again.
    pub fn set_cancelled(&self, on: bool) -> Result<()> {
        carrier!(self, queue => {
            queue.access().set_cancelled(on);
            queue.wake_waiting();
        });
        Ok(())
    }

    /// By what it shows who waits for several that it is ready.
    pub(crate) fn sign(&self) -> Result<Sign<'_>> {
        carrier!(self, queue => queue.sign())
    }

    /// What is ready now, bits of `event`; where the sign does not tell.
    pub(crate) fn ready(&self) -> Result<u32> {
        carrier!(self, queue => queue.ready())
    }

    /// Register for the next arrival on an empty queue; bits of `notify::how`.
    pub fn notify(&self, notification: Notification, flags: u64) -> Result<()> {
        carrier!(self, queue => queue.notify(notification, flags))
    }

    /// Drop this handle's registration, if there is one, and wait out its callback.
    pub fn notify_cancel(&self) -> Result<()> {
        carrier!(self, queue => queue.notify_cancel())
    }

    /// `EBADMSG` or `EIDRM` if the queue is of no use any more.
    pub fn check(&self) -> Result<()> {
        carrier!(self, queue => queue.check())
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let _ = self.notify_cancel();
    }
}

/// What a kernel's queue may be asked to be when it is made.
fn check_plain(flags: OpenFlags, options: &OpenOptions) -> Result<()> {
    if flags.create && options.flags & option::KEPT != 0 {
        return Err(not_here(
            "only queues in shared memory can be made with MQRS_OPT_EPHEMERAL, MQRS_OPT_STAMP or MQRS_OPT_REDELIVER",
        ));
    }
    Ok(())
}

/// Remove a queue's name; a System V queue with its messages.
pub fn unlink(name: &CStr) -> Result<()> {
    match Address::parse(name)? {
        Address::Shm(name) => shm::unlink(&name),
        Address::Posix(name) => posix::unlink(&name),
        Address::Sysv(address) => sysv::unlink(&address),
        Address::Amqp => Err(no_broker()),
    }
}

/// What a transport allows here now.
pub fn limits(which: u32) -> Result<Limits> {
    match which {
        transport::SHM => Ok(shm::limits()),
        transport::POSIX => Ok(posix::limits()),
        transport::SYSV => Ok(sysv::limits()),
        transport::AMQP => Ok(Limits { unavailable: libc::ENOTSUP, ..Limits::default() }),
        _ => Err(say(libc::EINVAL, "there is no transport of this number")),
    }
}

fn no_broker() -> crate::error::Errno {
    not_here("the amqp transport is not part of this build")
}
