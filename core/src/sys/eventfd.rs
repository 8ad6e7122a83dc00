//! Eventfds: a number in the kernel that poll can see, and that never blocks here.
//!
//! The program may close ours and get its number again for something of its own. All eventfds
//! look the same to fstat(2), so ours carries a mark: which signal it would send if it could
//! send any (F_SETSIG), which nobody else sets on such a descriptor.
//!
//! Source: eventfd(2); fcntl(2), F_SETSIG.

use super::file::{self, Descriptor};
use crate::error::{Errno, Result};
use crate::sync::Ordering::Relaxed;
use crate::sync::local::AtomicU32;

/// The same on every architecture that Rust has.
const F_SETSIG: i32 = 10;
const F_GETSIG: i32 = 11;

/// Make one, of counter 0.
pub fn open() -> Result<Descriptor> {
    // SAFETY: touches no memory.
    match unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) } {
        fd if fd < 0 => Err(Errno::last()),
        fd => Ok(Descriptor::adopt(fd)),
    }
}

/// Add to the counter; nothing happens if it would pass its greatest value, 2^64 - 2.
pub fn add(fd: i32, n: u64) {
    let bytes = n.to_ne_bytes();
    // The system call itself: write is a cancellation point.
    // SAFETY: reads 8 bytes.
    let write = || unsafe { libc::syscall(libc::SYS_write, fd, bytes.as_ptr(), bytes.len()) };
    while write() < 0 && Errno::last() == Errno(libc::EINTR) {}
}

/// Make the counter 0.
pub fn clear(fd: i32) {
    let mut bytes = [0u8; 8];
    // SAFETY: writes at most 8 bytes; it fails if the counter is 0.
    let mut read = || unsafe { libc::syscall(libc::SYS_read, fd, bytes.as_mut_ptr(), bytes.len()) };
    while read() < 0 && Errno::last() == Errno(libc::EINTR) {}
}

/// An eventfd with a mark, which may be gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Marked {
    number: i32,
    mark: i32,
}

impl Marked {
    /// Make one, of counter 0.
    pub fn open() -> Result<Marked> {
        static MARKS: AtomicU32 = AtomicU32::new(0);
        let fd = open()?;
        // Signals are 1 to 64. Two of ours that have the same number one after the other have
        // different marks.
        let mark = MARKS.fetch_add(1, Relaxed) % 64 + 1;
        // SAFETY: touches no memory. Where it fails, there is no mark.
        unsafe { libc::fcntl(fd.number(), F_SETSIG, mark) };
        let mark = mark_of(fd.number());
        Ok(Marked { number: fd.into_number(), mark })
    }

    /// Its number, if it still has that.
    pub fn number(self) -> Option<i32> {
        (mark_of(self.number) == self.mark).then_some(self.number)
    }

    /// Close it.
    pub fn close(self) {
        if let Some(number) = self.number() {
            file::close(number);
        }
    }

    /// As a number for an atomic, never 0.
    pub fn to_bits(self) -> u64 {
        (self.mark as u32 as u64) << 32 | (self.number as u32 as u64 + 1)
    }

    /// From what `to_bits` gave; 0 is none.
    pub fn from_bits(bits: u64) -> Option<Marked> {
        let number = (bits as u32).checked_sub(1)? as i32;
        Some(Marked { number, mark: (bits >> 32) as u32 as i32 })
    }
}

fn mark_of(fd: i32) -> i32 {
    // SAFETY: touches no memory.
    unsafe { libc::fcntl(fd, F_GETSIG) }
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    #[test]
    fn one_that_the_program_has_closed_is_not_taken_for_another() {
        let ours = Marked::open().unwrap();
        let number = ours.number().unwrap();
        file::close(number);

        assert_eq!(ours.number(), None);
        // Whatever has the number now: a marked one of later, or another thread's.
        let next = Marked::open().unwrap();
        assert_ne!(next.to_bits(), ours.to_bits());
        assert_eq!(ours.number(), None);
        next.close();
    }

    #[test]
    fn bits_give_back_what_they_were_made_of() {
        for marked in [Marked { number: 0, mark: 64 }, Marked { number: i32::MAX, mark: -1 }] {
            assert_eq!(Marked::from_bits(marked.to_bits()), Some(marked));
        }
        assert_eq!(Marked::from_bits(0), None);
    }
}
