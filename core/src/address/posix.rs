//! The names of the kernel's POSIX queues.

#![forbid(unsafe_code)]

use super::{NAME_MAX, check_name};
use crate::error::Result;
use crate::text::Text;
use std::ffi::CStr;

const FULL_PREFIX: &[u8] = b"posix:/";

/// The name of a kernel's POSIX queue.
#[derive(Clone)]
pub struct PosixName {
    full: Text<{ FULL_PREFIX.len() + NAME_MAX + 1 }>,
}

impl PosixName {
    /// From the bytes after the slash.
    pub fn new(name: &[u8]) -> Result<PosixName> {
        check_name(name)?;
        let mut full = Text::new();
        full.push(FULL_PREFIX);
        full.push(name);
        Ok(PosixName { full })
    }

    /// The full address: `posix:/x`.
    pub fn full(&self) -> &CStr {
        self.full.as_c_str()
    }

    /// What the system calls take: the name without its slash.
    pub fn bare(&self) -> &CStr {
        &self.full()[FULL_PREFIX.len()..]
    }
}

impl std::fmt::Debug for PosixName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PosixName").field(&self.full()).finish()
    }
}
