//! System V shared memory: what it takes to find, make and attach one page.
//!
//! Source: shmget(2), shmop(2), shmctl(2).

use crate::error::{Errno, Result};

fn checked(result: libc::c_int) -> Result<i32> {
    if result < 0 { Err(Errno::last()) } else { Ok(result) }
}

/// The number of the segment with a key, of at least `len` bytes; made if `flags` say so.
pub fn get(key: u32, len: usize, flags: i32) -> Result<i32> {
    // SAFETY: touches no memory.
    checked(unsafe { libc::shmget(key as libc::key_t, len, flags) })
}

/// How long a segment is.
pub fn len(id: i32) -> Result<usize> {
    // SAFETY: numbers only, so all zeros are a value; the call writes one.
    unsafe {
        let mut status: libc::shmid_ds = core::mem::zeroed();
        checked(libc::shmctl(id, libc::IPC_STAT, &mut status))?;
        Ok(status.shm_segsz as usize)
    }
}

/// Map a segment, to read and write.
pub fn attach(id: i32) -> Result<*mut u8> {
    // SAFETY: at an address of the kernel's choice.
    let base = unsafe { libc::shmat(id, core::ptr::null(), 0) };
    if base.addr() == usize::MAX { Err(Errno::last()) } else { Ok(base.cast()) }
}

/// Unmap it.
///
/// # Safety
/// `base` came from [`attach`], and nothing uses the segment any more.
pub unsafe fn detach(base: *mut u8) {
    // SAFETY: granted by the caller.
    unsafe { libc::shmdt(base.cast()) };
}

/// Keep the first `len` bytes out of core dumps. `EINVAL` if pages there are longer, as
/// huge ones are: they cannot be told apart in part.
///
/// # Safety
/// `base` came from [`attach`].
pub unsafe fn keep_out_of_dumps(base: *mut u8, len: usize) -> Result<()> {
    // SAFETY: granted by the caller; the advice changes no byte.
    checked(unsafe { libc::madvise(base.cast(), len, libc::MADV_DONTDUMP) }).map(drop)
}
