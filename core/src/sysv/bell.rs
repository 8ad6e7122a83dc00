//! Bells: how a timed wait on a System V queue is woken at once.
//!
//! The kernel has no timed msgsnd and msgrcv. Who waits for a limited time tries without
//! waiting, and in between sleeps on a bell, which everybody who uses this library rings
//! after a send (for receivers) or a receive (for senders). A message of another program
//! rings no bell, so nobody sleeps for longer than a slice (`wait.rs`) before he tries again.
//!
//! The bells of all queues of an IPC namespace, event words as the shared-memory queues have
//! them, are one page: a System V shared memory segment with a fixed key, for all users.
//!
//! ```text
//! key 0x6d717273 ("mqrs"), 4096 bytes, mode 0666
//! 0x00  8 bytes: "mqrsbell", or zeros as long as nobody has attached
//! 0x40  500 pairs of words, receivers' and senders'; a queue has pair msqid mod 500
//! ```
//!
//! It is made by who first opens a System V queue, and never removed by the library. What is
//! written there is a hint and nothing more: a bell that rings for nothing (another queue's,
//! or a vandal's) costs one try, one that is not heard is made up for by the slice. That
//! holds where the page cannot be had at all, too (another use of the key, no permission, no
//! shared memory): then a page of this process takes its place. Memory of this kind cannot
//! be truncated, so looking at it is safe whoever made it; only huge pages could be taken
//! away, so they are refused.
//!
//! Each handle attaches the page for itself, since the number of its queue means something
//! only in the IPC namespace in which it was opened, and so do bells. A forked child has
//! inherited them.

use crate::shm::Event;
use crate::sync::AtomicU64;
use crate::sync::Ordering::Relaxed;
use crate::sys::segment;
use core::ptr::NonNull;

/// Where the page is: "mqrs".
const KEY: u32 = 0x6d71_7273;
/// Its length.
const LEN: usize = 4096;
/// What it begins with.
const MAGIC: u64 = u64::from_ne_bytes(*b"mqrsbell");
/// Pairs of bells.
const PAIRS: usize = 500;

#[repr(C, align(64))]
struct Page {
    /// MAGIC, or 0 in a page that is new; set once.
    magic: AtomicU64,
    reserved: [AtomicU64; 7],
    pairs: [Pair; PAIRS],
}

/// The bells of one queue, and of others whose numbers are like it.
#[repr(C)]
pub struct Pair {
    /// Rung when a message has come.
    pub receivers: Event,
    /// Rung when there may be room.
    pub senders: Event,
}

impl Pair {
    /// Ring both: the queue is gone.
    pub fn ring_both(&self) {
        self.receivers.wake_all();
        self.senders.wake_all();
    }
}

const _: () = assert!(core::mem::offset_of!(Page, pairs) == 64 && size_of::<Page>() <= LEN);

/// Bells for the threads of this process, where there are none for all.
static OWN: Page = Page {
    magic: AtomicU64::new(MAGIC),
    reserved: [const { AtomicU64::new(0) }; 7],
    pairs: [const { Pair { receivers: Event::new(), senders: Event::new() } }; PAIRS],
};

/// The page of bells, attached.
pub struct Bells(Option<NonNull<Page>>);

// SAFETY: the page is made of atomics.
unsafe impl Send for Bells {}
// SAFETY: as above.
unsafe impl Sync for Bells {}

impl Bells {
    /// Attach the page, and make it if there is none.
    pub fn attach() -> Bells {
        Bells(attach(libc::IPC_CREAT))
    }

    /// Attach the page if there is one.
    pub fn attach_existing() -> Bells {
        Bells(attach(0))
    }

    /// The bells of a queue.
    pub fn of(&self, msqid: i32) -> &Pair {
        let page = match self.0 {
            // SAFETY: attached, long enough and aligned, until we are dropped; made of
            // atomics, for which any bytes are a value.
            Some(page) => unsafe { page.as_ref() },
            None => &OWN,
        };
        &page.pairs[msqid as u32 as usize % PAIRS]
    }
}

impl Drop for Bells {
    fn drop(&mut self) {
        if let Some(page) = self.0 {
            // SAFETY: attached by us, and no reference to it outlives us.
            unsafe { segment::detach(page.as_ptr().cast()) };
        }
    }
}

fn attach(create: i32) -> Option<NonNull<Page>> {
    let id = segment::get(KEY, LEN, create | 0o666).ok()?;
    if segment::len(id).ok()? != LEN {
        return None;
    }
    let base = segment::attach(id).ok()?;
    // SAFETY: just attached, and dropped or used as Bells grants.
    unsafe {
        if segment::keep_out_of_dumps(base, LEN).is_ok() && is_ours(&(*base.cast::<Page>()).magic) {
            return NonNull::new(base.cast());
        }
        segment::detach(base);
    }
    None
}

fn is_ours(magic: &AtomicU64) -> bool {
    // Relaxed: nothing else depends on it.
    matches!(magic.compare_exchange(0, MAGIC, Relaxed, Relaxed), Ok(_) | Err(MAGIC))
}
