//! What every transport must be able to do, and what their handles have in common.
//!
//! A handle's way through a call is the same everywhere: check the arguments in the order of
//! the header, try, then wait or give up as handle and timeout say. What one transport cannot
//! do at all it leaves to the answer given here, `ENOTSUP`, and clears its capability bit.

use crate::attr::{Attr, PRIO_MAX, Stats, option};
use crate::deadline::Wait;
use crate::error::{Errno, Result};
use crate::message::{Incoming, Outgoing, Request};
use crate::notify::Notification;
use crate::oflag::{Direction, OpenFlags};
use crate::report::say;
use crate::shm::poll::event;
use crate::shm::{Engine, Event};
use crate::sync::Ordering::{Relaxed, SeqCst};
use crate::sync::local::{AtomicBool, AtomicU32};
use core::ffi::CStr;

/// An open queue of some transport. Dropping it closes it.
pub trait Transport: Send + Sync {
    /// The full address, "" if unknown; valid as long as the handle.
    fn name(&self) -> &CStr;

    /// What the handle may be used for, and whether it waits.
    fn access(&self) -> &Access;

    /// Most bytes in a message, now.
    fn msgsize(&self) -> Result<usize>;

    /// Send one message, in a call that came in at `entered`.
    ///
    /// # Safety
    /// `message` is null or readable for `len` bytes.
    unsafe fn send_since(
        &self,
        entered: Entered,
        message: *const u8,
        len: usize,
        prio: u32,
        wait: Wait,
    ) -> Result<()>;

    /// Send one message, in a call that comes in now.
    ///
    /// # Safety
    /// `message` is null or readable for `len` bytes.
    #[inline(always)]
    unsafe fn send(&self, message: *const u8, len: usize, prio: u32, wait: Wait) -> Result<()> {
        // SAFETY: granted by the caller.
        unsafe { self.send_since(self.access().enter(), message, len, prio, wait) }
    }

    /// Take the next message; gives its length and priority.
    ///
    /// # Safety
    /// `buf` is null or writable for `cap` bytes.
    unsafe fn receive(&self, buf: *mut u8, cap: usize, wait: Wait) -> Result<(usize, u32)>;

    /// Send one message in the general form; its flags are known ones.
    ///
    /// # Safety
    /// `message.data` is null or readable for `message.len` bytes.
    unsafe fn send_message(&self, message: &Outgoing, wait: Wait) -> Result<()>;

    /// Take or look at a message in the general form; the flags are known ones.
    ///
    /// # Safety
    /// `request.data` is null or writable for `request.cap` bytes.
    unsafe fn receive_message(&self, request: &Request, wait: Wait) -> Result<Incoming>;

    /// What `send_message` would refuse of one of these before it does anything.
    fn check_messages(&self, messages: impl Iterator<Item = Outgoing>) -> Result<()>;

    /// What `receive_message` would refuse of one of these before it does anything.
    fn check_requests(&self, requests: impl Iterator<Item = Request>) -> Result<()>;

    /// Send up to `count` messages, those that `message` gives by number, in order; wait for
    /// the first only. Gives how many were sent, at least one unless `count` is 0.
    ///
    /// # Safety
    /// As in `send_message`, for each of them.
    unsafe fn send_batch(
        &self,
        count: usize,
        message: impl Fn(usize) -> Outgoing + Copy,
        wait: Wait,
    ) -> Result<usize> {
        // SAFETY: granted by the caller.
        one_by_one(count, wait, |i, wait| unsafe { self.send_message(&message(i), wait) })
    }

    /// Take up to `count` messages as `request` asks for each by its number, and hand them to
    /// `got`; wait for the first only. Gives how many were taken, at least one unless `count`
    /// is 0.
    ///
    /// # Safety
    /// As in `receive_message`, for each of them.
    unsafe fn receive_batch(
        &self,
        count: usize,
        request: impl Fn(usize) -> Request + Copy,
        got: impl Fn(usize, Incoming) + Copy,
        wait: Wait,
    ) -> Result<usize> {
        one_by_one(count, wait, |i, wait| {
            // SAFETY: granted by the caller.
            unsafe { self.receive_message(&request(i), wait) }.map(|incoming| got(i, incoming))
        })
    }

    /// Lend a slot for a message of up to `len` bytes that is to be written in place.
    fn reserve(&self, _len: usize, _wait: Wait) -> Result<*mut u8> {
        Err(not_in_place())
    }

    /// Send what was written to a reserved slot.
    fn commit(&self, _slot: *mut u8, _len: usize, _prio: u32, _wait: Wait) -> Result<()> {
        Err(not_in_place())
    }

    /// Give a reserved slot back.
    fn abort(&self, _slot: *mut u8) -> Result<()> {
        Err(not_in_place())
    }

    /// Take the next message without copying it; gives where it lies, its length and priority.
    fn acquire(&self, _wait: Wait) -> Result<(*const u8, usize, u32)> {
        Err(not_in_place())
    }

    /// Give an acquired message's slot back.
    fn release(&self, _data: *const u8) -> Result<()> {
        Err(not_in_place())
    }

    /// Send an acquired message again.
    fn requeue(&self, _data: *const u8) -> Result<()> {
        Err(not_in_place())
    }

    /// End the queue: no more sends, and no more waits.
    fn shutdown(&self) -> Result<()> {
        Err(not_here("only queues in shared memory can be shut down"))
    }

    /// Wake the calls of this process on this handle, so that they see that they are cancelled.
    fn wake_waiting(&self) {}

    /// The queue's attributes now.
    fn attr(&self) -> Result<Attr>;

    /// Counters and last users.
    fn stats(&self) -> Result<Stats> {
        Err(not_here("this queue keeps no statistics"))
    }

    /// `EBADMSG` or `EIDRM` if the queue is of no use any more.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Change mode, user, group; `u32::MAX` leaves one as it is.
    fn set_owner(&self, mode: u32, uid: u32, gid: u32) -> Result<()>;

    /// Change how many bytes the queue holds.
    fn set_maxbytes(&self, _bytes: u64) -> Result<()> {
        Err(not_here("only System V queues can be made to hold more or fewer bytes"))
    }

    /// A new close-on-exec descriptor of the queue, the caller's.
    fn dup_fd(&self) -> Result<i32>;

    /// The handle's descriptor for poll.
    fn fd(&self) -> Result<i32> {
        Err(not_here("this queue has no descriptor for poll"))
    }

    /// By what it shows that it is ready.
    fn sign(&self) -> Result<Sign<'_>>;

    /// What is ready now, bits of `event`; where the sign does not tell.
    fn ready(&self) -> Result<u32> {
        Ok(event::ALL)
    }

    /// Register for the next arrival on an empty queue; `flags` are known ones.
    fn notify(&self, _notification: Notification, _flags: u64) -> Result<()> {
        Err(not_here("this queue cannot notify"))
    }

    /// Drop this handle's registration, if there is one, and wait out its callback.
    fn notify_cancel(&self) -> Result<()> {
        Ok(())
    }
}

/// By what a queue shows who waits for several that it is ready.
pub enum Sign<'a> {
    /// In shared memory: the word of its pollers; and its file, by this descriptor.
    Word(&'a Engine, i32),
    /// By a descriptor for poll.
    Descriptor(i32),
    /// It is ready for whatever is asked: no call will wait any more.
    Always,
    /// By bells, which only some ring who change the queue: that of receivers, of senders.
    Bells(&'a Event, &'a Event),
}

/// The answer of a transport that cannot do it.
pub fn not_here(sentence: &'static str) -> Errno {
    say(libc::ENOTSUP, sentence)
}

fn not_in_place() -> Errno {
    not_here("only queues in shared memory let messages be written and read in place")
}

/// Make the calls of a batch as single ones.
pub fn one_by_one(
    count: usize,
    wait: Wait,
    mut call: impl FnMut(usize, Wait) -> Result<()>,
) -> Result<usize> {
    let mut done = 0;
    while done < count {
        match call(done, if done == 0 { wait } else { Wait::Never }) {
            Ok(()) => done += 1,
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(done)
}

/// What a handle may be used for, and how its calls wait.
pub struct Access {
    /// O_RDONLY, O_WRONLY, O_RDWR.
    pub direction: Direction,
    /// Waits go on after a signal handler ran.
    pub restart: bool,
    nonblock: AtomicBool,
    /// Moves with each cancel.
    cancels: AtomicU32,
    /// Nobody may wait.
    cancelled: AtomicBool,
}

/// When a call came in, in cancels.
#[derive(Clone, Copy)]
pub struct Entered(u32);

impl Access {
    /// As an open call asks for it.
    pub fn new(flags: OpenFlags, option_flags: u64) -> Access {
        Access {
            direction: flags.direction,
            restart: option_flags & option::RESTART != 0,
            nonblock: AtomicBool::new(flags.nonblock),
            cancels: AtomicU32::new(0),
            cancelled: AtomicBool::new(false),
        }
    }

    /// A call comes in, and does this before it does anything else.
    #[inline(always)]
    pub fn enter(&self) -> Entered {
        Entered(self.cancels.load(Relaxed))
    }

    /// Whether a call must not wait any longer. Asked after the call was announced to those
    /// who wake.
    pub fn is_cancelled(&self, entered: Entered) -> bool {
        // SYNC: Dekker pair with cancel and set_cancelled, behind which comes a wake.
        self.cancelled.load(SeqCst) || self.cancels.load(SeqCst) != entered.0
    }

    /// End the calls that have come in; then wake them.
    pub fn cancel(&self) {
        self.cancels.fetch_add(1, SeqCst);
    }

    /// Forbid calls to wait, or allow it again; then wake them.
    pub fn set_cancelled(&self, on: bool) {
        self.cancelled.store(on, SeqCst);
    }

    /// How long a call may wait, O_NONBLOCK considered.
    #[inline(always)]
    pub fn wait_for(&self, wait: Wait) -> Wait {
        if self.nonblock.load(Relaxed) { Wait::Never } else { wait }
    }

    /// Switch waiting off or on, in this process.
    pub fn set_nonblock(&self, on: bool) {
        self.nonblock.store(on, Relaxed);
    }

    /// `O_ACCMODE | O_NONBLOCK` of the handle.
    pub fn flags(&self) -> u32 {
        let access = self.direction.oflag();
        let nonblock = if self.nonblock.load(Relaxed) { libc::O_NONBLOCK } else { 0 };
        (access | nonblock) as u32
    }

    /// Check the arguments of a send, but for the length.
    #[inline(always)]
    pub fn check_send(&self, message: *const u8, len: usize, prio: u32) -> Result<()> {
        if prio > PRIO_MAX {
            return Err(say(libc::EINVAL, "the priority is above MQRS_PRIO_MAX (32767)"));
        }
        if self.direction == Direction::Receive {
            return Err(say(libc::EBADF, "the queue was opened to receive only"));
        }
        if message.is_null() && len > 0 {
            return Err(say(libc::EFAULT, "the message is NULL but its length is not 0"));
        }
        Ok(())
    }

    /// Check the arguments of a receive, but for the length.
    #[inline(always)]
    pub fn check_receive(&self, buf: *const u8, cap: usize) -> Result<()> {
        if self.direction == Direction::Send {
            return Err(say(libc::EBADF, "the queue was opened to send only"));
        }
        if buf.is_null() && cap > 0 {
            return Err(say(libc::EFAULT, "the buffer is NULL but its size is not 0"));
        }
        Ok(())
    }
}

/// The answer to a message that is too long for its queue.
#[cold]
pub fn too_long() -> Errno {
    say(libc::EMSGSIZE, "the message is longer than the queue's msgsize")
}

/// Bits of a mode that a queue can have.
pub fn check_mode(mode: u32) -> Result<()> {
    if mode != u32::MAX && mode & !0o777 != 0 {
        return Err(say(libc::EINVAL, "the mode has bits beyond 0777"));
    }
    Ok(())
}
