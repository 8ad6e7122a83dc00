//! Mapping memory.

use crate::error::{Errno, Result};

/// Map `len` bytes of a file, shared, not inherited by fork.
pub fn map_file(fd: i32, len: usize) -> Result<*mut u8> {
    // SAFETY: a new mapping at an address of the kernel's choice.
    let base = unsafe {
        libc::mmap(
            core::ptr::null_mut(),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            fd,
            0,
        )
    };
    if base == libc::MAP_FAILED {
        return Err(Errno::last());
    }
    // SAFETY: the mapping just made.
    if unsafe { libc::madvise(base, len, libc::MADV_DONTFORK) } != 0 {
        let error = Errno::last();
        // SAFETY: nobody else knows of it.
        unsafe { libc::munmap(base, len) };
        return Err(error);
    }
    Ok(base.cast())
}

/// Map `len` zeroed bytes of our own.
pub fn map_plain(len: usize) -> Result<*mut u8> {
    // SAFETY: a new mapping at an address of the kernel's choice.
    let base = unsafe {
        libc::mmap(
            core::ptr::null_mut(),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if base == libc::MAP_FAILED { Err(Errno::last()) } else { Ok(base.cast()) }
}

/// The same, but reading as zeros again in a child after fork.
///
/// `Ok(None)`: the kernel cannot do that (before Linux 4.14).
pub fn map_wiped_on_fork(len: usize) -> Result<Option<*mut u8>> {
    let base = map_plain(len)?;
    // SAFETY: the mapping just made.
    if unsafe { libc::madvise(base.cast(), len, libc::MADV_WIPEONFORK) } != 0 {
        // SAFETY: nobody else knows of it.
        unsafe { unmap(base, len) };
        return Ok(None);
    }
    Ok(Some(base))
}

/// Unmap.
///
/// # Safety
/// The range was mapped by this module and nothing uses it any more.
pub unsafe fn unmap(base: *mut u8, len: usize) {
    // SAFETY: granted by the caller.
    unsafe { libc::munmap(base.cast(), len) };
}
