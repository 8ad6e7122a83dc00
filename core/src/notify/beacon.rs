//! Beacons of queues that nobody seems to poll: the helper looks after them, while the process
//! has a lease (`shm/lazy.rs`). Nodes stay until their handle is closed.

use super::{Desk, Node, Notification, State};
use crate::error::Result;
use crate::shm::Engine;
use crate::shm::handle::Attachment;
use core::ptr::null_mut;

/// A handle whose beacon may be left to the helper.
#[derive(Clone, Copy)]
pub(super) struct Lit {
    /// Alive as long as the node is in the list.
    attachment: *const Attachment,
}

impl Lit {
    fn engine(&self) -> &Engine {
        // SAFETY: an attachment outlives its node: closing a handle removes it first.
        unsafe { (*self.attachment).engine() }
    }
}

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
    // What is not delivered tells nobody.
    let notification = Notification::Signal { signo: 0, value: 0 };
    let state = State::Lit(Lit { attachment });
    // SAFETY: just allocated for a node.
    unsafe { node.write(Node { next: null_mut(), holder, notification, state }) };
    locked.append(node);
    drop(locked);
    attachment.engine().allow_lazy();
    Ok(())
}

/// The handle is being closed.
pub fn forget(attachment: &Attachment) {
    let Some(desk) = super::desk_if_any() else { return };
    let holder = super::shm::holder(attachment);
    let locked = desk.lock();
    let removed = locked.sift(|node| node.holder != holder || !matches!(node.state, State::Lit(_)));
    drop(locked);
    super::free(removed);
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
