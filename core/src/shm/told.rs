//! A sender waits until who is registered has been told, if that is another process.
//!
//! Programs that know the kernel's queues expect so: there the signal is sent before the send
//! returns, whoever gets it. Here the registrant's own helper thread sends it
//! (`arrival.rs`), and first has to run.
//!
//! ```text
//! word: FIRED(owner, generation) --the owner has told, or cancels it--> FREE(generation)
//!                                --a sender has waited in vain--> FREE(generation)
//! ```
//!
//! Both mean the same to whoever registers; FIRED only asks for patience. So a registrant that
//! is stopped costs one sender [`PATIENCE_NS`], once, and nothing is lost: its ticket says that it
//! has fired, whatever the word becomes. Both sides sleep on `registrant`.
//!
//! Called by the stepwise send (`steps.rs`) and by the registrant's process (`notify.rs`).
//! Source: mq_notify(3); ipc/mqueue.c of Linux, __do_notify.

use super::arrival::{Registration, Ticket};
use super::engine::Engine;
use super::event::Waited;

/// How long a sender waits at most: long for a thread that is to run next, short for who sends.
#[cfg(not(loom))]
const PATIENCE_NS: i64 = 100_000_000;

impl Engine {
    /// The program that made this registration of ours has been told, or does not want to be.
    pub fn note_told(&self, ticket: Ticket) {
        self.end_patience(self.fired(ticket));
    }

    fn end_patience(&self, fired: Registration) {
        if self.exchange(fired, fired.freed()) {
            self.control().wait.0.registrant.wake_all();
        }
    }

    /// If another process was registered, and a message has fired that, let it tell its
    /// program.
    #[inline]
    pub fn let_registrant_tell(&self) {
        let seen = self.registration();
        if seen.is_fired() && seen.owner() != self.owner {
            self.wait_until_told(seen);
        }
    }

    #[cold]
    fn wait_until_told(&self, fired: Registration) {
        if !self.is_alive(fired.owner()) {
            return self.end_patience(fired);
        }
        #[cfg(not(loom))]
        let until_ns = crate::sys::clock::monotonic_ns().saturating_add(PATIENCE_NS);
        // The models have no clock.
        #[cfg(loom)]
        let until_ns = 0;
        let registrant = &self.control().wait.0.registrant;
        let is_told = || (self.registration() != fired).then_some(());
        loop {
            let came = registrant.wait(is_told, |announced| {
                #[cfg(not(loom))]
                if crate::sys::clock::monotonic_ns() >= until_ns {
                    return None;
                }
                Some(registrant.sleep(announced, until_ns))
            });
            match came {
                Waited::Done(()) => return,
                // The next one need not wait.
                Waited::TimeUp => return self.end_patience(fired),
                Waited::InVain(_) => {}
            }
        }
    }
}
