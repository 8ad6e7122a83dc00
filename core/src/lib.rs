//! The machinery of mqueue_rs.

pub mod attr;
pub mod deadline;
pub mod error;
pub mod name;
pub mod oflag;
pub mod queue;
pub mod report;
mod sha256;
