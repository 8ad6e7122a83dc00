//! Registrations in shared memory: the word of `shm/arrival.rs`, at which the helper looks.

use super::{Holder, Locked, Node, Notification, State, how};
use crate::error::{Errno, Result};
use crate::report::say;
use crate::shm::handle::Attachment;
use crate::shm::{Arrival, Engine, NotRegistered, Ticket};
use crate::sync::Ordering::SeqCst;
use crate::sys::process;
use core::ptr::null_mut;

/// A registration that has not fired, as far as we know.
#[derive(Clone, Copy)]
pub(super) struct Waiting {
    /// Alive as long as the node is in the list.
    attachment: *const Attachment,
    ticket: Ticket,
    trusted: u64,
}

impl Waiting {
    fn engine(&self) -> &Engine {
        // SAFETY: an attachment outlives its nodes: closing a handle removes them first.
        unsafe { (*self.attachment).engine() }
    }

    /// The state of a registration just made. If it is to fire `now` it has done so, and is
    /// used up unless it stays; who came first is not known, so this process stands for it.
    fn begin(self, now: bool) -> State {
        let engine = self.engine();
        if !now || engine.queued() == 0 {
            return State::Shm(self);
        }
        // Otherwise a message has just used it up.
        if !self.stays() && !engine.deregister(self.ticket) {
            return State::Shm(self);
        }
        let own = process::sender_id();
        State::Fired { pid: own as u32, uid: (own >> 32) as u32, of: Some(self) }
    }

    /// Whether it is good for more than one arrival.
    pub(super) fn stays(&self) -> bool {
        self.ticket.stays()
    }

    pub(super) fn withdraw(self) {
        self.engine().deregister(self.ticket);
        self.note_told();
    }

    /// It has fired, and its program has been told; who has sent may wait for that.
    pub(super) fn note_told(&self) {
        self.engine().note_told(self.ticket);
    }

    pub(super) fn has_fired(&self) -> bool {
        self.engine().arrival(self.ticket) != Arrival::Waiting
    }

    /// Announce a sleep on its word; gives where, and what it then is.
    pub(super) fn announce(&self) -> crate::sys::futex::WaitOn {
        let event = &self.engine().segment().control().wait.0.registrant;
        crate::sys::futex::WaitOn::new(event.word(), event.announce())
    }
}

/// The holder that a process's attachment is. Memory of two is apart, and addresses of
/// attachments, which begin a page, are even.
pub fn holder(attachment: &Attachment) -> Holder {
    core::ptr::from_ref(attachment) as usize as Holder
}

/// Register a handle for the next arrival on its empty queue, or for all of them: bits of `how`.
pub fn register(attachment: &Attachment, notification: Notification, flags: u64) -> Result<()> {
    super::check(notification)?;
    if flags & how::PERSISTENT != 0 && matches!(notification, Notification::Delivery(_)) {
        return Err(say(libc::EINVAL, "what another package delivers comes once"));
    }
    if attachment.engine().is_poisoned() {
        return Err(damaged());
    }
    let desk = super::desk()?;
    let node = super::allocate()?;
    let locked = desk.lock();
    let made = super::staff(desk).and_then(|()| {
        // An earlier registration may have fired without having been delivered yet.
        locked.sift(|node| {
            note_arrival(node);
            true
        });
        attachment.engine().register(flags & how::PERSISTENT != 0).map_err(|error| match error {
            NotRegistered::Busy => super::busy(),
            NotRegistered::Damaged => damaged(),
        })
    });
    match made {
        Ok(ticket) => {
            let holder = holder(attachment);
            let waiting = Waiting { attachment, ticket, trusted: 0 };
            let state = waiting.begin(flags & how::NOW != 0);
            // SAFETY: just allocated for a node.
            unsafe { node.write(Node { next: null_mut(), holder, notification, state }) };
            locked.append(node);
            if matches!(notification, Notification::Delivery(_)) {
                desk.deliveries.fetch_add(1, SeqCst);
            }
            drop(locked);
            desk.ring();
            Ok(())
        }
        Err(error) => {
            drop(locked);
            // SAFETY: just allocated, and in no list.
            unsafe { super::deallocate(node) };
            Err(error)
        }
    }
}

fn damaged() -> Errno {
    say(libc::EBADMSG, "the queue's shared state is damaged; it can only be removed")
}

/// A sender whose message the program has received already may be about to fire.
pub(super) fn settle(node: &Node) {
    if let State::Shm(waiting) = node.state {
        waiting.engine().settle_firing();
    }
}

/// Note it if a waiting registration has fired.
pub(super) fn note_arrival(node: &mut Node) {
    let State::Shm(waiting) = node.state else { return };
    if let Arrival::Arrived { pid, uid } = waiting.engine().arrival(waiting.ticket) {
        let ticket = waiting.engine().renew(waiting.ticket);
        node.state = State::Fired { pid, uid, of: Some(Waiting { ticket, ..waiting }) };
    }
}

/// Look after waiting registrations whose sender or receiver may have died.
pub(super) fn watch(locked: &Locked<'_>) {
    locked.sift(|node| {
        if let State::Shm(waiting) = &mut node.state {
            waiting.trusted = waiting.engine().watch_arrival(waiting.ticket, waiting.trusted);
        }
        true
    });
}
