//! A pair of sockets that keep messages apart: unix(7), SOCK_SEQPACKET. They hold as many
//! bytes, the kernel's own for each message included, as the queue's messages would take.

use super::{End, Role, Spec, Transport, Waiting, cannot, checked, errno, whole};
use libc::{c_int, socklen_t};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// What the kernel charges for a message besides its bytes, about.
const OVERHEAD: usize = 768;

/// Both sockets; forked processes inherit them.
pub struct Seqpacket {
    sender: OwnedFd,
    receiver: OwnedFd,
}

/// Both sockets in use.
pub struct Sockets {
    sender: c_int,
    receiver: c_int,
}

impl Transport for Seqpacket {
    type End = Sockets;

    fn create(spec: &Spec) -> io::Result<Seqpacket> {
        if spec.levels > 1 {
            return Err(cannot());
        }
        let nonblock = if spec.waiting == Waiting::Never { libc::SOCK_NONBLOCK } else { 0 };
        let mut pair = [0; 2];
        // SAFETY: room for two descriptors, which are nobody else's.
        let (sender, receiver) = unsafe {
            let kind = libc::SOCK_SEQPACKET | nonblock;
            let result = libc::socketpair(libc::AF_UNIX, kind, 0, pair.as_mut_ptr());
            checked(result as isize, errno)?;
            (OwnedFd::from_raw_fd(pair[0]), OwnedFd::from_raw_fd(pair[1]))
        };
        // The kernel doubles the number.
        let room = (spec.depth * (spec.size + OVERHEAD) / 2) as c_int;
        let set = |option| {
            let (fd, value) = (sender.as_raw_fd(), (&raw const room).cast());
            let len = size_of::<c_int>() as socklen_t;
            // SAFETY: an open descriptor, and a number of that length.
            unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, option, value, len) == 0 }
        };
        if !set(libc::SO_SNDBUFFORCE) {
            set(libc::SO_SNDBUF);
            let mut given: c_int = 0;
            let mut len = size_of::<c_int>() as socklen_t;
            // SAFETY: an open descriptor, and places for a number and its length.
            unsafe {
                let (fd, place) = (sender.as_raw_fd(), (&raw mut given).cast());
                libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, place, &mut len);
            }
            if given < 2 * room {
                return Err(io::Error::other("beyond net.core.wmem_max"));
            }
        }
        Ok(Seqpacket { sender, receiver })
    }

    fn open(&self, _: Role) -> io::Result<Sockets> {
        Ok(Sockets { sender: self.sender.as_raw_fd(), receiver: self.receiver.as_raw_fd() })
    }
}

impl End for Sockets {
    #[inline]
    fn send(&mut self, message: &[u8], _: u32) -> io::Result<()> {
        let (start, len) = (message.as_ptr().cast(), message.len());
        // SAFETY: len bytes to read.
        let sent = unsafe { libc::send(self.sender, start, len, 0) };
        whole(checked(sent, errno)?, len)
    }

    #[inline]
    fn receive(&mut self, message: &mut [u8]) -> io::Result<()> {
        let (start, room) = (message.as_mut_ptr().cast(), message.len());
        // SAFETY: so many bytes to write.
        let len = unsafe { libc::recv(self.receiver, start, room, 0) };
        whole(checked(len, errno)?, room)
    }
}
