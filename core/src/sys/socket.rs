//! The netlink socket to which the kernel's queues write, and an eventfd as a bell.
//!
//! Source: netlink(7), eventfd(2), socket(7); linux/mqueue.h for the cookie.

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

/// A bell: an eventfd, which never blocks.
pub fn bell() -> Result<Descriptor> {
    // SAFETY: touches no memory.
    checked(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })
        .map(Descriptor::adopt)
}

/// Ring it.
pub fn ring(fd: i32) {
    let one = 1u64.to_ne_bytes();
    // SAFETY: reads 8 bytes. It fails only while it has rung more often than numbers go.
    unsafe { libc::syscall(libc::SYS_write, fd, one.as_ptr(), one.len()) };
}

/// Silence it.
pub fn silence(fd: i32) {
    let mut rung = [0u8; 8];
    // SAFETY: writes at most 8 bytes; it fails if it has not rung.
    unsafe { libc::syscall(libc::SYS_read, fd, rung.as_mut_ptr(), rung.len()) };
}
