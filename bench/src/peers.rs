//! The transports, by the names that the tables give them.

use crate::scenario::{Figures, Scenario, Setting};
use crate::transport::{self, Transport};
use std::io;

/// Measures a scenario once.
pub type Measure = fn(&Scenario, &Setting) -> io::Result<Figures>;

/// One transport.
#[derive(Clone, Copy)]
pub struct Peer {
    /// As tables call it.
    pub name: &'static str,
    /// How it is measured, or why it cannot be.
    pub measure: Result<Measure, &'static str>,
}

/// The library.
pub const OURS: &str = "mqueue_rs";
/// What it is compared with: the same semantics.
pub const KERNEL: &str = "kernel mq";
/// What it is compared with: the bare ring that waits as a queue must.
pub const LIMIT: &str = "vyukov";

/// Another build of the library.
pub const OTHER: &str = "other build";

/// The library as another build has it, which must be loaded before it is measured.
pub fn other() -> Peer {
    of::<transport::Shm<transport::Other>>(OTHER)
}

/// All of them.
pub fn all() -> Vec<Peer> {
    vec![
        of::<transport::Shm<transport::Linked>>(OURS),
        of::<transport::Kernel>(KERNEL),
        of::<transport::SysV>("sysv"),
        of::<transport::Pipe>("pipe"),
        of::<transport::Seqpacket>("seqpacket"),
        #[cfg(boost)]
        of::<transport::Boost>("boost"),
        #[cfg(not(boost))]
        missing("boost", "not installed; on Debian: apt-get install libboost-dev"),
        #[cfg(zeromq)]
        of::<transport::ZeroMq>("zeromq"),
        #[cfg(not(zeromq))]
        missing("zeromq", "not installed; on Debian: apt-get install libzmq3-dev"),
        #[cfg(feature = "iceoryx2")]
        of::<transport::Iceoryx2>("iceoryx2"),
        #[cfg(not(feature = "iceoryx2"))]
        missing("iceoryx2", "not in this build; try make bench BENCH_FEATURES=iceoryx2"),
        of::<transport::VyukovFutex>(LIMIT),
        of::<transport::VyukovSpin>("vyukov spin"),
        of::<transport::Spsc>("spsc"),
    ]
}

fn of<T: Transport>(name: &'static str) -> Peer {
    Peer { name, measure: Ok(Scenario::measure::<T>) }
}

#[allow(dead_code, reason = "used where something is missing")]
fn missing(name: &'static str, why: &'static str) -> Peer {
    Peer { name, measure: Err(why) }
}
