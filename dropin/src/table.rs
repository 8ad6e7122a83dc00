//! Which descriptor is which queue.
//!
//! ```text
//! places    number -> entry, for each descriptor of a queue that we know of
//! entries   a queue of this process, however many descriptors it has (entry.rs)
//! ```
//!
//! Nothing here waits for anybody, since calls come from signal handlers and from forked
//! children of programs with threads: memory for places is never given back.
//!
//! A number says nothing for ever: the program may close it by close(2), duplicate it, and get
//! the same number for another file. So each call asks the system whose it is now
//! (`descriptor.rs`); a place that is found stale is given up, which counts as mq_close.

use crate::descriptor::{self, Mark};
use crate::entry::{Entry, Use, enter, known};
use core::ffi::c_int;
use core::mem::ManuallyDrop;
use core::ptr::null_mut;
use mqueue_core::error::{Errno, Result};
use mqueue_core::sync::Ordering::{AcqRel, Acquire, Relaxed};
use mqueue_core::sync::local::{AtomicPtr, AtomicU32};
use mqueue_core::sys::file;

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
    queue.places().fetch_add(1, Relaxed);
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
    if queue.places().fetch_sub(1, Relaxed) == 1 {
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
            if let Some(kept) = enter(queue.as_pointer().cast_mut()) {
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
    let kept = enter(found.as_pointer().cast_mut())?;
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
        vacate(place, queue.as_pointer().cast_mut());
    }
    closed
}

/// The places of an entry whose descriptors are no longer of its queue.
fn stale(of: &Use) -> impl Iterator<Item = &'static AtomicPtr<Entry>> + '_ {
    let entry = of.as_pointer().cast_mut();
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
    // SAFETY: the pointer is an entry's, and the use is not given back.
    let uncounted = ManuallyDrop::new(unsafe { Use::from_pointer(entry) });
    stale(&uncounted).next().is_none()
}

/// Give up the places of a queue whose descriptors the program has closed by close(2).
pub fn sweep(queue: &Use) {
    stale(queue).for_each(|place| vacate(place, queue.as_pointer().cast_mut()));
}
