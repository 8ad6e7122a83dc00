//! Which call of the system fails: a test says of which kind, and with which errno.
//!
//! Only calls between [`arm`] and [`disarm`] count: those of the library, on whatever thread.

use mqueue_core::sync::Ordering::{Relaxed, SeqCst};
use mqueue_core::sync::local::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32};
use std::ptr::null_mut;

pub use super::kinds::Kind;

/// What processes of a case see together.
pub struct Shared {
    /// Calls of each kind, in their order, since [`arm`].
    record: [AtomicU32; RECORD],
    recorded: AtomicU32,
    /// Sleeps that armed processes have begun.
    pub asleep: AtomicU32,
    /// Those of them that were polls of descriptors.
    pub polls: AtomicU32,
    /// The call that was to fail was made.
    pub struck: AtomicU32,
    /// Calls of that kind after it.
    pub calls_after: AtomicU32,
    /// Whoever waits for it may go on.
    pub go: AtomicU32,
    /// What a case has to say, and how long it is.
    text: [AtomicU32; TEXT],
    /// Numbers that a run leaves behind.
    pub numbers: [AtomicI32; 7],
}
const RECORD: usize = 4096;
const TEXT: usize = 1024;

impl Shared {
    pub fn new() -> &'static Shared {
        // SAFETY: anonymous memory of the right size, never unmapped; zeros are valid.
        unsafe {
            let memory = libc::mmap(
                null_mut(),
                size_of::<Shared>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            assert_ne!(memory, libc::MAP_FAILED);
            &*memory.cast::<Shared>()
        }
    }

    pub fn clear(&self) {
        let words = [
            &self.recorded,
            &self.asleep,
            &self.polls,
            &self.struck,
            &self.calls_after,
            &self.go,
            &self.text[0],
        ];
        for word in words {
            word.store(0, SeqCst);
        }
    }

    pub fn record(&self) -> Vec<Kind> {
        let len = (self.recorded.load(SeqCst) as usize).min(RECORD);
        self.record[..len].iter().map(|kind| Kind::ALL[kind.load(SeqCst) as usize]).collect()
    }

    /// Whether there was a call of this kind; allocates nothing.
    pub fn has_seen(&self, kind: Kind) -> bool {
        let len = (self.recorded.load(SeqCst) as usize).min(RECORD);
        self.record[..len].iter().any(|seen| seen.load(SeqCst) == kind as u32)
    }

    pub fn say(&self, text: &str) {
        let bytes = &text.as_bytes()[..text.len().min(TEXT - 1)];
        for (place, byte) in self.text[1..].iter().zip(bytes) {
            place.store(u32::from(*byte), SeqCst);
        }
        self.text[0].store(bytes.len() as u32, SeqCst);
    }

    pub fn said(&self) -> String {
        let len = self.text[0].load(SeqCst) as usize;
        let bytes: Vec<u8> = self.text[1..=len].iter().map(|b| b.load(SeqCst) as u8).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Which call of a kind fails, and whether those after it do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    pub kind: Kind,
    /// From 1.
    pub nth: u32,
    pub errno: i32,
    pub from_then_on: bool,
}

const KINDS: usize = Kind::ALL.len();
const NEVER: u32 = u32::MAX;

pub static ARMED: AtomicBool = AtomicBool::new(false);
static SHARED: AtomicPtr<Shared> = AtomicPtr::new(null_mut());
/// The errno of a kind that is not there at all, armed or not; else 0.
static ABSENT: [AtomicI32; KINDS] = [const { AtomicI32::new(0) }; KINDS];
static COUNTS: [AtomicU32; KINDS] = [const { AtomicU32::new(0) }; KINDS];
static FAULT_KIND: AtomicU32 = AtomicU32::new(NEVER);
static FAULT_NTH: AtomicU32 = AtomicU32::new(NEVER);
static FAULT_ERRNO: AtomicI32 = AtomicI32::new(0);
static FAULT_GOES_ON: AtomicBool = AtomicBool::new(false);
/// Mappings made by direct calls of mmap, less those undone.
pub static MAPPINGS: AtomicI32 = AtomicI32::new(0);
/// Allocations made between `arm` and `disarm`, less those undone then.
pub static ALLOCATIONS: AtomicI32 = AtomicI32::new(0);

/// From now on every call of this kind fails.
pub fn take_away(kind: Kind, errno: i32) {
    ABSENT[kind as usize].store(errno, SeqCst);
}

/// Everything is there again.
pub fn give_back() {
    ABSENT.iter().for_each(|absent| absent.store(0, SeqCst));
}

/// Count this process's calls from now on, and let one fail.
pub fn arm(shared: &'static Shared, fault: Option<Fault>) {
    SHARED.store(std::ptr::from_ref(shared).cast_mut(), SeqCst);
    COUNTS.iter().for_each(|count| count.store(0, SeqCst));
    ALLOCATIONS.store(0, SeqCst);
    FAULT_KIND.store(fault.map_or(NEVER, |f| f.kind as u32), SeqCst);
    FAULT_NTH.store(fault.map_or(NEVER, |f| f.nth), SeqCst);
    FAULT_ERRNO.store(fault.map_or(0, |f| f.errno), SeqCst);
    FAULT_GOES_ON.store(fault.is_some_and(|f| f.from_then_on), SeqCst);
    ARMED.store(true, SeqCst);
}

/// Count this process's sleeps only.
pub fn watch(shared: &'static Shared) {
    SHARED.store(std::ptr::from_ref(shared).cast_mut(), SeqCst);
}

pub fn disarm() {
    ARMED.store(false, SeqCst);
}

pub fn mappings() -> i32 {
    MAPPINGS.load(SeqCst)
}

pub fn allocations() -> i32 {
    ALLOCATIONS.load(SeqCst)
}

/// The errno that a call of this kind is to fail with now.
pub fn fails(kind: Kind) -> Option<i32> {
    let absent = match ABSENT[kind as usize].load(Relaxed) {
        0 => None,
        errno => Some(errno),
    };
    if !ARMED.load(Relaxed) {
        return absent;
    }
    let count = COUNTS[kind as usize].fetch_add(1, SeqCst) + 1;
    // SAFETY: set before ARMED was, and never unmapped.
    let shared = unsafe { &*SHARED.load(Relaxed) };
    let at = shared.recorded.fetch_add(1, SeqCst) as usize;
    if let Some(place) = shared.record.get(at) {
        place.store(kind as u32, SeqCst);
    }
    if FAULT_KIND.load(SeqCst) == kind as u32 {
        let nth = FAULT_NTH.load(SeqCst);
        if count > nth {
            shared.calls_after.fetch_add(1, SeqCst);
        }
        if count == nth || count > nth && FAULT_GOES_ON.load(SeqCst) {
            shared.struck.store(1, SeqCst);
            return Some(FAULT_ERRNO.load(SeqCst));
        }
    }
    absent
}

/// A thread of this process is about to sleep until a queue changes.
pub fn note_sleep(is_poll: bool) {
    // SAFETY: null, or never unmapped.
    if let Some(shared) = unsafe { SHARED.load(Relaxed).as_ref() } {
        shared.asleep.fetch_add(1, SeqCst);
        shared.polls.fetch_add(u32::from(is_poll), SeqCst);
    }
}
