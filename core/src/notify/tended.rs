//! Handles that the helper looks after although nobody has registered with them.
//!
//! Their nodes stay in the list until the handle is closed: there is nothing to cancel.

use super::{Desk, Locked, Node, Notification, State};
use crate::shm::Engine;
use crate::shm::handle::Attachment;
use core::ptr::null_mut;

/// One of them.
#[derive(Clone, Copy)]
pub(super) struct Tended {
    /// Alive as long as the node is in the list.
    attachment: *const Attachment,
}

impl Tended {
    pub(super) fn engine(&self) -> &Engine {
        // SAFETY: an attachment outlives its node: closing a handle removes it first.
        unsafe { (*self.attachment).engine() }
    }
}

/// Put a handle in the list.
///
/// # Safety
/// The node was just allocated, and is in no list.
pub(super) unsafe fn add(
    locked: &Locked<'_>,
    node: *mut Node,
    attachment: &Attachment,
    state: fn(Tended) -> State,
) {
    // What is not delivered tells nobody.
    let notification = Notification::Signal { signo: 0, value: 0 };
    let holder = super::shm::holder(attachment);
    let state = state(Tended { attachment });
    // SAFETY: granted by the caller.
    unsafe { node.write(Node { next: null_mut(), holder, notification, state }) };
    locked.append(node);
}

/// Take a handle out of the list, where its node is as `is_it` says.
pub(super) fn remove(desk: &Desk, attachment: &Attachment, is_it: fn(&State) -> bool) {
    let holder = super::shm::holder(attachment);
    let locked = desk.lock();
    let removed = locked.sift(|node| node.holder != holder || !is_it(&node.state));
    drop(locked);
    super::free(removed);
}
