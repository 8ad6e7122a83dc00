//! The kernel's POSIX queues: `posix:/name`.
//!
//! A handle is a descriptor of the queue and little else; order, waiting and limits are the
//! kernel's. What is added: the checks and their order, our clocks (`wait.rs`), sentences
//! that name the limit (`limits.rs`), and care for registrations (`registry.rs`).
//!
//! Source: mq_overview(7) and its pages; ipc/mqueue.c of Linux.

mod limits;
mod list;
mod registry;
mod wait;

pub use limits::limits;
pub use list::{list, look};

use crate::address::PosixName;
use crate::attr::{Attr, OpenOptions, capability, transport};
use crate::deadline::Wait;
use crate::error::{Errno, Result};
use crate::message::{self, Incoming, Outgoing, Request};
use crate::notify::posix::Party;
use crate::notify::{self, Holder, Notification, how};
use crate::oflag::{Direction, OpenFlags};
use crate::report::{failed, say};
use crate::sys::file::{self, Descriptor, Identity};
use crate::sys::{map, mq};
use crate::transport::{Access, Entered, Sign, Transport, check_mode, not_here, too_long};
use crate::waiting::Side;
use core::ffi::CStr;
use wait::Waiting;

/// An open POSIX queue of the kernel.
pub struct PosixQueue {
    /// The number may be closed, and mean something else, behind our back.
    fd: i32,
    identity: Identity,
    /// Never changes in the kernel either.
    msgsize: usize,
    access: Access,
    name: Option<PosixName>,
    /// As which it registers for notification.
    holder: Holder,
}

impl PosixQueue {
    /// Open or make the queue `name`.
    pub fn open(name: PosixName, flags: OpenFlags, options: &OpenOptions) -> Result<PosixQueue> {
        let access = Access::new(flags, options.flags);
        // A queue that vanishes and comes back between our looks is an argument between
        // others; nobody needs more tries than this.
        for _ in 0..1000 {
            // Always one of the two, so that we know whether the queue is our own.
            if !flags.exclusive {
                match mq::open(name.bare(), flags.direction.oflag(), 0, None) {
                    Err(Errno(libc::ENOENT)) if flags.create => {}
                    Err(error) => return Err(not_opened(error)),
                    Ok(fd) => return Ok(PosixQueue::with(fd, access)?.named(name)),
                }
            }
            match make(&name, flags.direction, options) {
                Err(Errno(libc::EEXIST)) if !flags.exclusive => {}
                Err(error) => return Err(error),
                Ok(fd) => {
                    let made = PosixQueue::with(fd, access).inspect_err(|_| {
                        let _ = mq::unlink(name.bare());
                    })?;
                    return Ok(made.named(name));
                }
            }
        }
        Err(say(libc::EAGAIN, "the queue's name kept appearing and vanishing"))
    }

    /// Adopt a descriptor; on failure it stays the caller's.
    pub fn open_fd(fd: i32, flags: OpenFlags, option_flags: u64) -> Result<PosixQueue> {
        let looking = |error| explained(error, "cannot look at the descriptor");
        let allowed = match file::flags(fd).map_err(looking)? & libc::O_ACCMODE {
            libc::O_RDONLY => flags.direction == Direction::Receive,
            libc::O_WRONLY => flags.direction == Direction::Send,
            _ => true,
        };
        if !allowed {
            return Err(say(libc::EACCES, "the descriptor does not allow this direction"));
        }
        let queue = PosixQueue::of_number(fd, Access::new(flags, option_flags))?;
        // The last that can fail: a handle that is dropped closes its descriptor.
        if let Err(error) = file::close_on_exec(fd) {
            core::mem::forget(queue);
            return Err(looking(error));
        }
        Ok(queue)
    }

    fn with(fd: Descriptor, access: Access) -> Result<PosixQueue> {
        registry::sweep();
        let queue = PosixQueue::of_number(fd.number(), access)?;
        fd.into_number();
        Ok(queue)
    }

    fn named(mut self, name: PosixName) -> PosixQueue {
        self.name = Some(name);
        self
    }

    /// A handle by a number that is the caller's still if this fails.
    fn of_number(fd: i32, access: Access) -> Result<PosixQueue> {
        let looking = |error| explained(error, "cannot look at the queue");
        let identity = file::identity(fd).map_err(looking)?;
        let mq::Attr { msgsize, .. } = mq::attr(fd).map_err(looking)?;
        Ok(PosixQueue {
            fd,
            identity,
            msgsize: msgsize as usize,
            access,
            name: None,
            holder: notify::posix::new_holder(),
        })
    }

    /// The descriptor, if it still is one of this queue.
    fn probe(&self) -> Result<i32> {
        match file::identity(self.fd) {
            Ok(identity) if identity == self.identity => Ok(self.fd),
            Ok(_) | Err(Errno(libc::EBADF)) => Err(closed_behind_our_back()),
            Err(error) => Err(explained(error, "cannot look at the queue")),
        }
    }

    fn waiting(&self, side: Side, entered: Entered, wait: Wait) -> Waiting<'_> {
        let wait = self.access.wait_for(wait);
        Waiting { fd: self.fd, side, wait, access: &self.access, entered }
    }

    /// Receive where there is room for any message.
    ///
    /// # Safety
    /// `buf` is writable for `cap` bytes.
    unsafe fn receive_whole(
        &self,
        entered: Entered,
        buf: *mut u8,
        cap: usize,
        wait: Wait,
    ) -> Result<(usize, u32)> {
        self.waiting(Side::Receiver, entered, wait)
            // SAFETY: granted by the caller.
            .run(|until| unsafe { mq::receive(self.fd, buf, cap, until) })
            .map_err(|error| explained_call(error, "cannot receive"))
    }

    /// Receive by way of a buffer of our own, and hand over as much as fits.
    ///
    /// # Safety
    /// `buf` is writable for `cap` bytes.
    #[inline(never)]
    unsafe fn receive_cut(&self, buf: *mut u8, cap: usize, wait: Wait) -> Result<(usize, u32)> {
        let entered = self.access.enter();
        let mut small = [0u8; SMALL];
        let (_large, room) = if self.msgsize <= SMALL {
            (None, small.as_mut_ptr())
        } else {
            let large = map::map_zeros(self.msgsize).map_err(|_| {
                say(libc::ENOMEM, "there is not enough memory to receive what is to be cut")
            })?;
            let room = large.base();
            (Some(large), room)
        };
        // SAFETY: `room` has `msgsize` bytes, of which the kernel wrote `len`; `buf` is the
        // program's and so another place.
        unsafe {
            let (len, prio) = self.receive_whole(entered, room, self.msgsize, wait)?;
            if cap > 0 {
                core::ptr::copy_nonoverlapping(room, buf, len.min(cap));
            }
            Ok((len, prio))
        }
    }
}

/// Messages up to this size are cut on the stack.
const SMALL: usize = 8192;

/// Make a queue; `EEXIST` if there is one of that name.
fn make(name: &PosixName, direction: Direction, options: &OpenOptions) -> Result<Descriptor> {
    let mode = options.permissions();
    let sizes = limits::sizes(options);
    let flags = direction.oflag() | libc::O_CREAT | libc::O_EXCL;
    let fd = mq::open(name.bare(), flags, mode, sizes.as_ref()).map_err(|error| match error.0 {
        libc::EEXIST => say(libc::EEXIST, "a queue of this name exists already"),
        _ => limits::not_made(error, options),
    })?;
    if options.is_exact() {
        file::change_mode(fd.number(), mode).map_err(|error| {
            let _ = mq::unlink(name.bare());
            explained(error, "cannot set the queue's mode")
        })?;
    }
    Ok(fd)
}

fn not_opened(error: Errno) -> Errno {
    match error.0 {
        libc::ENOENT => say(libc::ENOENT, "there is no queue of this name"),
        libc::EACCES => {
            say(libc::EACCES, "the queue's mode does not let this user open it in this direction")
        }
        _ => explained(error, "cannot open the queue"),
    }
}

/// Add the sentence to an error of a system call.
fn explained(error: Errno, doing: &str) -> Errno {
    match error.0 {
        libc::EBADF => closed_behind_our_back(),
        libc::ENOSYS => {
            say(libc::ENOSYS, "this kernel has no POSIX message queues (CONFIG_POSIX_MQUEUE)")
        }
        _ => failed(error, doing),
    }
}

/// The same after a wait, whose own answers have their sentences already.
fn explained_call(error: Errno, doing: &str) -> Errno {
    match error.0 {
        libc::EAGAIN | libc::ETIMEDOUT | libc::EINTR => error,
        _ => explained(error, doing),
    }
}

fn small_buffer() -> Errno {
    say(
        libc::EMSGSIZE,
        "the buffer is smaller than the queue's msgsize, which a POSIX queue does not allow",
    )
}

fn closed_behind_our_back() -> Errno {
    say(libc::EBADF, "the program has closed the queue's descriptor")
}

impl PosixQueue {
    fn check_message(&self, message: &Outgoing) -> Result<()> {
        if message.flags & message::send::TYPE != 0 {
            return Err(not_here("only messages of System V queues have a type"));
        }
        if message.flags != 0 {
            return Err(not_here("a POSIX queue cannot drop its oldest message"));
        }
        self.access.check_send(message.data, message.len, message.prio)?;
        if message.len > self.msgsize {
            return Err(too_long());
        }
        Ok(())
    }

    fn check_request(&self, request: &Request) -> Result<()> {
        if request.flags & (message::receive::TYPE | message::receive::EXCEPT) != 0 {
            return Err(not_here("only messages of System V queues have a type"));
        }
        if request.flags & message::receive::PEEK != 0 {
            return Err(not_here("a message of a POSIX queue cannot be looked at and left"));
        }
        self.access.check_receive(request.data, request.cap)?;
        if request.flags & message::receive::TRUNCATE == 0 && request.cap < self.msgsize {
            return Err(small_buffer());
        }
        Ok(())
    }
}

impl Transport for PosixQueue {
    fn name(&self) -> &CStr {
        self.name.as_ref().map_or(c"", PosixName::full)
    }

    fn access(&self) -> &Access {
        &self.access
    }

    fn msgsize(&self) -> Result<usize> {
        Ok(self.msgsize)
    }

    unsafe fn send_since(
        &self,
        entered: Entered,
        message: *const u8,
        len: usize,
        prio: u32,
        wait: Wait,
    ) -> Result<()> {
        self.access.check_send(message, len, prio)?;
        if len > self.msgsize {
            return Err(too_long());
        }
        self.waiting(Side::Sender, entered, wait)
            // SAFETY: granted by the caller.
            .run(|until| unsafe { mq::send(self.fd, message, len, prio, until) })
            .map_err(|error| explained_call(error, "cannot send"))
    }

    unsafe fn receive(&self, buf: *mut u8, cap: usize, wait: Wait) -> Result<(usize, u32)> {
        let entered = self.access.enter();
        self.access.check_receive(buf, cap)?;
        if cap < self.msgsize {
            return Err(small_buffer());
        }
        // SAFETY: granted by the caller.
        unsafe { self.receive_whole(entered, buf, cap, wait) }
    }

    fn check_messages(&self, mut messages: impl Iterator<Item = Outgoing>) -> Result<()> {
        messages.try_for_each(|message| self.check_message(&message))
    }

    unsafe fn send_message(&self, message: &Outgoing, wait: Wait) -> Result<()> {
        self.check_message(message)?;
        // SAFETY: granted by the caller.
        unsafe { self.send(message.data, message.len, message.prio, wait) }
    }

    fn check_requests(&self, mut requests: impl Iterator<Item = Request>) -> Result<()> {
        requests.try_for_each(|request| self.check_request(&request))
    }

    unsafe fn receive_message(&self, request: &Request, wait: Wait) -> Result<Incoming> {
        self.check_request(request)?;
        let Request { data, cap, flags, .. } = *request;
        let is_cut = flags & message::receive::TRUNCATE != 0 && cap < self.msgsize;
        let (len, prio) = if is_cut {
            // SAFETY: granted by the caller.
            unsafe { self.receive_cut(data, cap, wait) }?
        } else {
            // SAFETY: as above.
            unsafe { self.receive(data, cap, wait) }?
        };
        Ok(Incoming { len, prio, ..Incoming::default() })
    }

    fn attr(&self) -> Result<Attr> {
        let attr = attr_of(self.probe()?)?;
        Ok(Attr { flags: self.access.flags(), ..attr })
    }

    fn set_owner(&self, mode: u32, uid: u32, gid: u32) -> Result<()> {
        check_mode(mode)?;
        let fd = self.probe()?;
        file::change_access(fd, mode, uid, gid)
            .map_err(|error| explained(error, "cannot change the queue's owner or mode"))
    }

    fn dup_fd(&self) -> Result<i32> {
        file::duplicate(self.probe()?)
            .map(Descriptor::into_number)
            .map_err(|error| explained(error, "cannot duplicate the descriptor"))
    }

    fn fd(&self) -> Result<i32> {
        self.probe()
    }

    fn sign(&self) -> Result<Sign<'_>> {
        match self.probe() {
            Err(Errno(libc::EBADF)) => Ok(Sign::Always),
            fd => fd.map(Sign::Descriptor),
        }
    }

    fn notify(&self, notification: Notification, flags: u64) -> Result<()> {
        if flags & how::PERSISTENT != 0 {
            return Err(not_here("the kernel drops a POSIX queue's registration when it notifies"));
        }
        if flags != 0 {
            // A message may come right before the registration, or right after it, and then the
            // kernel notifies: nobody could tell whether to do it as well.
            return Err(not_here(
                "whether a POSIX queue has notified of a message that waits cannot be told; register, then receive with MQRS_NOWAIT",
            ));
        }
        let fd = self.probe()?;
        registry::sweep();
        let Self { holder, identity, .. } = *self;
        notify::posix::register(Party { holder, fd, identity }, notification)
    }

    fn notify_cancel(&self) -> Result<()> {
        notify::cancel(self.holder);
        registry::sweep();
        Ok(())
    }
}

impl Drop for PosixQueue {
    fn drop(&mut self) {
        if file::identity(self.fd) == Ok(self.identity) {
            registry::close(self.fd, self.identity);
        }
    }
}

/// What the queue is that a descriptor is open on.
fn attr_of(fd: i32) -> Result<Attr> {
    let looking = |error| explained(error, "cannot look at the queue");
    let status = file::status(fd).map_err(looking)?;
    let now = mq::attr(fd).map_err(looking)?;
    Ok(Attr {
        transport: transport::POSIX,
        flags: 0,
        maxmsg: now.maxmsg as u64,
        msgsize: now.msgsize as u64,
        curmsgs: now.curmsgs as u64,
        curbytes: mq::state(fd).map_or(0, |state| state.bytes),
        mode: status.mode & 0o7777,
        uid: status.uid,
        gid: status.gid,
        capabilities: capability::FD | capability::NOTIFY,
    })
}

/// Whether a descriptor is one of a POSIX queue.
pub fn is_queue(fd: i32) -> bool {
    mq::attr(fd).is_ok()
}

/// Remove a queue's name.
pub fn unlink(name: &PosixName) -> Result<()> {
    mq::unlink(name.bare()).map_err(|error| match error.0 {
        libc::ENOENT => say(libc::ENOENT, "there is no queue of this name"),
        libc::EACCES | libc::EPERM => {
            say(libc::EACCES, "only the queue's owner may remove its name")
        }
        _ => explained(error, "cannot remove the queue's name"),
    })
}
