//! What a scenario needs of a queue, and the kinds of queues that offer it.

use std::ffi::CStr;
use std::io;

mod kernel;
mod shm;

pub use kernel::{Kernel, raise_limit};
pub use shm::Shm;

/// Bytes in each message, and the most that the queues take.
pub const MESSAGE: usize = 64;

/// A message, cache line for cache line.
pub type Message = [u8; MESSAGE];

/// Whether calls wait.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// Until the queue is not full, or not empty.
    Blocking,
    /// Never: `EAGAIN`.
    Nonblocking,
}

/// An open queue, to send and to receive.
pub trait Transport: Sized {
    /// Make a queue of `depth` messages of 64 bytes.
    fn create(name: &CStr, depth: u32, waiting: Waiting) -> io::Result<Self>;
    /// Open a queue that exists.
    fn open(name: &CStr, waiting: Waiting) -> io::Result<Self>;
    /// Remove a queue's name.
    fn unlink(name: &CStr) -> io::Result<()>;
    /// Send with priority 0.
    fn send(&self, message: &Message) -> io::Result<()>;
    /// Receive; what is shorter than a message is an error.
    fn receive(&self, message: &mut Message) -> io::Result<()>;
}

/// A result that is negative on error.
fn checked(result: isize, error: impl FnOnce() -> i32) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(error()))
}

/// Whole messages only: anything else would be an error of the queue.
fn whole(len: usize) -> io::Result<()> {
    if len == MESSAGE { Ok(()) } else { Err(io::Error::other("a message of another length")) }
}
