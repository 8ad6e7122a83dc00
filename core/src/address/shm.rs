//! The names of queues in shared memory.
//!
//! A shared-memory queue `/x` is the file `mqrs.x`. A name too long for that (251 to 255
//! bytes; a file name has at most 255) becomes `mqrs~`, the SHA-256 of the name in 64 hex
//! digits, and the name's first 186 bytes. The fifth byte keeps the two kinds apart, the
//! digest keeps long names apart, and the queue itself stores its full name, so that an
//! opener can still make sure ([`ShmName::matches`]).

#![forbid(unsafe_code)]

use super::{NAME_MAX, check_name};
use crate::error::Result;
use crate::sha256;
use crate::text::Text;
use std::ffi::CStr;

const FULL_PREFIX: &[u8] = b"shm:/";
const FILE_PREFIX: &[u8] = b"mqrs.";
const SHORTENED_PREFIX: &[u8] = b"mqrs~";

/// The name of a queue in shared memory, in the three forms that are needed of it.
#[derive(Clone)]
pub struct ShmName {
    full: Text<{ FULL_PREFIX.len() + NAME_MAX + 1 }>,
    file: Text<{ NAME_MAX + 1 }>,
}

impl ShmName {
    /// From the bytes after the slash.
    pub fn new(name: &[u8]) -> Result<ShmName> {
        check_name(name)?;
        Ok(ShmName::checked(name))
    }

    /// The name that 128 random bits make: 32 hex digits.
    pub fn from_random(bits: [u8; 16]) -> ShmName {
        let mut digits = [0; 32];
        write_hex(&bits, &mut digits);
        ShmName::checked(&digits)
    }

    fn checked(name: &[u8]) -> ShmName {
        let mut full = Text::new();
        full.push(FULL_PREFIX);
        full.push(name);

        let mut file = Text::new();
        if FILE_PREFIX.len() + name.len() <= NAME_MAX {
            file.push(FILE_PREFIX);
            file.push(name);
        } else {
            let mut digits = [0; 64];
            write_hex(&sha256::digest(name), &mut digits);
            file.push(SHORTENED_PREFIX);
            file.push(&digits);
            file.push(&name[..NAME_MAX - file.as_bytes().len()]);
        }
        ShmName { full, file }
    }

    /// The name of the queue that such a file holds, if the file's name has it whole.
    pub fn of_file(file_name: &CStr) -> Option<ShmName> {
        let name = file_name.to_bytes().strip_prefix(FILE_PREFIX)?;
        ShmName::new(name).ok()
    }

    /// Whether a file's name is one that was shortened.
    pub fn is_shortened(file_name: &CStr) -> bool {
        file_name.to_bytes().starts_with(SHORTENED_PREFIX)
    }

    /// The full address: `shm:/x`.
    pub fn full(&self) -> &CStr {
        self.full.as_c_str()
    }

    /// The name of the queue's file in its directory.
    pub fn file_name(&self) -> &CStr {
        self.file.as_c_str()
    }

    /// The bytes after the slash, at most [`NAME_MAX`]: what a queue's header stores.
    pub fn name_bytes(&self) -> &[u8] {
        &self.full.as_bytes()[FULL_PREFIX.len()..]
    }

    /// Whether a header's name field (the name, then zero bytes) holds this name.
    pub fn matches(&self, stored: &[u8]) -> bool {
        let name = self.name_bytes();
        stored.strip_prefix(name).is_some_and(|rest| rest.iter().all(|&byte| byte == 0))
    }
}

impl std::fmt::Debug for ShmName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ShmName").field(&self.full()).finish()
    }
}

fn write_hex(bytes: &[u8], digits: &mut [u8]) {
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
        pair[1] = b"0123456789abcdef"[usize::from(byte & 15)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn shm(address: &[u8]) -> ShmName {
        ShmName::new(&address[1..]).unwrap()
    }

    #[test]
    fn a_file_name_never_exceeds_255_bytes() {
        for length in 1..=255 {
            let name = ShmName::new(&vec![b'y'; length]).unwrap();

            assert_eq!(name.file_name().to_bytes().len(), (5 + length).min(255));
            assert_eq!(name.full().to_bytes().len(), 5 + length);
        }
    }

    #[test]
    fn a_shortened_file_name_is_never_that_of_another_queue() {
        // Every unshortened file begins with "mqrs.", so one that begins with "mqrs~" is
        // none of them; and long names that differ in any byte differ in their digest.
        let mut files = HashSet::new();
        for length in 251..=255 {
            // Some of them where each takes long.
            for position in (0..length).step_by(if cfg!(miri) { 125 } else { 1 }) {
                let mut name = vec![b'z'; length];
                name[position] = b'a';
                let name = ShmName::new(&name).unwrap();

                assert!(name.file_name().to_bytes().starts_with(b"mqrs~"));
                assert!(files.insert(name.file_name().to_owned()));
            }
        }
    }

    #[test]
    fn a_shortened_file_name_is_the_documented_one() {
        // The digest is `printf '%0251d' 0 | tr 0 x | sha256sum`.
        let name = ShmName::new(&[b'x'; 251]).unwrap();

        let expected = format!("mqrs~{}{}", DIGEST_OF_251_X, "x".repeat(186));
        assert_eq!(name.file_name().to_str(), Ok(expected.as_str()));
    }
    const DIGEST_OF_251_X: &str =
        "90d738c31c5ee1241cbcd2ff3d4aa1257ba5b7d717c545c397d37dc060ecf7ff";

    #[test]
    fn a_stored_name_matches_only_itself() {
        let name = shm(b"/jobs");
        let mut stored = [0; 256];
        stored[..4].copy_from_slice(b"jobs");
        assert!(name.matches(&stored));
        assert!(name.matches(b"jobs"));

        assert!(!name.matches(b""));
        assert!(!name.matches(b"job"));
        assert!(!name.matches(b"jobs2"));
        stored[5] = b'x';
        assert!(!name.matches(&stored));
    }

    #[test]
    fn random_bits_become_32_hex_digits() {
        let mut bits = [0; 16];
        bits[0] = 0x0f;
        bits[15] = 0xa5;

        let name = ShmName::from_random(bits);

        assert_eq!(name.full(), c"shm:/0f0000000000000000000000000000a5");
    }
}
