//! The beacon: a descriptor by which poll sees in any process whether a queue is empty, partly
//! filled or full.
//!
//! `cargo test -p mqueue_core --test beacon -- WORD` runs the cases whose name contains WORD.

#[path = "../cases/mod.rs"]
#[macro_use]
mod cases;
mod crowd;
mod file;
mod lazy;
mod levels;
#[path = "../processes/mod.rs"]
mod processes;
mod strangers;

use libc::{POLLIN, POLLOUT};
use mqueue_core::deadline::Wait;
use mqueue_core::error::Result;
use mqueue_core::queue::Queue;
use mqueue_core::shm::ShmQueue;
use processes::{Fate, Stage, begin, spawn};
use std::time::Duration;

/// After this time something hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// What poll says of an empty queue, of one that is neither empty nor full, of a full one.
const EMPTY: i16 = POLLOUT;
const BETWEEN: i16 = POLLIN | POLLOUT;
const FULL: i16 = POLLIN;

/// A descriptor of a queue's beacon.
struct Lamp(i32);

impl Lamp {
    fn of(queue: &ShmQueue) -> Lamp {
        Lamp(queue.beacon(true).expect("a beacon"))
    }

    /// What poll says within so many milliseconds, of what is asked.
    fn wait(&self, events: i16, milliseconds: i32) -> i16 {
        let mut polled = libc::pollfd { fd: self.0, events, revents: 0 };
        // SAFETY: one pollfd.
        let got = unsafe { libc::poll(&mut polled, 1, milliseconds) };
        assert!(got >= 0, "poll: {}", std::io::Error::last_os_error());
        polled.revents
    }

    /// What poll says now.
    fn shows(&self) -> i16 {
        self.wait(BETWEEN, 0)
    }
}

impl Drop for Lamp {
    fn drop(&mut self) {
        mqueue_core::sys::file::close(self.0);
    }
}

fn send(queue: &Queue, wait: Wait) -> Result<()> {
    // SAFETY: 8 readable bytes.
    unsafe { queue.send([0u8; 8].as_ptr(), 8, 0, wait) }
}

fn receive(queue: &Queue, wait: Wait) -> Result<()> {
    // SAFETY: 8 writable bytes.
    unsafe { queue.receive([0u8; 8].as_mut_ptr(), 8, wait) }.map(drop)
}

/// A queue of so many messages of 8 bytes.
fn stage(maxmsg: u64) -> Stage {
    Stage::new(maxmsg, 8)
}

/// What a child does must succeed.
fn in_child(work: impl FnOnce()) {
    assert_eq!(spawn(work).wait(PATIENCE), Fate::Exited(0), "in a child");
}

fn main() {
    begin(600);
    let cases = [levels::CASES, file::CASES, strangers::CASES, crowd::CASES, lazy::CASES];
    cases::run("beacon", &cases, 2 * PATIENCE);
}
