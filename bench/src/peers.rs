//! The transports, by the names that the tables give them.

use crate::scenario::{Figures, Scenario, Setting};
use crate::transport::{Kernel, Shm, Spsc, Transport, VyukovFutex, VyukovSpin};
use std::io;

/// One transport.
#[derive(Clone, Copy)]
pub struct Peer {
    /// As tables call it.
    pub name: &'static str,
    /// Measure a scenario once.
    pub measure: fn(&Scenario, &Setting) -> io::Result<Figures>,
}

impl Peer {
    fn of<T: Transport>(name: &'static str) -> Peer {
        Peer { name, measure: Scenario::measure::<T> }
    }
}

/// The library.
pub const OURS: &str = "mqueue_rs";
/// What it is compared with: the same semantics.
pub const KERNEL: &str = "kernel";
/// What it is compared with: the bare ring that waits as a queue must.
pub const LIMIT: &str = "vyukov";

/// All that are part of this build.
pub fn all() -> Vec<Peer> {
    vec![
        Peer::of::<Shm>(OURS),
        Peer::of::<Kernel>(KERNEL),
        Peer::of::<VyukovFutex>(LIMIT),
        Peer::of::<VyukovSpin>("vyukov-spin"),
        Peer::of::<Spsc>("spsc"),
    ]
}
