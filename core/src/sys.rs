//! The only calls to the operating system, each with its errors as values.

pub mod clock;
pub mod eventfd;
pub mod fifo;
pub mod file;
pub mod futex;
pub mod map;
pub mod mq;
pub mod msg;
pub mod poll;
pub mod process;
pub mod segment;
pub mod socket;
pub mod thread;
pub mod watch;
