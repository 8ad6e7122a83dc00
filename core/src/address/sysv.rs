//! The addresses of System V queues.
//!
//! ```text
//! sysv:1234  sysv:0x4d2   the queue with this key
//! sysv:private            a new queue without a key
//! sysv:id:7               the existing queue of this number (msqid)
//! sysv:/name              the queue whose key the name makes: the first four bytes of the
//!                         name's SHA-256, big-endian; 1 if they are 0
//! ```
//!
//! A key of four bytes may belong to two names, so the name of each such queue is recorded in
//! a file `mqrs.sysv.KEY` (8 hex digits) in the directory of the queues.

#![forbid(unsafe_code)]

use super::{NAME_MAX, check_name};
use crate::error::Result;
use crate::report::say;
use crate::sha256;
use crate::text::Text;
use std::ffi::CStr;
use std::io::Write;

const NAME_PREFIX: &[u8] = b"sysv:/";
const RECORD_PREFIX: &[u8] = b"mqrs.sysv.";

/// Which System V queue.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "boxing would allocate")]
pub enum SysvAddress {
    /// The queue with this key; never 0.
    Key(u32),
    /// The existing queue of this number.
    Id(i32),
    /// A new queue that has no key.
    Private,
    /// The queue that is recorded under this name.
    Named(SysvName),
}

impl SysvAddress {
    /// From what follows `sysv:`.
    pub fn parse(rest: &[u8]) -> Result<SysvAddress> {
        if let Some(name) = rest.strip_prefix(b"/") {
            return SysvName::new(name).map(SysvAddress::Named);
        }
        if rest == b"private" {
            return Ok(SysvAddress::Private);
        }
        if let Some(id) = rest.strip_prefix(b"id:") {
            return match number(id, 10).map(i32::try_from) {
                Some(Ok(id)) => Ok(SysvAddress::Id(id)),
                _ => Err(say(libc::EINVAL, "after sysv:id: must come a queue's number, from 0")),
            };
        }
        let key = match rest.strip_prefix(b"0x") {
            Some(digits) => number(digits, 16),
            None => number(rest, 10),
        };
        match key.map(u32::try_from) {
            Some(Ok(0)) => Err(say(
                libc::EINVAL,
                "the key 0 is that of private queues; sysv:private makes one, sysv:id:N opens it",
            )),
            Some(Ok(key)) => Ok(SysvAddress::Key(key)),
            _ => Err(say(
                libc::EINVAL,
                "after sysv: must come a key (decimal, or 0x and hexadecimal, up to 32 bits), /name, private or id:N",
            )),
        }
    }

    /// The full address of the queue with a key: `sysv:0x4d2`.
    pub fn of_key(key: u32) -> Text<32> {
        composed(format_args!("sysv:{key:#x}"))
    }

    /// The full address of the queue of a number: `sysv:id:7`.
    pub fn of_id(id: i32) -> Text<32> {
        composed(format_args!("sysv:id:{id}"))
    }
}

/// The longest is `sysv:id:2147483647`.
fn composed(text: std::fmt::Arguments<'_>) -> Text<32> {
    let mut bytes = [0; 31];
    let mut rest = &mut bytes[..];
    // It fits, and writing into a slice cannot fail otherwise.
    let _ = rest.write_fmt(text);
    let left = rest.len();
    let mut composed = Text::new();
    composed.push(&bytes[..bytes.len() - left]);
    composed
}

/// Digits and nothing else; `None` also for more than a number of 64 bits.
fn number(digits: &[u8], base: u32) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, &digit| {
        let digit = char::from(digit).to_digit(base)?;
        value.checked_mul(u64::from(base))?.checked_add(u64::from(digit))
    })
}

/// A System V queue's name, and the key that it makes.
#[derive(Clone)]
pub struct SysvName {
    full: Text<{ NAME_PREFIX.len() + NAME_MAX + 1 }>,
    key: u32,
}

impl SysvName {
    /// From the bytes after the slash.
    pub fn new(name: &[u8]) -> Result<SysvName> {
        check_name(name)?;
        let mut full = Text::new();
        full.push(NAME_PREFIX);
        full.push(name);
        let digest = sha256::digest(name);
        let key = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]).max(1);
        Ok(SysvName { full, key })
    }

    /// The full address: `sysv:/x`.
    pub fn full(&self) -> &CStr {
        self.full.as_c_str()
    }

    /// The bytes after the slash: what the record holds.
    pub fn name_bytes(&self) -> &[u8] {
        &self.full.as_bytes()[NAME_PREFIX.len()..]
    }

    /// The key; never 0.
    pub fn key(&self) -> u32 {
        self.key
    }
}

/// The file that records the name of the queue with a key: `mqrs.sysv.000004d2`.
pub fn record_of(key: u32) -> Text<32> {
    let mut file = Text::new();
    file.push(RECORD_PREFIX);
    for byte in key.to_be_bytes() {
        for digit in [byte >> 4, byte & 15] {
            file.push(&[b"0123456789abcdef"[usize::from(digit)]]);
        }
    }
    file
}

impl std::fmt::Debug for SysvName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SysvName").field(&self.full()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(rest: &[u8]) -> Result<SysvAddress> {
        SysvAddress::parse(rest)
    }

    #[test]
    fn a_key_is_decimal_or_hexadecimal() {
        for (rest, key) in [
            (&b"1"[..], 1),
            (b"4660", 0x1234),
            (b"0x1234", 0x1234),
            (b"0xDEADbeef", 0xdead_beef),
            (b"4294967295", u32::MAX),
            (b"0010", 10),
        ] {
            assert!(matches!(parse(rest), Ok(SysvAddress::Key(k)) if k == key), "{rest:?}");
        }
    }

    #[test]
    fn what_is_no_key_of_32_bits_is_invalid() {
        for rest in [
            &b""[..],
            b"0",
            b"0x0",
            b"-1",
            b"+1",
            b" 1",
            b"1 ",
            b"0x",
            b"0X1",
            b"1f",
            b"4294967296",
            b"4294967297",
            b"0x100000000",
            b"0x100000001",
            b"99999999999999999999999",
            b"Private",
            b"private2",
            b"id:",
            b"id:-1",
            b"id:2147483648",
            b"id:0x1",
            b"id",
            b"name",
        ] {
            assert_eq!(parse(rest).unwrap_err().0, libc::EINVAL, "{rest:?}");
        }
    }

    #[test]
    fn private_queues_have_a_number_instead_of_a_key() {
        assert!(matches!(parse(b"private"), Ok(SysvAddress::Private)));
        assert!(matches!(parse(b"id:0"), Ok(SysvAddress::Id(0))));
        assert!(matches!(parse(b"id:2147483647"), Ok(SysvAddress::Id(i32::MAX))));
    }

    #[test]
    fn a_name_makes_the_documented_key() {
        // printf jobs | sha256sum
        let name = SysvName::new(b"jobs").unwrap();

        assert_eq!(name.key(), KEY_OF_JOBS);
        assert_eq!(name.full(), c"sysv:/jobs");
        assert_eq!(name.name_bytes(), b"jobs");
    }
    const KEY_OF_JOBS: u32 = 0x5d9a_17cb;

    #[test]
    fn names_follow_the_rules_of_all_names() {
        for (rest, errno) in
            [(&b"/"[..], libc::ENOENT), (b"//", libc::EACCES), (b"/..", libc::EACCES)]
        {
            assert_eq!(parse(rest).unwrap_err().0, errno, "{rest:?}");
        }
        assert_eq!(parse(&[b'/'; 1]).unwrap_err().0, libc::ENOENT);
        let long = [b"/".as_slice(), &[b'x'; 256]].concat();
        assert_eq!(parse(&long).unwrap_err().0, libc::ENAMETOOLONG);
    }

    #[test]
    fn composed_addresses_are_read_back() {
        for key in [1, 0x4d2, u32::MAX] {
            let address = SysvAddress::of_key(key);
            let rest = address.as_bytes().strip_prefix(b"sysv:").unwrap();
            assert!(matches!(parse(rest), Ok(SysvAddress::Key(k)) if k == key));
        }
        assert_eq!(SysvAddress::of_key(0x4d2).as_c_str(), c"sysv:0x4d2");
        assert_eq!(SysvAddress::of_id(i32::MAX).as_c_str(), c"sysv:id:2147483647");
        assert_eq!(record_of(0x4d2).as_c_str(), c"mqrs.sysv.000004d2");
    }
}
