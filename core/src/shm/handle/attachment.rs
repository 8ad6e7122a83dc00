//! What one process has of a queue: made when it is opened, made anew after a fork, given back.
//!
//! It lies in a page that the kernel wipes in a forked child; see `handle.rs`.

use super::ShmQueue;
use crate::directory::explained;
use crate::error::{Errno, Result};
use crate::shm::create::{self, PAGE};
use crate::shm::engine::{Engine, Features};
use crate::shm::owner::{self, Locks, Owners, Sight};
use crate::shm::segment::Segment;
use crate::shm::wait::{Patience, damaged};
use crate::sync::Ordering::{Acquire, Relaxed, Release, SeqCst};
use crate::sync::local::AtomicU32;
use crate::sys::file;
use crate::sys::map::{self, Mapping};
use crate::sys::process;
use crate::waiting::Side;

/// What one process has of a queue. All zeros (as fork leaves it) means: nothing.
pub struct Attachment {
    is_there: AtomicU32,
    /// In a wiped page only, for the probe's description: 0 the parent's, 1 being
    /// replaced, 2 our own.
    replacing: AtomicU32,
    /// Where the kernel cannot wipe pages, the process that it belongs to; else 0.
    only_in: i32,
    pub(super) engine: Engine,
    sending: Patience,
    receiving: Patience,
    /// The attachment of the process that we were forked from, to be freed with us.
    previous: *mut Attachment,
}

const _: () = assert!(core::mem::size_of::<Attachment>() <= PAGE);

impl Attachment {
    /// This process's view of the queue.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What this process has learnt about waiting on that side.
    #[inline(always)]
    pub(in crate::shm) fn patience(&self, side: Side) -> &Patience {
        match side {
            Side::Sender => &self.sending,
            Side::Receiver => &self.receiving,
        }
    }

    fn is_ours(&self) -> bool {
        self.is_there.load(Acquire) != 0 && (self.only_in == 0 || self.only_in == process::pid())
    }
}

impl ShmQueue {
    /// This process's attachment, made now if a fork has taken it away.
    #[inline(always)]
    pub fn attachment(&self) -> Result<&Attachment> {
        let attachment = self.attachment.load(Acquire);
        // SAFETY: never null after opening; pages of attachments live as long as the handle.
        let attachment = unsafe { &*attachment };
        if attachment.only_in == 0 && attachment.is_there.load(Acquire) != 0 {
            return Ok(attachment);
        }
        self.attachment_after_fork(attachment)
    }

    /// This process's attachment, unless a fork has taken it away.
    pub fn attachment_if_any(&self) -> Option<&Attachment> {
        // SAFETY: null or a page that lives as long as the handle.
        unsafe { self.attachment.load(Acquire).as_ref() }.filter(|a| a.is_ours())
    }

    #[cold]
    fn attachment_after_fork(&self, inherited: &Attachment) -> Result<&Attachment> {
        if !inherited.is_ours() {
            self.attach()?;
        }
        // SAFETY: as above.
        Ok(unsafe { &*self.attachment.load(Acquire) })
    }

    /// Take an owner number and map the queue, in a process that has neither.
    pub(super) fn attach(&self) -> Result<()> {
        let probe = self.probe()?;
        // SAFETY: null, or a page that lives as long as the handle.
        let inherited = unsafe { self.attachment.load(Acquire).as_ref() };
        let page = create::page()?;
        let anchor = match self.reopen(probe) {
            Err(Errno(libc::EACCES)) => return self.attach_among_relatives(probe, page),
            other => other?,
        };
        let sight = match inherited {
            Some(inherited) if !self.make_probe_our_own(inherited, probe)? => Sight::Shared,
            _ => Sight::Own,
        };
        self.attach_through(anchor.number(), Locks::Own, page, sight)
    }

    /// The file does not let us open it: its creator's child, or one who was handed the
    /// descriptor. It goes on with a description that others have, too; the kernel
    /// notices their deaths together, and what this one asks it answers with caution.
    fn attach_among_relatives(&self, probe: i32, page: (Mapping, bool)) -> Result<()> {
        let (description, locks) = match self.spare {
            0.. => (self.spare, Locks::Shared),
            _ => (probe, Locks::AskedThrough),
        };
        self.attach_through(description, locks, page, Sight::Shared)
    }

    /// Map the queue and become an owner by a description, which the mapping keeps alive.
    fn attach_through(
        &self,
        description: i32,
        locks: Locks,
        page: (Mapping, bool),
        sight: Sight,
    ) -> Result<()> {
        let mapping = create::map(description, &self.geometry)?;
        // SAFETY: `total` bytes are mapped there as long as `mapping` lives.
        let segment = unsafe { Segment::new(mapping.base(), self.geometry) };
        let owner = owner::settle(description, &segment, locks, |dead| {
            let owners = Owners::new(description, self.identity, Sight::Own);
            let features = Features::of(self.options);
            Engine::new(segment, dead, owners, 0).with(features).clear_up_after_the_dead(None);
        })?;
        self.install(page, mapping, owner, sight);
        // The dead may have left it as it was.
        self.healthy()?.engine.settle_beacon();
        Ok(())
    }

    /// Replace the parent's description under the probe's number by one of our own; false
    /// if another thread is about to (or the call that we have interrupted).
    fn make_probe_our_own(&self, inherited: &Attachment, probe: i32) -> Result<bool> {
        if inherited.only_in != 0 {
            return Ok(false);
        }
        if let Err(state) = inherited.replacing.compare_exchange(0, 1, SeqCst, SeqCst) {
            return Ok(state == 2);
        }
        let replaced = self.reopen(probe).and_then(|own| {
            file::replace(&own, probe)
                .map_err(|error| explained(error, "cannot replace a descriptor"))
        });
        inherited.replacing.store(if replaced.is_ok() { 2 } else { 0 }, SeqCst);
        replaced.map(|()| true)
    }

    /// Make a mapping that holds an owner's lock the attachment of this process.
    pub(super) fn install(
        &self,
        (page, is_wiped): (Mapping, bool),
        queue: Mapping,
        owner: u32,
        sight: Sight,
    ) {
        let inherited = self.attachment.load(Acquire);
        let owners = Owners::new(self.probe.load(Relaxed), self.identity, sight);
        // SAFETY: `total` bytes are mapped there until the handle is closed.
        let segment = unsafe { Segment::new(queue.base(), self.geometry) };
        let features = Features::of(self.options);
        let engine = Engine::new(segment, owner, owners, process::sender_id())
            .with(features)
            .with_fifo(self.fifo());
        let only_in = if is_wiped { 0 } else { process::pid() };
        let attachment: *mut Attachment = page.into_base().cast();
        queue.into_base();
        // SAFETY: a fresh page, large enough and aligned for anything.
        unsafe {
            attachment.write(Attachment {
                is_there: AtomicU32::new(0),
                replacing: AtomicU32::new(0),
                only_in,
                engine,
                sending: Patience::new(),
                receiving: Patience::new(),
                previous: inherited,
            });
            (*attachment).is_there.store(1, Release);
        }
        if self.attachment.compare_exchange(inherited, attachment, SeqCst, Relaxed).is_err() {
            // Another thread of this child was faster, or a signal handler in our midst.
            // SAFETY: the attachment just made, of which nobody else knows.
            unsafe { detach(attachment, self.geometry.total as usize) };
        }
    }

    /// This process's attachment of a queue that is not damaged.
    pub fn healthy(&self) -> Result<&Attachment> {
        let attachment = self.attachment()?;
        if attachment.engine.is_poisoned() { Err(damaged()) } else { Ok(attachment) }
    }
}

/// Leave the queue in good order and free the page; gives the next one of the list.
///
/// # Safety
/// Nobody uses the attachment any more.
pub(super) unsafe fn detach(attachment: *mut Attachment, size: usize) -> *mut Attachment {
    // SAFETY: granted by the caller. A page wiped by fork has neither mapping nor list.
    unsafe {
        let this = &*attachment;
        let mut previous = core::ptr::null_mut();
        if this.is_ours() {
            previous = this.previous;
            let engine = &this.engine;
            let is_settled = engine.give_back_all();
            if let Some(row) = engine.segment().owner(engine.owner()).filter(|_| is_settled) {
                row.pid.store(0, Relaxed);
            }
            map::unmap(engine.segment().base(), size);
        }
        map::unmap(attachment.cast(), PAGE);
        previous
    }
}
