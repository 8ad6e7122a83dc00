//! The C ABI of mqueue_rs: one file per page of the manual.
//!
//! The comments of the exported functions and structs become the C header word for word,
//! so they speak C. What a caller must grant for a pointer stands with each parameter.

#![allow(non_camel_case_types, reason = "the names are those of the C header")]
#![allow(clippy::missing_safety_doc, reason = "in C terms, with each parameter")]

mod boundary;
mod sized;
mod structs;

mod attr;
mod in_place;
mod info;
mod list;
mod notify;
mod open;
mod receive;
mod send;
mod wait;

pub use attr::*;
pub use boundary::{mqrs_list, mqrs_queue};
pub use in_place::*;
pub use info::*;
pub use list::*;
pub use notify::*;
pub use open::*;
pub use receive::*;
pub use send::*;
pub use structs::*;
pub use wait::*;
