//! Descriptors for poll of queues in shared memory: the helper keeps them true.
//!
//! Each handle that was asked for its descriptor has a node here. The helper sleeps on
//! `pollers` of its queue and looks whenever it wakes; `shm/shown.rs` says why nothing is
//! missed. Nodes stay until their handle is closed: there is nothing to cancel.

use super::{Desk, Locked, Node, Notification, State};
use crate::error::Result;
use crate::shm::Engine;
use crate::shm::handle::Attachment;
use crate::sync::local::AtomicU64;
use crate::sys::futex::WaitOn;
use core::ptr::null_mut;

/// A handle whose descriptor was asked for.
#[derive(Clone, Copy)]
pub(super) struct Polled {
    /// Alive as long as the node is in the list.
    attachment: *const Attachment,
}

impl Polled {
    fn engine(&self) -> &Engine {
        // SAFETY: an attachment outlives its node: closing a handle removes it first.
        unsafe { (*self.attachment).engine() }
    }

    /// Announce a sleep on its word, then look; gives where, and what it then is.
    pub(super) fn announce(&self) -> WaitOn {
        let event = &self.engine().segment().control().wait.0.pollers;
        let announced = WaitOn::new(event.word(), event.announce());
        self.look();
        announced
    }

    /// Show what has become ready.
    pub(super) fn look(&self) {
        let engine = self.engine();
        // What a dead process had acquired may become ready, too.
        engine.look_for_the_dead();
        engine.descriptor().look(engine);
    }
}

/// The descriptor of a handle, made now if need be; `kept` is where the handle keeps it.
pub fn open(attachment: &Attachment, kept: &AtomicU64) -> Result<i32> {
    let desk = super::desk()?;
    let engine = attachment.engine();
    if engine.descriptor().is_open() {
        let _locked = desk.lock();
        return engine.descriptor().open(engine, kept);
    }
    let node = super::allocate()?;
    let locked = desk.lock();
    // Another thread may have been faster.
    let had_one = engine.descriptor().is_open();
    let made = super::staff(desk).and_then(|()| engine.descriptor().open(engine, kept));
    if made.is_err() || had_one {
        drop(locked);
        // SAFETY: just allocated, and in no list.
        unsafe { super::deallocate(node) };
        return made;
    }
    // What is not delivered tells nobody.
    let notification = Notification::Signal { signo: 0, value: 0 };
    let holder = super::shm::holder(attachment);
    let state = State::Polled(Polled { attachment });
    // SAFETY: just allocated for a node.
    unsafe { node.write(Node { next: null_mut(), holder, notification, state }) };
    locked.append(node);
    drop(locked);
    desk.ring();
    made
}

/// The handle is being closed.
pub fn forget(attachment: &Attachment) {
    if !attachment.engine().descriptor().is_open() {
        return;
    }
    let Some(desk) = super::desk_if_any() else { return };
    let holder = super::shm::holder(attachment);
    let locked = desk.lock();
    let removed =
        locked.sift(|node| node.holder != holder || !matches!(node.state, State::Polled(_)));
    drop(locked);
    super::free(removed);
    // It sleeps on a word that is about to be unmapped.
    desk.ring();
}

/// Look after all of them, between callbacks.
pub(super) fn look(desk: &Desk) {
    let locked: Locked<'_> = desk.lock();
    locked.sift(|node| {
        if let State::Polled(polled) = node.state {
            polled.look();
        }
        true
    });
}
