//! Queues of the kernel's msgget: a handle on one of them.
//!
//! A priority is a type: 32768 - priority, so that a receive of the lowest type there is
//! (msgtyp < 0) gives the oldest message of the highest priority. The queue itself is a
//! number (msqid) and nothing else; it means something only in the IPC namespace in which it
//! was opened. The number of a queue that was removed belongs to nobody for a long time, and
//! a handle that has met it once remembers that, so it never reaches another's queue.
//!
//! ```text
//! open.rs     by key, name or number; removing          record.rs   which name has a key
//! message.rs  a message's way into the kernel and out   wait.rs     waiting, timed or not
//! bell.rs     what wakes timed waits at once            limits.rs   limits and sentences
//! list.rs     the queues that there are
//! ```
//!
//! Source: sysvipc(7), msgget(2), msgop(2), msgctl(2).

mod bell;
mod limits;
mod list;
mod message;
mod open;
mod record;
mod wait;

pub use limits::limits;
pub use list::list;
pub use open::unlink;

use crate::address::{NAME_MAX, SysvAddress};
use crate::attr::{Attr, OpenOptions, Stats, capability, transport};
use crate::deadline::Wait;
use crate::error::{Errno, Result};
use crate::message::{Incoming, Outgoing, Request, receive, send};
use crate::oflag::OpenFlags;
use crate::report::say;
use crate::shm::poll::event;
use crate::sync::Ordering::Relaxed;
use crate::sync::local::{AtomicBool, AtomicU64};
use crate::sys::msg::{self, Settings, Status};
use crate::text::Text;
use crate::transport::{Access, Entered, Sign, Transport, check_mode, not_here};
use bell::Bells;
use core::ffi::{CStr, c_long};
use message::{Ask, kind_of, prio_of};

/// `sysv:/`, a name, and its NUL.
type Name = Text<{ 6 + NAME_MAX + 1 }>;

/// An open System V queue.
pub struct SysvQueue {
    id: i32,
    name: Name,
    access: Access,
    bells: Bells,
    /// Most bytes of a message, when we last asked; what is longer makes us ask again.
    longest: AtomicU64,
    /// The queue was found removed.
    is_gone: AtomicBool,
}

impl SysvQueue {
    /// Open or make a queue.
    pub fn open(
        address: SysvAddress,
        flags: OpenFlags,
        options: &OpenOptions,
    ) -> Result<SysvQueue> {
        let (id, name) = open::open(&address, flags, options)?;
        let queue = SysvQueue {
            id,
            name,
            access: Access::new(flags, options.flags),
            bells: Bells::attach(),
            longest: AtomicU64::new(0),
            is_gone: AtomicBool::new(false),
        };
        // If it was removed already, the first call on the handle will say so.
        let _ = queue.learn_longest();
        Ok(queue)
    }

    /// `EIDRM` if the queue was found removed before.
    fn check_alive(&self) -> Result<()> {
        if self.is_gone.load(Relaxed) { Err(self.gone()) } else { Ok(()) }
    }

    /// The queue is removed: remember that.
    fn gone(&self) -> Errno {
        self.is_gone.store(true, Relaxed);
        say(libc::EIDRM, "the queue was removed")
    }

    /// Look at the queue.
    fn status(&self) -> Result<Status> {
        self.check_alive()?;
        open::look(self.id).map_err(|error| match error.0 {
            libc::EINVAL | libc::EIDRM => self.gone(),
            libc::EACCES => say(libc::EACCES, "looking at the queue needs permission to read"),
            _ => error,
        })
    }

    /// Most bytes that the kernel takes in a message, and that the queue holds.
    fn learn_longest(&self) -> Result<(u64, u64)> {
        let message = msg::limits().map_or(u64::MAX, |limits| limits.message);
        let queue = match self.status() {
            Ok(status) => status.most_bytes,
            // Without permission to look, in an older kernel, that is not to be known.
            Err(Errno(libc::EACCES)) => u64::MAX,
            Err(error) => return Err(error),
        };
        self.longest.store(message.min(queue), Relaxed);
        Ok((message, queue))
    }

    /// Change owner, mode or size.
    fn set(&self, change: impl FnOnce(&mut Settings)) -> Result<()> {
        let Status { uid, gid, mode, most_bytes, .. } = self.status()?;
        // The kernel's number is a word of the machine.
        let most_bytes = most_bytes as usize;
        let mut settings = Settings { uid, gid, mode, most_bytes };
        change(&mut settings);
        msg::set(self.id, &settings).map_err(|error| match error.0 {
            libc::EIDRM => self.gone(),
            // Removed since we looked, or an owner that cannot be.
            libc::EINVAL => match self.status() {
                Err(gone) => gone,
                Ok(_) => limits::cannot_set(error, settings.most_bytes),
            },
            _ => limits::cannot_set(error, settings.most_bytes),
        })
    }
}

/// The type that a call names, as the kernel takes it.
fn kind(kind: i64) -> Result<c_long> {
    c_long::try_from(kind).map_err(|_| say(libc::EINVAL, "the type does not fit the system's long"))
}

/// The type of a message in the general form.
fn kind_of_message(message: &Outgoing) -> Result<c_long> {
    if message.flags & send::DROP_OLDEST != 0 {
        return Err(not_here("a System V queue cannot drop its oldest message"));
    }
    match message.flags & send::TYPE {
        0 => Ok(kind_of(message.prio)),
        _ if message.kind <= 0 => Err(say(libc::EINVAL, "the type of a message must be above 0")),
        _ => kind(message.kind),
    }
}

/// Which message a request in the general form is for.
fn asked_for(request: &Request) -> Result<Ask> {
    let flags = request.flags;
    let cut = flags & receive::TRUNCATE != 0;
    let has_type = flags & receive::TYPE != 0;
    let except = flags & receive::EXCEPT != 0;
    if flags & receive::PEEK != 0 {
        if has_type || except {
            return Err(say(libc::EINVAL, "looking at messages goes by position, not by type"));
        }
        // Behind all that a queue can hold there is nothing, and that is what such a
        // position says.
        let position = c_long::try_from(request.sequence).unwrap_or(c_long::MAX);
        return Ok(Ask { kind: position, flags: msg::MSG_COPY, cut });
    }
    if except && (!has_type || request.kind <= 0) {
        return Err(say(libc::EINVAL, "MQRS_RECV_EXCEPT needs MQRS_RECV_TYPE and a type above 0"));
    }
    if !has_type {
        return Ok(Ask { cut, ..Ask::NEXT });
    }
    // The lowest long has no opposite; no type is above that of the next.
    let kind = kind(request.kind)?.max(-c_long::MAX);
    Ok(Ask { kind, flags: if except { msg::MSG_EXCEPT } else { 0 }, cut })
}

/// Whether this kernel can show messages without taking them.
fn can_peek(id: i32) -> bool {
    let mut kind: c_long = 0;
    let flags = msg::MSG_COPY | libc::IPC_NOWAIT;
    // SAFETY: a type, and no byte. Nothing lies at that position.
    let looked = unsafe { msg::receive(id, &mut kind, 0, c_long::MAX, flags) };
    // It says so before it looks at the queue or at permissions.
    looked != Err(Errno(libc::ENOSYS))
}

impl SysvQueue {
    fn check_message(&self, message: &Outgoing) -> Result<()> {
        let Outgoing { data, len, prio, flags, .. } = *message;
        kind_of_message(message)?;
        // With a type the priority counts for nothing.
        self.access.check_send(data, len, if flags & send::TYPE != 0 { 0 } else { prio })
    }

    fn check_request(&self, request: &Request) -> Result<()> {
        asked_for(request)?;
        self.access.check_receive(request.data, request.cap)
    }
}

impl Transport for SysvQueue {
    fn name(&self) -> &CStr {
        self.name.as_c_str()
    }

    fn access(&self) -> &Access {
        &self.access
    }

    fn msgsize(&self) -> Result<usize> {
        let (message, queue) = self.learn_longest()?;
        Ok(usize::try_from(message.min(queue)).unwrap_or(usize::MAX))
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
        // SAFETY: granted by the caller, and checked.
        unsafe { self.put(entered, message, len, kind_of(prio), wait) }
    }

    unsafe fn receive(&self, buf: *mut u8, cap: usize, wait: Wait) -> Result<(usize, u32)> {
        let entered = self.access.enter();
        self.access.check_receive(buf, cap)?;
        // SAFETY: granted by the caller, and checked.
        let (len, kind) = unsafe { self.take(entered, Ask::NEXT, buf, cap, wait) }?;
        Ok((len, prio_of(kind)))
    }

    fn check_messages(&self, mut messages: impl Iterator<Item = Outgoing>) -> Result<()> {
        messages.try_for_each(|message| {
            self.check_message(&message)?;
            self.check_length(message.len)
        })
    }

    unsafe fn send_message(&self, message: &Outgoing, wait: Wait) -> Result<()> {
        let entered = self.access.enter();
        self.check_message(message)?;
        // SAFETY: granted by the caller, and checked.
        unsafe { self.put(entered, message.data, message.len, kind_of_message(message)?, wait) }
    }

    fn check_requests(&self, mut requests: impl Iterator<Item = Request>) -> Result<()> {
        requests.try_for_each(|request| self.check_request(&request))
    }

    unsafe fn receive_message(&self, request: &Request, wait: Wait) -> Result<Incoming> {
        let entered = self.access.enter();
        self.check_request(request)?;
        let ask = asked_for(request)?;
        // SAFETY: granted by the caller, and checked.
        let (len, kind) = unsafe { self.take(entered, ask, request.data, request.cap, wait) }?;
        let peeked = request.flags & receive::PEEK != 0;
        Ok(Incoming {
            len,
            prio: prio_of(kind),
            // Narrower in 32-bit programs.
            #[allow(clippy::useless_conversion)]
            kind: i64::from(kind),
            sequence: if peeked { request.sequence.saturating_add(1) } else { 0 },
            ..Incoming::default()
        })
    }

    fn attr(&self) -> Result<Attr> {
        let status = self.status()?;
        let message = msg::limits().map_or(u64::MAX, |limits| limits.message);
        let peek = if can_peek(self.id) { capability::PEEK } else { 0 };
        Ok(Attr {
            transport: transport::SYSV,
            flags: self.access.flags(),
            maxmsg: status.most_bytes,
            msgsize: message.min(status.most_bytes),
            curmsgs: status.count,
            curbytes: status.bytes,
            mode: status.mode,
            uid: status.uid,
            gid: status.gid,
            capabilities: capability::TYPES | capability::SMALL_BUFFER | capability::STATS | peek,
        })
    }

    fn stats(&self) -> Result<Stats> {
        let status = self.status()?;
        Ok(Stats {
            last_send_pid: status.last_sender,
            last_receive_pid: status.last_receiver,
            last_send_ns: status.sent_s.saturating_mul(1_000_000_000),
            last_receive_ns: status.received_s.saturating_mul(1_000_000_000),
            ..Stats::default()
        })
    }

    fn wake_waiting(&self) {
        self.bells.of(self.id).ring_both();
    }

    fn check(&self) -> Result<()> {
        match self.status() {
            // It is there, and that is all that was asked.
            Ok(_) | Err(Errno(libc::EACCES)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn sign(&self) -> Result<Sign<'_>> {
        let bells = self.bells.of(self.id);
        Ok(Sign::Bells(&bells.receivers, &bells.senders))
    }

    fn ready(&self) -> Result<u32> {
        let status = match self.status() {
            Err(Errno(libc::EIDRM)) => return Ok(event::ALL),
            other => other?,
        };
        let has_room = status.bytes.max(status.count) < status.most_bytes;
        let writable = if has_room { event::WRITABLE } else { 0 };
        Ok(if status.count > 0 { event::READABLE | writable } else { writable })
    }

    fn set_owner(&self, mode: u32, uid: u32, gid: u32) -> Result<()> {
        check_mode(mode)?;
        let change = |field: &mut u32, to| {
            if to != u32::MAX {
                *field = to;
            }
        };
        self.set(|settings| {
            change(&mut settings.mode, mode);
            change(&mut settings.uid, uid);
            change(&mut settings.gid, gid);
        })
    }

    fn set_maxbytes(&self, bytes: u64) -> Result<()> {
        if bytes == 0 {
            return Err(say(libc::EINVAL, "a queue that holds 0 bytes could hold no message"));
        }
        let Ok(bytes) = usize::try_from(bytes) else {
            return Err(say(libc::EINVAL, "the number of bytes does not fit the system's long"));
        };
        self.set(|settings| settings.most_bytes = bytes)?;
        // There may be room now, or a message may have become too long.
        self.bells.of(self.id).senders.wake_all();
        self.learn_longest().map(drop)
    }

    fn dup_fd(&self) -> Result<i32> {
        Err(not_here("a System V queue has no descriptor"))
    }
}
