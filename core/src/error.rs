//! The error of every fallible function: a POSIX errno value.
//!
//! The C boundary negates it; nothing else is ever translated.

#![forbid(unsafe_code)]

/// A positive errno value (`libc::EINVAL` …).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Errno(pub i32);

/// Shorthand for a result whose error is an [`Errno`].
pub type Result<T> = core::result::Result<T, Errno>;

impl Errno {
    /// The errno that the last failed system call of this thread left behind.
    pub fn last() -> Errno {
        Errno(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
    }

    /// Whether it says that descriptors or memory are short, and nothing of what was asked for.
    pub fn is_shortage(self) -> bool {
        matches!(self.0, libc::EMFILE | libc::ENFILE | libc::ENOMEM)
    }
}
