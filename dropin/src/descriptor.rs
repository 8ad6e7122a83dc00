//! What the system tells of a descriptor, and the mark by which one of ours is known.
//!
//! A descriptor of a queue is one of its beacon, a FIFO (core/src/shm/beacon.rs). Programs
//! duplicate, inherit and close such numbers without our knowing, and the system gives them to
//! other files: so each call must look. fstat(2) would tell, and costs more than a send. The
//! signal number of F_SETSIG, which means nothing on a queue, is kept with the open file
//! description: it has our mark, of the queue and the direction, which dup and fork keep, which
//! is 0 for other files, and which costs no more than to ask for the parent's pid.
//!
//! Source: fcntl(2), F_SETSIG, F_GETSIG, F_GETFL.

use core::ffi::c_int;
use mqueue_core::error::{Errno, Result};
use mqueue_core::oflag::Direction;

const F_SETSIG: c_int = 10;
const F_GETSIG: c_int = 11;

/// Queues of one process that can be told apart by their marks.
pub const KEYS: usize = 10;

/// The lowest mark.
const FIRST: c_int = 34;

/// The mark of a description: which queue of this process, and what it may be used for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    /// Below [`KEYS`].
    pub key: usize,
    /// As it was opened.
    pub direction: Direction,
}

impl Mark {
    /// 34 to 63: of the signals those that no program has for its own descriptors.
    fn code(self) -> c_int {
        let direction = match self.direction {
            Direction::Receive => 0,
            Direction::Send => 1,
            Direction::Both => 2,
        };
        FIRST + (self.key * 3 + direction) as c_int
    }

    fn from_code(code: c_int) -> Option<Mark> {
        let code = usize::try_from(i64::from(code) - i64::from(FIRST)).ok()?;
        let direction = [Direction::Receive, Direction::Send, Direction::Both][code % 3];
        (code < KEYS * 3).then_some(Mark { key: code / 3, direction })
    }
}

/// The mark of a number; `None` if it is no descriptor, or has none.
#[inline]
pub fn mark(number: c_int) -> Option<Mark> {
    // SAFETY: touches no memory.
    let code = unsafe { libc::fcntl(number, F_GETSIG) };
    Mark::from_code(code)
}

/// Mark a description.
pub fn set_mark(number: c_int, mark: Mark) -> Result<()> {
    // SAFETY: touches no memory.
    checked(unsafe { libc::fcntl(number, F_SETSIG, mark.code()) }).map(drop)
}

/// Whether calls on it must not wait.
pub fn is_nonblocking(number: c_int) -> Result<bool> {
    // SAFETY: touches no memory.
    Ok(checked(unsafe { libc::fcntl(number, libc::F_GETFL) })? & libc::O_NONBLOCK != 0)
}

/// Change that.
pub fn set_nonblocking(number: c_int, on: bool) -> Result<()> {
    // SAFETY: touches no memory.
    let flags = checked(unsafe { libc::fcntl(number, libc::F_GETFL) })?;
    let wanted = if on { flags | libc::O_NONBLOCK } else { flags & !libc::O_NONBLOCK };
    if wanted != flags {
        // SAFETY: touches no memory.
        checked(unsafe { libc::fcntl(number, libc::F_SETFL, wanted) })?;
    }
    Ok(())
}

/// Close a number; not by libc's close, which is a cancellation point.
pub fn close(number: c_int) -> Result<()> {
    // SAFETY: the caller's number to close.
    checked(unsafe { libc::syscall(libc::SYS_close, number) } as c_int).map(drop)
}

fn checked(result: c_int) -> Result<c_int> {
    if result < 0 { Err(Errno::last()) } else { Ok(result) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mark_is_a_signal_number_of_its_own() {
        let mut codes = Vec::new();
        for key in 0..KEYS {
            for direction in [Direction::Receive, Direction::Send, Direction::Both] {
                let mark = Mark { key, direction };
                assert_eq!(Mark::from_code(mark.code()), Some(mark));
                codes.push(mark.code());
            }
        }
        assert_eq!(codes, (34..=63).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_no_mark_of_ours_is_none() {
        for code in [-1, 0, 1, 29, 33, 64, 65, c_int::MIN, c_int::MAX] {
            assert_eq!(Mark::from_code(code), None);
        }
    }
}
