//! System V queues: what a handle on one does, seen by programs that use this library and by
//! those that do not. Each test has an IPC namespace of its own where it may.

#![cfg(not(any(loom, miri)))]
#![allow(clippy::disallowed_types, reason = "state of the tests")]

mod bells;
mod listing;
mod moving;
mod names;
mod opening;
mod selecting;
#[path = "../skips/mod.rs"]
mod skips;
mod waiting;
mod world;
