//! Sleeping until a descriptor is ready.
//!
//! Source: ppoll(2). The system call itself: libc's functions are cancellation points.

use super::clock;
use crate::error::{Errno, Result};
use core::ffi::c_void;
use core::ptr::null_mut;

/// A descriptor and what is asked of it.
pub use libc::pollfd as Polled;

/// There is something to read.
pub const READABLE: i16 = libc::POLLIN;
/// There is room to write.
pub const WRITABLE: i16 = libc::POLLOUT;

/// Sleep until one of the descriptors is ready, at most for so many nanoseconds; tells
/// how many are.
pub fn wait(polled: &mut [Polled], ns: i64) -> Result<usize> {
    let mut most = clock::timespec(ns);
    // SAFETY: the kernel reads and writes the array and one timespec of its own form. No
    // mask of signals is passed.
    let ready = unsafe {
        libc::syscall(
            libc::SYS_ppoll,
            polled.as_mut_ptr(),
            polled.len() as libc::c_uint,
            most.as_mut_ptr(),
            null_mut::<c_void>(),
            0usize,
        )
    };
    usize::try_from(ready).map_err(|_| Errno::last())
}
