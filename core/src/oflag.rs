//! The flags of an open call, checked before anything else happens.

#![forbid(unsafe_code)]

use crate::error::Result;
use crate::report::say;

/// What a handle may be used for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// `O_RDONLY`.
    Receive,
    /// `O_WRONLY`.
    Send,
    /// `O_RDWR`.
    Both,
}

impl Direction {
    /// The flag of `open(2)`.
    pub fn oflag(self) -> i32 {
        match self {
            Direction::Receive => libc::O_RDONLY,
            Direction::Send => libc::O_WRONLY,
            Direction::Both => libc::O_RDWR,
        }
    }
}

/// The flags of an open call, in words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenFlags {
    /// What the handle is for.
    pub direction: Direction,
    /// `O_CREAT`: make the queue if there is none.
    pub create: bool,
    /// `O_EXCL`: and fail if there is one.
    pub exclusive: bool,
    /// `O_NONBLOCK`: calls without a timeout of their own do not wait.
    pub nonblock: bool,
}

impl OpenFlags {
    /// From the flags of `open(2)`; `O_CLOEXEC` is allowed and says nothing new.
    pub fn parse(oflag: i32) -> Result<OpenFlags> {
        let known =
            libc::O_ACCMODE | libc::O_CREAT | libc::O_EXCL | libc::O_NONBLOCK | libc::O_CLOEXEC;
        if oflag & !known != 0 {
            return Err(say(
                libc::EINVAL,
                "oflag has a bit other than those of O_CREAT, O_EXCL, O_NONBLOCK, O_CLOEXEC and the direction",
            ));
        }
        let direction = match oflag & libc::O_ACCMODE {
            libc::O_RDONLY => Direction::Receive,
            libc::O_WRONLY => Direction::Send,
            libc::O_RDWR => Direction::Both,
            _ => {
                return Err(say(
                    libc::EINVAL,
                    "oflag has more than one of O_RDONLY, O_WRONLY and O_RDWR",
                ));
            }
        };
        let flags = OpenFlags {
            direction,
            create: oflag & libc::O_CREAT != 0,
            exclusive: oflag & libc::O_EXCL != 0,
            nonblock: oflag & libc::O_NONBLOCK != 0,
        };
        if flags.exclusive && !flags.create {
            return Err(say(libc::EINVAL, "O_EXCL means nothing without O_CREAT"));
        }
        Ok(flags)
    }

    /// The same for a descriptor that is open already, where nothing can be created.
    pub fn parse_adopting(oflag: i32) -> Result<OpenFlags> {
        let flags = OpenFlags::parse(oflag)?;
        if flags.create {
            return Err(say(libc::EINVAL, "O_CREAT means nothing for an open descriptor"));
        }
        Ok(flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Errno;
    use libc::{O_CLOEXEC, O_CREAT, O_EXCL, O_NONBLOCK, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY};

    #[test]
    fn each_flag_says_one_thing() {
        let flags = OpenFlags::parse(O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK | O_CLOEXEC).unwrap();
        assert_eq!(
            flags,
            OpenFlags { direction: Direction::Both, create: true, exclusive: true, nonblock: true }
        );

        let flags = OpenFlags::parse(O_RDONLY).unwrap();
        assert_eq!(
            flags,
            OpenFlags {
                direction: Direction::Receive,
                create: false,
                exclusive: false,
                nonblock: false
            }
        );
        assert_eq!(OpenFlags::parse(O_WRONLY).unwrap().direction, Direction::Send);
    }

    #[test]
    fn unknown_flags_and_combinations_without_a_meaning_are_refused() {
        for oflag in [O_WRONLY | O_RDWR, O_RDWR | O_TRUNC, O_RDWR | O_EXCL, -1, i32::MIN] {
            assert_eq!(OpenFlags::parse(oflag), Err(Errno(libc::EINVAL)), "{oflag:#x}");
        }
    }

    #[test]
    fn an_open_descriptor_is_not_created() {
        assert!(OpenFlags::parse_adopting(O_RDWR | O_NONBLOCK).is_ok());
        assert_eq!(OpenFlags::parse_adopting(O_RDWR | O_CREAT), Err(Errno(libc::EINVAL)));
    }
}
