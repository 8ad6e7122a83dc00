//! The System V queues that there are: the kernel's table, place by place.
//!
//! A queue is listed by its name where the record of its key has one, else by its key, else
//! by its number.
//!
//! Source: msgctl(2), MSG_INFO and MSG_STAT_ANY.

#![forbid(unsafe_code)]

use super::{open, record};
use crate::directory;
use crate::error::{Errno, Result};
use crate::list::Found;
use crate::report::{explain, say};
use crate::sys::msg;

/// Show `found` the address of every queue.
pub fn list(found: &mut Found<'_>) -> Result<()> {
    let last = msg::last_place().map_err(|error| match error.0 {
        libc::ENOSYS => say(libc::ENOTSUP, "this kernel has no System V queues"),
        _ => explain(error.0, format_args!("cannot list the queues (errno {})", error.0)),
    })?;
    let dir = match directory::open() {
        // A shortage of ours: the names may be there all the same.
        Err(error) if error.is_shortage() => return Err(error),
        // Without the directory there are no names.
        other => other.ok(),
    };
    for place in 0..=last {
        let (id, status) = match msg::status_at(place) {
            Ok(there) => there,
            // Nothing there, or (before Linux 4.17) nothing that we may read.
            Err(Errno(libc::EINVAL | libc::EIDRM | libc::EACCES)) => continue,
            Err(error) => {
                return Err(explain(
                    error.0,
                    format_args!("cannot look at a queue (errno {})", error.0),
                ));
            }
        };
        let name = match (&dir, status.key) {
            (_, 0) | (None, _) => None,
            (Some(dir), key) => match record::name_of(dir, key) {
                Err(error) if error.is_shortage() => return Err(error),
                other => other.ok().flatten(),
            },
        };
        match name {
            Some(name) => found(name.full())?,
            None => found(open::name_of(status.key, id).as_c_str())?,
        }
    }
    Ok(())
}
