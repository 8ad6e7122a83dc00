//! A bare ring of many senders and receivers: the limit of what shared memory allows where
//! anybody may send and receive. It gives up priorities, and who is killed in it holds up
//! everybody.
//!
//! ```text
//! slot's turn == n                     free for message number n
//! slot's turn == n + 1                 holds message number n
//! slot's turn == n + count             free for message number n + count
//! ```
//!
//! Two kinds: one only spins; the other spins for a while, then announces itself and sleeps
//! on a futex, and who sends or receives wakes sleepers only if one announced itself.
//!
//! Source: D. Vyukov, "Bounded MPMC queue", 1024cores.net; U. Drepper, "Futexes Are Tricky".

use super::ring::{self, Line, Ring};
use super::{End, Role, Spec, Transport, Waiting, cannot, would_block};
use crate::shared::Pages;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::{hint, io, ptr};

/// Looks before a sleep, a pause (some 25 ns) after each: together about as long as it
/// takes to wake a sleeper.
const LOOKS: u32 = 1000;

/// Bytes before the message in a slot: its turn.
const TURN: usize = 8;

struct Head {
    /// Number of the next message to send; changes by compare-and-swap.
    sends: Line<AtomicU64>,
    /// Number of the next message to receive; changes by compare-and-swap.
    receives: Line<AtomicU64>,
    /// Where receivers sleep until something is sent.
    sent: Line<Event>,
    /// Where senders sleep until something is received.
    received: Line<Event>,
}

/// Bit 0: somebody sleeps, or is about to. The rest counts wakes.
struct Event(AtomicU32);

const SLEEPER: u32 = 1;

impl Event {
    /// Try until it is done, asleep between the tries.
    #[cold]
    fn sleep_until<T>(&self, mut attempt: impl FnMut() -> Option<T>) -> T {
        loop {
            let seen = self.0.fetch_or(SLEEPER, Ordering::SeqCst) | SLEEPER;
            // With the swap of the turn and the load in tell(): either this try sees the
            // turn, or the other side sees that somebody sleeps.
            fence(Ordering::SeqCst);
            if let Some(done) = attempt() {
                return done;
            }
            let (word, none) = (self.0.as_ptr(), ptr::null::<libc::timespec>());
            // SAFETY: a word of a shared mapping. It returns at once if the word has
            // changed; whatever it returns, the next try tells.
            unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAIT, seen, none) };
            if let Some(done) = attempt() {
                return done;
            }
        }
    }

    /// Wake whoever sleeps. A swap with SeqCst has been made by the caller.
    #[inline(always)]
    fn tell(&self) {
        let seen = self.0.load(Ordering::SeqCst);
        if seen & SLEEPER != 0 {
            self.wake(seen);
        }
    }

    #[cold]
    fn wake(&self, seen: u32) {
        // Whoever clears the flag wakes all, as nobody is told of those that remain. The
        // count changes so that who is just falling asleep does not. If the word is not
        // as seen, somebody else wakes, or somebody announced himself since and looks
        // again.
        let next = (seen & !SLEEPER).wrapping_add(2);
        if self.0.compare_exchange(seen, next, Ordering::SeqCst, Ordering::Relaxed).is_ok() {
            // SAFETY: a word of a shared mapping.
            unsafe { libc::syscall(libc::SYS_futex, self.0.as_ptr(), libc::FUTEX_WAKE, i32::MAX) };
        }
    }
}

/// Keeps the pages. Sleeps if so told.
pub struct Vyukov<const SLEEPS: bool> {
    ring: Ring<Head>,
    pages: Pages,
    waits: bool,
}

/// The kind that only spins.
pub type Spinning = Vyukov<false>;

/// The kind that spins and then sleeps.
pub type Blocking = Vyukov<true>;

/// The ring in use.
pub struct Side<const SLEEPS: bool> {
    ring: Ring<Head>,
    waits: bool,
}

impl<const SLEEPS: bool> Transport for Vyukov<SLEEPS> {
    type End = Side<SLEEPS>;

    fn create(spec: &Spec) -> io::Result<Self> {
        if spec.waiting == Waiting::Asleep && !SLEEPS {
            return Err(cannot());
        }
        let (pages, ring) = Ring::new(spec, (TURN + spec.size).next_multiple_of(64))?;
        for number in 0..ring.count() {
            turn(&ring, number).store(number, Ordering::Relaxed);
        }
        Ok(Vyukov { ring, pages, waits: spec.waiting != Waiting::Never })
    }

    fn open(&self, _: Role) -> io::Result<Side<SLEEPS>> {
        Ok(Side { ring: self.ring, waits: self.waits })
    }

    fn memory(&self) -> Option<(u64, u64)> {
        self.pages.resident().map(|resident| (self.pages.len() as u64, resident))
    }
}

#[inline(always)]
fn turn(ring: &Ring<Head>, number: u64) -> &AtomicU64 {
    // SAFETY: the first bytes of a slot, which is aligned to 64 bytes; used as a turn only.
    unsafe { &*ring.slot(number).cast() }
}

#[inline(always)]
fn message(ring: &Ring<Head>, number: u64) -> *mut u8 {
    // SAFETY: slots are longer than that.
    unsafe { ring.slot(number).add(TURN) }
}

impl<const SLEEPS: bool> Side<SLEEPS> {
    /// Take the next number for which the slot's turn has come, `ahead` of the number; none
    /// if it has not come, which means that the ring is full, or empty.
    #[inline(always)]
    fn take(&self, counter: &AtomicU64, ahead: u64) -> Option<u64> {
        let mut number = counter.load(Ordering::Relaxed);
        loop {
            // Pairs with the store or swap in pass(): the message has been written, or read.
            let turn = turn(&self.ring, number).load(Ordering::Acquire);
            match turn.wrapping_sub(number + ahead) as i64 {
                0 => {
                    // Relaxed: the number orders nothing; the turn does.
                    match counter.compare_exchange_weak(
                        number,
                        number + 1,
                        Ordering::Relaxed,
                        Ordering::Relaxed,
                    ) {
                        Ok(_) => return Some(number),
                        Err(now) => number = now,
                    }
                }
                ..0 => return None,
                _ => number = counter.load(Ordering::Relaxed),
            }
        }
    }

    /// Give the slot of message `number` its next turn.
    #[inline(always)]
    fn pass(&self, number: u64, next: u64, event: &Event) {
        let turn = turn(&self.ring, number);
        if SLEEPS {
            // A full barrier besides, for tell().
            turn.swap(next, Ordering::SeqCst);
            event.tell();
        } else {
            turn.store(next, Ordering::Release);
        }
    }

    /// Try until it is done, or say that it would have to wait.
    #[inline(always)]
    fn wait<T>(&self, event: &Event, mut attempt: impl FnMut() -> Option<T>) -> io::Result<T> {
        if let Some(done) = attempt() {
            return Ok(done);
        }
        if !self.waits {
            return Err(would_block());
        }
        let mut looks = 0;
        while !SLEEPS || looks < LOOKS {
            hint::spin_loop();
            if let Some(done) = attempt() {
                return Ok(done);
            }
            looks += 1;
        }
        Ok(event.sleep_until(attempt))
    }
}

impl<const SLEEPS: bool> End for Side<SLEEPS> {
    #[inline]
    fn send(&mut self, bytes: &[u8], _: u32) -> io::Result<()> {
        let head = self.ring.head();
        let number = self.wait(&head.received.0, || self.take(&head.sends.0, 0))?;
        // SAFETY: slots have room for the queue's messages; by its turn this one is ours.
        unsafe { ring::write(message(&self.ring, number), bytes) };
        self.pass(number, number + 1, &head.sent.0);
        Ok(())
    }

    #[inline]
    fn receive(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        let head = self.ring.head();
        let number = self.wait(&head.sent.0, || self.take(&head.receives.0, 1))?;
        // SAFETY: by its turn the slot holds a message for us alone.
        unsafe { ring::read(message(&self.ring, number), bytes) };
        self.pass(number, number + self.ring.count(), &head.received.0);
        Ok(())
    }
}
