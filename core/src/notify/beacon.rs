//! Beacons of queues that nobody seems to poll: the helper looks after them, while the process
//! has a lease (`shm/lazy.rs`).

use super::{Desk, State, tended};
use crate::error::Result;
use crate::shm::handle::Attachment;

/// Let the helper look after a handle's beacon.
pub fn allow(attachment: &Attachment) -> Result<()> {
    let desk = super::desk()?;
    let node = super::allocate()?;
    let locked = desk.lock();
    let holder = super::shm::holder(attachment);
    let mut has_one = false;
    locked.sift(|node| {
        has_one |= node.holder == holder && matches!(node.state, State::Lit(_));
        true
    });
    let staffed = super::staff(desk);
    if staffed.is_err() || has_one {
        drop(locked);
        // SAFETY: just allocated, and in no list.
        unsafe { super::deallocate(node) };
        return staffed;
    }
    // SAFETY: just allocated.
    unsafe { tended::add(&locked, node, attachment, State::Lit) };
    drop(locked);
    attachment.engine().allow_lazy();
    Ok(())
}

/// The handle is being closed.
pub fn forget(attachment: &Attachment) {
    let Some(desk) = super::desk_if_any() else { return };
    tended::remove(desk, attachment, |state| matches!(state, State::Lit(_)));
    attachment.engine().end_lease();
}

/// Look after all of them; whether there is one with a lease.
pub(super) fn look(desk: &Desk) -> bool {
    let mut is_any = false;
    desk.lock().sift(|node| {
        if let State::Lit(lit) = node.state {
            lit.engine().look_after_beacon();
            is_any |= lit.engine().has_lease();
        }
        true
    });
    is_any
}
