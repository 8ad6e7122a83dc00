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
//! A second byte for each number, 1024 further on, is locked for reading by those who
//! clear up after a dead owner. While anybody has that lock nobody becomes the owner:
//!
//! ```text
//! who clears up:    read-lock the second byte, then see that the first is free
//! a new owner:      write-lock the first byte, then see that the second is free
//! ```
//!
//! One of the two sees the other. Those who clear up do not exclude each other, so one
//! that is stopped is in nobody's way; the number rests until it goes on.
//!
//! A read lock on all first bytes at once says that nobody is attached, and keeps it so:
//! whoever ends an ephemeral queue takes it (`ephemeral.rs`). Like the second bytes it does
//! not keep those apart who take it.
//!
//! The row of a number says what its last owner left: its pid is 0 if nothing. A new
//! owner takes no other number, so it holds nothing from before that would look alive
//! with it.
//!
//! A child that may not open the file any more has no description of its own. If its parent has
//! kept one for that, it locks through that one (the kernel then notices the deaths of all such
//! children together). Otherwise it locks through the one that its parent asks through: then the
//! lock tells neither the parent that it lives nor others that it is dead. Its row says so, and
//! its pid counts, for those of the same pid namespace. For others it lives as long as the lock
//! is there.
//!
//! Source: fcntl(2), open file description locks (Linux 3.15).

use super::layout::{OWNERS, SHARES_ITS_LOCK};
use super::segment::Segment;
use crate::sync::Ordering::Relaxed;

impl Segment {
    /// Whether there is an owner whose lock is held through a description that others ask through.
    pub fn has_shared_locks(&self) -> bool {
        (0..OWNERS)
            .filter_map(|owner| self.owner(owner))
            .any(|row| row.pid.load(Relaxed) & SHARES_ITS_LOCK != 0)
    }
}

#[cfg(not(loom))]
mod locked {
    use crate::error::{Errno, Result};
    use crate::fault::step;
    use crate::shm::layout::{OWNERS, OwnerRow, SHARES_ITS_LOCK};
    use crate::shm::segment::Segment;
    use crate::sync::Ordering::{Acquire, Relaxed, Release};
    use crate::sys::file::{self, Descriptor, Identity};
    use crate::sys::process;

    const FIRST_BYTE: i64 = 1 << 40;

    /// The byte that stands for an owner.
    const fn byte(owner: u32) -> i64 {
        FIRST_BYTE + owner as i64
    }

    /// The byte that those lock who clear up after it.
    const fn second_byte(owner: u32) -> i64 {
        byte(owner) + OWNERS as i64
    }

    /// A byte beside all of these, for `ephemeral.rs`.
    pub const BYTE_OF_THE_NAME: i64 = second_byte(OWNERS);

    /// Keep everybody from becoming an owner, through a description that no owner's lock is
    /// held by; false if there is one.
    pub fn keep_all_out(description: i32) -> Result<bool> {
        match file::try_read_lock_all(description, FIRST_BYTE, OWNERS as i64) {
            Ok(()) => Ok(true),
            Err(Errno(libc::EAGAIN | libc::EACCES)) => Ok(false),
            Err(error) => Err(cannot_lock(error)),
        }
    }

    /// They may again.
    pub fn let_all_in(description: i32) {
        file::unlock_all(description, FIRST_BYTE, OWNERS as i64);
    }

    /// Whether there is an owner that does not hold its lock through `description`, which may
    /// be one that only reads.
    pub fn is_anybody_there(description: i32) -> Result<bool> {
        file::is_any_locked_by_another(description, FIRST_BYTE, OWNERS as i64).map_err(cannot_lock)
    }

    /// What a process's descriptor of the queue is worth for questions about owners.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum Sight {
        /// A description that this process has opened. Its children have it, too, and one of
        /// them that may not open the file may hold its lock through it.
        Own,
        /// Shared with another process: a lock taken through it would be that one's, too.
        Shared,
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

        /// A descriptor that this process has opened, if there is one.
        pub fn own_probe(&self) -> Option<i32> {
            (self.sight == Sight::Own).then_some(self.probe)
        }

        /// Whether the process of the owner with this row lives. When in doubt it does: that
        /// delays the recycling of its slots, nothing else.
        pub fn is_alive(&self, owner: u32, row: Option<&OwnerRow>) -> bool {
            let Some(row) = row else { return false };
            let pid = row.pid.load(Acquire);
            if pid & SHARES_ITS_LOCK == 0 {
                return is_locked(self.probe, owner, self.identity);
            }
            let (pid, namespace) = (pid & !SHARES_ITS_LOCK, row.uid_or_namespace.load(Relaxed));
            // Without a pid it is still becoming one.
            if pid != 0 && namespace != 0 && namespace == process::pid_namespace() {
                return process::is_alive(pid as i32);
            }
            let fresh = file::reopen(self.probe).ok();
            fresh.is_none_or(|fresh| is_locked(fresh.number(), owner, self.identity))
        }

        /// Whether there may be a [`keeper`](Owners::keeper).
        pub fn may_keep_dead(&self) -> bool {
            self.sight == Sight::Own
        }

        /// Begin to clear up. The locks for that are held through a new description, or, where
        /// the process may not open the file any more, through its own one, unless others may
        /// hold theirs through that, `is_shared`.
        pub fn keeper(&self, is_shared: impl FnOnce() -> bool) -> Option<Keeper> {
            if self.sight != Sight::Own || file::identity(self.probe) != Ok(self.identity) {
                return None;
            }
            let fresh = file::reopen(self.probe).ok();
            let has_one = fresh.is_some() || !is_shared();
            has_one.then(|| Keeper { owners: *self, fresh })
        }

        /// Do something to the file that changes nothing, and that who watches it is told.
        pub fn touch_file(&self) {
            // What else might have this number meanwhile is not harmed by it either.
            let mut byte = [0];
            let _ = file::read_start(self.probe, &mut byte);
        }
    }

    /// Whether the owner's byte is locked, as far as `probe` can see, if that is still a
    /// descriptor of this file.
    fn is_locked(probe: i32, owner: u32, file: Identity) -> bool {
        // SYNC: the kernel has a lock of its own for dropping locks and asking for them:
        // who finds an owner dead sees all that it did, plain stores included (F3).
        // The program may have closed our descriptor and reused its number.
        match file::is_locked_by_another(probe, byte(owner)) {
            Ok(false) => file::identity(probe) != Ok(file),
            _ => true,
        }
    }

    /// One who clears up after the dead: keeps them dead until it is dropped.
    pub struct Keeper {
        owners: Owners,
        fresh: Option<Descriptor>,
    }

    impl Keeper {
        /// Whether the owner is dead, and then keep it dead: nobody gets its number.
        pub fn keep_dead(&self, owner: u32, row: Option<&OwnerRow>) -> bool {
            let description = self.description();
            let is_kept = file::try_read_lock(description, second_byte(owner)).is_ok();
            if is_kept && self.owners.is_alive(owner, row) {
                let _ = file::unlock(description, second_byte(owner));
                return false;
            }
            is_kept
        }

        fn description(&self) -> i32 {
            self.fresh.as_ref().map_or(self.owners.probe, Descriptor::number)
        }
    }

    impl Drop for Keeper {
        fn drop(&mut self) {
            // Their numbers may be used again. With a description of its own all goes with it.
            if self.fresh.is_none() {
                file::unlock_all(self.description(), second_byte(0), OWNERS as i64);
            }
        }
    }

    /// Whose the locks of the description are through which a process becomes an owner.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum Locks {
        /// Of this process alone.
        Own,
        /// Of others, too: they do not keep those apart, but the rows do.
        Shared,
        /// Of others, too, and some of them ask through it.
        AskedThrough,
    }

    /// Become an owner through `description`, with the first number, from a place that
    /// the pid tells, that nobody has. `clear_up` is called for the numbers of those who
    /// left in disorder. `EUSERS`: all taken.
    pub fn settle(
        description: i32,
        segment: &Segment,
        locks: Locks,
        clear_up: impl Fn(u32),
    ) -> Result<u32> {
        let sender = process::sender_id();
        let pid = sender as u32;
        let (mark, uid_or_namespace) = match locks {
            Locks::Own | Locks::Shared => (0, (sender >> 32) as u32),
            Locks::AskedThrough => (SHARES_ITS_LOCK, process::pid_namespace()),
        };
        for i in 0..OWNERS {
            let owner = pid.wrapping_add(i) % OWNERS;
            let Some(row) = segment.owner(owner) else { continue };
            if row.pid.load(Relaxed) != 0 {
                // Among relatives a dead one's lock lives on: the number rests.
                let may_be_dead = locks == Locks::Own
                    && file::is_locked_by_another(description, byte(owner)) == Ok(false);
                if may_be_dead {
                    clear_up(owner);
                }
                if row.pid.load(Relaxed) != 0 {
                    continue;
                }
            }
            match file::try_lock(description, byte(owner)) {
                Ok(()) => {}
                Err(Errno(libc::EAGAIN | libc::EACCES)) => continue,
                Err(error) => return Err(cannot_lock(error)),
            }
            step!(AttachLocked);
            let is_kept = file::is_locked_by_another(description, second_byte(owner));
            // SYNC: Acquire pairs with the store of whoever cleared up.
            let claimed = if mark == 0 { pid } else { mark };
            let is_ours = is_kept == Ok(false)
                && row.pid.compare_exchange(0, claimed, Acquire, Relaxed).is_ok();
            if is_ours {
                row.asleep.store(0, Relaxed);
                row.uid_or_namespace.store(uid_or_namespace, Relaxed);
                row.pid.store(pid | mark, Release);
                return Ok(owner);
            }
            // A relative who was faster has the same lock.
            if locks == Locks::Own {
                let _ = file::unlock(description, byte(owner));
            }
            is_kept.map_err(cannot_lock)?;
        }
        Err(crate::report::say(
            libc::EUSERS,
            "the queue is open 1024 times, which is the most it can be",
        ))
    }

    fn cannot_lock(error: Errno) -> Errno {
        crate::report::explain(
            error.0,
            format_args!("the file system of MQRS_DIR cannot lock bytes (errno {})", error.0),
        )
    }
}
#[cfg(not(loom))]
pub use locked::{
    BYTE_OF_THE_NAME, Keeper, Locks, Owners, Sight, is_anybody_there, keep_all_out, let_all_in,
    settle,
};

#[cfg(loom)]
#[allow(missing_docs)] // as its counterpart above
mod modelled {
    use crate::shm::layout::OwnerRow;
    use crate::sync::{AtomicU64, Ordering};
    use std::sync::Arc;

    /// Owners of a model: a set of the dead.
    #[derive(Clone, Default)]
    pub struct Owners(pub Arc<AtomicU64>);

    impl Owners {
        /// Who finds an owner dead sees all that it did, as the kernel's lock has it.
        pub fn is_alive(&self, owner: u32, _row: Option<&OwnerRow>) -> bool {
            self.0.load(Ordering::Acquire) >> owner & 1 == 0
        }
        pub fn keeper(&self, _is_shared: impl FnOnce() -> bool) -> Option<Keeper> {
            Some(Keeper(self.clone()))
        }
        pub fn touch_file(&self) {}
    }

    pub struct Keeper(Owners);

    impl Keeper {
        pub fn keep_dead(&self, owner: u32, row: Option<&OwnerRow>) -> bool {
            !self.0.is_alive(owner, row)
        }
    }
}
#[cfg(loom)]
pub use modelled::{Keeper, Owners};
