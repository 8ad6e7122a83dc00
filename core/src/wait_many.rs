//! Waiting for several queues at once, of any transports.

use crate::deadline::Wait;
use crate::error::Result;
use crate::queue::Queue;
use crate::transport::not_here;

pub use crate::shm::poll::event;

/// Wait until one of `count` queues is ready for something of what is asked of it: a queue
/// and bits of [`event`], or nothing. Gives for each what is ready; nothing for any if the
/// time was up.
pub fn wait<'a>(
    _count: usize,
    _asked: impl Fn(usize) -> Option<(&'a Queue, u32)>,
    _wait: Wait,
) -> Result<Vec<u32>> {
    Err(not_here("this version cannot wait for several queues"))
}
