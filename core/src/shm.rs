//! The shared-memory queue. Start with `engine.rs` for the ideas, `layout.rs` for the
//! bytes, `handle.rs` for a call's way from the door to the engine and back.

mod arrival;
mod batch;
mod beacon;
#[cfg(not(loom))]
mod beacon_file;
mod browse;
#[cfg(not(loom))]
mod create;
#[cfg(not(loom))]
pub mod descriptor;
mod engine;
#[cfg(not(loom))]
mod ephemeral;
mod event;
mod finder;
#[cfg(not(loom))]
mod general;
#[cfg(not(loom))]
pub mod handle;
mod helping;
mod hints;
#[cfg(not(loom))]
mod in_place;
pub mod layout;
mod lazy;
mod loan;
mod owner;
pub mod poll;
mod progress;
mod queued;
mod receive;
mod reclaim;
mod room;
mod segment;
mod send;
pub mod shown;
mod slots;
mod stats;
#[cfg(not(loom))]
pub mod steps;
mod told;
#[cfg(not(loom))]
pub mod typed;
#[cfg(not(loom))]
mod wait;
pub mod word;

pub use arrival::{Arrival, NotRegistered, Ticket};
pub use batch::Content;
pub use browse::Behind;
pub use engine::{Engine, Features, Look, Refused, SegmentRef};
pub use event::{Event, Slept, Waited};
#[cfg(not(loom))]
pub use handle::ShmQueue;
#[cfg(not(loom))]
pub use lazy::LOOK_EVERY;
pub use loan::{Lent, Loan};
pub use owner::Owners;
#[cfg(not(loom))]
pub use owner::{Locks, Sight, settle};
pub use receive::Known;
pub use room::Dropped;
pub use segment::Segment;
pub use shown::Shown;
pub use stats::Counts;
