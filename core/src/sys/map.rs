//! Mapping memory.

use crate::error::{Errno, Result};

/// Bytes of the address space that are unmapped with their holder.
pub struct Mapping {
    base: *mut u8,
    len: usize,
}

impl Mapping {
    /// Where it begins.
    pub fn base(&self) -> *mut u8 {
        self.base
    }
    /// Give it away.
    pub fn into_base(self) -> *mut u8 {
        let base = self.base;
        core::mem::forget(self);
        base
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by this module; whoever took `base` out of it is done with it.
        unsafe { unmap(self.base, self.len) };
    }
}

/// Map `len` bytes of a file, shared, not inherited by fork.
pub fn map_file(fd: i32, len: usize) -> Result<Mapping> {
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
    let mapping = Mapping { base: base.cast(), len };
    // SAFETY: the mapping just made.
    if unsafe { libc::madvise(base, len, libc::MADV_DONTFORK) } != 0 {
        return Err(Errno::last());
    }
    Ok(mapping)
}

/// Map `len` zeroed bytes of our own.
pub fn map_zeros(len: usize) -> Result<Mapping> {
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
    if base == libc::MAP_FAILED {
        return Err(Errno::last());
    }
    Ok(Mapping { base: base.cast(), len })
}

/// The same, reading as zeros again in a child after fork; the flag tells whether the
/// kernel can do that (Linux 4.14).
pub fn map_wiped_on_fork(len: usize) -> Result<(Mapping, bool)> {
    let mapping = map_zeros(len)?;
    // SAFETY: the mapping just made.
    let result = unsafe { libc::madvise(mapping.base.cast(), len, libc::MADV_WIPEONFORK) };
    match if result < 0 { Err(Errno::last()) } else { Ok(()) } {
        Ok(()) => Ok((mapping, true)),
        // An advice that this kernel does not know.
        Err(Errno(libc::EINVAL)) => Ok((mapping, false)),
        Err(error) => Err(error),
    }
}

/// Unmap.
///
/// # Safety
/// The range was mapped by this module and nothing uses it any more.
pub unsafe fn unmap(base: *mut u8, len: usize) {
    // SAFETY: granted by the caller.
    unsafe { libc::munmap(base.cast(), len) };
}
