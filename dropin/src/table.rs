//! Which descriptor is which queue.
//!
//! ```text
//! places    number -> entry, for each descriptor of a queue that we know of
//! entries   a queue of this process, however many descriptors it has; counted: one for each
//!           place, and one for each call that is in it
//! ```
//!
//! Nothing here waits for anybody, since calls come from signal handlers and from forked
//! children of programs with threads: memory for places and entries is never given back,
//! entries are used again.
//!
//! A number says nothing for ever: the program may close it by close(2), duplicate it, and get
//! the same number for another file. So each call asks the system whose it is now
//! (`descriptor.rs`); a place that is found stale is given up, which counts as mq_close.

use crate::descriptor::{self, KEYS, Mark};
use core::cell::UnsafeCell;
use core::ffi::c_int;
use core::mem::ManuallyDrop;
use core::ptr::null_mut;
use mqueue_core::error::{Errno, Result};
use mqueue_core::shm::ShmQueue;
use mqueue_core::sync::Ordering::{AcqRel, Acquire, Relaxed, Release};
use mqueue_core::sync::local::{AtomicI32, AtomicPtr, AtomicU32};
use mqueue_core::sys::file::{self, Identity};
use mqueue_core::sys::process;
use mqueue_core::transport::Transport;

/// Places of one piece of memory.
const CHUNK: usize = 1024;
/// As many descriptors as Linux lets a process have by default (fs.nr_open).
const CHUNKS: usize = 1024;

struct Chunk {
    places: [AtomicPtr<Entry>; CHUNK],
    /// How far the program has read the line of each number's queue (`read.rs`).
    positions: [AtomicU32; CHUNK],
}

static PLACES: [AtomicPtr<Chunk>; CHUNKS] = [const { AtomicPtr::new(null_mut()) }; CHUNKS];
/// The newest entry of a list of all that ever were.
static ENTRIES: AtomicPtr<Entry> = AtomicPtr::new(null_mut());
/// Entries with each key.
static KEYED: [AtomicU32; KEYS] = [const { AtomicU32::new(0) }; KEYS];

/// Set in the count of an entry that is being made or taken down.
const BUSY: u32 = 1 << 31;

/// A queue of this process.
pub struct Entry {
    /// 0: free.
    users: AtomicU32,
    queue: UnsafeCell<Option<(ShmQueue, Identity)>>,
    key: UnsafeCell<usize>,
    /// The process that has registered for notification through this entry.
    registrant: AtomicI32,
    /// What kind it asked for, and the signal.
    how: AtomicI32,
    signo: AtomicI32,
    /// Its places.
    places: AtomicU32,
    next: *mut Entry,
}

// SAFETY: what is in the cells is written only while the count is BUSY, by the one who made it
// so, and read only by those who are counted; `next` never changes.
unsafe impl Sync for Entry {}

/// A counted use of an entry.
pub struct Use(*const Entry);

impl Use {
    fn entry(&self) -> &'static Entry {
        // SAFETY: entries are never freed.
        unsafe { &*self.0 }
    }

    fn parts(&self) -> Option<&(ShmQueue, Identity)> {
        // SAFETY: we are counted, so nobody writes.
        unsafe { (*self.entry().queue.get()).as_ref() }
    }

    /// The queue.
    pub fn queue(&self) -> Result<&ShmQueue> {
        self.parts().map(|(queue, _)| queue).ok_or(Errno(libc::EBADF))
    }

    fn identity(&self) -> Option<Identity> {
        self.parts().map(|(_, identity)| *identity)
    }

    /// Its key.
    pub fn key(&self) -> usize {
        // SAFETY: as in `parts`.
        unsafe { *self.entry().key.get() }
    }

    /// Which entry it is, for [`has_all_its_numbers`].
    pub fn as_pointer(&self) -> *const Entry {
        self.0
    }

    /// Hand the use over to somebody who keeps it as a pointer.
    pub fn into_pointer(self) -> *const Entry {
        let pointer = self.0;
        core::mem::forget(self);
        pointer
    }

    /// And back.
    ///
    /// # Safety
    /// `into_pointer` gave it, and it is given back once.
    pub unsafe fn from_pointer(pointer: *const Entry) -> Use {
        Use(pointer)
    }

    /// This process registers for notification, of this kind and by this signal.
    pub fn note_registrant(&self, how: c_int, signo: c_int) {
        let entry = self.entry();
        entry.how.store(how, Relaxed);
        entry.signo.store(signo, Relaxed);
        entry.registrant.store(process::pid(), Relaxed);
    }

    /// The registration of this process, if it has one: kind, signal, and its pid.
    pub fn registration(&self) -> Option<(c_int, c_int, c_int)> {
        let entry = self.entry();
        let pid = entry.registrant.load(Relaxed);
        let is_ours = pid == process::pid() && self.queue().is_ok_and(ShmQueue::has_registration);
        is_ours.then(|| (entry.how.load(Relaxed), entry.signo.load(Relaxed), pid))
    }

    /// Whether the descriptor is one of this queue now.
    fn is_of(&self, number: c_int, mark: Mark) -> bool {
        let is_sure = KEYED.get(mark.key).is_some_and(|keyed| keyed.load(Relaxed) <= 1);
        mark.key == self.key() && (is_sure || file::identity(number).ok() == self.identity())
    }

    /// A descriptor of the queue was closed: its registration ends, if this process has one.
    fn number_was_closed(&self) {
        let registrant = &self.entry().registrant;
        if registrant.load(Relaxed) == process::pid() {
            registrant.store(0, Relaxed);
            if let Ok(queue) = self.queue() {
                let _ = queue.notify_cancel();
            }
        }
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        let entry = self.entry();
        let mut users = entry.users.load(Relaxed);
        loop {
            let next = if users == 1 { BUSY } else { users - 1 };
            match entry.users.compare_exchange(users, next, AcqRel, Relaxed) {
                Err(now) => users = now,
                Ok(1) => return take_down(entry),
                Ok(_) => return,
            }
        }
    }
}

/// Nobody uses the entry any more.
#[cold]
fn take_down(entry: &Entry) {
    // SAFETY: it is BUSY, by us; only a delivery may be reading, until the cancel returns.
    let (queue, key) = unsafe { (&mut *entry.queue.get(), *entry.key.get()) };
    if let Some((queue, _)) = queue {
        let _ = queue.notify_cancel();
    }
    drop(queue.take());
    if let Some(keyed) = KEYED.get(key) {
        keyed.fetch_sub(1, Relaxed);
    }
    entry.users.store(0, Release);
}

fn entries() -> impl Iterator<Item = *mut Entry> {
    let mut next = ENTRIES.load(Acquire);
    core::iter::from_fn(move || {
        let entry = next;
        // SAFETY: null or an entry, which is never freed.
        next = unsafe { entry.as_ref() }?.next;
        Some(entry)
    })
}

/// Be counted, if there is a queue.
fn enter(entry: *mut Entry) -> Option<Use> {
    // SAFETY: null or an entry, which is never freed.
    let users = &unsafe { entry.as_ref() }?.users;
    let mut seen = users.load(Relaxed);
    while seen != 0 && seen & BUSY == 0 {
        match users.compare_exchange_weak(seen, seen + 1, Acquire, Relaxed) {
            Ok(_) => return Some(Use(entry)),
            Err(now) => seen = now,
        }
    }
    None
}

/// The entry of the queue with this beacon, if this process has one. (Two threads that open a
/// queue at once may make two: then a descriptor's mark says which is its own.)
fn known(identity: Identity, key: Option<usize>) -> Option<Use> {
    entries().filter_map(enter).find(|found| {
        found.identity() == Some(identity) && key.is_none_or(|key| found.key() == key)
    })
}

/// Visit all queues of this process.
pub fn for_each(visit: impl Fn(&ShmQueue)) {
    for found in entries().filter_map(enter) {
        if let Ok(queue) = found.queue() {
            visit(queue);
        }
    }
}

/// An entry for a queue that was just opened: the one that the process has, or a new one.
pub fn register(queue: ShmQueue) -> Result<Use> {
    let identity = queue.beacon_identity().ok_or(Errno(libc::EBADF))?;
    if let Some(known) = known(identity, None) {
        return Ok(known);
    }
    let is_claimed = |entry: &*mut Entry| {
        // SAFETY: an entry, which is never freed.
        unsafe { (**entry).users.compare_exchange(0, BUSY, Acquire, Relaxed).is_ok() }
    };
    let entry = match entries().find(is_claimed) {
        Some(entry) => entry,
        None => make()?,
    };
    // Another process begins elsewhere: what it may pass on is rarely taken for ours.
    let first = process::pid() as usize;
    let keys = (0..KEYS).map(|n| (first + n) % KEYS);
    let key = keys.min_by_key(|&key| KEYED[key].load(Relaxed)).unwrap_or(0);
    KEYED[key].fetch_add(1, Relaxed);
    // SAFETY: it is BUSY, by us.
    unsafe {
        *(*entry).queue.get() = Some((queue, identity));
        *(*entry).key.get() = key;
        (*entry).registrant.store(0, Relaxed);
        (*entry).places.store(0, Relaxed);
        (*entry).users.store(1, Release);
    }
    Ok(Use(entry))
}

/// A new entry, BUSY.
fn make() -> Result<*mut Entry> {
    let layout = core::alloc::Layout::new::<Entry>();
    // SAFETY: the layout is not empty.
    let entry: *mut Entry = unsafe { std::alloc::alloc(layout) }.cast();
    if entry.is_null() {
        return Err(Errno(libc::ENOMEM));
    }
    // SAFETY: memory for an entry, ours until it is in the list.
    unsafe {
        entry.write(Entry {
            users: AtomicU32::new(BUSY),
            queue: UnsafeCell::new(None),
            key: UnsafeCell::new(0),
            registrant: AtomicI32::new(0),
            how: AtomicI32::new(0),
            signo: AtomicI32::new(0),
            places: AtomicU32::new(0),
            next: null_mut(),
        });
        let mut first = ENTRIES.load(Relaxed);
        loop {
            (*entry).next = first;
            match ENTRIES.compare_exchange(first, entry, Release, Relaxed) {
                Ok(_) => return Ok(entry),
                Err(now) => first = now,
            }
        }
    }
}

/// The chunk of a number, if there is one, and where the number is in it.
#[inline]
fn chunk_if_any(number: c_int) -> Option<(&'static Chunk, usize)> {
    let number = usize::try_from(number).ok()?;
    // SAFETY: null or a chunk, which is never freed.
    let chunk = unsafe { PLACES.get(number / CHUNK)?.load(Acquire).as_ref() }?;
    Some((chunk, number % CHUNK))
}

#[inline]
fn place_if_any(number: c_int) -> Option<&'static AtomicPtr<Entry>> {
    chunk_if_any(number).map(|(chunk, at)| &chunk.places[at])
}

/// Whether the number was of a queue when we last met it; for any time and place, since this
/// loads two words and does nothing else.
#[inline]
pub fn is_known(number: c_int) -> bool {
    place_if_any(number).is_some_and(|place| !place.load(Relaxed).is_null())
}

/// How far the line of a number's queue was read.
pub fn position(number: c_int) -> Option<&'static AtomicU32> {
    chunk_if_any(number).map(|(chunk, at)| &chunk.positions[at])
}

fn place(number: c_int) -> Result<&'static AtomicPtr<Entry>> {
    let chunk = usize::try_from(number).ok().and_then(|number| PLACES.get(number / CHUNK));
    let chunk = chunk.ok_or(Errno(libc::EMFILE))?;
    if chunk.load(Acquire).is_null() {
        let layout = core::alloc::Layout::new::<Chunk>();
        // SAFETY: the layout is not empty; zeros are null pointers and beginnings.
        let made: *mut Chunk = unsafe { std::alloc::alloc_zeroed(layout) }.cast();
        if made.is_null() {
            return Err(Errno(libc::ENOMEM));
        }
        if chunk.compare_exchange(null_mut(), made, AcqRel, Acquire).is_err() {
            // SAFETY: allocated above, and nobody else knows of it.
            unsafe { std::alloc::dealloc(made.cast(), layout) };
        }
    }
    place_if_any(number).ok_or(Errno(libc::ENOMEM))
}

/// Give a number its queue.
pub fn insert(number: c_int, queue: Use) -> Result<()> {
    let place = place(number)?;
    queue.entry().places.fetch_add(1, Relaxed);
    if let Some(position) = position(number) {
        position.store(0, Relaxed);
    }
    // The program has closed what had this number before.
    let before = place.swap(queue.into_pointer().cast_mut(), AcqRel);
    forget(before);
    Ok(())
}

/// What was in a place has no descriptor there any more.
fn forget(before: *mut Entry) {
    if before.is_null() {
        return;
    }
    // SAFETY: the place has kept a use, which was just taken out of it.
    let queue = unsafe { Use::from_pointer(before) };
    queue.number_was_closed();
    if queue.entry().places.fetch_sub(1, Relaxed) == 1 {
        find_duplicates(&queue);
    }
}

/// The last descriptor of a queue that we knew of is closed. If the program has duplicates of
/// it that we have not met, the queue stays.
#[cold]
fn find_duplicates(queue: &Use) {
    let adopt = |number: c_int| {
        let mark = descriptor::mark(number);
        if mark.is_some_and(|mark| queue.is_of(number, mark)) {
            if let Some(kept) = enter(queue.0.cast_mut()) {
                let _ = insert(number, kept);
            }
        }
    };
    let Ok(numbers) = file::open_directory(c"/proc/self/fd") else { return };
    let _ = file::entries(numbers.number(), &mut |name| {
        if let Some(number) = name.to_str().ok().and_then(|name| name.parse().ok()) {
            adopt(number);
        }
        Ok(())
    });
}

/// Give a place up that has this entry.
fn vacate(place: &AtomicPtr<Entry>, entry: *mut Entry) {
    if !entry.is_null() && place.compare_exchange(entry, null_mut(), AcqRel, Relaxed).is_ok() {
        forget(entry);
    }
}

/// The queue of a descriptor, and what the descriptor may be used for; `None` if it is none of
/// ours.
#[inline]
pub fn find(number: c_int) -> Option<(Use, Mark)> {
    if number < 0 {
        return None;
    }
    let mark = descriptor::mark(number);
    let place = place_if_any(number);
    let entry = place.map_or(null_mut(), |place| place.load(Acquire));
    if let (Some(mark), Some(place)) = (mark, place) {
        if let Some(found) = enter(entry) {
            if place.load(Acquire) == entry && found.is_of(number, mark) {
                return Some((found, mark));
            }
        }
    }
    find_anew(number, mark, place, entry)
}

/// The number is new to us, or not what it was.
#[cold]
fn find_anew(
    number: c_int,
    mark: Option<Mark>,
    known_place: Option<&AtomicPtr<Entry>>,
    stale: *mut Entry,
) -> Option<(Use, Mark)> {
    if let Some(place) = known_place {
        vacate(place, stale);
    }
    let mark = mark?;
    // A duplicate of a descriptor that we know; its direction is its own.
    let found = known(file::identity(number).ok()?, Some(mark.key))?;
    let kept = enter(found.0.cast_mut())?;
    insert(number, kept).ok()?;
    Some((found, mark))
}

/// Close a number, whatever it is of.
pub fn close(number: c_int) -> Result<()> {
    let found = find(number);
    if found.is_some() {
        // What has fired by now is told, though the registration ends.
        mqueue_core::notify::deliver_at_once();
    }
    let closed = descriptor::close(number);
    if let (Some((queue, _)), Some(place)) = (found, place_if_any(number)) {
        vacate(place, queue.0.cast_mut());
    }
    closed
}

/// The places of an entry whose descriptors are no longer of its queue.
fn stale(of: &Use) -> impl Iterator<Item = &'static AtomicPtr<Entry>> + '_ {
    let entry = of.0.cast_mut();
    // SAFETY: null or a chunk, which is never freed.
    let chunks = PLACES.iter().map(|chunk| unsafe { chunk.load(Acquire).as_ref() }).enumerate();
    let places = chunks.filter_map(|(at, chunk)| Some((at, chunk?))).flat_map(|(at, chunk)| {
        chunk.places.iter().enumerate().map(move |(within, place)| (at * CHUNK + within, place))
    });
    places
        .filter(move |(_, place)| place.load(Acquire) == entry)
        .filter(|&(number, _)| {
            let number = number as c_int;
            !descriptor::mark(number).is_some_and(|mark| of.is_of(number, mark))
        })
        .map(|(_, place)| place)
}

/// Whether all descriptors of a queue that we know of are still its own.
///
/// # Safety
/// The entry is not taken down meanwhile.
pub unsafe fn has_all_its_numbers(entry: *const Entry) -> bool {
    // Not counted: this must never be the last use.
    stale(&ManuallyDrop::new(Use(entry))).next().is_none()
}

/// Give up the places of a queue whose descriptors the program has closed by close(2).
pub fn sweep(queue: &Use) {
    stale(queue).for_each(|place| vacate(place, queue.0.cast_mut()));
}
