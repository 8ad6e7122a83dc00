//! A pipe: pipe(7). It carries bytes, not messages, and holds as many bytes as the queue's
//! messages have, or a page.

use super::{End, Role, Spec, Transport, Waiting, cannot, checked, errno};
use libc::c_int;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Both ends; forked processes inherit them.
pub struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
}

/// Both ends in use.
pub struct Descriptors {
    reader: c_int,
    writer: c_int,
}

impl Transport for Pipe {
    type End = Descriptors;

    fn create(spec: &Spec) -> io::Result<Pipe> {
        // Longer messages of many senders would mix.
        if spec.levels > 1 || spec.senders > 1 && spec.size > libc::PIPE_BUF {
            return Err(cannot());
        }
        let flags = if spec.waiting == Waiting::Never { libc::O_NONBLOCK } else { 0 };
        let mut ends = [0; 2];
        // SAFETY: room for two descriptors, which are nobody else's.
        let (reader, writer) = unsafe {
            checked(libc::pipe2(ends.as_mut_ptr(), flags) as isize, errno)?;
            (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1]))
        };
        let bytes = (spec.depth * spec.size) as c_int;
        // SAFETY: an open descriptor and a number.
        let room = unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETPIPE_SZ, bytes) };
        if room < bytes {
            return Err(io::Error::other("beyond fs.pipe-max-size"));
        }
        Ok(Pipe { reader, writer })
    }

    fn open(&self, _: Role) -> io::Result<Descriptors> {
        Ok(Descriptors { reader: self.reader.as_raw_fd(), writer: self.writer.as_raw_fd() })
    }
}

impl End for Descriptors {
    #[inline]
    fn send(&mut self, message: &[u8], _: u32) -> io::Result<()> {
        let (start, len) = (message.as_ptr().cast(), message.len());
        // SAFETY: len bytes to read.
        let written = unsafe { libc::write(self.writer, start, len) };
        super::whole(checked(written, errno)?, len)
    }

    #[inline]
    fn receive(&mut self, message: &mut [u8]) -> io::Result<()> {
        let mut got = 0;
        while got < message.len() {
            let rest = &mut message[got..];
            // SAFETY: so many bytes to write.
            let read = unsafe { libc::read(self.reader, rest.as_mut_ptr().cast(), rest.len()) };
            match checked(read, errno) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => got += read,
                // The rest of a message that has begun will come.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && got > 0 => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
