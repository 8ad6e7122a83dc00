//! Many processes at once: pollers, senders, receivers, and those who are killed.

use crate::processes::lamp::{BETWEEN, EMPTY, FULL, Lamp, receive, send};
use crate::processes::{Child, Fate, Rng, Stage, pause, spawn};
use crate::{PATIENCE, stage};
use libc::{POLLIN, POLLOUT};
use mqueue_core::deadline::Wait;
use mqueue_core::error::{Errno, Result};
use mqueue_core::queue::Queue;
use mqueue_core::sync::Ordering::SeqCst;
use std::time::{Duration, Instant};

cases! {
    who_polls_and_then_receives_never_waits,
    who_polls_and_then_sends_never_waits,
    many_at_once_leave_it_exact,
    the_killed_leave_what_the_next_call_mends,
}

const MESSAGES: u32 = if cfg!(debug_assertions) { 20_000 } else { 60_000 };

/// Until somebody sleeps in a receive.
pub fn await_sleeper(stage: &Stage) {
    let until = Instant::now() + PATIENCE;
    let is_asleep = || {
        let segment = stage.engine().segment();
        let rows = (0..mqueue_core::shm::layout::OWNERS).filter_map(|o| segment.owner(o));
        rows.map(|row| row.asleep.load(SeqCst) >> 16).sum::<u32>() > 0
    };
    // Asleep in the kernel, too, and not just about to be.
    while !is_asleep() || !stage_sleeps() {
        assert!(Instant::now() < until, "nobody sleeps");
        std::thread::yield_now();
    }
}

/// Whether all children of this process sleep.
fn stage_sleeps() -> bool {
    // SAFETY: touches no memory.
    let own = unsafe { libc::getpid() };
    let children = std::fs::read_to_string(format!("/proc/{own}/task/{own}/children"));
    let Ok(children) = children else { return true };
    children.split_whitespace().all(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('S'))
    })
}

fn all_end(children: Vec<Child>) {
    for mut child in children {
        assert_eq!(child.wait(PATIENCE), Fate::Exited(0));
    }
}

type Call = fn(&Queue, Wait) -> Result<()>;

/// The only one on a side may rely on what it has seen of what three on the other do.
fn who_polls_never_waits(event: i16, own: Call, theirs: Call) {
    for maxmsg in [1, 2, 5] {
        let stage = stage(maxmsg);
        let lamp = Lamp::of(&stage.inside);
        let work = || {
            let queue = stage.open();
            for _ in 0..MESSAGES / 3 {
                theirs(&queue, Wait::For(30_000_000_000)).expect("in time");
            }
        };
        let others = (0..3).map(|_| spawn(work)).collect();
        for number in 0..MESSAGES / 3 * 3 {
            let seen = lamp.wait(event, 30_000);
            assert_eq!(seen, event, "not told of change {number} to a queue of {maxmsg}");
            own(&stage.queue, Wait::Never).expect("what was seen is there");
        }
        all_end(others);
        assert_eq!(lamp.shows(), EMPTY);
    }
}

fn who_polls_and_then_receives_never_waits() {
    who_polls_never_waits(POLLIN, receive, send);
}

fn who_polls_and_then_sends_never_waits() {
    who_polls_never_waits(POLLOUT, send, receive);
}

/// What the queue holds, as it should be shown.
fn level(stage: &Stage) -> i16 {
    let maxmsg = stage.engine().segment().geometry().maxmsg;
    match stage.engine().queued_exactly() {
        0 => EMPTY,
        full if full == maxmsg => FULL,
        _ => BETWEEN,
    }
}

/// Send and receive as it comes, without waiting.
fn churn(stage: &Stage, seed: u64, calls: u32) {
    let queue = stage.open();
    let mut rng = Rng::new(seed);
    for _ in 0..calls {
        let done = match rng.one_in(2) {
            true => send(&queue, Wait::Never),
            false => receive(&queue, Wait::Never),
        };
        assert!(matches!(done, Ok(()) | Err(Errno(libc::EAGAIN))), "{done:?}");
    }
}

fn many_at_once_leave_it_exact() {
    for round in 0..40 {
        let stage = stage(1 + round % 3);
        let lamp = Lamp::of(&stage.inside);
        let stage = &stage;
        all_end((0..4).map(|k| spawn(move || churn(stage, round * 4 + k, 1000))).collect());
        assert_eq!(lamp.shows(), level(stage), "round {round}");
    }
}

fn the_killed_leave_what_the_next_call_mends() {
    let mut rng = Rng::new(1);
    for round in 0..60u64 {
        let stage = stage(1 + round % 3);
        let lamp = Lamp::of(&stage.inside);
        let stage = &stage;
        let children = (0..4).map(|k| spawn(move || churn(stage, round * 4 + k, u32::MAX)));
        let mut children: Vec<Child> = children.collect();
        pause(Duration::from_micros(500 + rng.below(3000)));
        children.iter_mut().for_each(Child::kill);
        // A call that is refused, and one that changes the level.
        let mut received = 0;
        while receive(&stage.queue, Wait::Never).is_ok() {
            received += 1;
        }
        assert_eq!(lamp.shows(), EMPTY, "round {round}, {received} received");
        while send(&stage.queue, Wait::Never).is_ok() {}
        assert_eq!(lamp.shows(), level(stage), "round {round}");
    }
}
