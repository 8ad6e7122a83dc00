//! The netlink socket to which the kernel's queues write.
//!
//! Source: netlink(7), socket(7); linux/mqueue.h for the cookie.

use super::file::Descriptor;
use crate::error::{Errno, Result};

/// What the kernel gives back of a registration; it writes the last byte.
pub type Cookie = [u8; 32];

fn checked(result: libc::c_int) -> Result<libc::c_int> {
    if result < 0 { Err(Errno::last()) } else { Ok(result) }
}

/// A netlink socket without an address, of the protocol that every kernel has.
pub fn netlink() -> Result<Descriptor> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: touches no memory.
    checked(unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) })
        .map(Descriptor::adopt)
}

/// Ask for so many bytes of room for what is received; tells how many there are then.
pub fn make_room(fd: i32, bytes: i32) -> Result<u32> {
    let (level, name) = (libc::SOL_SOCKET, libc::SO_RCVBUF);
    let mut room: libc::c_int = 0;
    let mut size = size_of_val(&room) as libc::socklen_t;
    // SAFETY: the kernel reads one number and writes another and its size.
    unsafe {
        // Less room than asked for will do.
        libc::setsockopt(fd, level, name, (&raw const bytes).cast(), size);
        checked(libc::getsockopt(fd, level, name, (&raw mut room).cast(), &mut size))?;
    }
    Ok(room.max(0) as u32)
}

/// Take one cookie, if there is one. What has another length is none of the kernel's.
pub fn take(fd: i32) -> Option<Cookie> {
    loop {
        let mut cookie: Cookie = [0; 32];
        // The system call itself: recv is a cancellation point. Some 32-bit architectures
        // have no recv of their own, but all have recvfrom.
        // SAFETY: writes at most 32 bytes; no address is asked for.
        let got = unsafe {
            libc::syscall(
                libc::SYS_recvfrom,
                fd,
                cookie.as_mut_ptr(),
                cookie.len(),
                libc::MSG_DONTWAIT | libc::MSG_TRUNC,
                core::ptr::null_mut::<libc::sockaddr>(),
                core::ptr::null_mut::<libc::socklen_t>(),
            )
        };
        match got {
            32 => return Some(cookie),
            0.. => {}
            _ if Errno::last() == Errno(libc::EINTR) => {}
            _ => return None,
        }
    }
}
