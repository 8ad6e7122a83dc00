//! The queues that there are.
//!
//! A list holds the addresses that a transport knew when it was opened; what each queue is,
//! it finds out when it comes to it, by opening it. So a queue that has gone meanwhile is
//! passed over, and one that may not be opened has an address and nothing else.

#![forbid(unsafe_code)]

use crate::attr::{Attr, OpenOptions, transport};
use crate::error::{Errno, Result};
use crate::queue::Queue;
use crate::report::say;
use crate::shm::handle as shm;
use crate::{posix, sysv};
use std::ffi::{CStr, CString};

/// A walk over the queues of one transport, or of all.
pub struct List {
    found: Vec<(u32, CString)>,
    next: usize,
}

/// Who gets the addresses that a transport finds.
pub type Found<'a> = dyn FnMut(&CStr) -> Result<()> + 'a;

impl List {
    /// Whether there is such a transport, `MQRS_ANY` included.
    pub fn check(which: u32) -> Result<()> {
        if which > transport::AMQP {
            return Err(say(libc::EINVAL, "there is no transport of this number"));
        }
        Ok(())
    }

    /// Look which queues there are.
    pub fn open(which: u32) -> Result<List> {
        let mut list = List { found: Vec::new(), next: 0 };
        match which {
            transport::ANY => {
                for each in [transport::SHM, transport::POSIX, transport::SYSV] {
                    match list.find(each) {
                        Err(error) if error.is_shortage() => return Err(error),
                        // One that cannot be listed here is passed over.
                        _ => {}
                    }
                }
            }
            _ => list.find(which)?,
        }
        Ok(list)
    }

    fn find(&mut self, which: u32) -> Result<()> {
        let found = &mut |address: &CStr| {
            let mut bytes = Vec::new();
            bytes
                .try_reserve_exact(address.count_bytes() + 1)
                .and_then(|()| self.found.try_reserve(1))
                .map_err(|_| say(libc::ENOMEM, "there is not enough memory for the list"))?;
            bytes.extend_from_slice(address.to_bytes_with_nul());
            if let Ok(address) = CString::from_vec_with_nul(bytes) {
                self.found.push((which, address));
            }
            Ok(())
        };
        match which {
            transport::SHM => shm::list(found),
            transport::POSIX => posix::list(found),
            transport::SYSV => sysv::list(found),
            transport::AMQP => {
                Err(say(libc::ENOTSUP, "the amqp transport is not part of this build"))
            }
            _ => Err(say(libc::EINVAL, "there is no transport of this number")),
        }
    }

    /// The next queue: its address and what it is; `None` at the end. After an error the
    /// same queue comes again.
    pub fn advance(&mut self) -> Result<Option<(&CStr, Attr)>> {
        while let Some((which, address)) = self.found.get(self.next) {
            let looked = match *which {
                // To close it again may cost a registration, which takes some care.
                transport::POSIX => posix::look(address),
                _ => Queue::open(
                    Some(address),
                    libc::O_RDONLY | libc::O_NONBLOCK,
                    &OpenOptions::default(),
                )
                .and_then(|queue| queue.attr()),
            };
            let attr = match looked {
                Ok(attr) => attr,
                // Gone, or going, or no queue at all.
                Err(Errno(libc::ENOENT | libc::EIDRM | libc::EBADMSG)) => {
                    self.next += 1;
                    continue;
                }
                Err(error) if error.is_shortage() => return Err(error),
                Err(_) => Attr { transport: *which, ..Attr::default() },
            };
            self.next += 1;
            return Ok(Some((&self.found[self.next - 1].1, attr)));
        }
        Ok(None)
    }
}
