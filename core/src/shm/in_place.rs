//! Sending and receiving in place, as a handle offers it: from a pointer of the program's to
//! the slot that was lent to it (`loan.rs`), and the waits of reserve, commit and acquire.
//!
//! Arguments are checked in the order of the header. A slot is in the hands of one call at a
//! time, for as long as that call waits: any other finds that the pointer is not one of its.

use super::engine::{Look, Refused};
use super::handle::{Attachment, ShmQueue};
use super::loan::{Lent, Loan};
use super::wait::{damaged, failure, note_refusal};
use crate::deadline::Wait;
use crate::error::Result;
use crate::report::say;
use crate::transport::{Transport, too_long};
use crate::waiting::Side;

impl ShmQueue {
    /// Reserve a slot for up to `len` bytes.
    pub(super) fn reserve_slot(&self, len: usize, wait: Wait) -> Result<*mut u8> {
        let entered = self.access().enter();
        self.access().check_send(core::ptr::dangling(), len, 0)?;
        if len > self.msgsize()? {
            return Err(too_long());
        }
        let attachment = self.healthy()?;
        let engine = attachment.engine();
        let slot = match engine.try_reserve(len, Look::Glance) {
            Ok(slot) => slot,
            Err(_) => self
                .waiting(attachment, Side::Sender, entered, wait)
                .run(|look| engine.try_reserve(len, look))?,
        };
        Ok(engine.segment().payload(slot))
    }

    /// Send what was written to a reserved slot.
    pub(super) fn commit_slot(
        &self,
        slot: *mut u8,
        len: usize,
        prio: u32,
        wait: Wait,
    ) -> Result<()> {
        let entered = self.access().enter();
        self.access().check_send(slot, 0, prio)?;
        let attachment = self.attachment()?;
        let engine = attachment.engine();
        let loan = self.borrow(attachment, slot, Lent::Reserved)?;
        let sent = if len > loan.len() {
            Err(say(libc::EMSGSIZE, "the message is longer than what was reserved"))
        } else if engine.try_commit(loan, len, prio, Look::Glance).is_ok() {
            attachment.patience(Side::Sender).did_not_wait();
            Ok(())
        } else {
            self.waiting(attachment, Side::Sender, entered, wait)
                .run(|look| engine.try_commit(loan, len, prio, look))
        };
        if sent.is_err() {
            engine.keep(loan);
        }
        sent
    }

    /// Free a lent slot.
    pub(super) fn give_back(&self, payload: *const u8, lent: Lent) -> Result<()> {
        let attachment = self.attachment()?;
        let loan = self.borrow(attachment, payload, lent)?;
        attachment.engine().give_back(loan);
        Ok(())
    }

    /// Take the next message where it lies; gives its length and priority, too.
    pub(super) fn acquire_message(&self, wait: Wait) -> Result<(*const u8, usize, u32)> {
        let entered = self.access().enter();
        self.access().check_receive(core::ptr::dangling(), 0)?;
        let attachment = self.healthy()?;
        let engine = attachment.engine();
        engine.look_for_the_dead();
        let (slot, len, prio) = match engine.try_acquire(Look::Glance) {
            Ok(acquired) => {
                attachment.patience(Side::Receiver).did_not_wait();
                acquired
            }
            Err(_) => self
                .waiting(attachment, Side::Receiver, entered, wait)
                .run(|look| engine.try_acquire(look))?,
        };
        Ok((engine.segment().payload(slot), len, prio))
    }

    /// Send an acquired message again.
    pub(super) fn requeue_message(&self, data: *const u8) -> Result<()> {
        let attachment = self.attachment()?;
        let engine = attachment.engine();
        let loan = self.borrow(attachment, data, Lent::Acquired)?;
        engine.try_requeue(loan).map_err(|refused| {
            engine.keep(loan);
            let error = match refused {
                Refused::WouldBlock => say(libc::EAGAIN, "the queue is full; the message stays"),
                other => failure(other).unwrap_or_else(|| Side::Sender.would_block()),
            };
            note_refusal(engine, Side::Sender, error);
            error
        })
    }

    /// The slot that was lent through this handle at `payload`, in hand for a call.
    fn borrow<'a>(
        &self,
        attachment: &'a Attachment,
        payload: *const u8,
        lent: Lent,
    ) -> Result<Loan<'a>> {
        let engine = attachment.engine();
        if payload.is_null() {
            return Err(say(libc::EFAULT, "the pointer to the slot is NULL"));
        }
        if engine.is_poisoned() {
            return Err(damaged());
        }
        let slot = engine.segment().slot_with_payload(payload);
        slot.and_then(|slot| engine.borrow(slot, lent)).ok_or_else(|| {
            let sentence = match lent {
                Lent::Reserved => "the pointer is not one of a slot that this handle has reserved",
                Lent::Acquired => "the pointer is not one that this handle has acquired",
            };
            say(libc::EINVAL, sentence)
        })
    }
}
