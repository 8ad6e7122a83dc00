//! FIFOs of two packets, which tell by being empty, half full or full. Nothing blocks here.
//!
//! The program may close ours and get its number again for something of its own, even for
//! another description of the same FIFO. So ours carries a mark, which signal it would send if
//! it could send any (F_SETSIG), and is asked for that and for its file before it is changed.
//!
//! Source: fifo(7); pipe(7), "Pipe capacity"; O_DIRECT in pipe(2), which a FIFO takes by
//! fcntl(2) only; FIONREAD in ioctl_tty(2).

use super::file::{self, Descriptor, Identity};
use crate::error::{Errno, Result};
use core::ffi::CStr;

/// Packets that there is room for.
pub const PACKETS: u32 = 2;
/// The mark. Whoever else marks descriptions of a FIFO of ours uses 1 to 63.
const OURS: i32 = 64;
/// The same on every architecture that Rust has.
const F_SETSIG: i32 = 10;
const F_GETSIG: i32 = 11;

/// Every way of opening one: as reader and writer, so that it neither blocks nor is ever at its
/// end; never without O_NONBLOCK, since it may be something else.
const OPEN_FLAGS: i32 = libc::O_RDWR | libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_NOCTTY;

fn checked(result: libc::c_int) -> Result<libc::c_int> {
    if result < 0 { Err(Errno::last()) } else { Ok(result) }
}

/// Make one of mode 0600, whatever umask says.
pub fn make(dir: i32, name: &CStr) -> Result<()> {
    // SAFETY: a C string.
    checked(unsafe { libc::mkfifoat(dir, name.as_ptr(), 0o600) })?;
    // SAFETY: as above.
    checked(unsafe { libc::fchmodat(dir, name.as_ptr(), 0o600, 0) }).map(drop)
}

/// Open one; `ENXIO` if it is something else.
pub fn open(dir: i32, name: &CStr) -> Result<Descriptor> {
    let opened = file::open_at(dir, name, OPEN_FLAGS, 0)?;
    let is_fifo = file::status(opened.number())?.mode & libc::S_IFMT == libc::S_IFIFO;
    if is_fifo { Ok(opened) } else { Err(Errno(libc::ENXIO)) }
}

/// Make a description block.
pub fn let_block(fd: &Descriptor) -> Result<()> {
    // SAFETY: touches no memory.
    checked(unsafe { libc::fcntl(fd.number(), libc::F_SETFL, 0) }).map(drop)
}

/// Make a description one that a [`Fifo`] can be, and give its FIFO the size that it needs.
pub fn prepare(fd: &Descriptor) -> Result<()> {
    let number = fd.number();
    // SAFETY: none of these touches memory.
    unsafe {
        let page = libc::sysconf(libc::_SC_PAGESIZE) as libc::c_int;
        let size = page * PACKETS as libc::c_int;
        if libc::fcntl(number, libc::F_GETPIPE_SZ) != size {
            if let Err(Errno(libc::EBUSY)) = checked(libc::fcntl(number, libc::F_SETPIPE_SZ, size))
            {
                // More in it than it is to have room for.
                drain(number);
            }
            checked(libc::fcntl(number, libc::F_SETPIPE_SZ, size))?;
        }
        checked(libc::fcntl(number, libc::F_SETFL, libc::O_NONBLOCK | libc::O_DIRECT))?;
        checked(libc::fcntl(number, F_SETSIG, OURS)).map(drop)
    }
}

fn drain(fd: i32) {
    let mut bytes = [0u8; 4096];
    // Sixteen packets are the most that a FIFO has room for by itself.
    for _ in 0..16 {
        // SAFETY: writes at most so many bytes; O_NONBLOCK since it was opened.
        unsafe { libc::syscall(libc::SYS_read, fd, bytes.as_mut_ptr(), bytes.len()) };
    }
}

/// A description that [`prepare`] has made, by its number.
#[derive(Clone, Copy)]
pub struct Fifo(i32);

impl Fifo {
    /// That of this number, if it is one of ours and of this file.
    pub fn of(number: i32, identity: Identity) -> Option<Fifo> {
        // SAFETY: touches no memory.
        let is_marked = || unsafe { libc::fcntl(number, F_GETSIG) } == OURS;
        (number >= 0 && is_marked() && file::identity(number) == Ok(identity))
            .then_some(Fifo(number))
    }

    /// Its number.
    pub fn number(self) -> i32 {
        self.0
    }

    /// How many packets it holds.
    pub fn packets(self) -> u32 {
        let mut bytes: libc::c_int = 0;
        // SAFETY: writes one int.
        unsafe { libc::ioctl(self.0, libc::FIONREAD, &mut bytes) };
        bytes.max(0) as u32
    }

    /// One more, if there is room.
    pub fn put(self) {
        let byte = [0u8];
        // The system calls themselves: write and read are cancellation points.
        // SAFETY: reads one byte.
        unsafe { libc::syscall(libc::SYS_write, self.0, byte.as_ptr(), byte.len()) };
    }

    /// One less, if there is any.
    pub fn take(self) {
        let mut byte = [0u8];
        // SAFETY: writes at most one byte.
        unsafe { libc::syscall(libc::SYS_read, self.0, byte.as_mut_ptr(), byte.len()) };
    }
}
