//! One handle on a shared-memory queue: a call's way from the door to the engine.
//!
//! A handle keeps what a fork leaves as it is: names, sizes, a descriptor. What belongs
//! to one process, its mapping and its owner number, is its *attachment*, which lies in
//! a page that the kernel wipes in a forked child. A call that finds the page wiped
//! attaches anew: by a description of its own, with an owner number of its own. So it
//! does not matter how the child was made or what other threads were doing.
//!
//! Source: madvise(2), MADV_WIPEONFORK (Linux 4.14) and MADV_DONTFORK.

mod attachment;
mod open;

pub use attachment::Attachment;

use super::beacon_file::{FifoOf, KeptFifo};
use super::create;
use super::descriptor;
use super::engine::{Engine, Look};
use super::ephemeral;
use super::layout::Geometry;
use super::loan::Lent;
use super::wait::{SLICE, SLICE_MOST, Waiting, damaged, failure};
use super::word::Word;
use crate::address::ShmName;
use crate::attr::{Attr, Limits, PRIO_MAX, Stats, capability, option, transport};
use crate::deadline::Wait;
use crate::directory::{self, explained};
use crate::error::{Errno, Result};
use crate::list::Found;
use crate::message::{self, Incoming, Outgoing, Request};
use crate::notify::{self, Notification};
use crate::oflag::Direction;
use crate::report::say;
use crate::sync::Ordering::{Acquire, Relaxed};
use crate::sync::local::{AtomicI32, AtomicPtr, AtomicU64};
use crate::sys::file::{self, Descriptor, Identity, Status};
use crate::transport::{Access, Entered, Sign, Transport, check_mode, one_by_one, too_long};
use crate::waiting::Side;
use attachment::detach;
use core::ffi::CStr;

/// An open shared-memory queue.
pub struct ShmQueue {
    /// This process's attachment; the newest of a list.
    attachment: AtomicPtr<Attachment>,
    geometry: Geometry,
    access: Access,
    /// A descriptor of the file, to ask about owners and to open it again.
    probe: AtomicI32,
    /// A description for forked children that may not open the file, or -1.
    spare: i32,
    identity: Identity,
    name: Option<ShmName>,
    /// What it was made with: bits of `option::KEPT`.
    options: u64,
    /// The descriptor for poll, of this process or one it was forked from; see `descriptor.rs`.
    eventfd: AtomicU64,
    /// Where a description of the beacon is kept, if the queue has one.
    fifo: KeptFifo,
}

// SAFETY: the pointer leads to memory that is only read, atomically changed or belongs to
// one thread by the handle's rules; everything else is plain or atomic.
unsafe impl Send for ShmQueue {}
// SAFETY: as above.
unsafe impl Sync for ShmQueue {}

impl ShmQueue {
    /// A description for the last look of a user of an ephemeral queue, who has left it: by
    /// which it is seen whether others hold their locks through the one that there is.
    fn description_of_its_own(&self) -> Option<Descriptor> {
        let by_name = || {
            let found = create::find(&directory::open().ok()?, self.name.as_ref()?).ok()?;
            (found.identity == self.identity).then_some(found.probe)
        };
        self.probe().and_then(|probe| self.reopen(probe)).ok().or_else(by_name)
    }

    fn close_descriptors(&mut self) {
        if self.probe().is_ok() {
            file::close(*self.probe.get_mut());
        }
        if self.spare >= 0 && file::identity(self.spare) == Ok(self.identity) {
            file::close(self.spare);
        }
    }

    /// Where this process's description of the beacon is kept.
    pub(super) fn fifo(&self) -> FifoOf {
        self.fifo.share()
    }

    /// Which file the queue is.
    pub(super) fn identity(&self) -> Identity {
        self.identity
    }

    /// What is known of the queue's file now.
    pub(super) fn status(&self) -> Result<Status> {
        file::status(self.probe()?)
            .map_err(|error| explained(error, "cannot look at the queue's file"))
    }

    pub(super) fn is_ephemeral(&self) -> bool {
        self.options & option::EPHEMERAL != 0
    }

    /// The descriptor, if it still is one of this queue.
    fn probe(&self) -> Result<i32> {
        let probe = self.probe.load(Relaxed);
        match file::identity(probe) {
            Ok(identity) if identity == self.identity => Ok(probe),
            Ok(_) | Err(Errno(libc::EBADF)) => {
                Err(say(libc::EBADF, "the program has closed the queue's descriptor"))
            }
            Err(error) => Err(explained(error, "cannot look at the queue's file")),
        }
    }

    /// A new description of the queue.
    fn reopen(&self, probe: i32) -> Result<Descriptor> {
        create::reopen(probe, self.name.as_ref().map_or(c"", ShmName::file_name))
    }

    /// The queue seems to be full.
    ///
    /// # Safety
    /// `message` is readable for `len` bytes.
    #[cold]
    unsafe fn send_or_wait(
        &self,
        attachment: &Attachment,
        entered: Entered,
        message: *const u8,
        len: usize,
        prio: u32,
        wait: Wait,
    ) -> Result<()> {
        let engine = &attachment.engine;
        // SAFETY: granted by the caller.
        self.waiting(attachment, Side::Sender, entered, wait)
            .run(|look| unsafe { engine.try_send(message, len, prio, look) })
    }

    /// The queue seems to be empty.
    ///
    /// # Safety
    /// `buf` is writable for `cap` bytes.
    #[cold]
    unsafe fn receive_or_wait(
        &self,
        attachment: &Attachment,
        entered: Entered,
        buf: *mut u8,
        cap: usize,
        wait: Wait,
    ) -> Result<(usize, u32)> {
        let engine = &attachment.engine;
        // SAFETY: granted by the caller.
        self.waiting(attachment, Side::Receiver, entered, wait)
            .run(|look| unsafe { engine.try_receive(buf, cap, look) })
    }

    pub(super) fn waiting<'a>(
        &'a self,
        attachment: &'a Attachment,
        side: Side,
        entered: Entered,
        wait: Wait,
    ) -> Waiting<'a> {
        let wait = self.access.wait_for(wait);
        Waiting {
            engine: &attachment.engine,
            patience: attachment.patience(side),
            side,
            wait,
            access: &self.access,
            entered,
            slice: SLICE,
            longest: SLICE_MOST,
        }
    }

    /// What this queue can do.
    fn capabilities(&self) -> u64 {
        let stamped = if self.options & option::STAMP != 0 { capability::SENDER } else { 0 };
        capability::FD
            | capability::NOTIFY
            | capability::SMALL_BUFFER
            | capability::PERSISTENT_NOTIFY
            | capability::PEEK
            | capability::SHUTDOWN
            | capability::STATS
            | capability::DROP_OLDEST
            | capability::ZERO_COPY
            | stamped
    }

    fn bytes_queued(&self, engine: &Engine) -> u64 {
        let segment = engine.segment();
        let as_of = engine.as_of_now();
        (0..self.geometry.nslots)
            .filter_map(|index| segment.slot(index))
            .filter(|slot| as_of.is_queued(Word(slot.word.load(Acquire))))
            .map(|slot| slot.len.load(Relaxed).min(self.geometry.msgsize) as u64)
            .sum()
    }
}

impl Transport for ShmQueue {
    fn name(&self) -> &CStr {
        self.name.as_ref().map_or(c"", ShmName::full)
    }

    fn access(&self) -> &Access {
        &self.access
    }

    fn msgsize(&self) -> Result<usize> {
        Ok(self.geometry.msgsize as usize)
    }

    #[inline(always)]
    unsafe fn send_since(
        &self,
        entered: Entered,
        message: *const u8,
        len: usize,
        prio: u32,
        wait: Wait,
    ) -> Result<()> {
        self.access.check_send(message, len, prio)?;
        if len > self.geometry.msgsize as usize {
            return Err(too_long());
        }
        let attachment = self.attachment()?;
        let engine = &attachment.engine;
        if engine.is_poisoned() {
            return Err(damaged());
        }
        let message = if len == 0 { core::ptr::dangling() } else { message };
        // SAFETY: granted by the caller; nothing is read if len is 0.
        if unsafe { engine.try_send(message, len, prio, Look::Glance) }.is_ok() {
            attachment.patience(Side::Sender).did_not_wait();
            return Ok(());
        }
        // SAFETY: as above.
        unsafe { self.send_or_wait(attachment, entered, message, len, prio, wait) }
    }

    #[inline(always)]
    unsafe fn receive(&self, buf: *mut u8, cap: usize, wait: Wait) -> Result<(usize, u32)> {
        let entered = self.access.enter();
        self.access.check_receive(buf, cap)?;
        let attachment = self.attachment()?;
        let engine = &attachment.engine;
        if engine.is_poisoned() {
            return Err(damaged());
        }
        let buf = if cap == 0 { core::ptr::dangling_mut() } else { buf };
        // SAFETY: granted by the caller; nothing is written if cap is 0.
        if let Ok(got) = unsafe { engine.try_receive(buf, cap, Look::Glance) } {
            attachment.patience(Side::Receiver).did_not_wait();
            return Ok(got);
        }
        // SAFETY: as above.
        unsafe { self.receive_or_wait(attachment, entered, buf, cap, wait) }
    }

    fn check_messages(&self, mut messages: impl Iterator<Item = Outgoing>) -> Result<()> {
        let longest = self.geometry.msgsize as usize;
        let may_send = self.access.direction != Direction::Receive;
        messages.try_for_each(|message| {
            let Outgoing { data, len, prio, flags, .. } = message;
            let is_right = may_send
                && len <= longest
                && prio <= PRIO_MAX
                && (!data.is_null() || len == 0)
                && flags & message::send::TYPE == 0;
            if is_right { Ok(()) } else { self.check_outgoing(&message) }
        })
    }

    unsafe fn send_message(&self, message: &Outgoing, wait: Wait) -> Result<()> {
        self.check_outgoing(message)?;
        // SAFETY: granted by the caller.
        unsafe {
            match message.flags & message::send::DROP_OLDEST {
                0 => self.send(message.data, message.len, message.prio, wait),
                _ => self.send_dropping(message, wait),
            }
        }
    }

    fn check_requests(&self, mut requests: impl Iterator<Item = Request>) -> Result<()> {
        let may_receive = self.access.direction != Direction::Send;
        requests.try_for_each(|request| {
            let is_right = may_receive
                && (!request.data.is_null() || request.cap == 0)
                && request.flags & !message::receive::TRUNCATE == 0;
            if is_right { Ok(()) } else { self.check_asked(&request) }
        })
    }

    unsafe fn send_batch(
        &self,
        count: usize,
        message: impl Fn(usize) -> Outgoing + Copy,
        wait: Wait,
    ) -> Result<usize> {
        if count == 0 || message(0).flags & message::send::DROP_OLDEST != 0 {
            // SAFETY: granted by the caller.
            let send = |i, wait| unsafe { self.send_message(&message(i), wait) };
            return one_by_one(count, wait, send);
        }
        // SAFETY: as above.
        unsafe { self.send_several(count, message, wait) }
    }

    unsafe fn receive_batch(
        &self,
        count: usize,
        request: impl Fn(usize) -> Request + Copy,
        got: impl Fn(usize, Incoming) + Copy,
        wait: Wait,
    ) -> Result<usize> {
        if count == 0 {
            return Ok(0);
        }
        if request(0).flags & message::receive::PEEK == 0 {
            // SAFETY: granted by the caller.
            return unsafe { self.receive_several(count, request, got, wait) };
        }
        let mut seen = 0;
        while seen < count {
            let wait = if seen == 0 { wait } else { Wait::Never };
            let request = |i| request(seen + i);
            let got = |i, incoming| got(seen + i, incoming);
            // SAFETY: as above.
            match unsafe { self.look_at_next(count - seen, request, got, wait) } {
                Ok(more) => seen += more,
                Err(error) if seen == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(seen)
    }

    unsafe fn receive_message(&self, request: &Request, wait: Wait) -> Result<Incoming> {
        self.check_asked(request)?;
        if request.flags & message::receive::PEEK == 0 {
            // SAFETY: granted by the caller.
            return unsafe { self.receive_known(request, wait) };
        }
        let mut seen = Incoming::default();
        // SAFETY: granted by the caller.
        unsafe { self.look_at_next(1, |_| *request, |_, incoming| seen = incoming, wait) }?;
        Ok(seen)
    }

    fn shutdown(&self) -> Result<()> {
        self.access.check_send(core::ptr::null(), 0, 0)?;
        self.healthy()?.engine().shut().map_err(|refused| failure(refused).unwrap_or_else(damaged))
    }

    fn stats(&self) -> Result<Stats> {
        self.statistics()
    }

    fn reserve(&self, len: usize, wait: Wait) -> Result<*mut u8> {
        self.reserve_slot(len, wait)
    }

    fn commit(&self, slot: *mut u8, len: usize, prio: u32, wait: Wait) -> Result<()> {
        self.commit_slot(slot, len, prio, wait)
    }

    fn abort(&self, slot: *mut u8) -> Result<()> {
        self.give_back(slot, Lent::Reserved)
    }

    fn acquire(&self, wait: Wait) -> Result<(*const u8, usize, u32)> {
        self.acquire_message(wait)
    }

    fn release(&self, data: *const u8) -> Result<()> {
        self.give_back(data, Lent::Acquired)
    }

    fn requeue(&self, data: *const u8) -> Result<()> {
        self.requeue_message(data)
    }

    fn check(&self) -> Result<()> {
        self.healthy().map(drop)
    }

    fn wake_waiting(&self) {
        // A child that has no attachment yet has nobody who waits.
        if let Some(attachment) = self.attachment_if_any() {
            attachment.engine.wake_everybody();
        }
    }

    fn attr(&self) -> Result<Attr> {
        let engine = self.healthy()?.engine();
        let status = self.status()?;
        Ok(Attr {
            transport: transport::SHM,
            flags: self.access.flags(),
            maxmsg: self.geometry.maxmsg as u64,
            msgsize: self.geometry.msgsize as u64,
            curmsgs: engine.queued_exactly() as u64,
            curbytes: self.bytes_queued(engine),
            mode: status.mode & 0o7777,
            uid: status.uid,
            gid: status.gid,
            capabilities: self.capabilities(),
        })
    }

    fn dup_fd(&self) -> Result<i32> {
        self.healthy()?;
        let probe = self.probe()?;
        // A description of its own, so that no lock of ours can outlive us through it.
        match self.reopen(probe) {
            Err(Errno(libc::EACCES)) => file::duplicate(probe)
                .map_err(|error| explained(error, "cannot duplicate the descriptor")),
            other => other,
        }
        .map(Descriptor::into_number)
    }

    fn set_owner(&self, mode: u32, uid: u32, gid: u32) -> Result<()> {
        check_mode(mode)?;
        let engine = self.healthy()?.engine();
        let probe = self.probe()?;
        file::change_access(probe, mode, uid, gid)
            .map_err(|error| explained(error, "cannot change the queue's owner or mode"))?;
        self.change_beacon_access(engine, mode, uid, gid);
        Ok(())
    }

    fn fd(&self) -> Result<i32> {
        notify::descriptor::open(self.healthy()?, &self.eventfd)
    }

    fn sign(&self) -> Result<Sign<'_>> {
        Ok(Sign::Word(&self.attachment()?.engine, self.probe.load(Relaxed)))
    }

    fn notify(&self, notification: Notification, flags: u64) -> Result<()> {
        notify::shm::register(self.healthy()?, notification, flags)
    }

    fn notify_cancel(&self) -> Result<()> {
        // A child that has not used the handle yet has no registration.
        if let Some(attachment) = self.attachment_if_any() {
            notify::cancel(notify::shm::holder(attachment));
            self.healthy()?;
        }
        Ok(())
    }
}

impl Drop for ShmQueue {
    fn drop(&mut self) {
        let size = self.geometry.total as usize;
        let is_user = self.is_ephemeral() && self.attachment_if_any().is_some();
        let own_probe = self.attachment_if_any().and_then(|a| a.engine.own_probe());
        if let Some(attachment) = self.attachment_if_any() {
            notify::descriptor::forget(attachment);
            if attachment.engine.may_be_lazy() {
                notify::beacon::forget(attachment);
            }
        }
        descriptor::close(&self.eventfd);
        let mut attachment = *self.attachment.get_mut();
        while !attachment.is_null() {
            // SAFETY: the list of this handle's attachments, which nobody uses any more.
            attachment = unsafe { detach(attachment, size) };
        }
        match is_user.then(|| self.description_of_its_own()).flatten() {
            Some(fresh) => {
                // What the dead among our children have locked goes with our descriptors.
                self.close_descriptors();
                ephemeral::user_has_gone(fresh.number(), &self.geometry, false);
                self.clear_beacon_away(fresh.number());
            }
            None => {
                if let Ok(probe) = self.probe() {
                    if is_user && own_probe == Some(probe) {
                        ephemeral::user_has_gone(probe, &self.geometry, true);
                    }
                    self.clear_beacon_away(probe);
                }
                self.close_descriptors();
            }
        }
    }
}

/// Remove a queue's name.
pub fn unlink(name: &ShmName) -> Result<()> {
    create::unlink(name)
}

/// Show `found` the address of every queue.
pub fn list(found: &mut Found<'_>) -> Result<()> {
    create::list(found)
}

/// What this transport allows here now.
pub fn limits() -> Limits {
    use super::layout::{MAXMSG_DEFAULT, MAXMSG_MAX, MSGSIZE_DEFAULT, MSGSIZE_MAX};
    Limits {
        unavailable: directory::open().map_or_else(|error| error.0, |_| 0),
        maxmsg_default: MAXMSG_DEFAULT,
        maxmsg_max: MAXMSG_MAX,
        msgsize_default: MSGSIZE_DEFAULT,
        msgsize_max: MSGSIZE_MAX,
        queues_max: 0,
        bytes_max: 0,
        prio_max: PRIO_MAX as u64,
    }
}
