//! The ways to a handle: by name, made or found; without a name; by a descriptor.

use super::ShmQueue;
use crate::address::ShmName;
use crate::attr::OpenOptions;
use crate::directory;
use crate::error::{Errno, Result};
use crate::oflag::{Direction, OpenFlags};
use crate::report::say;
use crate::shm::beacon_file::KeptFifo;
use crate::shm::create::{self, FoundFile, HandedOn, Made};
use crate::shm::ephemeral;
use crate::shm::layout::Prologue;
use crate::shm::owner::Sight;
use crate::sync::Ordering::Relaxed;
use crate::sync::local::{AtomicI32, AtomicPtr, AtomicU64};
use crate::sys::file::{self, Descriptor, Identity};
use crate::sys::process;
use crate::transport::Access;

impl ShmQueue {
    /// Open or make the queue `name`; without a name make one.
    pub fn open(
        name: Option<ShmName>,
        flags: OpenFlags,
        options: &OpenOptions,
    ) -> Result<ShmQueue> {
        let dir = directory::open()?;
        let Some(name) = name else { return ShmQueue::make_unnamed(&dir, flags, options) };
        // A queue that vanishes and comes back between our looks is an argument between
        // others; nobody needs more tries than this.
        for _ in 0..1000 {
            // Even with O_CREAT the first try is to open: making a file that another user
            // owns may be forbidden (fs.protected_regular) where opening it is not.
            if !flags.exclusive {
                match create::find(&dir, &name) {
                    Err(Errno(libc::ENOENT)) if flags.create => {}
                    Err(error) => return Err(error),
                    Ok(found) => match ShmQueue::attach_to(&dir, found, &name, flags, options) {
                        // The last user of an ephemeral one has gone meanwhile.
                        Err(Errno(libc::ENOENT)) if flags.create => {}
                        other => return other,
                    },
                }
            }
            let geometry = create::geometry(options)?;
            match create::make(&dir, &name, geometry, options) {
                Err(Errno(libc::EEXIST)) if !flags.exclusive => {}
                Err(Errno(libc::EEXIST)) => {
                    if !create::was_cleared_away(&dir, &name)? {
                        return Err(create::exists_already());
                    }
                }
                Err(error) => return Err(error),
                Ok(made) => return ShmQueue::from_made(made, name, flags, options),
            }
        }
        Err(say(libc::EAGAIN, "the queue's name kept appearing and vanishing"))
    }

    fn make_unnamed(dir: &Descriptor, flags: OpenFlags, options: &OpenOptions) -> Result<ShmQueue> {
        let geometry = create::geometry(options)?;
        loop {
            let name = ShmName::from_random(process::random());
            match create::make(dir, &name, geometry, options) {
                Err(Errno(libc::EEXIST)) => {}
                Err(error) => return Err(error),
                Ok(made) => return ShmQueue::from_made(made, name, flags, options),
            }
        }
    }

    fn from_made(
        made: Made,
        name: ShmName,
        flags: OpenFlags,
        options: &OpenOptions,
    ) -> Result<ShmQueue> {
        let Made { prologue, identity, probe, spare, mapping, owner, page, fifo } = made;
        let file = (probe, identity);
        let queue =
            ShmQueue::detached(&prologue, file, spare, Some(name), flags, options.flags, fifo);
        queue.install(page, mapping, owner, Sight::Own);
        Ok(queue)
    }

    fn attach_to(
        dir: &Descriptor,
        found: FoundFile,
        name: &ShmName,
        flags: OpenFlags,
        options: &OpenOptions,
    ) -> Result<ShmQueue> {
        let gone = || say(libc::ENOENT, "there is no queue of this name");
        if ephemeral::is_over(&found)? {
            let cleared = ephemeral::clear_away(dir, name.file_name(), &found);
            return Err(cleared.err().filter(|_| flags.create).unwrap_or_else(gone));
        }
        let FoundFile { prologue, identity, probe } = found;
        let file = (probe, identity);
        let fifo = KeptFifo::new(identity)?;
        let (name, asked) = (Some(name.clone()), options.flags);
        let queue = ShmQueue::detached(&prologue, file, None, name, flags, asked, fifo);
        match queue.attach() {
            // Of an ephemeral queue all numbers are taken also while somebody ends it.
            Err(Errno(libc::EUSERS)) if queue.is_ephemeral() => {
                let found = FoundFile { prologue, identity, probe: queue.reopen(queue.probe()?)? };
                if ephemeral::is_over(&found)? {
                    return Err(gone());
                }
                queue.attach()?;
            }
            other => other?,
        }
        if queue.is_ephemeral() && ephemeral::was_ended(queue.attachment()?.engine.segment()) {
            return Err(gone());
        }
        Ok(queue)
    }

    /// Adopt a descriptor; on failure it stays the caller's.
    pub fn open_fd(fd: i32, flags: OpenFlags, option_flags: u64) -> Result<ShmQueue> {
        let HandedOn { found, may: [send, receive] } = create::look_at(fd)?;
        let is_allowed = match flags.direction {
            Direction::Send => send,
            Direction::Receive => receive,
            Direction::Both => send && receive,
        };
        if !is_allowed {
            return Err(say(libc::EACCES, "the descriptor does not allow this direction"));
        }
        let FoundFile { prologue, identity, probe } = found;
        let (name, file) = (create::file_name(&prologue), (probe, identity));
        let fifo = KeptFifo::new(identity)?;
        let queue = ShmQueue::detached(&prologue, file, None, name, flags, option_flags, fifo);
        queue.attach()?;
        // Nothing can fail any more: the caller's number becomes the handle's.
        let own = Descriptor::adopt(queue.probe.load(Relaxed));
        if file::replace(&own, fd).is_ok() {
            queue.probe.store(fd, Relaxed);
            // SAFETY: the attachment was just made, and nobody else has the handle.
            unsafe { (*queue.attachment.load(Relaxed)).engine.ask_through(fd) };
        } else {
            own.into_number();
            file::close(fd);
        }
        Ok(queue)
    }

    /// A handle of a queue that this process has yet to attach to.
    fn detached(
        prologue: &Prologue,
        (probe, identity): (Descriptor, Identity),
        spare: Option<Descriptor>,
        name: Option<ShmName>,
        flags: OpenFlags,
        option_flags: u64,
        fifo: KeptFifo,
    ) -> ShmQueue {
        ShmQueue {
            attachment: AtomicPtr::new(core::ptr::null_mut()),
            geometry: prologue.geometry,
            access: Access::new(flags, option_flags),
            probe: AtomicI32::new(probe.into_number()),
            spare: spare.map_or(-1, Descriptor::into_number),
            identity,
            name,
            options: prologue.options,
            eventfd: AtomicU64::new(0),
            fifo,
        }
    }
}
