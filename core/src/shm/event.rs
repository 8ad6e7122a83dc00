//! An event word: sleeping until another process changes something, without a
//! system call when nobody sleeps.
//!
//! ```text
//! word = sequence << 1 | F          F: somebody may be asleep
//! sleeper: announce (sequence + 1, F = 1), look at the queue AGAIN, sleep if the word
//!          is still the announced one
//! waker:   change the queue, read the word; F = 0: done.  F = 1: sequence + 1, wake
//!          one; if nobody was asleep and the word has not changed since: F = 0
//! ```
//!
//! No sleeper is counted, so one that is killed costs one vain wake and nothing else.
//! The waker moves the sequence before it wakes: a sleeper between its second look and
//! its sleep then does not fall asleep, and clearing F afterwards can only strip an F
//! whose setter has come too late to sleep.
//!
//! Source: the two-phase wait of event counts; futex(2), futex_waitv (Linux 5.16).

use crate::fault::step;
use crate::sync::{AtomicU32, Ordering, dekker_barrier};
#[cfg(not(loom))]
use crate::sys::futex;
#[cfg(loom)]
use modelled::Bed;

const SOMEBODY: u32 = 1;

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
    /// A word that nobody sleeps on (the models; elsewhere zeros are one).
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
        let announced = self.announce();
        step!(WaitAnnounced);
        if let Some(done) = look() {
            return Waited::Done(done);
        }
        let Some(slept) = sleep(announced) else { return Waited::TimeUp };
        step!(WaitWoken);
        look().map_or(Waited::InVain(slept), Waited::Done)
    }

    /// Say that this thread is about to sleep; gives the word to pass to [`Event::sleep`].
    /// The caller must look at the queue once more in between.
    pub fn announce(&self) -> u32 {
        let mut seen = self.word.load(Ordering::Relaxed);
        loop {
            let next = seen.wrapping_add(2) | SOMEBODY;
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

    /// Wake one sleeper if there may be one; tells whether there was.
    ///
    /// The caller has changed the queue by a read-modify-write before.
    #[inline(always)]
    pub fn wake_one(&self) -> bool {
        // SYNC: Dekker pair with announce.
        dekker_barrier();
        // Relaxed: the barrier orders it after the change of the queue.
        let seen = self.word.load(Ordering::Relaxed);
        seen & SOMEBODY != 0 && self.wake(1)
    }

    /// Wake everybody.
    pub fn wake_all(&self) {
        dekker_barrier();
        if self.word.load(Ordering::Relaxed) & SOMEBODY != 0 {
            self.wake(i32::MAX);
        }
    }

    #[cold]
    fn wake(&self, most: i32) -> bool {
        let moved = self.word.fetch_add(2, Ordering::SeqCst).wrapping_add(2);
        if self.futex_wake(most) > 0 {
            return true;
        }
        // Whoever announced since has a newer word and keeps its F.
        let _ = self.word.compare_exchange(
            moved,
            moved & !SOMEBODY,
            Ordering::SeqCst,
            Ordering::Relaxed,
        );
        false
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
        /// Threads asleep, and wakes that they have not yet noticed.
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
            state.0 += 1;
            while state.1 == 0 {
                state = self.woken.wait(state).unwrap();
            }
            state.1 -= 1;
        }

        pub fn wake(&self, most: i32) -> i32 {
            let mut state = self.state.lock().unwrap();
            let now = state.0.min(most);
            state.0 -= now;
            state.1 += now;
            for _ in 0..now {
                self.woken.notify_one();
            }
            now
        }
    }
}
