//! read(2) of a descriptor of a queue: the line that the kernel's file of a queue has.
//!
//! ```text
//! QSIZE:129        NOTIFY:0     SIGNO:10    NOTIFY_PID:8260
//! bytes queued     SIGEV_...    signal      who is registered
//! ```
//!
//! The descriptor is one of the queue's beacon, and what is in that is not for the program: it
//! would wait where the queue is empty, and take what poll sees where it is not. Of a
//! registration of another process nothing is told.
//!
//! The C half asks before each read of the program, so what the program reads otherwise must
//! remain what it was: in signal handlers, in children of vfork, and where a number that was a
//! queue's is another file's now. Such a number has no mark, and nothing is changed for it.
//!
//! Source: mq_overview(7), "Mounting the message queue filesystem"; mqueue_read_file in ipc/mqueue.c.

use crate::entry::Use;
use crate::table;
use crate::{descriptor, guarded, refuse};
use core::ffi::c_int;
use core::ptr::copy_nonoverlapping;
use mqueue_core::error::{Errno, Result};
use mqueue_core::oflag::Direction;
use mqueue_core::sync::Ordering::Relaxed;
use mqueue_core::transport::Transport;
use std::io::Write;

/// Room for the longest line: one that has all digits.
const LONGEST: usize = 96;

/// What the C half understands as "go on to libc".
const NOT_OURS: isize = -2;

/// Whether a read of this number is to be asked for.
#[unsafe(no_mangle)]
extern "C" fn mqrs_dropin_is_known(number: c_int) -> bool {
    table::is_known(number)
}

/// read(2) of a number that is known; [`NOT_OURS`] if it is another file's now.
///
/// # Safety
/// `buffer` is null or has room for `count` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn mqrs_dropin_read(number: c_int, buffer: *mut u8, count: usize) -> isize {
    if descriptor::mark(number).is_none() {
        return NOT_OURS;
    }
    // SAFETY: granted by the caller.
    guarded(|| unsafe { read(number, buffer, count) })
        .unwrap_or_else(|error| refuse(error) as isize)
}

/// # Safety
/// As above.
unsafe fn read(number: c_int, buffer: *mut u8, count: usize) -> Result<isize> {
    let Some((queue, mark)) = table::find(number) else { return Ok(NOT_OURS) };
    if mark.direction == Direction::Send {
        return Err(Errno(libc::EBADF));
    }
    // No buffer is that large.
    if count > isize::MAX as usize {
        return Err(Errno(libc::EFAULT));
    }
    let mut room = [0; LONGEST];
    let line = line(&queue, &mut room)?;
    // Two threads that read at once may be given the same; the kernel's lock is not worth it.
    let position = table::position(number).ok_or(Errno(libc::EBADF))?;
    let rest = line.get(position.load(Relaxed) as usize..).unwrap_or_default();
    let given = rest.len().min(count);
    if given > 0 {
        if buffer.is_null() {
            return Err(Errno(libc::EFAULT));
        }
        // SAFETY: the program's buffer has room for `count`.
        unsafe { copy_nonoverlapping(rest.as_ptr(), buffer, given) };
        position.fetch_add(given as u32, Relaxed);
    }
    Ok(given as isize)
}

fn line<'a>(queue: &Use, room: &'a mut [u8; LONGEST]) -> Result<&'a [u8]> {
    let bytes = queue.queue()?.attr()?.curbytes;
    let (how, signo, pid) = queue.registration().unwrap_or_default();
    let mut left = &mut room[..];
    let written =
        writeln!(left, "QSIZE:{bytes:<10} NOTIFY:{how:<5} SIGNO:{signo:<5} NOTIFY_PID:{pid:<6}");
    let left = left.len();
    written.map_err(|_| Errno(libc::ENOTRECOVERABLE))?;
    Ok(&room[..LONGEST - left])
}
