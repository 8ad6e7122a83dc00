//! Descriptors for poll of queues in shared memory: the helper keeps them true.
//!
//! Each handle that was asked for its descriptor has a node here. The helper sleeps on
//! `pollers` of its queue and looks whenever it wakes; `shm/shown.rs` says why nothing is
//! missed.

use super::tended::{self, Tended};
use super::{Desk, State};
use crate::error::Result;
use crate::shm::handle::Attachment;
use crate::sync::local::AtomicU64;
use crate::sys::futex::WaitOn;

/// Announce a sleep on the word of one, then look; gives where, and what it then is.
pub(super) fn announce(polled: &Tended) -> WaitOn {
    let event = &polled.engine().segment().control().wait.0.pollers;
    let announced = WaitOn::new(event.word(), event.announce());
    look(polled);
    announced
}

/// Show what has become ready.
pub(super) fn look(polled: &Tended) {
    let engine = polled.engine();
    // What a dead process had acquired may become ready, too.
    engine.look_for_the_dead();
    engine.descriptor().look(engine);
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
    // SAFETY: just allocated.
    unsafe { tended::add(&locked, node, attachment, State::Polled) };
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
    tended::remove(desk, attachment, |state| matches!(state, State::Polled(_)));
    // It sleeps on a word that is about to be unmapped.
    desk.ring();
}

/// Look after all of them, between callbacks.
pub(super) fn look_at_all(desk: &Desk) {
    desk.lock().sift(|node| {
        if let State::Polled(polled) = &node.state {
            look(polled);
        }
        true
    });
}
