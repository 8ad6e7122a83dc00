//! Queue addresses: which transport, and which queue of it.
//!
//! The rules for a name after its slash, and the error when several are broken, are those
//! of the kernel's `mq_open`. Nothing here allocates or asks the operating system.
//!
//! Source: mq_overview(7), mq_open(3), and the answers of Linux 6.18.

#![forbid(unsafe_code)]

mod posix;
mod shm;
mod sysv;

pub use posix::PosixName;
pub use shm::ShmName;
pub use sysv::{SysvAddress, SysvName, record_of};

use crate::error::{Errno, Result};
use crate::report::say;
use std::ffi::CStr;

/// Most bytes of a name, its slash not counted.
pub const NAME_MAX: usize = 255;

/// From this length on (slash and NUL counted) the kernel does not even look at a name.
const PATH_MAX: usize = 4096;

/// A queue's address, checked.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "boxing would allocate")]
pub enum Address {
    /// `/name` or `shm:/name`: a queue in shared memory.
    Shm(ShmName),
    /// `posix:/name`: a queue of the kernel's `mq_open`.
    Posix(PosixName),
    /// `sysv:…`: a queue of the kernel's `msgget`.
    Sysv(SysvAddress),
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
        if let Some(rest) = bytes.strip_prefix(b"posix:") {
            return match rest.strip_prefix(b"/") {
                Some(name) => PosixName::new(name).map(Address::Posix),
                None => {
                    Err(say(libc::EINVAL, "after posix: the queue's name must begin with a slash"))
                }
            };
        }
        if let Some(rest) = bytes.strip_prefix(b"sysv:") {
            return SysvAddress::parse(rest).map(Address::Sysv);
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
}

/// Check the bytes after the slash.
fn check_name(name: &[u8]) -> Result<()> {
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
    Ok(())
}

fn too_long() -> Errno {
    say(libc::ENAMETOOLONG, "the queue's name has more than 255 bytes after its slash")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::with_sentence;
    use std::ffi::CString;

    fn parse(address: &[u8]) -> Result<Address> {
        Address::parse(&CString::new(address).unwrap())
    }

    fn shm(address: &[u8]) -> ShmName {
        match parse(address).unwrap() {
            Address::Shm(name) => name,
            other => panic!("{other:?}"),
        }
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
    fn each_transport_has_its_prefix() {
        assert!(matches!(parse(b"posix:/x"), Ok(Address::Posix(name)) if name.bare() == c"x"));
        assert!(matches!(parse(b"sysv:7"), Ok(Address::Sysv(SysvAddress::Key(7)))));
        assert!(matches!(parse(b"amqp://h/q"), Ok(Address::Amqp)));
    }

    #[test]
    fn the_rules_for_names_are_those_of_every_transport() {
        for prefix in ["shm:", "posix:", "sysv:"] {
            for (name, errno) in [
                ("", libc::EINVAL),
                ("x", libc::EINVAL),
                ("/", libc::ENOENT),
                ("//", libc::EACCES),
                ("/a/b", libc::EACCES),
                ("/.", libc::EACCES),
                ("/..", libc::EACCES),
            ] {
                assert_eq!(error(format!("{prefix}{name}").as_bytes()), errno, "{prefix}{name}");
            }
            let long = format!("{prefix}/{}", "x".repeat(256));
            assert_eq!(error(long.as_bytes()), libc::ENAMETOOLONG);
        }
    }

    #[test]
    fn a_zero_byte_is_no_part_of_a_name() {
        assert_eq!(ShmName::new(b"a\0b").unwrap_err(), Errno(libc::EINVAL));
    }
}
