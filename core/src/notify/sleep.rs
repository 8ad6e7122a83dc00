//! How the helper sleeps: on the words of shared memory, on the kernel's channel, or on both.
//!
//! ```text
//! registrations      in shared memory    with the kernel    sleeps in
//!                    yes                 no                 futex_waitv
//!                    no                  yes                ppoll
//!                    yes                 yes                futex_waitv, for 5 ms at a time
//! ```
//!
//! No call of the kernel waits for a word and for a descriptor, so with both kinds a message
//! on a kernel's queue is noticed within 5 ms.

#![forbid(unsafe_code)]

use super::{Desk, State, beacon, channel, descriptor};
use crate::shm::{LOOK_EVERY, Slept};
use crate::sync::Ordering::SeqCst;
use crate::sys::clock;
use crate::sys::futex::{self, WaitOn};

/// How long the helper sleeps without looking round.
pub(super) const SLICE: i64 = 20_000_000;
pub(super) const SLICE_MOST: i64 = 1_000_000_000;
/// How often it looks where it cannot sleep on everything.
const SLICE_POLLING: i64 = 5_000_000;
/// Words in one sleep: the kernel's limit is 128.
const WORDS: usize = 128;

/// Sleep until something may have fired or the bell rang; false if only time passed.
pub(super) fn sleep(desk: &Desk, bell: u32, slice: i64) -> bool {
    let mut words = [WaitOn::default(); WORDS];
    words[0] = WaitOn::new_local(&desk.bell, bell);
    let mut count = 1;
    let mut is_complete = true;
    let mut has_fired = false;
    let mut awaits_kernel = false;
    let locked = desk.lock();
    locked.sift(|node| {
        match &node.state {
            State::Shm(_) if count == WORDS => is_complete = false,
            State::Shm(waiting) => {
                words[count] = waiting.announce();
                count += 1;
                has_fired |= waiting.has_fired();
            }
            State::Polled(polled) if count == WORDS => {
                descriptor::look(polled);
                is_complete = false;
            }
            State::Polled(polled) => {
                words[count] = descriptor::announce(polled);
                count += 1;
            }
            State::Posix(waiting) => awaits_kernel |= waiting.is_told_by_the_channel(),
            State::Fired { .. } | State::Spent | State::Lit(_) => {}
        }
        true
    });
    awaits_kernel &= channel::is_open(&locked);
    drop(locked);
    if has_fired {
        return true;
    }
    let words = &words[..count];
    let until = clock::monotonic_ns().saturating_add(slice);
    loop {
        // Beacons that are left to us are looked at in between.
        let nap = if beacon::look(desk) { LOOK_EVERY.min(slice) } else { slice };
        let is_woken = sleep_on_all(desk, bell, words, (is_complete, awaits_kernel), nap);
        if is_woken || clock::monotonic_ns() >= until {
            return is_woken;
        }
    }
}

/// Sleep on the words, on the channel, or on both.
fn sleep_on_all(
    desk: &Desk,
    bell: u32,
    words: &[WaitOn],
    (is_complete, awaits_kernel): (bool, bool),
    slice: i64,
) -> bool {
    match (words.len() > 1, awaits_kernel) {
        (_, false) => {
            sleep_on_words(desk, bell, words, if is_complete { slice } else { SLICE_POLLING })
        }
        (false, true) => sleep_on_channel(desk, bell, slice),
        (true, true) => {
            let until = clock::monotonic_ns().saturating_add(slice);
            while !sleep_on_words(desk, bell, words, SLICE_POLLING) {
                if channel::has_news() {
                    return true;
                }
                if clock::monotonic_ns() >= until {
                    return false;
                }
            }
            true
        }
    }
}

fn sleep_on_words(desk: &Desk, bell: u32, words: &[WaitOn], slice: i64) -> bool {
    let until = clock::monotonic_ns().saturating_add(slice);
    match futex::wait_any(words, until) {
        Some(slept) => slept == Slept::Changed,
        // No futex_waitv: look often. (A changed bell ends this sleep, too.)
        None => {
            let slice = if words.len() > 1 { SLICE_POLLING } else { slice };
            futex::wait_local(&desk.bell, bell, Some(slice)) == Slept::Changed
        }
    }
}

fn sleep_on_channel(desk: &Desk, bell: u32, slice: i64) -> bool {
    desk.is_polling.store(1, SeqCst);
    // SYNC: Dekker pair with Desk::ring: if it has not seen that we poll, we see its ring.
    let woken = desk.bell.load(SeqCst) != bell || channel::sleep(slice);
    desk.is_polling.store(0, SeqCst);
    woken
}
