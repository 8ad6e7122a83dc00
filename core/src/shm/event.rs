//! An event word: sleeping until another process changes something, without a
//! system call when nobody sleeps.
//!
//! ```text
//! word = sequence << 8 | mark << 7 | check << 6 | n      n: so many may be asleep, at most
//! sleeper: announce (sequence + 1, n + 1), look at the queue AGAIN, sleep if the word
//!          is still the announced one
//! waker:   change the queue, read the word; n = 0: done.  Else: sequence + 1, wake one
//!          and take it from n; if nobody was asleep and the word has not changed
//!          since: n = 0
//! ```
//!
//! The mark says that somebody else wants to know who does not sleep here: a waker that
//! finds it takes it away and tells (`poll.rs`). The check says that every waker is to look at
//! what the queue's beacon shows (`beacon.rs`), and stays. They cost a waker nothing as long as
//! there is none, since he looks at both and n at once.
//!
//! n is never less than the number of those asleep: only who has woken somebody, or has not
//! slept after all, takes one off, and only if nothing else happened meanwhile; 63 stands
//! for any number. It may be more, of those who were killed: one vain wake finds that out.
//! The waker moves the sequence before it wakes: a sleeper between its second look and
//! its sleep then does not fall asleep, and clearing n afterwards can only strip those
//! who have come too late to sleep.
//!
//! Source: the two-phase wait of event counts; futex(2), futex_waitv (Linux 5.16).

use crate::fault::step;
use crate::sync::{AtomicU32, Ordering, dekker_barrier};
#[cfg(not(loom))]
use crate::sys::futex;
#[cfg(loom)]
use modelled::Bed;

/// The part of the word that is n.
const ASLEEP: u32 = 63;
/// The check.
const CHECK: u32 = 64;
/// The mark.
const MARK: u32 = 128;
/// One step of the sequence.
const STEP: u32 = 256;

/// A word to sleep on.
#[cfg_attr(not(loom), repr(transparent))]
pub struct Event {
    word: AtomicU32,
    #[cfg(loom)]
    bed: Bed,
}

/// What a round of waiting came to.
pub enum Waited<T> {
    /// A look succeeded.
    Done(T),
    /// It was not worth sleeping any more.
    TimeUp,
    /// Asleep, and nothing there after it.
    InVain(Slept),
}

/// Why a sleep ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Slept {
    /// Woken, or something changed: look again.
    Changed,
    /// The time came.
    TimedOut,
    /// A signal handler ran.
    Interrupted,
}

impl Event {
    /// A word that nobody sleeps on; zeros are one.
    #[cfg(not(loom))]
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Event {
        Event { word: AtomicU32::new(0) }
    }

    /// A word that nobody sleeps on.
    #[cfg(loom)]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Event {
        Event { word: AtomicU32::new(0), bed: Bed::new() }
    }

    /// One round of waiting: announce, look, sleep, look. `sleep` is given the announced
    /// word, and says `None` if the time is up.
    pub fn wait<T>(
        &self,
        mut look: impl FnMut() -> Option<T>,
        sleep: impl FnOnce(u32) -> Option<Slept>,
    ) -> Waited<T> {
        let announced = match self.announce_and(&mut look) {
            Ok(announced) => announced,
            Err(done) => return Waited::Done(done),
        };
        let Some(slept) = sleep(announced) else {
            self.withdraw(announced);
            return Waited::TimeUp;
        };
        self.look_after(announced, slept, look).map_or(Waited::InVain(slept), Waited::Done)
    }

    /// The first half of a round, before the sleep: the announced word, or what the look found.
    pub fn announce_and<T>(
        &self,
        look: impl FnOnce() -> Option<T>,
    ) -> core::result::Result<u32, T> {
        let announced = self.announce();
        step!(WaitAnnounced);
        match look() {
            Some(done) => {
                self.withdraw(announced);
                Err(done)
            }
            None => Ok(announced),
        }
    }

    /// The second half, after it.
    pub fn look_after<T>(
        &self,
        announced: u32,
        slept: Slept,
        look: impl FnOnce() -> Option<T>,
    ) -> Option<T> {
        step!(WaitWoken);
        if slept != Slept::Changed {
            self.withdraw(announced);
        }
        look()
    }

    /// Say that this thread is about to sleep; gives the word to pass to [`Event::sleep`].
    /// The caller must look at the queue once more in between.
    pub fn announce(&self) -> u32 {
        let mut seen = self.word.load(Ordering::Relaxed);
        loop {
            let asleep = ((seen & ASLEEP) + 1).min(ASLEEP);
            let next = (seen & !ASLEEP).wrapping_add(STEP) | asleep;
            match self.word.compare_exchange(seen, next, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => {
                    // SYNC: Dekker pair with wake_one: we change the word and then read the
                    // queue, the waker changes the queue and then reads the word.
                    dekker_barrier();
                    return next;
                }
                Err(now) => seen = now,
            }
        }
    }

    /// Say that this thread is not asleep after all; if anything else happened meanwhile, it
    /// takes a vain wake to find that out.
    pub fn withdraw(&self, announced: u32) {
        if announced & ASLEEP != ASLEEP {
            let _ = self.word.compare_exchange(
                announced,
                announced - 1,
                Ordering::SeqCst,
                Ordering::Relaxed,
            );
        }
    }

    /// Whether somebody may be asleep. As with a wake, the caller has changed the queue before.
    pub fn has_sleepers(&self) -> bool {
        // SYNC: Dekker pair with announce.
        dekker_barrier();
        self.word.load(Ordering::Relaxed) & ASLEEP != 0
    }

    /// Wake one sleeper if there may be one; tells whether there was.
    ///
    /// The caller has changed the queue by a read-modify-write before.
    #[inline(always)]
    pub fn wake_one(&self) -> bool {
        // SYNC: Dekker pair with announce.
        dekker_barrier();
        // Relaxed: the barrier orders it after the change of the queue.
        let seen = self.word.load(Ordering::Relaxed);
        seen & ASLEEP != 0 && self.wake(1)
    }

    /// The same; and if there is a mark take it away, and call `marked`; and if there is a check
    /// call `checked`, with whether somebody was woken.
    #[inline(always)]
    pub fn wake_one_and(&self, marked: impl FnOnce(), checked: impl FnOnce(bool)) -> bool {
        // SYNC: Dekker pair with announce, with mark and with want_checks.
        dekker_barrier();
        // Relaxed: the barrier orders it after the change of the queue.
        let seen = self.word.load(Ordering::Relaxed);
        seen & (ASLEEP | CHECK | MARK) != 0 && self.wake_as_seen(seen, marked, checked)
    }

    #[cold]
    fn wake_as_seen(&self, seen: u32, marked: impl FnOnce(), checked: impl FnOnce(bool)) -> bool {
        let woke = seen & ASLEEP != 0 && self.wake(1);
        if seen & MARK != 0 && self.word.fetch_and(!MARK, Ordering::SeqCst) & MARK != 0 {
            step!(WakeUnmarked);
            marked();
        }
        if seen & CHECK != 0 {
            checked(woke);
        }
        woke
    }

    /// Want to be told of the next change by who makes it. The caller must look at the queue
    /// once more afterwards.
    pub fn mark(&self) {
        self.word.fetch_or(MARK, Ordering::SeqCst);
        // SYNC: Dekker pair with wake_one_and: we change the word and then read the queue.
        dekker_barrier();
    }

    /// Have every waker check, from now on. The caller must look at the queue once more
    /// afterwards.
    pub fn want_checks(&self) {
        self.word.fetch_or(CHECK, Ordering::SeqCst);
        // SYNC: Dekker pair with wake_one_and: we change the word and then read the queue.
        dekker_barrier();
    }

    /// Whether every waker checks.
    #[inline]
    pub fn wants_checks(&self) -> bool {
        // Relaxed: it comes before the descriptors of those who could miss anything.
        self.word.load(Ordering::Relaxed) & CHECK != 0
    }

    /// Wake everybody.
    pub fn wake_all(&self) {
        dekker_barrier();
        if self.word.load(Ordering::Relaxed) & ASLEEP != 0 {
            self.wake(i32::MAX);
        }
    }

    #[cold]
    fn wake(&self, most: i32) -> bool {
        let moved = self.word.fetch_add(STEP, Ordering::SeqCst).wrapping_add(STEP);
        let woken = self.futex_wake(most).max(0) as u32;
        let left = match (woken, moved & ASLEEP) {
            (0, _) => 0,
            (_, ASLEEP) => ASLEEP,
            (_, asleep) => asleep.saturating_sub(woken),
        };
        // Whoever announced since has a newer word, in which it is counted: that stays.
        let _ = self.word.compare_exchange(
            moved,
            moved & !ASLEEP | left,
            Ordering::SeqCst,
            Ordering::Relaxed,
        );
        woken > 0
    }

    /// The word itself, for a wait on several.
    pub fn word(&self) -> &AtomicU32 {
        &self.word
    }

    /// Sleep until woken or until `until_ns` on the monotonic clock, unless the word is
    /// no longer `announced`.
    #[cfg(not(loom))]
    pub fn sleep(&self, announced: u32, until_ns: i64) -> Slept {
        futex::wait(&self.word, announced, until_ns)
    }

    #[cfg(not(loom))]
    fn futex_wake(&self, most: i32) -> i32 {
        futex::wake(&self.word, most)
    }

    /// The models have no clock: they sleep until woken, and loom reports a deadlock
    /// where a wake is lost.
    #[cfg(loom)]
    pub fn sleep(&self, announced: u32, _until_ns: i64) -> Slept {
        self.bed.sleep(&self.word, announced);
        Slept::Changed
    }

    /// How many threads sleep, and nobody has woken them.
    #[cfg(loom)]
    pub fn sleepers(&self) -> i32 {
        self.bed.sleepers()
    }

    #[cfg(loom)]
    fn futex_wake(&self, most: i32) -> i32 {
        self.bed.wake(most)
    }
}

/// A futex as loom can explore it: test and sleep are one step under the lock.
#[cfg(loom)]
mod modelled {
    use crate::sync::{AtomicU32, Ordering};
    use loom::sync::{Condvar, Mutex};

    pub struct Bed {
        /// How many threads have gone to sleep here, and how many of them, the first ones, were
        /// woken: nobody takes a wake that came before his sleep.
        state: Mutex<(i32, i32)>,
        woken: Condvar,
    }

    impl Bed {
        pub fn new() -> Bed {
            Bed { state: Mutex::new((0, 0)), woken: Condvar::new() }
        }

        pub fn sleep(&self, word: &AtomicU32, announced: u32) {
            let mut state = self.state.lock().unwrap();
            if word.load(Ordering::SeqCst) != announced {
                return;
            }
            let before = state.0;
            state.0 += 1;
            while state.1 <= before {
                state = self.woken.wait(state).unwrap();
            }
        }

        pub fn sleepers(&self) -> i32 {
            let state = self.state.lock().unwrap();
            state.0 - state.1
        }

        pub fn wake(&self, most: i32) -> i32 {
            let mut state = self.state.lock().unwrap();
            let now = (state.0 - state.1).min(most);
            state.1 += now;
            if now > 0 {
                self.woken.notify_all();
            }
            now
        }
    }
}
