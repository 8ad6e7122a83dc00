//! The beacon's file: a FIFO beside the queue's, and this process's description of it.
//!
//! ```text
//! mqrs-poll.N       N: the number of the queue's file, in hex
//! ```
//!
//! It comes to be there whole: made under a random name, given the queue's mode and owner, then
//! renamed to that name unless there is one. Then its number is noted in the segment, once and
//! for all, by whoever gets there first. A FIFO of another number is not the queue's. Who finds
//! one at the name and no number noted, because its maker was killed in between, adopts it if
//! it is one that only the queue's users can have made.
//!
//! It has no name longer than the queue has:
//!
//! ```text
//! who unlinks    remove the queue's name, then the FIFO's
//! who makes      give the FIFO its name, then see that the queue has one; else remove it
//! ```
//!
//! One of the two sees the other. Descriptions that are open keep a FIFO alive, so the users of
//! an unlinked queue go on.
//!
//! Each process has one description of its own, opened when it is first wanted. Its number is
//! kept where a forked child finds it: the child goes on with the same description, which
//! nothing is ever done to that would be the parent's business. What the FIFO holds goes when
//! nobody has it open, so who opens it makes it right.
//!
//! Source: fifo(7), rename(2), /proc/sys/fs/protected_fifos in proc(5).

use super::engine::Engine;
use super::ephemeral;
use super::handle::ShmQueue;
use crate::directory::{self, Temporary, explained};
use crate::error::{Errno, Result};
use crate::fault::step;
use crate::notify;
use crate::report::say;
use crate::sync::Ordering::{Relaxed, SeqCst};
use crate::sync::local::{AtomicI32, AtomicU32, AtomicU64};
use crate::sys::fifo::{self, Fifo};
use crate::sys::file::{self, Descriptor, Identity, Status};
use crate::sys::{clock, process};
use crate::text::Text;
use core::alloc::Layout;
use core::ffi::CStr;
use core::fmt::Write;
use core::ptr::NonNull;

pub(super) use crate::sys::fifo::Fifo as Pipe;

/// A process that cannot open the FIFO tries again after so many milliseconds.
const TRY_AGAIN_MS: u32 = 100;

/// The name that the FIFO of a queue has.
pub type Name = Text<32>;

/// The name of the FIFO of the queue whose file has this number.
pub fn name(queue: Identity) -> Name {
    let mut name = Text::new();
    let [_, ino] = queue.parts();
    // It fits.
    let _ = write!(name, "mqrs-poll.{ino:x}");
    name
}

/// Remove the FIFO's name, the queue having lost its own.
pub fn unlink(dir: &Descriptor, queue: Identity) {
    let _ = file::unlink(dir.number(), name(queue).as_c_str());
}

/// Where a handle keeps its process's description: memory that a fork leaves as it is, at an
/// address that stays.
pub struct KeptFifo(NonNull<Kept>);

/// The same as engines see it; alive as long as the handle is.
#[derive(Clone, Copy)]
pub struct FifoOf(NonNull<Kept>);

struct Kept {
    queue: Identity,
    /// The description's number, or -1.
    number: AtomicI32,
    /// Number of its file.
    ino: AtomicU64,
    /// When it could not be opened: milliseconds on the coarse clock, never 0; 0: it could.
    failed_ms: AtomicU32,
}

impl KeptFifo {
    /// For a new handle of a queue.
    pub fn new(queue: Identity) -> Result<KeptFifo> {
        // SAFETY: the layout is not empty.
        let kept = NonNull::new(unsafe { std::alloc::alloc(Layout::new::<Kept>()) }.cast())
            .ok_or_else(|| say(libc::ENOMEM, "there is not enough memory for the handle"))?;
        let empty = Kept {
            queue,
            number: AtomicI32::new(-1),
            ino: AtomicU64::new(0),
            failed_ms: AtomicU32::new(0),
        };
        // SAFETY: just allocated for it.
        unsafe { kept.write(empty) };
        Ok(KeptFifo(kept))
    }

    /// For an engine that does not outlive this.
    pub fn share(&self) -> FifoOf {
        FifoOf(self.0)
    }
}

impl Drop for KeptFifo {
    fn drop(&mut self) {
        let kept = self.share();
        if let Some(own) = kept.get(kept.kept().ino.load(SeqCst)) {
            file::close(own.number());
        }
        // SAFETY: allocated by `new` with this layout; the handle is gone with its engines.
        unsafe { std::alloc::dealloc(self.0.as_ptr().cast(), Layout::new::<Kept>()) };
    }
}

impl FifoOf {
    fn kept(&self) -> &Kept {
        // SAFETY: alive as long as the handle; all of it is constant or atomic.
        unsafe { self.0.as_ref() }
    }

    /// This process's description of the FIFO of this number, if it is there still.
    fn get(self, ino: u64) -> Option<Fifo> {
        let kept = self.kept();
        Fifo::of(kept.number.load(SeqCst), kept.queue.beside(ino))
    }

    /// Whether this process, or one that it was forked from, has ever opened it.
    pub fn was_opened(self) -> bool {
        self.kept().number.load(Relaxed) >= 0
    }

    /// Keep a description from now on, unless another thread was faster.
    fn keep(self, own: Descriptor, ino: u64) -> Option<Fifo> {
        let kept = self.kept();
        let before = kept.number.load(SeqCst);
        if let Some(there) = Fifo::of(before, kept.queue.beside(ino)) {
            return Some(there);
        }
        kept.ino.store(ino, SeqCst);
        // What had that number is the program's now, or nobody's.
        if kept.number.compare_exchange(before, own.number(), SeqCst, SeqCst).is_ok() {
            own.into_number();
        }
        self.get(ino)
    }

    /// The same, opened by name if need be; `None` if it cannot be.
    fn get_or_open(self, ino: u64) -> Option<Fifo> {
        if let Some(own) = self.get(ino) {
            return Some(own);
        }
        let Kept { queue, failed_ms, .. } = self.kept();
        let now = clock::coarse_ms() | 1;
        let failed = failed_ms.load(Relaxed);
        if failed != 0 && now.wrapping_sub(failed) < TRY_AGAIN_MS {
            return None;
        }
        let opened = directory::open().and_then(|dir| {
            let own = fifo::open(dir.number(), name(*queue).as_c_str())?;
            if file::identity(own.number())? != queue.beside(ino) {
                return Err(Errno(libc::ENOENT));
            }
            fifo::prepare(&own).map(|()| own)
        });
        failed_ms.store(if opened.is_ok() { 0 } else { now }, Relaxed);
        self.keep(opened.ok()?, ino)
    }
}

impl Engine {
    pub(super) fn beacon_inode(&self) -> Option<u64> {
        // SYNC: pairs with the exchange of who has made or found the file.
        match self.segment().control().wait.0.beacon_inode.load(SeqCst) {
            0 => None,
            ino => Some(ino),
        }
    }

    /// Open the FIFO when this process first hears of it: its name may not be there for long.
    #[inline]
    pub(super) fn reach_beacon(&self) {
        if self.fifo.is_some_and(|fifo| !fifo.was_opened()) {
            let _ = self.pipe();
        }
    }

    /// The FIFO, as far as this process can reach it.
    pub(super) fn pipe(&self) -> Option<Pipe> {
        self.fifo?.get_or_open(self.beacon_inode()?)
    }
}

/// Two descriptions of a queue's FIFO.
struct Opened {
    /// For this process's own use; it may have one already.
    own: Option<Descriptor>,
    /// For the program.
    given: Descriptor,
    status: Status,
}

impl Opened {
    fn by_name(dir: &Descriptor, name: &CStr) -> Result<Opened> {
        let own = fifo::open(dir.number(), name)?;
        let given = fifo::open(dir.number(), name)?;
        let status = file::status(own.number())?;
        if file::identity(given.number())? != status.identity {
            return Err(Errno(libc::ENOENT));
        }
        fifo::prepare(&own)?;
        Ok(Opened { own: Some(own), given, status })
    }

    fn again(dir: &Descriptor, name: &CStr) -> Result<Opened> {
        let given = fifo::open(dir.number(), name)?;
        let status = file::status(given.number())?;
        Ok(Opened { own: None, given, status })
    }

    fn inode(&self) -> u64 {
        let [_, ino] = self.status.identity.parts();
        ino
    }
}

fn gone() -> Errno {
    say(libc::ENOENT, "the queue's name has gone meanwhile")
}

fn not_the_queues() -> Errno {
    say(
        libc::EEXIST,
        "a file that is not the queue's is in the place of the FIFO for poll, beside the queue in MQRS_DIR",
    )
}

fn was_removed() -> Errno {
    say(libc::EIO, "somebody has removed the FIFO for poll, which was beside the queue in MQRS_DIR")
}

fn cannot_make(error: Errno) -> Errno {
    explained(error, "cannot make the FIFO for poll beside the queue's file")
}

fn cannot_open(error: Errno) -> Errno {
    match error.0 {
        libc::ENXIO | libc::ELOOP | libc::EISDIR | libc::ENODEV => not_the_queues(),
        _ => explained(error, "cannot open the FIFO for poll beside the queue's file"),
    }
}

impl ShmQueue {
    /// A new descriptor of the queue's beacon, which tells poll whether it is empty, partly
    /// filled or full: close-on-exec, O_RDWR, with or without O_NONBLOCK; the caller's. From now
    /// on the queue has one. `ENOENT`: its name has gone meanwhile.
    ///
    /// The program polls it, duplicates it, passes it on and closes it. If it reads from it or
    /// writes to it, it sees what is not so until the queue's next change.
    pub fn beacon(&self, nonblocking: bool) -> Result<i32> {
        let engine = self.healthy()?.engine();
        let dir = directory::open()?;
        let opened = match engine.beacon_inode() {
            None => self.make_or_adopt(engine, &dir)?,
            Some(ino) => self.open_beacon(engine, &dir, ino)?,
        };
        let ino = opened.inode();
        if let Some(own) = opened.own {
            self.fifo().keep(own, ino).ok_or_else(gone)?;
        }
        engine.begin_beacon();
        let given = opened.given.lowered().map_err(cannot_open)?;
        if !nonblocking {
            fifo::let_block(&given).map_err(cannot_open)?;
        }
        // Whoever has removed the queue's name before now has perhaps not met this one.
        if self.has_lost_its_name(engine)? {
            unlink(&dir, self.identity());
            return Err(gone());
        }
        Ok(given.into_number())
    }

    /// Device and inode of the beacon, if the queue has one.
    pub fn beacon_identity(&self) -> Option<Identity> {
        let ino = self.attachment().ok()?.engine().beacon_inode()?;
        Some(self.identity().beside(ino))
    }

    /// Let a helper thread of this process show readiness where it comes and goes so often that
    /// nobody can be polling: then it is shown some milliseconds late. Starts the thread. To be
    /// called again in a forked child, which otherwise shows everything at once.
    pub fn allow_lazy_beacon(&self) -> Result<()> {
        notify::beacon::allow(self.healthy()?)
    }

    /// Whether that is worth while in this process, and has not been allowed.
    #[inline]
    pub fn wants_lazy_beacon(&self) -> bool {
        self.attachment_if_any().is_some_and(|attachment| attachment.engine().wants_lazy())
    }

    /// This process can have no such helper.
    pub fn forbid_lazy_beacon(&self) {
        if let Some(attachment) = self.attachment_if_any() {
            attachment.engine().forbid_lazy();
        }
    }

    /// Show what was left to the helper. For a process that exits without closing the handle.
    pub fn end_lazy_beacon(&self) {
        if let Some(attachment) = self.attachment_if_any() {
            attachment.engine().end_lease();
        }
    }

    /// Mode and owner of the beacon, if there is one, as the queue's were changed.
    pub(super) fn change_beacon_access(&self, engine: &Engine, mode: u32, uid: u32, gid: u32) {
        if let Some(own) = engine.pipe() {
            // It may be another user's who has come first; then it is as it was.
            let _ = file::change_access(own.number(), mode, uid, gid);
        }
    }

    /// The handle is being closed; and who removed the queue's name may have died before he
    /// removed the FIFO's. As long as we have the queue open no other has its number.
    pub(super) fn clear_beacon_away(&self, fd: i32) {
        if !self.fifo().was_opened() {
            return;
        }
        if let (Ok(Status { links: 0, .. }), Ok(dir)) = (file::status(fd), directory::open()) {
            unlink(&dir, self.identity());
        }
    }

    fn has_lost_its_name(&self, engine: &Engine) -> Result<bool> {
        let status = self.status()?;
        Ok(status.links == 0 || self.is_ephemeral() && ephemeral::was_ended(engine.segment()))
    }

    /// The FIFO that is there already.
    fn open_beacon(&self, engine: &Engine, dir: &Descriptor, ino: u64) -> Result<Opened> {
        let name = name(self.identity());
        let opened = match self.fifo().get(ino) {
            Some(_) => Opened::again(dir, name.as_c_str()),
            None => Opened::by_name(dir, name.as_c_str()),
        };
        let opened = match opened {
            Err(Errno(libc::ENOENT)) if self.has_lost_its_name(engine)? => return Err(gone()),
            Err(Errno(libc::ENOENT)) => return Err(was_removed()),
            other => other.map_err(cannot_open)?,
        };
        if opened.inode() == ino { Ok(opened) } else { Err(not_the_queues()) }
    }

    fn make_or_adopt(&self, engine: &Engine, dir: &Descriptor) -> Result<Opened> {
        let queue = self.status()?;
        let name = name(self.identity());
        let (opened, is_made) = match make(dir, name.as_c_str(), &queue) {
            Err(Errno(libc::EEXIST)) => (adopt(dir, name.as_c_str(), &queue)?, false),
            other => (other?, true),
        };
        step!(BeaconNamed);
        let word = &engine.segment().control().wait.0.beacon_inode;
        match word.compare_exchange(0, opened.inode(), SeqCst, SeqCst) {
            Err(ino) if ino != opened.inode() => {
                // Another was faster, and his has lost its name since: so has the queue.
                if is_made {
                    unlink(dir, self.identity());
                }
                Err(gone())
            }
            _ => {
                step!(BeaconRecorded);
                Ok(opened)
            }
        }
    }
}

/// Make the FIFO; `EEXIST`, the only error without a sentence, if there is something of its name.
fn make(dir: &Descriptor, name: &CStr, queue: &Status) -> Result<Opened> {
    let temporary = Temporary::new();
    let temporary = temporary.as_c_str();
    fifo::make(dir.number(), temporary).map_err(cannot_make)?;
    let made = complete(dir, temporary, queue).and_then(|opened| {
        step!(BeaconUnnamed);
        match file::rename_new(dir.number(), temporary, name) {
            Err(Errno(libc::EINVAL | libc::ENOSYS)) => {
                // A file system, or a kernel, that cannot.
                file::link(dir.number(), temporary, name)?;
                let _ = file::unlink(dir.number(), temporary);
            }
            other => other?,
        }
        Ok(opened)
    });
    made.map_err(|error| {
        let _ = file::unlink(dir.number(), temporary);
        if error == Errno(libc::EEXIST) { error } else { cannot_make(error) }
    })
}

/// Open a FIFO of ours, and then give it the queue's mode and owner, by which we might not.
fn complete(dir: &Descriptor, temporary: &CStr, queue: &Status) -> Result<Opened> {
    let opened = Opened::by_name(dir, temporary)?;
    give(&opened, queue);
    Ok(opened)
}

/// Mode and owner of the queue, as far as we may: who is not its owner cannot give it away.
fn give(opened: &Opened, queue: &Status) {
    let fd = opened.given.number();
    let _ = file::change_owner(fd, u32::MAX, queue.gid);
    let _ = file::change_mode(fd, queue.mode & 0o777);
    if opened.status.uid != queue.uid {
        let _ = file::change_owner(fd, queue.uid, u32::MAX);
    }
}

/// What is at the FIFO's name, though the queue does not know of it.
fn adopt(dir: &Descriptor, name: &CStr, queue: &Status) -> Result<Opened> {
    let opened = match Opened::by_name(dir, name) {
        Err(Errno(libc::ENOENT)) => return Err(gone()),
        other => other.map_err(cannot_open)?,
    };
    if ![queue.uid, process::effective_user(), 0].contains(&opened.status.uid) {
        return Err(not_the_queues());
    }
    give(&opened, queue);
    Ok(opened)
}
