//! The machinery of mqueue_rs.
//!
//! ```text
//!              queue, list             one handle over one transport
//!       shm     posix     sysv         the shared-memory queue | the kernel's two kinds
//!       notify  transport  waiting     the helper thread | what the three have in common
//!                sys   sync            the only calls to the OS | the only atomics
//! error, report, address, attr, message, deadline: plain values, used by every storey
//! ```
//!
//! Unsafe code lives in `shm` (bytes that other processes write), `posix` and `sysv` (the
//! program's buffers) and `sys` (the OS); `queue` passes pointers on and `notify` calls the
//! program back. The items here serve the packages of this repository and are no stable
//! interface.

pub mod address;
pub mod attr;
#[cfg(not(loom))]
pub mod deadline;
#[cfg(not(loom))]
mod directory;
pub mod error;
pub mod fault;
#[cfg(not(loom))]
pub mod list;
#[cfg(not(loom))]
pub mod message;
#[cfg(not(loom))]
pub mod notify;
pub mod oflag;
#[cfg(not(loom))]
mod posix;
#[cfg(not(loom))]
pub mod queue;
pub mod report;
mod sha256;
pub mod shm;
pub mod sync;
#[cfg(not(loom))]
pub mod sys;
#[cfg(not(loom))]
mod sysv;
mod text;
#[cfg(not(loom))]
pub mod transport;
#[cfg(not(loom))]
pub mod wait_many;
#[cfg(not(loom))]
mod waiting;
