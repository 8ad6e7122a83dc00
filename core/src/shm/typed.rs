//! Queues of typed messages: System V's semantics on the shared-memory engine.
//!
//! ```text
//! control.rs    msgget and msgctl: find, make, look at, change and remove a queue
//! call.rs       msgsnd and msgrcv, in steps, so that the caller may sleep himself
//! list.rs       all queues
//!   table.rs    from a queue's number to what this process has of it
//!   message.rs  one attempt to send, to receive, to look
//!   charge.rs   how many bytes are in the queue
//!   rights.rs   who may do what
//! names.rs      the files: by number, by key; how they come and go
//! ```
//!
//! A queue is a segment like any other, with the option [`TYPED`](super::layout::TYPED), the
//! words of [`TypedWords`](super::layout::TypedWords), and in each slot's header the type of
//! its message. It has room for [`MESSAGES`](names::MESSAGES) messages, and for each a slot of
//! the longest length; but slots get their memory when they are first wanted, so a queue costs
//! what was once in it.
//!
//! Numbers are good in every process at once, and a process holds no descriptor of a queue: a
//! program may close all that it knows nothing of. Where one is needed (memory, questions about
//! the dead) the file is opened again by its number.
//!
//! The drop-in calls this. Errors are System V's.
//!
//! Source: msgget(2), msgop(2), msgctl(2); ipc/msg.c of Linux.

mod call;
mod charge;
mod control;
mod list;
mod message;
mod names;
mod rights;
mod table;

pub use call::{Receiving, Sending, slept_on};
pub use control::{Limits, Settings, Status, get, remove, set, status};
pub use list::{Summary, count, status_at, summary};
pub use message::Want;
pub use names::{MESSAGES, kernel_limits};
