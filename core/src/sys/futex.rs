//! Sleeping on a word of shared memory, and waking who sleeps there.
//!
//! Source: futex(2); futex_waitv (Linux 5.16), which restarts under SA_RESTART where a
//! timed FUTEX_WAIT is interrupted. Words of a segment never use the PRIVATE forms: the
//! sleepers are in different processes.

use crate::shm::Slept;
use crate::sync::local::{self, AtomicBool};
use crate::sync::{AtomicU32, Ordering::Relaxed};
use crate::sys::clock;

const SYS_FUTEX_WAITV: libc::c_long = 449;
const FUTEX_32: u32 = 2;
const FUTEX_PRIVATE: u32 = 128;

/// One word of a futex_waitv call (struct futex_waitv of linux/futex.h).
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct WaitOn {
    value: u64,
    address: u64,
    flags: u32,
    reserved: u32,
}

impl WaitOn {
    /// Wait while `word` is `value`.
    pub fn new(word: &AtomicU32, value: u32) -> WaitOn {
        WaitOn {
            value: value as u64,
            address: word.as_ptr() as usize as u64,
            flags: FUTEX_32,
            reserved: 0,
        }
    }
}

impl WaitOn {
    /// The same on a word of this process alone.
    pub fn new_local(word: &local::AtomicU32, value: u32) -> WaitOn {
        WaitOn {
            value: value as u64,
            address: word.as_ptr() as usize as u64,
            flags: FUTEX_32 | FUTEX_PRIVATE,
            reserved: 0,
        }
    }
}

/// The kernel (or a filter) has no futex_waitv.
static NO_WAITV: AtomicBool = AtomicBool::new(false);

/// Sleep while all words have their values; `None` if the kernel has no such call, which is
/// asked only once.
pub fn wait_several(words: &[WaitOn], until_ns: i64) -> Option<Slept> {
    if NO_WAITV.load(Relaxed) {
        return None;
    }
    let slept = wait_any(words, until_ns);
    if slept.is_none() {
        NO_WAITV.store(true, Relaxed);
    }
    slept
}

/// Whether one sleep on several words is possible, as far as is known.
pub fn can_wait_for_several() -> bool {
    !NO_WAITV.load(Relaxed)
}

/// Sleep while `word` is `value`, at most until `until_ns` on the monotonic clock.
pub fn wait(word: &AtomicU32, value: u32, until_ns: i64) -> Slept {
    match wait_several(&[WaitOn::new(word, value)], until_ns) {
        Some(slept) => slept,
        None => wait_until_signal(word, value, until_ns),
    }
}

/// The same, and every signal handler ends it, also one with SA_RESTART.
pub fn wait_until_signal(word: &AtomicU32, value: u32, until_ns: i64) -> Slept {
    let until = clock::timespec(until_ns);
    // SAFETY: FUTEX_WAIT_BITSET reads the word and the timespec, both alive here; the
    // timeout is absolute on the monotonic clock.
    let result = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT_BITSET,
            value,
            until.as_ptr(),
            core::ptr::null::<u32>(),
            libc::FUTEX_BITSET_MATCH_ANY,
        )
    };
    slept(result).unwrap_or(Slept::Changed)
}

/// Sleep while all words have their values; `None` if the kernel has no such call.
fn wait_any(words: &[WaitOn], until_ns: i64) -> Option<Slept> {
    // Miri has only the older calls.
    if cfg!(miri) {
        return None;
    }
    let until = kernel_timespec(until_ns);
    // SAFETY: the kernel reads the array and the timespec, both alive here, and the words,
    // which the references in WaitOn::new vouched for or which are reported as EFAULT.
    let result = unsafe {
        libc::syscall(
            SYS_FUTEX_WAITV,
            words.as_ptr(),
            words.len() as libc::c_uint,
            0 as libc::c_uint,
            until.as_ptr(),
            libc::CLOCK_MONOTONIC,
        )
    };
    slept(result)
}

/// futex_waitv takes 64-bit times on every architecture.
fn kernel_timespec(ns: i64) -> [i64; 2] {
    [ns / 1_000_000_000, ns % 1_000_000_000]
}

fn slept(result: libc::c_long) -> Option<Slept> {
    if result >= 0 {
        return Some(Slept::Changed);
    }
    match std::io::Error::last_os_error().raw_os_error() {
        Some(libc::EINTR) => Some(Slept::Interrupted),
        Some(libc::ETIMEDOUT) => Some(Slept::TimedOut),
        // EINVAL: a clock or flag that this kernel's call does not know.
        Some(libc::ENOSYS | libc::EPERM | libc::EINVAL) => None,
        _ => Some(Slept::Changed),
    }
}

/// Wake at most `most` sleepers; tells how many.
pub fn wake(word: &AtomicU32, most: i32) -> i32 {
    // SAFETY: FUTEX_WAKE only looks the address up.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, most) as i32 }
}

/// Sleep while a word of this process alone is `value`, at most for `ns` nanoseconds.
pub fn wait_local(word: &local::AtomicU32, value: u32, ns: Option<i64>) -> Slept {
    let most = clock::timespec(ns.unwrap_or(0));
    let timeout = if ns.is_some() { most.as_ptr() } else { core::ptr::null() };
    // SAFETY: FUTEX_WAIT reads the word and the timespec, both alive here.
    let result = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
            value,
            timeout,
        )
    };
    slept(result).unwrap_or(Slept::Changed)
}

/// Wake everybody who sleeps on a word of this process alone.
pub fn wake_local(word: &local::AtomicU32) {
    let operation = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: FUTEX_WAKE only looks the address up.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, i32::MAX) };
}
