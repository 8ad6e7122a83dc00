//! What this process has of queues of typed messages, by their numbers.
//!
//! A program names a queue by its number alone, in any thread and in signal handlers, whether
//! or not it has asked for the queue before. So there is a table for the process: blocks of
//! sets of entries, found without a lock, opened when a number is first used. An entry counts
//! the calls that use it. When its queue is found to be removed it is closed, and the last of
//! those calls lets go of the memory.
//!
//! ```text
//! state of an entry: 62-32 number | 31-30 phase | 29-0 calls that use it
//! 0 --> OPENING --> OPEN --> CLOSING --> 0
//! ```
//!
//! Several threads may open one queue at a time: each has an entry then, and all are good. A
//! forked child finds the memory wiped, closes the entry, and opens the queue anew.
//!
//! Source: madvise(2), MADV_WIPEONFORK (Linux 4.14).

use super::charge::Recount;
use super::names::{self, Found};
use crate::directory;
use crate::error::{Errno, Result};
use crate::oflag::{Direction, OpenFlags};
use crate::report::say;
use crate::shm::create::{self, PAGE};
use crate::shm::engine::{Engine, Features};
use crate::shm::owner::{self, Locks, Owners, Sight};
use crate::shm::segment::Segment;
use crate::shm::wait::Patience;
use crate::sync::Ordering::{Acquire, Relaxed, Release, SeqCst};
use crate::sync::local::{AtomicPtr, AtomicU32, AtomicU64};
use crate::sys::file::Identity;
use crate::sys::{clock, map, process};
use crate::transport::Access;

/// What one process has of a queue. All zeros (as fork leaves it) means: nothing.
pub(super) struct Attached {
    is_there: AtomicU32,
    /// Where the kernel cannot wipe pages, the process that it belongs to; else 0.
    only_in: i32,
    id: i32,
    identity: Identity,
    /// When this process last looked for the dead, in milliseconds.
    looked_ms: AtomicU32,
    pub(super) engine: Engine,
    pub(super) access: Access,
    pub(super) sending: Patience,
    pub(super) receiving: Patience,
}

const _: () = assert!(size_of::<Attached>() <= PAGE);

/// How often a process that waits looks for the dead at most.
const LOOK_EVERY_MS: u32 = 20;

impl Attached {
    /// Whether it is this process's, and not one's that it was forked from.
    pub(super) fn is_ours(&self) -> bool {
        self.is_there.load(Acquire) != 0 && (self.only_in == 0 || self.only_in == process::pid())
    }

    /// The queue's file again.
    pub(super) fn reopen(&self) -> Result<Found> {
        let found = names::find(&directory::open()?, &names::by_number(self.id))?;
        if found.identity == self.identity { Ok(found) } else { Err(gone()) }
    }

    /// Make slots: those of the dead free, or new ones; false if there are none to be had.
    pub(super) fn make_slots(&self) -> bool {
        let Ok(found) = self.reopen() else { return false };
        self.clear_up(&found) || self.engine.grow(found.file.number())
    }

    /// Make the count of bytes what it is. What the dead had in their hands is in the way of
    /// that; who is not urgent looks for it only now and then.
    pub(super) fn recount(&self, is_urgent: bool) {
        if self.engine.recount() == Recount::InHands && self.look_for_the_dead(is_urgent) {
            self.engine.recount();
        }
    }

    fn look_for_the_dead(&self, is_urgent: bool) -> bool {
        let now = clock::coarse_ms();
        // Relaxed: nothing depends on it.
        let last = self.looked_ms.load(Relaxed);
        if !is_urgent && now.wrapping_sub(last) < LOOK_EVERY_MS {
            return false;
        }
        self.looked_ms.store(now, Relaxed);
        self.reopen().is_ok_and(|found| self.clear_up(&found))
    }

    fn clear_up(&self, found: &Found) -> bool {
        let (segment, fd) = (*self.engine.segment(), found.file.number());
        let owners = Owners::new(fd, found.identity, Sight::Own);
        let features = Features::of(found.prologue.options);
        Engine::new(segment, self.engine.owner(), owners, 0).with(features).reclaim()
    }
}

fn gone() -> Errno {
    say(libc::EINVAL, "there is no queue of this number")
}

const OPENING: u64 = 1 << 30;
const OPEN: u64 = 2 << 30;
const CLOSING: u64 = 3 << 30;
const PHASE: u64 = 3 << 30;
const USES: u64 = (1 << 30) - 1;

/// One queue.
struct Entry {
    state: AtomicU64,
    attached: AtomicPtr<Attached>,
}

impl Entry {
    const fn new() -> Entry {
        Entry { state: AtomicU64::new(0), attached: AtomicPtr::new(core::ptr::null_mut()) }
    }
}

const SETS: usize = 64;
const WAYS: usize = 4;

/// Some queues. All zeros are a value.
struct Block {
    entries: [[Entry; WAYS]; SETS],
    next: AtomicPtr<Block>,
}

impl Block {
    const fn new() -> Block {
        let next = AtomicPtr::new(core::ptr::null_mut());
        Block { entries: [const { [const { Entry::new() }; WAYS] }; SETS], next }
    }

    fn set_of(&self, id: i32) -> &[Entry; WAYS] {
        &self.entries[id as usize % SETS]
    }

    fn next(&'static self) -> Option<&'static Block> {
        // SAFETY: null, or a block that is never unmapped.
        unsafe { self.next.load(Acquire).as_ref() }
    }
}

static FIRST: Block = Block::new();

fn blocks() -> impl Iterator<Item = &'static Block> {
    core::iter::successors(Some(&FIRST), |block| block.next())
}

/// A queue that a call uses, until it is dropped.
pub(super) struct Used(&'static Entry);

impl Used {
    /// The queue of this number; `EINVAL` if there is none.
    pub(super) fn of(id: i32) -> Result<Used> {
        if id < 0 {
            return Err(gone());
        }
        match Used::if_open(id)? {
            Some(used) => Ok(used),
            None => Used::open(id),
        }
    }

    /// The same, if this process has it open.
    pub(super) fn if_open(id: i32) -> Result<Option<Used>> {
        for entry in blocks().flat_map(|block| block.set_of(id)) {
            let Some(used) = Used::begin(entry, |state| state >> 32 == id as u64) else { continue };
            let attached = used.attached();
            if !attached.is_ours() {
                used.close();
            } else if attached.engine.is_removed() {
                used.close();
                return Err(gone());
            } else {
                return Ok(Some(used));
            }
        }
        Ok(None)
    }

    fn begin(entry: &'static Entry, is_wanted: impl Fn(u64) -> bool) -> Option<Used> {
        let more = |state: u64| (state & PHASE == OPEN && is_wanted(state)).then_some(state + 1);
        entry.state.fetch_update(Acquire, Relaxed, more).ok().map(|_| Used(entry))
    }

    pub(super) fn attached(&self) -> &Attached {
        // SAFETY: while the entry is used its pointer leads to a page that stays.
        unsafe { &*self.0.attached.load(Acquire) }
    }

    /// No further call shall use it.
    pub(super) fn close(&self) {
        let closing = |state: u64| (state & PHASE == OPEN).then_some(state | CLOSING);
        let _ = self.0.state.fetch_update(SeqCst, Relaxed, closing);
    }

    fn open(id: i32) -> Result<Used> {
        let dir = directory::open()?;
        let found = match names::find(&dir, &names::by_number(id)) {
            Err(Errno(libc::ENOENT | libc::EBADMSG | libc::ENOTSUP)) => return Err(gone()),
            other => other?,
        };
        let words = found.words()?;
        if words.removed.load(Relaxed) != 0 {
            found.lose_names(&dir, &words);
            return Err(gone());
        }
        // A file that was copied to this name is not the queue of this number.
        if words.id.load(Relaxed) != id as u32 {
            return Err(gone());
        }
        Used::attach(id, found)
    }

    /// Take a queue that was just found or made into the table.
    pub(super) fn attach(id: i32, found: Found) -> Result<Used> {
        close_removed();
        let (page, is_wiped) = create::page()?;
        let (fd, identity) = (found.file.number(), found.identity);
        let geometry = found.prologue.geometry;
        let mapping = create::map(fd, &geometry)?;
        // SAFETY: `total` bytes are mapped there until the entry is closed.
        let segment = unsafe { Segment::new(mapping.base(), geometry) };
        let features = Features::of(found.prologue.options);
        let owner = owner::settle(fd, &segment, Locks::Own, |dead| {
            let owners = Owners::new(fd, identity, Sight::Own);
            Engine::new(segment, dead, owners, 0).with(features).clear_up_after_the_dead(None);
        })
        .map_err(|error| match error {
            Errno(libc::EUSERS) => Errno(libc::ENOSPC),
            error => error,
        })?;
        // There will be no descriptor to ask through.
        let owners = Owners::new(-1, identity, Sight::Shared);
        let engine = Engine::new(segment, owner, owners, process::sender_id()).with(features);
        let both = OpenFlags {
            direction: Direction::Both,
            create: false,
            exclusive: false,
            nonblock: false,
        };
        let entry = free_entry(id)?;
        mapping.into_base();
        let attached: *mut Attached = page.into_base().cast();
        // SAFETY: a fresh page, large enough and aligned for anything.
        unsafe {
            attached.write(Attached {
                is_there: AtomicU32::new(1),
                only_in: if is_wiped { 0 } else { process::pid() },
                id,
                identity,
                looked_ms: AtomicU32::new(0),
                engine,
                access: Access::new(both, 0),
                sending: Patience::new(),
                receiving: Patience::new(),
            });
        }
        entry.attached.store(attached, Release);
        entry.state.store((id as u64) << 32 | OPEN | 1, Release);
        Ok(Used(entry))
    }
}

impl Drop for Used {
    fn drop(&mut self) {
        let before = self.0.state.fetch_sub(1, SeqCst);
        if before & PHASE == CLOSING && before & USES == 1 {
            let attached = self.0.attached.swap(core::ptr::null_mut(), SeqCst);
            // SAFETY: nobody uses it, and nobody can any more.
            unsafe { detach(attached) };
            self.0.state.store(0, Release);
        }
    }
}

/// An entry for a queue of this number, in the hands of the caller.
fn free_entry(id: i32) -> Result<&'static Entry> {
    let mut block: &'static Block = &FIRST;
    loop {
        let is_got = |e: &&Entry| e.state.compare_exchange(0, OPENING, SeqCst, Relaxed).is_ok();
        if let Some(entry) = block.set_of(id).iter().find(is_got) {
            return Ok(entry);
        }
        block = match block.next() {
            Some(next) => next,
            None => add_block(block)?,
        };
    }
}

fn add_block(last: &'static Block) -> Result<&'static Block> {
    let new = map::map_zeros(size_of::<Block>())
        .map_err(|_| say(libc::ENOMEM, "there is not enough memory for the table of queues"))?;
    let at: *mut Block = new.base().cast();
    let next = match last.next.compare_exchange(core::ptr::null_mut(), at, SeqCst, Acquire) {
        Ok(_) => new.into_base().cast(),
        // Another was faster; ours is unmapped.
        Err(other) => other,
    };
    // SAFETY: zeros, which are a block, or a block; never unmapped from here on.
    Ok(unsafe { &*next })
}

/// Let go of queues that others have removed.
fn close_removed() {
    for entry in blocks().flat_map(|block| block.entries.iter().flatten()) {
        let Some(used) = Used::begin(entry, |_| true) else { continue };
        if !used.attached().is_ours() || used.attached().engine.is_removed() {
            used.close();
        }
    }
}

/// Leave the queue in good order and free the memory.
///
/// # Safety
/// Nobody uses it any more.
unsafe fn detach(attached: *mut Attached) {
    // SAFETY: granted by the caller. A page wiped by fork has no mapping.
    unsafe {
        let this = &*attached;
        if this.is_ours() {
            let engine = &this.engine;
            let is_settled = engine.give_back_all();
            if let Some(row) = engine.segment().owner(engine.owner()).filter(|_| is_settled) {
                row.pid.store(0, Relaxed);
            }
            let total = engine.segment().geometry().total as usize;
            map::unmap(engine.segment().base(), total);
        }
        map::unmap(attached.cast(), PAGE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_no_queue_has_is_invalid() {
        assert!(matches!(Used::of(1), Err(Errno(libc::EINVAL))));
    }
}
