//! Who is attached, and who is dead: one byte of the file for each owner.
//!
//! An owner holds a write lock on byte 2^40 + id (far beyond the end of the file) through
//! an open file description of its own. The kernel drops the lock when that description
//! is gone, however the process ended, and any process that can open the file can ask:
//! no pid, no /proc, nothing that a pid namespace or a reused number could confuse.
//!
//! Nobody holds the description's descriptor: the mapping keeps the description alive,
//! so a program that closes all its descriptors does not look dead. The mapping is not
//! inherited by fork, so a child does not keep its dead parent alive either.
//!
//! Source: fcntl(2), open file description locks (Linux 3.15).

#[cfg(not(loom))]
mod locked {
    use crate::error::{Errno, Result};
    use crate::shm::layout::OWNERS;
    use crate::shm::segment::Segment;
    use crate::sync::Ordering::{Relaxed, SeqCst};
    use crate::sys::file::{self, Identity};

    const FIRST_BYTE: i64 = 1 << 40;

    /// The byte that stands for an owner.
    const fn byte(owner: u32) -> i64 {
        FIRST_BYTE + owner as i64
    }

    /// What a process's descriptor of the queue is worth for questions about owners.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum Sight {
        /// A description of this process alone.
        Own,
        /// Shared with another process: a lock taken through it would not exclude that one.
        Shared,
        /// Shared, and owners' locks are held through it: it cannot see those.
        Blind,
    }

    /// Asks about owners through a descriptor that holds no owner's lock itself.
    #[derive(Clone, Copy)]
    pub struct Owners {
        probe: i32,
        identity: Identity,
        sight: Sight,
    }

    impl Owners {
        /// Ask through `probe`, which must be a descriptor of the file `identity`.
        pub fn new(probe: i32, identity: Identity, sight: Sight) -> Owners {
            Owners { probe, identity, sight }
        }

        /// Ask through another descriptor of the same file from now on.
        pub fn ask_through(&mut self, probe: i32) {
            self.probe = probe;
        }

        /// Whether the owner's process lives. When in doubt it does: that delays the
        /// recycling of its slots, nothing else.
        pub fn is_alive(&self, owner: u32) -> bool {
            if owner >= OWNERS {
                return false;
            }
            if self.sight == Sight::Blind {
                return true;
            }
            // The program may have closed our descriptor and reused its number.
            match file::is_locked_by_another(self.probe, byte(owner)) {
                Ok(false) => file::identity(self.probe) != Ok(self.identity),
                _ => true,
            }
        }

        /// Lock a dead owner's byte, so that nobody gets its number; false if it lives.
        pub fn seize(&self, owner: u32) -> bool {
            self.sight == Sight::Own
                && file::identity(self.probe) == Ok(self.identity)
                && file::try_lock(self.probe, byte(owner)).is_ok()
        }

        /// Give a seized number free.
        pub fn let_go(&self, owner: u32) {
            let _ = file::unlock(self.probe, byte(owner));
        }
    }

    /// The same through a description shared with other processes, whose locks do not
    /// exclude each other: they agree by the pids in the rows. A number whose row a dead
    /// process left behind is for others to clear up.
    pub fn lock_a_number_among_relatives(
        description: i32,
        segment: &Segment,
        pid: u32,
    ) -> Result<u32> {
        for i in 0..OWNERS {
            let owner = pid.wrapping_add(i) % OWNERS;
            let Some(row) = segment.owner(owner) else { continue };
            if row.pid.compare_exchange(0, pid, SeqCst, Relaxed).is_err() {
                continue;
            }
            match file::try_lock(description, byte(owner)) {
                Ok(()) => return Ok(owner),
                Err(error) => {
                    let _ = row.pid.compare_exchange(pid, 0, SeqCst, Relaxed);
                    if !matches!(error.0, libc::EAGAIN | libc::EACCES) {
                        return Err(cannot_lock(error));
                    }
                }
            }
        }
        Err(all_taken())
    }

    fn cannot_lock(error: Errno) -> Errno {
        crate::report::explain(
            error.0,
            format_args!("the file system of MQRS_DIR cannot lock bytes (errno {})", error.0),
        )
    }

    fn all_taken() -> Errno {
        crate::report::say(
            libc::EUSERS,
            "the queue is open 1024 times, which is the most it can be",
        )
    }

    /// Lock the first free owner number, from a place that `seed` tells, through
    /// `description`. `EUSERS`: all taken.
    pub fn lock_a_number(description: i32, seed: u32) -> Result<u32> {
        for i in 0..OWNERS {
            let owner = seed.wrapping_add(i) % OWNERS;
            match file::try_lock(description, byte(owner)) {
                Ok(()) => return Ok(owner),
                Err(Errno(libc::EAGAIN | libc::EACCES)) => {}
                Err(error) => return Err(cannot_lock(error)),
            }
        }
        Err(all_taken())
    }
}
#[cfg(not(loom))]
pub use locked::{Owners, Sight, lock_a_number, lock_a_number_among_relatives};

#[cfg(loom)]
#[allow(missing_docs)] // as its counterpart above
mod modelled {
    use crate::sync::local::AtomicU64;
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    /// Owners of a model: a set of the dead.
    #[derive(Clone, Default)]
    pub struct Owners(pub Arc<AtomicU64>);

    impl Owners {
        pub fn is_alive(&self, owner: u32) -> bool {
            self.0.load(Ordering::SeqCst) >> owner & 1 == 0
        }
        pub fn seize(&self, owner: u32) -> bool {
            !self.is_alive(owner)
        }
        pub fn let_go(&self, _owner: u32) {}
    }
}
#[cfg(loom)]
pub use modelled::Owners;
