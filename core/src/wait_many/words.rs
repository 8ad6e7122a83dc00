//! Sleeping on many words at once.
//!
//! ```text
//! announce on each word, read each word, mark the queues, look, sleep while all are as read
//! ```
//!
//! A queue may be there more than once, by one handle or by several: then each announcement
//! changes the word again. So the words are read when all are announced; what comes between
//! the two is seen by the look, which comes later.
//!
//! Source: futex_waitv (Linux 5.16), which takes 128 words.

#![forbid(unsafe_code)]

use super::{Many, Next, UNTOLD, event};
use crate::error::Errno;
use crate::error::Result;
use crate::fault::step;
use crate::shm::{Event, Slept};
use crate::sync::Ordering::SeqCst;
use crate::sys::futex::{self, WaitOn};
use crate::sys::{clock, poll};
use crate::transport::Sign;
use crate::waiting::Limit;

/// Most words in one sleep.
const WORDS: usize = 120;

/// Words on which we are announced.
pub struct Words<'a> {
    events: [Option<&'a Event>; WORDS],
    seen: [u32; WORDS],
    count: usize,
}

impl<'a> Words<'a> {
    /// Whether whatever changes is told by a word that there is room for.
    pub fn are_told(many: &Many<'a>) -> bool {
        let is_word = |sign: &Option<Sign>| !matches!(sign, Some(Sign::Bells(..)));
        many.items().count() <= WORDS && many.items().all(|item| is_word(&item.sign))
    }

    /// Say that we wait, look, sleep; `None` if something is ready or the time is up.
    pub fn round(many: &mut Many<'a>, limit: Limit, slice: i64) -> Result<Option<Slept>> {
        let words = Words::announce(many);
        step!(PollAnnounced);
        let slept = many.next(limit, slice).map(|next| match next {
            Next::Done => None,
            Next::Sleep(ns) => Some(words.sleep(ns)),
        });
        step!(PollWoken);
        words.withdraw();
        slept
    }

    fn announce(many: &Many<'a>) -> Words<'a> {
        let mut words = Words { events: [None; WORDS], seen: [0; WORDS], count: 0 };
        for item in many.items() {
            match item.sign {
                Some(Sign::Word(engine, _)) => words.add(engine.pollers()),
                Some(Sign::Bells(receivers, senders)) => {
                    if item.events & event::READABLE != 0 {
                        words.add(receivers);
                    }
                    if item.events & event::WRITABLE != 0 {
                        words.add(senders);
                    }
                }
                Some(Sign::Descriptor(_) | Sign::Always) | None => {}
            }
        }
        for (event, seen) in words.events.iter().flatten().zip(&mut words.seen) {
            *seen = event.word().load(SeqCst);
        }
        for item in many.items() {
            if let Some(Sign::Word(engine, _)) = item.sign {
                engine.mark(item.events);
            }
        }
        words
    }

    fn add(&mut self, event: &'a Event) {
        if let Some(place) = self.events.get_mut(self.count) {
            event.announce();
            *place = Some(event);
            self.count += 1;
        }
    }

    fn pairs(&self) -> impl Iterator<Item = (&'a Event, u32)> {
        self.events.iter().flatten().copied().zip(self.seen)
    }

    /// Sleep for so long at most.
    fn sleep(&self, ns: i64) -> Slept {
        let until = |ns| clock::monotonic_ns().saturating_add(ns);
        let mut words = [WaitOn::default(); WORDS];
        for ((event, seen), word) in self.pairs().zip(&mut words) {
            *word = WaitOn::new(event.word(), seen);
        }
        match (self.pairs().next(), words.get(..self.count)) {
            (Some((event, seen)), Some(words)) => {
                let slept =
                    if self.count > 1 { futex::wait_several(words, until(ns)) } else { None };
                slept.unwrap_or_else(|| {
                    // One, or a kernel that can wait for no more than one.
                    let most = if self.count > 1 { UNTOLD.1 } else { ns };
                    event.sleep(seen, until(ns.min(most)))
                })
            }
            // Nothing to be told.
            _ => match poll::wait(&mut [], ns) {
                Err(Errno(libc::EINTR)) => Slept::Interrupted,
                _ => Slept::TimedOut,
            },
        }
    }

    /// We are not asleep any more. Where we were woken the waker has seen to that.
    fn withdraw(&self) {
        for (event, seen) in self.pairs() {
            event.withdraw(seen);
        }
    }
}
