//! A string of bytes in a fixed room: names are composed without allocating.

#![forbid(unsafe_code)]

use core::fmt;
use std::ffi::CStr;

/// Bytes in a fixed room, always followed by a NUL.
#[derive(Clone)]
pub struct Text<const ROOM: usize> {
    bytes: [u8; ROOM],
    len: usize,
}

impl<const ROOM: usize> Text<ROOM> {
    /// Nothing yet.
    pub fn new() -> Self {
        Text { bytes: [0; ROOM], len: 0 }
    }

    /// Append; the caller has made sure that it fits with its NUL.
    pub fn push(&mut self, bytes: &[u8]) {
        debug_assert!(self.len + bytes.len() < ROOM);
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// What was pushed or written.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// The same with its NUL.
    pub fn as_c_str(&self) -> &CStr {
        // Cannot fail: no byte pushed is a NUL, and the room ends with one.
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or(c"")
    }
}

impl<const ROOM: usize> fmt::Write for Text<ROOM> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.len + text.len() >= ROOM {
            return Err(fmt::Error);
        }
        self.push(text.as_bytes());
        Ok(())
    }
}
