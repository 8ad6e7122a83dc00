//! The machinery of mqueue_rs.
//!
//! ```text
//!                 queue          one handle over one transport
//!           notify     shm       the helper thread | the shared-memory queue
//!                sys   sync      the only calls to the OS | the only atomics
//! error, report, name, attr, deadline: plain values, used by every storey, using none
//! ```
//!
//! Unsafe code lives in `shm` (bytes that other processes write) and `sys` (the OS); `queue`
//! passes pointers on and `notify` calls the program back.
//! The items here serve the packages of this repository and are no stable interface.

pub mod attr;
#[cfg(not(loom))]
pub mod deadline;
pub mod error;
pub mod fault;
pub mod name;
#[cfg(not(loom))]
pub mod notify;
pub mod oflag;
#[cfg(not(loom))]
pub mod queue;
pub mod report;
mod sha256;
pub mod shm;
pub mod sync;
#[cfg(not(loom))]
pub mod sys;
