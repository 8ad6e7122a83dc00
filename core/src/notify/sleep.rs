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
//! on a kernel's queue is noticed within 5 ms. Nor for more than 128 words, and older kernels
//! have no futex_waitv: then the helper looks round every 5 ms.

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
    let mut is_any_lit = false;
    let locked = desk.lock();
    let spent = locked.sift(|node| {
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
            State::Lit(_) => is_any_lit = true,
            State::Fired { .. } => {}
            // Others have delivered it.
            State::Spent => return false,
        }
        true
    });
    awaits_kernel &= channel::is_open(&locked);
    drop(locked);
    super::free(spent);
    if has_fired {
        return true;
    }
    let words = &words[..count];
    let until = clock::monotonic_ns().saturating_add(slice);
    loop {
        // Beacons that are left to us are looked at in between.
        let is_lit = is_any_lit && beacon::look(desk);
        let nap = if is_lit { LOOK_EVERY.min(slice) } else { slice };
        let is_woken = sleep_on_all(desk, bell, words, (is_complete, awaits_kernel), nap);
        let sees_all = is_complete && futex::can_wait_for_several();
        if is_woken || !is_lit || !sees_all || clock::monotonic_ns() >= until {
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
        (_, false) if is_complete => sleep_on_words(desk, bell, words, slice),
        (_, false) => sleep_on_words(desk, bell, words, SLICE_POLLING.min(slice)),
        (false, true) => sleep_on_channel(desk, bell, slice),
        (true, true) => {
            let until = clock::monotonic_ns().saturating_add(slice);
            while !sleep_on_words(desk, bell, words, SLICE_POLLING.min(slice)) {
                if channel::has_news() {
                    return true;
                }
                if !is_complete || clock::monotonic_ns() >= until {
                    return false;
                }
            }
            true
        }
    }
}

fn sleep_on_words(desk: &Desk, bell: u32, words: &[WaitOn], slice: i64) -> bool {
    let until = clock::monotonic_ns().saturating_add(slice);
    match futex::wait_several(words, until) {
        Some(slept) => slept == Slept::Changed,
        // No futex_waitv: look often. (A changed bell ends this sleep, too.)
        None => {
            let slice = if words.len() > 1 { SLICE_POLLING.min(slice) } else { slice };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attr::{OpenOptions, option};
    use crate::notify::Notification;
    use crate::oflag::OpenFlags;
    use crate::shm::ShmQueue;
    use crate::transport::Transport;
    use std::sync::mpsc;
    use std::time::Duration;

    const HOUR: i64 = 3_600_000_000_000;

    fn registered() -> ShmQueue {
        let flags = OpenFlags::parse(libc::O_CREAT | libc::O_RDWR).expect("flags");
        let options =
            OpenOptions { flags: option::EPHEMERAL, maxmsg: 1, msgsize: 8, ..Default::default() };
        let queue = ShmQueue::open(None, flags, &options).expect("a queue");
        queue.notify(Notification::Signal { signo: 0, value: 0 }, 0).expect("registered");
        queue
    }

    #[test]
    #[cfg_attr(miri, ignore = "so many queues take Miri too long")]
    fn who_has_more_words_than_one_sleep_takes_looks_round() {
        let queues: Vec<_> = (0..WORDS).map(|_| registered()).collect();
        let desk = crate::notify::desk().expect("memory");
        let (ended, end) = mpsc::channel();
        let bell = desk.bell.load(SeqCst);
        std::thread::spawn(move || {
            let is_woken = sleep(desk, bell, HOUR);
            let _ = ended.send(is_woken);
        });
        // Nothing comes; an hour would be too long.
        let came = end.recv_timeout(Duration::from_secs(60));
        for queue in &queues {
            queue.notify_cancel().expect("cancelled");
        }
        assert_eq!(came, Ok(false));
    }
}
