//! Who is told when a message arrives on an empty queue: the registration word.
//!
//! ```text
//! word: 62-63 state | 46-61 owner | 0-45 generation
//! FREE, FIRED --register--> ARMED(owner, generation + 1) --fires--> FIRED
//!                           ARMED --deregister, by its owner--> FREE
//! ```
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

use super::engine::{Engine, Progress};
use super::layout::NotifyWords;
use super::word::{ARMED, FIRE, Head, Tail, take_distance};
use crate::fault::step;
use crate::sync::{Ordering, dekker_barrier};

const STATE: u32 = 62;
const OWNER: u32 = 46;
const GENERATIONS: u64 = (1 << OWNER) - 1;
const IS_ARMED: u64 = 1;
const IS_FIRED: u64 = 2;
/// Marks `trusted` as holding a head count.
const TRUSTED: u64 = 1 << 63;

/// The registration word as a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Registration(u64);

impl Registration {
    fn new(state: u64, owner: u32, generation: u64) -> Registration {
        Registration(state << STATE | (owner as u64) << OWNER | generation & GENERATIONS)
    }
    fn generation(self) -> u64 {
        self.0 & GENERATIONS
    }
    fn owner(self) -> u32 {
        (self.0 >> OWNER & 0xFFFF) as u32
    }
    fn is_armed(self) -> bool {
        self.0 >> STATE == IS_ARMED
    }
}

/// A registration that was made; needed to ask for it and to drop it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ticket(u64);

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

impl Engine {
    fn notify(&self) -> &NotifyWords {
        &self.control().notify.0
    }

    fn registration(&self) -> Registration {
        Registration(self.notify().word.load(Ordering::SeqCst))
    }

    /// Register for the next arrival on an empty queue.
    pub fn register(&self) -> Result<Ticket, NotRegistered> {
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
            if seen.is_armed() && self.owners.is_alive(seen.owner()) {
                // It may be stopped where it has the word but not the tail; then no message
                // would ever use the registration up.
                let t = Tail(self.tail_word().load(Ordering::SeqCst));
                if t.is_armed() || self.change_tail(t, t.with(ARMED, 0)) {
                    return Err(NotRegistered::Busy);
                }
                continue;
            }
            let mine = Registration::new(IS_ARMED, self.owner, seen.generation() + 1);
            if self.exchange(seen, mine) {
                break mine;
            }
        };
        step!(NotifyRegistered);
        self.notify().trusted.store(0, Ordering::Relaxed);
        loop {
            let t = Tail(self.tail_word().load(Ordering::SeqCst));
            if t.is_firing() {
                // A message that arrived during this call: it may count as the first.
                self.complete_firing(t);
            } else if t.is_armed() || self.change_tail(t, t.with(ARMED, 0)) {
                return Ok(Ticket(mine.generation()));
            }
            if self.registration() != mine {
                return Ok(Ticket(mine.generation()));
            }
            if self.is_stuck(&mut progress) {
                self.poison();
                return Err(NotRegistered::Damaged);
            }
        }
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

    fn exchange(&self, seen: Registration, next: Registration) -> bool {
        self.notify()
            .word
            .compare_exchange(seen.0, next.0, Ordering::SeqCst, Ordering::Relaxed)
            .is_ok()
    }

    /// Drop our registration; false if it has fired already.
    pub fn deregister(&self, ticket: Ticket) -> bool {
        self.disarm(Registration::new(IS_ARMED, self.owner, ticket.0))
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
                return self.exchange(armed, Registration::new(0, 0, armed.generation()));
            }
            if self.is_stuck(&mut progress) {
                self.poison();
                return false;
            }
        }
    }

    fn is_mine(&self, seen: Registration, ticket: Ticket) -> bool {
        seen == Registration::new(IS_ARMED, self.owner, ticket.0)
    }

    /// What became of our registration.
    pub fn arrival(&self, ticket: Ticket) -> Arrival {
        let seen = self.registration();
        if self.is_mine(seen, ticket) {
            return Arrival::Waiting;
        }
        // The record is overwritten by the firing after the next.
        let known = seen.generation().wrapping_sub(ticket.0) & GENERATIONS < 2;
        let sender = self.notify().sender[(ticket.0 & 1) as usize].load(Ordering::SeqCst);
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
        // Several may complete one firing, and only the first wakes a sleeper. What the
        // first one found is noted, so that the others do not decide otherwise.
        let arrival = TRUSTED | (t.take_count().wrapping_sub(1) & super::word::TAKE_MASK) as u64;
        let trusted = &self.notify().trusted;
        if trusted.load(Ordering::SeqCst) == arrival || self.wake_receiver() {
            trusted.store(arrival, Ordering::SeqCst);
            self.change_tail(t, t.with(0, FIRE));
            return;
        }
        if trusted.load(Ordering::SeqCst) == arrival {
            self.change_tail(t, t.with(0, FIRE));
            return;
        }
        if seen.is_armed() {
            self.fire(seen, sender);
        }
        step!(NotifyFired);
        self.change_tail(t, t.with(0, FIRE | ARMED));
        step!(NotifyUnwoken);
        self.control().wait.0.registrant.wake_all();
    }

    fn fire(&self, seen: Registration, sender: u64) {
        let generation = seen.generation();
        self.notify().sender[(generation & 1) as usize].store(sender, Ordering::SeqCst);
        self.exchange(seen, Registration::new(IS_FIRED, seen.owner(), generation));
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
    /// counts as blocked for the registration.
    pub fn is_armed(&self) -> bool {
        Tail(self.tail_word().load(Ordering::Relaxed)).is_armed()
    }
}
