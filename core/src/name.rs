//! Queue addresses: which transport, and which queue of it.
//!
//! The rules for a name after its slash, and the error when several are broken, are those
//! of the kernel's `mq_open`. Nothing here allocates or asks the operating system.
//!
//! A shared-memory queue `/x` is the file `mqrs.x`. A name too long for that (251 to 255
//! bytes; a file name has at most 255) becomes `mqrs~`, the SHA-256 of the name in 64 hex
//! digits, and the name's first 186 bytes. The fifth byte keeps the two kinds apart, the
//! digest keeps long names apart, and the queue itself stores its full name, so that an
//! opener can still make sure ([`ShmName::matches`]).
//!
//! Source: mq_overview(7), mq_open(3), and the answers of Linux 6.18.

#![forbid(unsafe_code)]

use crate::error::Result;
use crate::report::say;
use crate::sha256;
use std::ffi::CStr;

/// Most bytes of a name, its slash not counted.
pub const NAME_MAX: usize = 255;

/// From this length on (slash and NUL counted) the kernel does not even look at a name.
const PATH_MAX: usize = 4096;

const FULL_PREFIX: &[u8] = b"shm:/";
const FILE_PREFIX: &[u8] = b"mqrs.";
const SHORTENED_PREFIX: &[u8] = b"mqrs~";

/// A queue's address, its name already checked where this build can open it.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "boxing would allocate")]
pub enum Address {
    /// `/name` or `shm:/name`: a queue in shared memory.
    Shm(ShmName),
    /// `posix:…`: a queue of the kernel's `mq_open`.
    Posix,
    /// `sysv:…`: a queue of the kernel's `msgget`.
    Sysv,
    /// `amqp://…`: a queue of an external broker.
    Amqp,
}

impl Address {
    /// Read an address.
    pub fn parse(address: &CStr) -> Result<Address> {
        let bytes = address.to_bytes();
        if let Some(name) = bytes.strip_prefix(b"/") {
            return ShmName::new(name).map(Address::Shm);
        }
        if let Some(rest) = bytes.strip_prefix(b"shm:") {
            return match rest.strip_prefix(b"/") {
                Some(name) => ShmName::new(name).map(Address::Shm),
                None => {
                    Err(say(libc::EINVAL, "after shm: the queue's name must begin with a slash"))
                }
            };
        }
        if bytes.starts_with(b"posix:") {
            return Ok(Address::Posix);
        }
        if bytes.starts_with(b"sysv:") {
            return Ok(Address::Sysv);
        }
        if bytes.starts_with(b"amqp://") {
            return Ok(Address::Amqp);
        }
        Err(say(
            libc::EINVAL,
            if bytes.is_empty() {
                "the queue's name is empty"
            } else if bytes.contains(&b':') {
                "the address begins with an unknown prefix; known are shm:, posix:, sysv: and amqp://"
            } else {
                "the queue's name does not begin with a slash"
            },
        ))
    }

    /// The name, if the address is of shared memory; `ENOTSUP` for what is not built yet.
    pub fn into_shm(self) -> Result<ShmName> {
        let sentence = match self {
            Address::Shm(name) => return Ok(name),
            Address::Posix => "the posix transport is not part of this build",
            Address::Sysv => "the sysv transport is not part of this build",
            Address::Amqp => "the amqp transport is not part of this build",
        };
        Err(say(libc::ENOTSUP, sentence))
    }
}

/// The name of a queue in shared memory, in the three forms that are needed of it.
#[derive(Clone)]
pub struct ShmName {
    full: Text<{ FULL_PREFIX.len() + NAME_MAX + 1 }>,
    file: Text<{ NAME_MAX + 1 }>,
}

impl ShmName {
    /// From the bytes after the slash.
    pub fn new(name: &[u8]) -> Result<ShmName> {
        if name.is_empty() {
            return Err(say(libc::ENOENT, "the queue's name is a slash alone"));
        }
        if name.len() >= PATH_MAX {
            return Err(too_long());
        }
        if name.contains(&b'/') {
            return Err(say(libc::EACCES, "the queue's name has a second slash"));
        }
        if name == b"." || name == b".." {
            return Err(say(libc::EACCES, "the names /. and /.. are directories"));
        }
        if name.len() > NAME_MAX {
            return Err(too_long());
        }
        if name.contains(&0) {
            return Err(say(libc::EINVAL, "the queue's name has a zero byte"));
        }
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
            file.push(&name[..NAME_MAX - file.len]);
        }
        ShmName { full, file }
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

fn too_long() -> crate::error::Errno {
    say(libc::ENAMETOOLONG, "the queue's name has more than 255 bytes after its slash")
}

fn write_hex(bytes: &[u8], digits: &mut [u8]) {
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
        pair[1] = b"0123456789abcdef"[usize::from(byte & 15)];
    }
}

/// Bytes in a fixed room, always followed by a NUL.
#[derive(Clone)]
struct Text<const ROOM: usize> {
    bytes: [u8; ROOM],
    len: usize,
}

impl<const ROOM: usize> Text<ROOM> {
    fn new() -> Self {
        Text { bytes: [0; ROOM], len: 0 }
    }

    /// Append; the caller has made sure that it fits with its NUL.
    fn push(&mut self, bytes: &[u8]) {
        debug_assert!(self.len + bytes.len() < ROOM);
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn as_c_str(&self) -> &CStr {
        // Cannot fail: no byte pushed is a NUL, and the room ends with one.
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or(c"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Errno;
    use crate::report::with_sentence;
    use std::collections::HashSet;
    use std::ffi::CString;

    fn parse(address: &[u8]) -> Result<Address> {
        Address::parse(&CString::new(address).unwrap())
    }

    fn shm(address: &[u8]) -> ShmName {
        parse(address).unwrap().into_shm().unwrap()
    }

    fn error(address: &[u8]) -> i32 {
        parse(address).unwrap_err().0
    }

    fn sentence() -> String {
        with_sentence(str::to_owned)
    }

    #[test]
    fn a_name_and_the_same_name_with_its_prefix_are_one_queue() {
        for address in [&b"/jobs"[..], b"shm:/jobs"] {
            let name = shm(address);

            assert_eq!(name.full(), c"shm:/jobs");
            assert_eq!(name.file_name(), c"mqrs.jobs");
            assert_eq!(name.name_bytes(), b"jobs");
        }
    }

    #[test]
    fn the_full_address_names_the_same_queue_again() {
        for length in [1, 250, 251, 255] {
            let name = ShmName::new(&vec![b'n'; length]).unwrap();

            let again = shm(name.full().to_bytes());

            assert_eq!(again.file_name(), name.file_name());
        }
    }

    #[test]
    fn an_empty_name_is_invalid() {
        assert_eq!(error(b""), libc::EINVAL);
        assert_eq!(sentence(), "the queue's name is empty");
        assert_eq!(error(b"shm:"), libc::EINVAL);
    }

    #[test]
    fn a_name_without_a_leading_slash_is_invalid_however_long() {
        assert_eq!(error(b"jobs"), libc::EINVAL);
        assert_eq!(sentence(), "the queue's name does not begin with a slash");
        assert_eq!(error(b"jobs/x"), libc::EINVAL);
        assert_eq!(error(&[b'x'; 5000]), libc::EINVAL);
        assert_eq!(error(b"shm:jobs"), libc::EINVAL);
    }

    #[test]
    fn an_unknown_prefix_is_invalid_and_called_unknown() {
        for address in [&b"foo:/x"[..], b":/x", b"SHM:/x", b"amqp:/x", b"shm/x:"] {
            assert_eq!(error(address), libc::EINVAL, "{address:?}");
            assert!(sentence().contains("unknown prefix"), "{}", sentence());
        }
    }

    #[test]
    fn a_slash_alone_names_nothing() {
        assert_eq!(error(b"/"), libc::ENOENT);
        assert_eq!(error(b"shm:/"), libc::ENOENT);
    }

    #[test]
    fn a_second_slash_is_refused_wherever_it_is() {
        for address in [&b"//"[..], b"//a", b"/a/", b"/a/b", b"shm://a", b"/./a", b"/../a"] {
            assert_eq!(error(address), libc::EACCES, "{address:?}");
        }
    }

    #[test]
    fn the_directory_names_are_refused_and_names_like_them_are_not() {
        assert_eq!(error(b"/."), libc::EACCES);
        assert_eq!(error(b"/.."), libc::EACCES);
        assert_eq!(shm(b"/...").file_name(), c"mqrs....");
        assert_eq!(shm(b"/.a").file_name(), c"mqrs..a");
    }

    #[test]
    fn a_name_has_at_most_255_bytes_after_its_slash() {
        let mut address = vec![b'x'; 256];
        address[0] = b'/';
        assert_eq!(shm(&address).name_bytes().len(), 255);

        address.push(b'x');
        assert_eq!(error(&address), libc::ENAMETOOLONG);
    }

    #[test]
    fn a_second_slash_counts_before_the_length_until_the_kernel_reads_no_further() {
        let mut address = vec![b'x'; 4096];
        address[0] = b'/';
        address[9] = b'/';
        assert_eq!(error(&address), libc::EACCES);

        address.push(b'x');
        assert_eq!(error(&address), libc::ENAMETOOLONG);
    }

    #[test]
    fn transports_that_are_not_built_are_recognised_and_named() {
        for (address, transport) in
            [("posix:/x", "posix"), ("sysv:7", "sysv"), ("sysv:", "sysv"), ("amqp://h/q", "amqp")]
        {
            let answer = parse(address.as_bytes()).unwrap().into_shm();

            assert_eq!(answer.unwrap_err(), Errno(libc::ENOTSUP), "{address}");
            assert_eq!(sentence(), format!("the {transport} transport is not part of this build"));
        }
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

    #[test]
    fn a_zero_byte_is_no_part_of_a_name() {
        assert_eq!(ShmName::new(b"a\0b").unwrap_err(), Errno(libc::EINVAL));
    }
}
