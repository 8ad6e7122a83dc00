//! Memory that forked processes share.

use std::marker::PhantomData;
use std::ops::Deref;
use std::{io, ptr};

/// What all zeros are a value of, and many processes may use at a time.
///
/// # Safety
///
/// Both must be so: atomics, and arrays and structs of them.
pub unsafe trait Plain {}

// SAFETY: a seat consists of atomics.
unsafe impl<const N: usize> Plain for [crate::process::Seat; N] {}

/// Pages of zeros, shared with every process that is forked from now on.
pub struct Pages {
    base: *mut u8,
    len: usize,
}

impl Pages {
    /// At least so many bytes.
    pub fn new(len: usize) -> io::Result<Pages> {
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: new pages, which overlap nothing.
        let base = unsafe { libc::mmap(ptr::null_mut(), len, prot, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Pages { base: base.cast(), len })
    }

    /// The first byte.
    pub fn base(&self) -> *mut u8 {
        self.base
    }

    /// How many bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// How many of them are there, and not only promised.
    pub fn resident(&self) -> Option<u64> {
        // SAFETY: reads a number.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        let mut there = vec![0u8; self.len.div_ceil(page)];
        // SAFETY: our pages, and a byte for each of them.
        let result = unsafe { libc::mincore(self.base.cast(), self.len, there.as_mut_ptr()) };
        let count = there.iter().filter(|&&byte| byte & 1 != 0).count();
        (result == 0).then_some((count * page) as u64)
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: mapped by new(); whoever uses them borrows this, or is another process.
        unsafe { libc::munmap(self.base.cast(), self.len) };
    }
}

/// One value on such pages.
pub struct Shared<T>(Pages, PhantomData<T>);

impl<T: Plain> Shared<T> {
    /// All zeros.
    pub fn new() -> io::Result<Shared<T>> {
        Ok(Shared(Pages::new(size_of::<T>())?, PhantomData))
    }
}

impl<T: Plain> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: as long as a T, aligned to a page, zeros at first; shared use is what
        // Plain allows.
        unsafe { &*self.0.base().cast() }
    }
}
