//! Who waits for a queue beside other things: a poller.
//!
//! ```text
//! poller:  announce on `pollers`, mark the word of the side that matters (receivers: a
//!          message, senders: room), look at the queue AGAIN, sleep on `pollers`
//! sender:  send, read the receivers' word; a mark: take it away and wake all pollers
//! ```
//!
//! So whom nobody polls pays nothing for it. A mark is used up by one change, and who still
//! wants to know marks again. One word serves both sides, since a wait on several words has
//! room for 128: a poller may be woken for what does not concern it.
//!
//! Some cannot sleep on a word, because they wait for a descriptor as well. They say so in
//! `watchers`, and watch the file itself (inotify(7)): it is then read from, which changes
//! nothing and which the kernel tells them.
//!
//! A sender that is killed between its send and its wake leaves pollers asleep: they look
//! by themselves, every second at least.

use super::engine::Engine;
use super::event::Event;
use super::word::Tail;
use crate::fault::step;
use crate::sync::{Ordering, dekker_barrier};

/// Readiness, as the C header has it.
pub mod event {
    /// A receive would not wait.
    pub const READABLE: u32 = 1;
    /// A send would not wait.
    pub const WRITABLE: u32 = 2;
    /// Both.
    pub const ALL: u32 = READABLE | WRITABLE;
}

impl Engine {
    /// What is ready now: bits of [`event`].
    pub fn ready(&self) -> u32 {
        if self.is_poisoned() || Tail(self.tail_word().load(Ordering::SeqCst)).is_shut() {
            return event::ALL;
        }
        match self.queued() {
            0 => event::WRITABLE,
            full if full >= self.segment.geometry().maxmsg => event::READABLE,
            _ => event::ALL,
        }
    }

    /// Have the pollers woken when one of these becomes ready; look again afterwards.
    pub fn mark(&self, events: u32) {
        let wait = &self.control().wait.0;
        if events & event::READABLE != 0 {
            wait.receivers.mark();
        }
        if events & event::WRITABLE != 0 {
            wait.senders.mark();
        }
    }

    /// The word on which pollers sleep.
    pub fn pollers(&self) -> &Event {
        &self.control().wait.0.pollers
    }

    /// Have the file touched at the next wake of the pollers; mark afterwards.
    pub fn want_touch(&self) {
        self.control().wait.0.watchers.store(1, Ordering::SeqCst);
    }

    /// Wake whoever sleeps here for another's change.
    #[cold]
    pub(super) fn wake_pollers(&self) {
        let wait = &self.control().wait.0;
        wait.pollers.wake_all();
        step!(WakeUntouched);
        if wait.watchers.load(Ordering::SeqCst) != 0 && wait.watchers.swap(0, Ordering::SeqCst) != 0
        {
            self.owners.touch_file();
        }
    }

    /// Wake all who sleep: the queue is no longer what it was, or a call must end.
    pub fn wake_everybody(&self) {
        dekker_barrier();
        let wait = &self.control().wait.0;
        wait.receivers.wake_all();
        wait.senders.wake_all();
        self.wake_pollers();
        self.settle_beacon();
    }
}
