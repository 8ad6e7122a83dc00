//! A descriptor of a queue's beacon, what poll says of it, and messages of 8 bytes to change
//! that.

use libc::{POLLIN, POLLOUT};
use mqueue_core::deadline::Wait;
use mqueue_core::error::Result;
use mqueue_core::queue::Queue;
use mqueue_core::shm::ShmQueue;

/// What poll says of an empty queue, of one that is neither empty nor full, of a full one.
pub const EMPTY: i16 = POLLOUT;
pub const BETWEEN: i16 = POLLIN | POLLOUT;
pub const FULL: i16 = POLLIN;

/// A descriptor of a queue's beacon.
pub struct Lamp(pub i32);

impl Lamp {
    pub fn of(queue: &ShmQueue) -> Lamp {
        Lamp(queue.beacon(true).expect("a beacon"))
    }

    /// What poll says within so many milliseconds, of what is asked.
    pub fn wait(&self, events: i16, milliseconds: i32) -> i16 {
        let mut polled = libc::pollfd { fd: self.0, events, revents: 0 };
        // SAFETY: one pollfd.
        let got = unsafe { libc::poll(&mut polled, 1, milliseconds) };
        assert!(got >= 0, "poll: {}", std::io::Error::last_os_error());
        polled.revents
    }

    /// What poll says now.
    pub fn shows(&self) -> i16 {
        self.wait(BETWEEN, 0)
    }
}

impl Drop for Lamp {
    fn drop(&mut self) {
        mqueue_core::sys::file::close(self.0);
    }
}

pub fn send(queue: &Queue, wait: Wait) -> Result<()> {
    // SAFETY: 8 readable bytes.
    unsafe { queue.send([0u8; 8].as_ptr(), 8, 0, wait) }
}

pub fn receive(queue: &Queue, wait: Wait) -> Result<()> {
    // SAFETY: 8 writable bytes.
    unsafe { queue.receive([0u8; 8].as_mut_ptr(), 8, wait) }.map(drop)
}
