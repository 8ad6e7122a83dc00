//! Who is told when a message arrives on an empty queue: the registration word.
//!
//! ```text
//! word: 62-63 state | 46-61 owner | 0-45 generation
//! FREE, FIRED --register--> ARMED(owner, generation + 1) --fires--> FIRED
//!                           ARMED --deregister, by its owner--> FREE
//! FREE, FIRED --register--> STAYING(owner, generation + 1) --deregister--> FREE
//! FIRED --told, see `told.rs`--> FREE
//! ```
//!
//! A registration that stays is not used up: nobody can take it in between, and no arrival is
//! missed. That it fires is noted in `fired`: the count of the send that arrived, so that who
//! completes late sees that this one has fired, and how often it has, by which its owner knows.
//!
//! The tail carries two bits of it. ARMED: senders look whether the queue is empty.
//! FIRE, set by the very exchange that sends: the message that the tail names arrived
//! on an empty queue. While FIRE is set nobody sends; whoever wants to completes it
//! first ([`Engine::complete_firing`], any number of times by anybody): wake a receiver,
//! and only if none was asleep does the registration fire.
//!
//! The owner of a registration is the only one who delivers: its helper thread sleeps on
//! `registrant` and looks at the word. A process that dies with a registration leaves
//! ARMED of a dead owner, which the next registrant takes over.
//!
//! Registering completes a firing tail, takes the word, then arms the tail.
//! Deregistering disarms the tail, then frees the word. Every change of the tail's bits
//! is exact, from a value read before the word was looked at, so that a slow one cannot
//! undo a later registration. Within a process the caller lets one thread at a time
//! register and deregister.

use super::engine::Engine;
use super::layout::NotifyWords;
use super::progress::Progress;
use super::word::{ARMED, FIRE, Head, SEQ_MASK, Tail, seq_distance, take_distance};
use crate::fault::step;
use crate::sync::{Ordering, dekker_barrier};

const STATE: u32 = 62;
const OWNER: u32 = 46;
const GENERATIONS: u64 = (1 << OWNER) - 1;
const IS_ARMED: u64 = 1;
const IS_FIRED: u64 = 2;
const IS_STAYING: u64 = 3;
/// Where `fired` counts arrivals; below is the count of a send.
const TIMES: u32 = 40;
const FIRED_COUNT: u64 = (1 << TIMES) - 1;
/// Marks `trusted` as holding a head count.
const TRUSTED: u64 = 1 << 63;
/// A receiver that sleeps is about to be woken for that message, or has been.
const CALLED: u64 = 1 << 62;

/// The registration word as a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Registration(u64);

impl Registration {
    fn new(state: u64, owner: u32, generation: u64) -> Registration {
        Registration(state << STATE | (owner as u64) << OWNER | generation & GENERATIONS)
    }
    fn generation(self) -> u64 {
        self.0 & GENERATIONS
    }
    pub(super) fn owner(self) -> u32 {
        (self.0 >> OWNER & 0xFFFF) as u32
    }
    /// Whether it waits for an arrival.
    fn is_armed(self) -> bool {
        matches!(self.0 >> STATE, IS_ARMED | IS_STAYING)
    }
    fn is_staying(self) -> bool {
        self.0 >> STATE == IS_STAYING
    }
    /// Whether it has fired, and nobody knows of its program having been told.
    pub(super) fn is_fired(self) -> bool {
        self.0 >> STATE == IS_FIRED
    }
    /// What it leaves.
    pub(super) fn freed(self) -> Registration {
        Registration::new(0, 0, self.generation())
    }
}

/// A registration that was made; needed to ask for it and to drop it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ticket {
    generation: u64,
    /// How often it had fired, of one that stays; wraps as the word does.
    known: Option<u64>,
}

impl Ticket {
    /// Whether it is good for more than one arrival.
    pub fn stays(self) -> bool {
        self.known.is_some()
    }
}

/// What became of a registration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrival {
    /// Nothing yet.
    Waiting,
    /// A message arrived; its sender's pid and uid.
    Arrived {
        /// The sender's pid, as its own pid namespace has it; 0 if no longer known.
        pid: u32,
        /// The sender's effective uid.
        uid: u32,
    },
}

/// Why a registration was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotRegistered {
    /// A living process has one.
    Busy,
    /// The shared state is impossible; the queue is poisoned.
    Damaged,
}

/// What is noted when a receiver is trusted with the message that a tail names.
fn arrival_of(t: Tail) -> u64 {
    TRUSTED | (t.take_count().wrapping_sub(1) & super::word::TAKE_MASK) as u64
}

impl Engine {
    fn notify(&self) -> &NotifyWords {
        &self.control().notify.0
    }

    pub(super) fn registration(&self) -> Registration {
        Registration(self.notify().word.load(Ordering::SeqCst))
    }

    /// Register for the next arrival on an empty queue, or for every one.
    pub fn register(&self, stays: bool) -> Result<Ticket, NotRegistered> {
        let state = if stays { IS_STAYING } else { IS_ARMED };
        let mut progress = Progress::new();
        let mine = loop {
            if self.is_stuck(&mut progress) {
                self.poison();
                return Err(NotRegistered::Damaged);
            }
            let t = Tail(self.tail_word().load(Ordering::SeqCst));
            if t.is_firing() {
                self.complete_firing(t);
                continue;
            }
            let seen = self.registration();
            if seen.is_armed() && self.is_alive(seen.owner()) {
                // It may be stopped where it has the word but not the tail; then no message
                // would ever use the registration up.
                let t = Tail(self.tail_word().load(Ordering::SeqCst));
                if t.is_armed() || self.change_tail(t, t.with(ARMED, 0)) {
                    return Err(NotRegistered::Busy);
                }
                continue;
            }
            let mine = Registration::new(state, self.owner, seen.generation() + 1);
            if self.exchange(seen, mine) {
                break mine;
            }
        };
        step!(NotifyRegistered);
        self.notify().trusted.store(0, Ordering::Relaxed);
        // What arrives during this call may count or not.
        self.follow(Tail(self.tail_word().load(Ordering::SeqCst)));
        let known = stays.then(|| self.times_fired());
        let ticket = Ticket { generation: mine.generation(), known };
        loop {
            let t = Tail(self.tail_word().load(Ordering::SeqCst));
            if t.is_firing() {
                // A message that arrived during this call: it may count as the first.
                self.complete_firing(t);
            } else if t.is_armed() || self.change_tail(t, t.with(ARMED, 0)) {
                return Ok(ticket);
            }
            if self.registration() != mine {
                return Ok(ticket);
            }
            if self.is_stuck(&mut progress) {
                self.poison();
                return Err(NotRegistered::Damaged);
            }
        }
    }

    /// Whether there is a registration of ours that waits.
    pub fn has_registration(&self) -> bool {
        let seen = self.registration();
        seen.is_armed() && seen.owner() == self.owner
    }

    /// The registration word, to be compared.
    pub(super) fn registration_word(&self) -> u64 {
        self.registration().0
    }

    /// A send behind `t` found the queue armed and not empty; but the last receive may
    /// have emptied it before the tail named the send. Then the message arrived on an
    /// empty queue after all. (If it was the other way round, nobody can tell: the
    /// receive and the send overlapped.)
    pub(super) fn fire_if_it_was_empty(&self, t: Tail, armed: u64) {
        // SYNC: Dekker pair with find_in_lane and take_mixed: a receiver that did not see
        // the tail of this send and said "empty" had changed the head before.
        dekker_barrier();
        loop {
            let h = Head(self.head_word().load(Ordering::SeqCst));
            let now = Tail(self.tail_word().load(Ordering::SeqCst));
            let overtaken =
                take_distance(h.count(), t.take_count()) <= self.segment.geometry().maxmsg;
            if !overtaken || now.is_firing() || !now.is_armed() || self.registration().0 != armed {
                return;
            }
            let firing = now.with(FIRE, 0);
            if self.change_tail(now, firing) {
                self.complete_firing(firing);
                return;
            }
        }
    }

    pub(super) fn exchange(&self, seen: Registration, next: Registration) -> bool {
        self.notify()
            .word
            .compare_exchange(seen.0, next.0, Ordering::SeqCst, Ordering::Relaxed)
            .is_ok()
    }

    /// Drop our registration; false if it has fired already.
    pub fn deregister(&self, ticket: Ticket) -> bool {
        self.disarm(self.of(ticket))
    }

    /// Disarm the tail and free the word, which is `armed` and nobody else's.
    fn disarm(&self, armed: Registration) -> bool {
        let mut progress = Progress::new();
        loop {
            let t = Tail(self.tail_word().load(Ordering::SeqCst));
            if self.registration() != armed {
                return false;
            }
            if t.is_firing() {
                self.complete_firing(t);
            } else if !t.is_armed() || self.change_tail(t, t.with(0, ARMED)) {
                step!(NotifyDisarmed);
                return self.exchange(armed, armed.freed());
            }
            if self.is_stuck(&mut progress) {
                self.poison();
                return false;
            }
        }
    }

    fn is_mine(&self, seen: Registration, ticket: Ticket) -> bool {
        seen == self.of(ticket)
    }

    /// The word of a registration of ours that waits.
    fn of(&self, ticket: Ticket) -> Registration {
        let state = if ticket.stays() { IS_STAYING } else { IS_ARMED };
        Registration::new(state, self.owner, ticket.generation)
    }

    /// The word of a registration of ours that has fired.
    pub(super) fn fired(&self, ticket: Ticket) -> Registration {
        Registration::new(IS_FIRED, self.owner, ticket.generation)
    }

    fn times_fired(&self) -> u64 {
        self.notify().fired.load(Ordering::SeqCst) >> TIMES
    }

    /// A registration that has fired; one that stays knows of all that has fired so far. To be
    /// delivered afterwards, so that nothing is lost.
    pub fn renew(&self, ticket: Ticket) -> Ticket {
        Ticket { known: ticket.known.map(|_| self.times_fired()), ..ticket }
    }

    /// What became of our registration.
    pub fn arrival(&self, ticket: Ticket) -> Arrival {
        if let Some(known) = ticket.known {
            let times = self.times_fired();
            if times == known {
                return Arrival::Waiting;
            }
            let sender = self.notify().sender[(times & 1) as usize].load(Ordering::SeqCst);
            return Arrival::Arrived { pid: sender as u32, uid: (sender >> 32) as u32 };
        }
        let seen = self.registration();
        if self.is_mine(seen, ticket) {
            return Arrival::Waiting;
        }
        // The record is overwritten by the firing after the next.
        let known = seen.generation().wrapping_sub(ticket.generation) & GENERATIONS < 2;
        let parity = (ticket.generation & 1) as usize;
        let sender = self.notify().sender[parity].load(Ordering::SeqCst);
        if known {
            Arrival::Arrived { pid: sender as u32, uid: (sender >> 32) as u32 }
        } else {
            Arrival::Arrived { pid: 0, uid: 0 }
        }
    }

    /// For the registrant's helper, now and then: complete a notification whose sender
    /// died, and fire after all if the receiver that was woken instead has taken nothing
    /// since the last look. Gives what to pass in next time.
    pub fn watch_arrival(&self, ticket: Ticket, last_trusted: u64) -> u64 {
        let t = Tail(self.tail_word().load(Ordering::SeqCst));
        if !self.is_mine(self.registration(), ticket) {
            return 0;
        }
        if t.is_firing() {
            self.complete_firing(t);
            return 0;
        }
        if !t.is_armed() {
            self.change_tail(t, t.with(ARMED, 0));
            return 0;
        }
        if ticket.stays() {
            self.follow(t);
        }
        let trusted = self.notify().trusted.load(Ordering::SeqCst);
        let h = Head(self.head_word().load(Ordering::SeqCst));
        if trusted != (TRUSTED | h.count() as u64) || t.take_count() == h.count() {
            return 0;
        }
        // The receiver that was woken is dead or stopped, and the message waits.
        let firing = t.with(FIRE, 0);
        if trusted == last_trusted
            && self
                .notify()
                .trusted
                .compare_exchange(trusted, 0, Ordering::SeqCst, Ordering::Relaxed)
                .is_ok()
            && self.change_tail(t, firing)
        {
            self.complete_firing(firing);
            return 0;
        }
        trusted
    }

    fn sender_of(&self, t: Tail) -> u64 {
        self.segment.slot(t.slot()).map_or(0, |slot| slot.sender.load(Ordering::Relaxed))
    }

    /// Complete the notification of a message that is there, whose sender is not yet done.
    pub fn settle_firing(&self) {
        let t = Tail(self.tail_word().load(Ordering::SeqCst));
        if t.is_firing() {
            self.complete_firing(t);
        }
    }

    /// Complete the notification that the send named by `t` began.
    #[cold]
    pub(super) fn complete_firing(&self, t: Tail) {
        self.confirm(t);
        if t.is_mixed() {
            self.linearize();
        }
        let seen = self.registration();
        let sender = self.sender_of(t);
        // The tail is read after the registration: if it still names this firing, so
        // does the registration.
        if self.tail_word().load(Ordering::SeqCst) != t.0 {
            return;
        }
        if seen.is_staying() && self.has_fired_for(t) {
            self.conclude(t, FIRE);
            return;
        }
        if self.is_trusted_with(t) || self.trust_a_sleeper(t) {
            self.change_tail(t, t.with(0, FIRE));
            return;
        }
        if seen.is_staying() {
            self.fire_again(t, sender);
            self.conclude(t, FIRE);
            return;
        }
        if seen.is_armed() {
            self.fire(seen, sender);
        }
        self.conclude(t, FIRE | ARMED);
    }

    /// Wake a receiver that sleeps for the message of a firing send; whether there was one.
    ///
    /// Several may complete one firing, and only the first finds the sleeper; the sleeper itself,
    /// once woken, may be one of the others. So that they decide alike, it is said before the
    /// wake that there is one, and what is said last is what one exchange has decided.
    fn trust_a_sleeper(&self, t: Tail) -> bool {
        let trusted = &self.notify().trusted;
        let (arrival, called) = (arrival_of(t), arrival_of(t) | CALLED);
        let mut seen = trusted.load(Ordering::SeqCst);
        let mut is_ours = false;
        if seen != called && self.control().wait.0.receivers.has_sleepers() {
            match trusted.compare_exchange(seen, called, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => {
                    (seen, is_ours) = (called, true);
                    step!(NotifyCalled);
                }
                Err(now) => seen = now,
            }
        }
        if seen == arrival {
            return true;
        }
        // Also where another has called: he may have died before he woke anybody.
        let woke = self.wake_receiver();
        // Whoever slept when another called, and does not now, is about to look at the queue.
        let is_awaited = woke || seen == called && !is_ours;
        if !is_awaited && !is_ours {
            return false;
        }
        let decision = if is_awaited { arrival } else { 0 };
        loop {
            match trusted.compare_exchange(seen, decision, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return is_awaited,
                // We have woken the one whom another has called meanwhile.
                Err(now) if now == called && is_awaited => seen = now,
                // Another has decided, if not about later arrivals.
                Err(now) => return now != 0,
            }
        }
    }

    /// Whether a receiver that slept was woken for the message of a firing send.
    pub(super) fn is_trusted_with(&self, t: Tail) -> bool {
        self.notify().trusted.load(Ordering::SeqCst) == arrival_of(t)
    }

    /// It has fired: clear the tail's flags and tell the registrant.
    fn conclude(&self, t: Tail, flags: u64) {
        step!(NotifyFired);
        self.change_tail(t, t.with(0, flags));
        step!(NotifyUnwoken);
        self.control().wait.0.registrant.wake_all();
    }

    fn fire(&self, seen: Registration, sender: u64) {
        let generation = seen.generation();
        self.notify().sender[(generation & 1) as usize].store(sender, Ordering::SeqCst);
        self.exchange(seen, Registration::new(IS_FIRED, seen.owner(), generation));
    }

    /// Fire a registration that stays for the arrival that `t` names, unless it has.
    fn fire_again(&self, t: Tail, sender: u64) {
        let fired = &self.notify().fired;
        loop {
            let seen = fired.load(Ordering::SeqCst);
            // The tail is read after `fired`: if it still names this firing, nobody has
            // completed it, and nothing else has fired since.
            if seen & FIRED_COUNT == t.count() || self.tail_word().load(Ordering::SeqCst) != t.0 {
                return;
            }
            let times = (seen >> TIMES).wrapping_add(1);
            self.notify().sender[(times & 1) as usize].store(sender, Ordering::SeqCst);
            let next = times << TIMES | t.count();
            if fired.compare_exchange(seen, next, Ordering::SeqCst, Ordering::Relaxed).is_ok() {
                return;
            }
        }
    }

    fn has_fired_for(&self, t: Tail) -> bool {
        self.notify().fired.load(Ordering::SeqCst) & FIRED_COUNT == t.count()
    }

    /// Keep the count of the last arrival near the tail's, lest a wrapped one equal it. It is
    /// one behind `t`, for which something may fire yet.
    fn follow(&self, t: Tail) {
        let fired = &self.notify().fired;
        let seen = fired.load(Ordering::SeqCst);
        if seq_distance(t.count(), seen & FIRED_COUNT) > SEQ_MASK / 2 {
            let near = t.count().wrapping_sub(1) & SEQ_MASK;
            let next = seen & !FIRED_COUNT | near;
            let _ = fired.compare_exchange(seen, next, Ordering::SeqCst, Ordering::Relaxed);
        }
    }

    /// This view is a dead owner's, who may have been registered.
    #[cfg(not(loom))]
    pub(super) fn disarm_registration_of_the_dead(&self) {
        let seen = self.registration();
        if seen.is_armed() && seen.owner() == self.owner {
            self.disarm(seen);
        }
    }

    /// Whether receivers should sleep at once rather than poll: only a sleeping receiver
    /// counts as blocked for the registration. The word says so before the tail does, and
    /// to read it takes no line from a sender.
    pub fn is_armed(&self) -> bool {
        Registration(self.notify().word.load(Ordering::Relaxed)).is_armed()
    }
}
