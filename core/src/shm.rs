//! The shared-memory queue. Start with `engine.rs` for the ideas, `layout.rs` for the
//! bytes, `handle.rs` for a call's way from the door to the engine and back.

mod arrival;
mod engine;
mod event;
mod finder;
pub mod layout;
mod owner;
mod receive;
mod reclaim;
mod segment;
mod send;
pub mod word;

pub use arrival::{Arrival, NotRegistered, Ticket};
pub use engine::{Engine, Refused, SegmentRef};
pub use event::{Event, Slept};
pub use owner::Owners;
pub use segment::Segment;
