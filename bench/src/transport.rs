//! What a scenario needs of a queue, and the kinds of queues that offer it.

use std::ffi::CString;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{io, process};

#[cfg(boost)]
mod boost;
#[cfg(feature = "iceoryx2")]
mod iceoryx2;
mod kernel;
mod pipe;
mod ring;
mod seqpacket;
mod shm;
mod spsc;
mod sysv;
mod vyukov;
#[cfg(zeromq)]
mod zeromq;

#[cfg(feature = "iceoryx2")]
pub use self::iceoryx2::Iceoryx2;
#[cfg(boost)]
pub use boost::Boost;
pub use kernel::Kernel;
pub use pipe::Pipe;
pub use seqpacket::Seqpacket;
pub use shm::{Batch, Linked, Other, Shm, load_other};
pub use spsc::Spsc;
pub use sysv::SysV;
pub use vyukov::{Blocking as VyukovFutex, Spinning as VyukovSpin};
#[cfg(zeromq)]
pub use zeromq::ZeroMq;

/// What calls do that cannot be done at once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// Wait as the transport does it, spinning or asleep.
    AsItDoes,
    /// Wait, and not only by spinning: somebody else may need the processor.
    Asleep,
    /// Return `EAGAIN`.
    Never,
}

/// The queue that a scenario asks for.
#[derive(Clone, Copy)]
pub struct Spec {
    /// Bytes in each message.
    pub size: usize,
    /// Messages in the queue.
    pub depth: usize,
    /// Priorities are below this; 1 means that there are none.
    pub levels: u32,
    /// What calls do that cannot be done at once.
    pub waiting: Waiting,
    /// Processes that send.
    pub senders: usize,
    /// Processes that receive.
    pub receivers: usize,
}

/// What a process does with a queue.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Send only.
    Sender,
    /// Receive only; receivers are numbered from 0.
    Receiver(usize),
    /// Send and receive.
    Both,
}

/// A queue, seen by the process that makes and removes it.
pub trait Transport: Sized {
    /// The queue, seen by a process that uses it.
    type End: End;
    /// Whether messages can be written and read where they lie.
    const IN_PLACE: bool = false;
    /// Whether several messages can be sent and received in one call.
    const BATCHES: bool = false;
    /// Make one; [`cannot`] says that this transport has nothing like it.
    fn create(spec: &Spec) -> io::Result<Self>;
    /// Use it, in a process that was forked since.
    fn open(&self, role: Role) -> io::Result<Self::End>;
    /// Bytes that it takes, and bytes of these that are really there; if that can be told.
    fn memory(&self) -> Option<(u64, u64)> {
        None
    }
}

/// A queue in use.
pub trait End {
    /// Send; priorities are ignored where the queue was made without.
    fn send(&mut self, message: &[u8], priority: u32) -> io::Result<()>;
    /// Receive a message as long as the buffer.
    fn receive(&mut self, message: &mut [u8]) -> io::Result<()>;
    /// Send a message of so many bytes, of which only the first ones are written: its number.
    fn send_in_place(&mut self, _size: usize, _number: u64) -> io::Result<()> {
        Err(cannot())
    }
    /// Receive a message of so many bytes, of which only the number is read.
    fn receive_in_place(&mut self, _size: usize) -> io::Result<u64> {
        Err(cannot())
    }
    /// Send some of the messages, at least one: the first ones. Gives how many.
    fn send_batch(&mut self, _batch: &mut Batch, _most: usize) -> io::Result<usize> {
        Err(cannot())
    }
    /// Receive some messages, at least one. Gives how many.
    fn receive_batch(&mut self, _batch: &mut Batch, _most: usize) -> io::Result<usize> {
        Err(cannot())
    }
}

/// This transport cannot do what the scenario asks for.
pub fn cannot() -> io::Error {
    io::ErrorKind::Unsupported.into()
}

/// The call would have to wait.
fn would_block() -> io::Error {
    io::Error::from_raw_os_error(libc::EAGAIN)
}

/// A name that no other queue has: "/mqrs-bench-..."
fn new_name() -> CString {
    static QUEUES: AtomicU32 = AtomicU32::new(0);
    let number = QUEUES.fetch_add(1, Ordering::Relaxed);
    CString::new(format!("/mqrs-bench-{}-{number}", process::id())).unwrap_or_default()
}

/// A result that is negative on error.
fn checked(result: isize, error: impl FnOnce() -> i32) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(error()))
}

fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

/// Whole messages only: anything else would be an error of the queue.
fn whole(len: usize, wanted: usize) -> io::Result<()> {
    if len == wanted { Ok(()) } else { Err(io::Error::other("a message of another length")) }
}
