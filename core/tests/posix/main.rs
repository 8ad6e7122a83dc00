//! The kernel's POSIX queues behind our handle, with the kernel as it is.
//!
//! Each test has a thread and, where that is permitted, an IPC namespace of its own: its
//! queues disappear with it, even if it is killed. Elsewhere its queues have names of their
//! own and hold few messages, since a user may have 819200 bytes of them in all.

mod callbacks;
mod descriptors;
mod listing;
mod messages;
mod opening;
mod place;
mod registrations;
#[path = "../skips/mod.rs"]
mod skips;
mod waiting;
