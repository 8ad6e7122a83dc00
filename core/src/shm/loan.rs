//! Slots that are lent to programs: messages written and read in place.
//!
//! ```text
//! reserve   room? | permit | claim a slot                    commit: stamp anew, publish
//! acquire   empty? | permit | take a message, wake a sender  release: free
//! requeue   TAKEN -> RETURNING, publish; no room: TAKEN again
//! ```
//!
//! A permit is an entry of a small table in the segment. It is taken before the slot and
//! given back after it, so the table bounds how many slots are out: half of the spare ones,
//! which leaves the other half to those who only send and receive. It is also the proof that
//! a pointer leads to a slot lent to this owner; what was lent the slot's word says, CLAIMED
//! (reserved) or TAKEN (acquired). While a call works on a slot its permit is BUSY, and
//! another call finds nothing there. Who finds no permit tries again as long as one has no slot.
//!
//! ```text
//! permit   0, or  31 BUSY | 20-30 owner + 1 | 0-19 slot, NO_SLOT as long as there is none
//! ```
//!
//! RETURNING is to a message that was received what CLAIMED is to a new one: who made it so
//! is about to send the slot. By that survivors, too, send again what the dead had received.
//!
//! A permit is not what recovery goes by: slots of the dead are found by their words, and
//! the permits of the dead, once they name nothing that is theirs, are freed (`reclaim.rs`).

use super::engine::{Engine, Look, Refused, count};
use super::layout::{LOANS, REDELIVERED};
use super::receive::emptiness;
use super::segment::Slot;
use super::send::Gate;
use super::word::{Head, NO_SLOT, Tail, Word};
use crate::attr::PRIO_MAX;
use crate::fault::step;
use crate::sync::{AtomicU32, Ordering, overwrite};

/// A permit as a value.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Permit(u32);

impl Permit {
    const FREE: Permit = Permit(0);
    const BUSY: u32 = 1 << 31;
    const OWNER: u32 = 20;

    fn new(owner: u32, slot: u32) -> Permit {
        Permit((owner + 1) << Permit::OWNER | slot)
    }
    fn busy(self) -> Permit {
        Permit(self.0 | Permit::BUSY)
    }
    fn owner(self) -> u32 {
        ((self.0 & !Permit::BUSY) >> Permit::OWNER).wrapping_sub(1)
    }
    fn slot(self) -> u32 {
        self.0 & NO_SLOT
    }
}

/// What a slot was lent for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lent {
    /// To write a message.
    Reserved,
    /// To read one.
    Acquired,
}

/// A lent slot in the hands of a call of its owner, to be ended or kept.
#[derive(Clone, Copy)]
pub struct Loan<'a> {
    permit: &'a AtomicU32,
    slot: Slot<'a>,
}

impl<'a> Loan<'a> {
    /// The slot.
    pub fn slot(&self) -> Slot<'a> {
        self.slot
    }

    /// Bytes that were reserved, or that the message has.
    pub fn len(&self) -> usize {
        self.slot.len.load(Ordering::Relaxed) as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Engine {
    /// The permits that this queue has.
    fn permits(&self) -> &[AtomicU32] {
        let geometry = self.segment.geometry();
        let spare = geometry.nslots.saturating_sub(geometry.maxmsg) as usize;
        let all = &self.control().loans.0.0;
        &all[..(spare / 2).clamp(1, LOANS)]
    }

    /// Take a permit; the dead need theirs no more.
    fn permit(&self) -> Result<&AtomicU32, Refused> {
        if let Some(permit) = self.free_permit() {
            return Ok(permit);
        }
        self.reclaim_permits();
        self.free_permit().ok_or_else(|| self.no_permit())
    }

    /// No permit is free. One without a slot is that of a call which may yet come back without
    /// any: as long as there is one, not so many slots are out.
    #[cold]
    fn no_permit(&self) -> Refused {
        let is_tried =
            |permit: &AtomicU32| Permit(permit.load(Ordering::Relaxed)).slot() == NO_SLOT;
        if self.permits().iter().any(is_tried) { Refused::NoSlot } else { Refused::NoLoan }
    }

    fn free_permit(&self) -> Option<&AtomicU32> {
        let mine = Permit::new(self.owner, NO_SLOT).busy();
        // Relaxed: a count of slots that are out. What is in them their words order.
        let take = |permit: &&AtomicU32| {
            permit.load(Ordering::Relaxed) == Permit::FREE.0
                && permit
                    .compare_exchange(Permit::FREE.0, mine.0, Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok()
        };
        self.permits().iter().find(take)
    }

    #[cold]
    fn reclaim_permits(&self) {
        let is_dead = |permit: &AtomicU32| {
            let seen = Permit(permit.load(Ordering::Relaxed));
            seen != Permit::FREE && seen.owner() != self.owner && !self.is_alive(seen.owner())
        };
        if self.permits().iter().any(is_dead) {
            self.reclaim();
        }
    }

    /// Claim a slot for a message of up to `len` bytes (at most msgsize) if the queue has room;
    /// gives the slot.
    pub fn try_reserve(&self, len: usize, look: Look) -> Result<Slot<'_>, Refused> {
        let t = Tail(self.tail_word().load(Ordering::Acquire));
        if t.is_shut() {
            return Err(Refused::Shut);
        }
        if self.known_room(t) == 0 {
            self.check_room(look, Gate::Open)?;
        }
        let permit = self.permit()?;
        step!(LoanPermitted);
        match self.claim_for_send(self.place(t.take_count())) {
            Ok((slot, _)) => {
                step!(ReserveClaimed);
                // Relaxed: read by this owner only, before the slot is sent.
                slot.len.store(len as u32, Ordering::Relaxed);
                Ok(self.lend(permit, slot))
            }
            Err(refused) => {
                permit.store(Permit::FREE.0, Ordering::Relaxed);
                Err(refused)
            }
        }
    }

    /// Take the next message and leave it where it is; gives its slot, length and priority.
    pub fn try_acquire(&self, look: Look) -> Result<(Slot<'_>, usize, u32), Refused> {
        // No permit as long as there is nothing to take: those who wait must not use them up.
        self.check_message(look)?;
        let permit = self.permit()?;
        step!(LoanPermitted);
        let slot = match self.take(usize::MAX, look) {
            Ok(slot) => slot,
            Err(refused) => {
                permit.store(Permit::FREE.0, Ordering::Relaxed);
                return Err(refused);
            }
        };
        step!(AcquireTaken);
        self.lend(permit, slot);
        #[cfg(not(loom))]
        if self.features.stamp {
            self.stamp_receive();
        }
        // Relaxed: the word ordered the header. Another process's data: bounded, not trusted.
        let msgsize = self.segment.geometry().msgsize as usize;
        let len = (slot.len.load(Ordering::Relaxed) as usize).min(msgsize);
        let prio = slot.prio.load(Ordering::Relaxed) & PRIO_MAX;
        self.wake_sender();
        Ok((slot, len, prio))
    }

    fn check_message(&self, look: Look) -> Result<(), Refused> {
        let h = Head(self.head_word().load(Ordering::Acquire));
        if self.known_messages(h) > 0 || self.was_told_of_message(h) {
            return Ok(());
        }
        let t = Tail(self.tail_word().load(Ordering::SeqCst));
        match look {
            Look::Glance => Err(Refused::WouldBlock),
            Look::Close if self.queued() == 0 => Err(emptiness(t)),
            Look::Close => Ok(()),
        }
    }

    fn lend<'a>(&self, permit: &AtomicU32, slot: Slot<'a>) -> Slot<'a> {
        // SYNC: pairs with the exchange in `borrow`, of another thread of ours.
        permit.store(Permit::new(self.owner, slot.number()).0, Ordering::Release);
        slot
    }

    /// Take a slot in hand that was lent to us for this; `None` if it was not, or if another
    /// call has it in hand.
    pub fn borrow(&self, slot: Slot<'_>, lent: Lent) -> Option<Loan<'_>> {
        let slot = self.segment.slot(slot.number())?;
        let mine = Permit::new(self.owner, slot.number());
        let take = |permit: &&AtomicU32| {
            permit.load(Ordering::Relaxed) == mine.0
                && permit
                    // SYNC: pairs with the stores of `lend` and `keep`.
                    .compare_exchange(mine.0, mine.busy().0, Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
        };
        let permit = self.permits().iter().find(take)?;
        let loan = Loan { permit, slot };
        let word = Word(slot.word.load(Ordering::Relaxed));
        let is_so = match lent {
            Lent::Reserved => word.is_claimed(),
            Lent::Acquired => word.is_taken(),
        };
        if is_so && word.owner() == self.owner {
            return Some(loan);
        }
        self.keep(loan);
        None
    }

    /// The call is over, the slot stays lent.
    pub fn keep(&self, loan: Loan<'_>) {
        // SYNC: pairs with the exchange in `borrow`.
        loan.permit.store(Permit::new(self.owner, loan.slot.number()).0, Ordering::Release);
    }

    /// The slot is no longer ours.
    fn end(&self, loan: Loan<'_>) {
        // Relaxed: as in `free_permit`.
        loan.permit.store(Permit::FREE.0, Ordering::Relaxed);
    }

    /// Send what a reserved slot holds. If it is refused the slot stays in hand.
    pub fn try_commit(
        &self,
        loan: Loan<'_>,
        len: usize,
        prio: u32,
        look: Look,
    ) -> Result<(), Refused> {
        step!(CommitBegun);
        let t = Tail(self.tail_word().load(Ordering::Acquire));
        if self.known_room(t) == 0 {
            self.check_room(look, Gate::Open)?;
        }
        let slot = loan.slot;
        let reserved = slot.len.load(Ordering::Relaxed);
        // I5
        let claim = Word::claimed(self.owner, t.count());
        overwrite(&slot.word, claim.0);
        step!(CommitStamped);
        // Relaxed: the tail's exchange orders them.
        slot.len.store(len as u32, Ordering::Relaxed);
        slot.prio.store(prio, Ordering::Relaxed);
        slot.sender.store(self.sender(), Ordering::Relaxed);
        let begun = (t, self.place(t.take_count()));
        let sent = self.publish(slot, claim, prio, begun, look, Gate::Open);
        match sent {
            Ok(()) => {
                step!(LoanSent);
                self.end(loan);
            }
            Err(_) => slot.len.store(reserved, Ordering::Relaxed),
        }
        sent
    }

    /// Free a lent slot: a reservation unused, or a message that is done with.
    pub fn give_back(&self, loan: Loan<'_>) {
        self.release(&loan.slot);
        step!(LoanFreed);
        self.end(loan);
        // There is no more room than before, but a sender may wait for a slot.
        self.wake_sender();
    }

    /// Send an acquired message again. If it is refused the slot stays in hand.
    pub fn try_requeue(&self, loan: Loan<'_>) -> Result<(), Refused> {
        // Relaxed: ours alone.
        let taken = Word(loan.slot.word.load(Ordering::Relaxed));
        self.send_again(loan.slot, taken)?;
        step!(LoanSent);
        self.end(loan);
        Ok(())
    }

    /// Send the message of a slot again whose word, TAKEN or RETURNING, is ours or a dead
    /// owner's. If it is refused the word is as it was.
    pub(super) fn send_again(&self, slot: Slot<'_>, held: Word) -> Result<(), Refused> {
        let t = Tail(self.tail_word().load(Ordering::Acquire));
        if self.known_room(t) == 0 {
            self.check_room(Look::Close, Gate::Returning)?;
        }
        // I5
        let claim = Word::returning(self.owner, t.count());
        if slot.word.compare_exchange(held.0, claim.0, Ordering::AcqRel, Ordering::Relaxed).is_err()
        {
            // Another sends it again.
            return Ok(());
        }
        step!(ReturnStamped);
        // Relaxed: ours since the exchange; the tail's orders it.
        let prio = slot.prio.load(Ordering::Relaxed) & PRIO_MAX;
        slot.prio.store(prio | REDELIVERED, Ordering::Relaxed);
        let begun = (t, self.place(t.take_count()));
        let sent = self.publish(slot, claim, prio, begun, Look::Close, Gate::Returning);
        if sent.is_err() {
            step!(ReturnRefused);
            overwrite(&slot.word, held.0);
        }
        sent
    }

    /// Before this owner leaves: give back what it was lent. False if something stays in its
    /// name, as a dead one's.
    pub fn give_back_all(&self) -> bool {
        let mut is_all = true;
        let mut was_any = false;
        for permit in self.permits() {
            let seen = Permit(permit.load(Ordering::Acquire));
            if seen == Permit::FREE || seen.owner() != self.owner {
                continue;
            }
            was_any = true;
            // No slot: a call that never came back from its midst had found one, or not.
            let is_done = self.segment.slot(seen.slot()).is_some_and(|slot| self.let_go(slot));
            if is_done {
                permit.store(Permit::FREE.0, Ordering::Relaxed);
            }
            is_all &= is_done;
        }
        if was_any {
            self.wake_sender();
        }
        is_all
    }

    /// Do with one of our slots what is done when its holder dies.
    fn let_go(&self, slot: Slot<'_>) -> bool {
        if Word(slot.word.load(Ordering::Relaxed)).is_being_sent() {
            // By a call that never came back, perhaps: if the tail names it, it was sent.
            self.confirm(Tail(self.tail_word().load(Ordering::Acquire)));
        }
        let word = Word(slot.word.load(Ordering::Relaxed));
        if word.owner() != self.owner || !word.is_held() {
            return true;
        }
        if !word.is_claimed() && self.features.redeliver {
            return self.send_again(slot, word).is_ok();
        }
        if !word.is_claimed() {
            count(&self.control().counters.0.counters.lost_with_receiver);
        }
        self.release(&slot);
        true
    }

    /// Free the permits of the dead that name nothing which is still theirs.
    pub(super) fn free_permits(&self, mut is_dead: impl FnMut(u32) -> bool) {
        for permit in self.permits() {
            let seen = Permit(permit.load(Ordering::Acquire));
            if seen == Permit::FREE || !is_dead(seen.owner()) {
                continue;
            }
            let is_theirs = self.segment.slot(seen.slot()).is_some_and(|slot| {
                let word = Word(slot.word.load(Ordering::Acquire));
                word.is_held() && word.owner() == seen.owner()
            });
            if !is_theirs {
                // The dead change nothing, and their number rests: it is the same permit.
                let _ = permit.compare_exchange(
                    seen.0,
                    Permit::FREE.0,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                );
            }
        }
    }
}
