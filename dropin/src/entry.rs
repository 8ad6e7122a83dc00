//! The queues of this process, each with an entry that counts its users.
//!
//! ```text
//! users   0: free   BUSY: being made or taken down   otherwise: one for each place (table.rs),
//!                                                     and one for each call that is in it
//! ```
//!
//! Nothing here waits for anybody, since calls come from signal handlers and from forked
//! children of programs with threads: memory for entries is never given back, they are used
//! again.

use crate::descriptor::{KEYS, Mark};
use core::cell::UnsafeCell;
use core::ffi::c_int;
use core::ptr::null_mut;
use mqueue_core::error::{Errno, Result};
use mqueue_core::shm::ShmQueue;
use mqueue_core::sync::Ordering::{AcqRel, Acquire, Relaxed, Release};
use mqueue_core::sync::local::{AtomicI32, AtomicPtr, AtomicU32};
use mqueue_core::sys::file::{self, Identity};
use mqueue_core::sys::process;
use mqueue_core::transport::Transport;

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
    /// Its places, as table.rs counts them.
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

    /// Which entry it is, for who looks at its numbers.
    pub fn as_pointer(&self) -> *const Entry {
        self.0
    }

    /// The count of its places, which is the table's.
    pub fn places(&self) -> &'static AtomicU32 {
        &self.entry().places
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
    pub fn is_of(&self, number: c_int, mark: Mark) -> bool {
        let is_sure = KEYED.get(mark.key).is_some_and(|keyed| keyed.load(Relaxed) <= 1);
        mark.key == self.key() && (is_sure || file::identity(number).ok() == self.identity())
    }

    /// A descriptor of the queue was closed: its registration ends, if this process has one.
    pub fn number_was_closed(&self) {
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
pub fn enter(entry: *mut Entry) -> Option<Use> {
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
pub fn known(identity: Identity, key: Option<usize>) -> Option<Use> {
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
