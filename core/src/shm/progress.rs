//! How often a call goes round before it gives up.

use super::engine::{Engine, Refused};
use crate::sync::Ordering;

/// Rounds of one call that others may make fruitless. Honest ones never come near: each of
/// these rounds would have to lose against another's success. More than a queue that does
/// not move at all is given.
pub(super) const ROUNDS_MOST: u32 = 1 << 15;
/// Looks at slots that a queue is given that does not move: a round may look at each.
const LOOKS_MOST: u32 = 50_000_000;

/// Notices that a loop goes round without anybody making progress, which the
/// algorithms exclude: the segment must be damaged.
pub(super) struct Progress {
    rounds: u32,
    seen: (u64, u64),
    overtaken: u32,
    overtaken_most: u32,
}

impl Progress {
    pub(super) fn new() -> Progress {
        Progress { rounds: 0, seen: (0, 0), overtaken: 0, overtaken_most: ROUNDS_MOST }
    }

    /// For who only looks: he does not hinder the others as they hinder him, so that he may be
    /// overtaken nearly always. About a second.
    pub(super) fn of_a_look() -> Progress {
        Progress { overtaken_most: 64 * ROUNDS_MOST, ..Progress::new() }
    }

    /// Count one more round that another made fruitless; true when it cannot be chance.
    pub(super) fn is_overtaken_again(&mut self) -> bool {
        self.overtaken += 1;
        self.overtaken > self.overtaken_most
    }
}

impl Engine {
    /// Count one more fruitless round; true when the call must end: [`Engine::give_up`].
    pub(super) fn is_stuck(&self, progress: &mut Progress) -> bool {
        let now =
            (self.tail_word().load(Ordering::Relaxed), self.head_word().load(Ordering::Relaxed));
        if now != progress.seen {
            progress.seen = now;
            progress.rounds = 0;
        }
        progress.rounds += 1;
        if progress.rounds > 8 {
            crate::sync::pause();
        }
        // The slots of the stopped and dead, of which there are never a thousand, may each
        // cost a round.
        let most = (LOOKS_MOST / self.nslots()).clamp(1000, 20_000);
        progress.is_overtaken_again() || progress.rounds > most.min(4 * self.nslots() + 1000)
    }

    /// The answer of a call that is stuck. If nothing moves, the segment is damaged. If
    /// somebody moves it without end, the call has come to nothing for now: it may wait, so
    /// that its time can be up.
    #[cold]
    pub(super) fn give_up(&self, progress: &Progress) -> Refused {
        if progress.overtaken > progress.overtaken_most {
            Refused::WouldBlock
        } else {
            self.poison()
        }
    }
}
