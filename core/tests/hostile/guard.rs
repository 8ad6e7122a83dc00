//! Memory that nobody may touch, directly before and behind every mapping of a file and
//! every buffer that a call is given.
//!
//! This program's own `mmap` and `munmap` take the place of the C library's, so that the
//! library under test maps its queues by them without knowing. A shared mapping of a file
//! at a place of the kernel's choice gets an inaccessible page on either side; any other
//! goes to the system as it is.

use core::ffi::{c_int, c_void};
use core::ptr::null_mut;
use mqueue_core::sync::Ordering::{Acquire, Relaxed};
use mqueue_core::sync::local::AtomicU64;

/// Bytes of a guard, and what mappings are rounded up to: no less than any page.
pub const GUARD: usize = 65536;

/// Mappings with guards around them, by address; 0 is an empty place.
static GUARDED: [AtomicU64; 64] = [const { AtomicU64::new(0) }; 64];

fn page() -> usize {
    // SAFETY: reads a number.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

fn round_up(len: usize) -> usize {
    len.next_multiple_of(page())
}

/// The system call itself.
///
/// # Safety
/// As mmap(2).
unsafe fn system_mmap(
    at: *mut c_void,
    len: usize,
    prot: c_int,
    flags: c_int,
    fd: c_int,
    offset: i64,
) -> *mut c_void {
    #[cfg(target_pointer_width = "64")]
    const NUMBER: libc::c_long = libc::SYS_mmap;
    // There the offset counts pages of 4096 bytes.
    #[cfg(target_pointer_width = "32")]
    const NUMBER: libc::c_long = libc::SYS_mmap2;
    #[cfg(target_pointer_width = "32")]
    let offset = (offset / 4096) as i32;
    // SAFETY: granted by the caller.
    unsafe { libc::syscall(NUMBER, at, len, prot, flags, fd, offset) as *mut c_void }
}

/// # Safety
/// As munmap(2).
unsafe fn system_munmap(at: *mut c_void, len: usize) -> c_int {
    // SAFETY: granted by the caller.
    unsafe { libc::syscall(libc::SYS_munmap, at, len) as c_int }
}

/// # Safety
/// As mmap(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mmap(
    at: *mut c_void,
    len: usize,
    prot: c_int,
    flags: c_int,
    fd: c_int,
    offset: i64,
) -> *mut c_void {
    let place = GUARDED.iter().find(|place| place.load(Relaxed) == 0);
    let (true, Some(place)) = (at.is_null() && flags & libc::MAP_SHARED != 0 && fd >= 0, place)
    else {
        // SAFETY: granted by the caller.
        return unsafe { system_mmap(at, len, prot, flags, fd, offset) };
    };
    let whole = round_up(len).saturating_add(2 * GUARD);
    let none = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping, then another over its middle.
    unsafe {
        let guards = system_mmap(null_mut(), whole, libc::PROT_NONE, none, -1, 0);
        if guards == libc::MAP_FAILED {
            return guards;
        }
        let middle = guards.byte_add(GUARD);
        let mapped = system_mmap(middle, len, prot, flags | libc::MAP_FIXED, fd, offset);
        let claimed = mapped != libc::MAP_FAILED
            && place.compare_exchange(0, middle.addr() as u64, Acquire, Relaxed).is_ok();
        if claimed {
            return mapped;
        }
        system_munmap(guards, whole);
        if mapped == libc::MAP_FAILED {
            return mapped;
        }
        // Another thread has the place: that one mapping goes without.
        system_mmap(at, len, prot, flags, fd, offset)
    }
}

/// # Safety
/// As munmap(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn munmap(at: *mut c_void, len: usize) -> c_int {
    let place = GUARDED.iter().find(|place| place.load(Relaxed) == at.addr() as u64);
    let Some(place) = place.filter(|_| !at.is_null()) else {
        // SAFETY: granted by the caller.
        return unsafe { system_munmap(at, len) };
    };
    place.store(0, Relaxed);
    // SAFETY: granted by the caller; the guards around it are ours.
    unsafe { system_munmap(at.byte_sub(GUARD), round_up(len) + 2 * GUARD) }
}

/// Mappings that have guards now.
pub fn guarded() -> usize {
    GUARDED.iter().filter(|place| place.load(Relaxed) != 0).count()
}

/// Room for a message whose last byte is the last that may be touched.
pub struct Buffer {
    end: *mut u8,
    room: usize,
}

/// What a buffer is filled with.
const BLANK: u8 = 0xA5;
/// Bytes before a buffer that must stay as they are.
const MARGIN: usize = 64;

impl Buffer {
    /// Buffers of up to `room` bytes.
    pub fn new(room: usize) -> Buffer {
        let len = (room + MARGIN).next_multiple_of(GUARD);
        let own = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping, whose last part becomes inaccessible.
        unsafe {
            let base = system_mmap(null_mut(), len + GUARD, rights, own, -1, 0);
            assert!(base != libc::MAP_FAILED, "no memory");
            let end = base.byte_add(len);
            assert_eq!(libc::mprotect(end, GUARD, libc::PROT_NONE), 0);
            Buffer { end: end.cast(), room }
        }
    }

    /// The last `len` bytes, blank, and so is what lies before them.
    pub fn blank(&mut self, len: usize) -> *mut u8 {
        assert!(len <= self.room);
        // SAFETY: MARGIN + room bytes end at `end`.
        unsafe {
            self.end.sub(len + MARGIN).write_bytes(BLANK, len + MARGIN);
            self.end.sub(len)
        }
    }

    /// Of a blank buffer of `len` bytes, at most the first `written` have changed.
    pub fn check(&self, len: usize, written: usize) {
        // SAFETY: as in `blank`.
        let all = unsafe { core::slice::from_raw_parts(self.end.sub(len + MARGIN), len + MARGIN) };
        let is_blank = |bytes: &[u8]| bytes.iter().all(|&byte| byte == BLANK);
        assert!(is_blank(&all[..MARGIN]), "bytes before the buffer were written");
        assert!(is_blank(&all[MARGIN + written..]), "more bytes were written than returned");
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let len = (self.room + MARGIN).next_multiple_of(GUARD);
        // SAFETY: mapped in `new`.
        unsafe { system_munmap(self.end.sub(len).cast(), len + GUARD) };
    }
}
