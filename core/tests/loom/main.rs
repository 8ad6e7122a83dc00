//! Models of the engine: loom runs every schedule of the shipped code for small cases.
//!
//! `make models` runs them, `make models PATIENCE=20` for twenty times as long, and
//! `make models NARROW=1` with counters of a few bits, which wrap within each model.
//!
//! Each model bounds the number of preemptions (LOOM_MAX_PREEMPTIONS overrides it) and,
//! since some would run for hours, the time; a model that hits its time has not been
//! exhausted and says so. Where one order of steps is the one that matters, and loom would
//! not get there in time, a model plays it: `interrupt_at` runs others in the midst of a
//! call, `abandon_at` leaves a call there for ever.

#![cfg(loom)]

mod arrival;
mod batches;
mod beacon;
mod calls;
mod death;
mod finder;
mod histories;
#[path = "../history/mod.rs"]
mod history;
mod loans;
mod modes;
mod polling;
mod shown;
mod slots;
mod told;
mod waiting;

use loom::sync::atomic::Ordering::SeqCst;
use mqueue_core::shm::layout::Geometry;
use mqueue_core::shm::word::{Head, Tail, Word};
use mqueue_core::shm::{Engine, Look, Owners, Refused, Segment};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One queue and a way to make owners' views of it.
struct Queue {
    segment: Arc<Segment>,
    owners: Owners,
}

impl Queue {
    fn new(maxmsg: u64, spare: u64) -> Queue {
        let geometry = Geometry::with_spare(maxmsg, 1, spare);
        Queue { segment: Arc::new(Segment::new(geometry)), owners: Owners::default() }
    }

    fn owner(&self, owner: u32) -> Arc<Engine> {
        Arc::new(Engine::new(self.segment.clone(), owner, self.owners.clone(), owner as u64))
    }

    fn is_dead(&self, owner: u32) {
        self.owners.0.fetch_or(1 << owner, SeqCst);
    }
}

/// A queue in mixed mode that holds message 1 of priority 0. Its senders leave the head
/// alone, and the finder does not take it for a lane.
fn settled(maxmsg: u64, spare: u64) -> Queue {
    let q = Queue::new(maxmsg, spare);
    let s = q.owner(0);
    assert!(send(&s, 9, 9) && send(&s, 1, 0));
    assert_eq!(receive(&s), Some((9, 9)));
    assert!(tail(&s).is_settled() && head(&s).is_mixed());
    q
}

/// A queue in mixed mode, settled, that holds messages 1 and 2 of priority 0: the next
/// receiver begins to make it a lane.
fn all_but_a_lane(maxmsg: u64, spare: u64) -> Queue {
    let q = settled(maxmsg, spare);
    let s = q.owner(0);
    assert_eq!(receive(&s), Some((1, 0)));
    assert!(send(&s, 1, 0) && send(&s, 2, 0));
    assert!(tail(&s).is_settled() && head(&s).is_mixed());
    q
}

fn tail(q: &Engine) -> Tail {
    Tail(q.segment().control().tail.0.load(SeqCst))
}

fn head(q: &Engine) -> Head {
    Head(q.segment().control().head.0.load(SeqCst))
}

fn send(q: &Engine, value: u8, prio: u32) -> bool {
    // SAFETY: one readable byte.
    match unsafe { q.try_send(&value, 1, prio, Look::Close) } {
        Ok(()) => true,
        Err(Refused::WouldBlock) => false,
        Err(other) => panic!("send: {other:?}"),
    }
}

/// A thread that sends, and a flag that is 1 once the send has returned.
fn sending(
    q: Arc<Engine>,
    value: u8,
    prio: u32,
) -> (loom::thread::JoinHandle<()>, Arc<loom::sync::atomic::AtomicU32>) {
    let done = Arc::new(loom::sync::atomic::AtomicU32::new(0));
    let flag = done.clone();
    let sender = loom::thread::spawn(move || {
        assert!(send(&q, value, prio));
        flag.store(1, loom::sync::atomic::Ordering::Release);
    });
    (sender, done)
}

fn receive(q: &Engine) -> Option<(u8, u32)> {
    let mut value = 0;
    // SAFETY: one writable byte.
    match unsafe { q.try_receive(&mut value, 1, Look::Close) } {
        Ok((1, prio)) => Some((value, prio)),
        Err(Refused::WouldBlock) => None,
        other => panic!("receive: {other:?}\n{}", picture(q)),
    }
}

/// The words of a queue, for a model that fails.
fn picture(q: &Engine) -> String {
    let control = q.segment().control();
    let (tail, head) = (tail(q), head(q));
    let finder = &control.finder.0;
    let mut text = format!(
        "tail {} slot {} flags {:x}, head {} epoch {} slot {} mixed {} snapped {} hint {}\n\
         finder: lock {} len {} drained {} lane {} asked {} done {}\n",
        tail.count(),
        tail.slot(),
        tail.flags() >> 39,
        head.count(),
        head.epoch(),
        head.slot(),
        head.is_mixed(),
        head.is_snapped(),
        control.finalized.0.count.load(SeqCst),
        finder.lock.load(SeqCst),
        finder.len.load(SeqCst),
        finder.drained.load(SeqCst),
        finder.lane.load(SeqCst),
        finder.rebuilds_asked.load(SeqCst),
        finder.rebuilds_done.load(SeqCst),
    );
    for index in 0..q.segment().geometry().nslots {
        let slot = q.segment().slot(index).unwrap();
        let word = Word(slot.word.load(SeqCst));
        text += &format!(
            "slot {index}: tag {} owner/prio {} seq {} (header: seq {} prio {})\n",
            word.0 >> 61,
            word.owner(),
            word.seq(),
            slot.seq.load(SeqCst),
            slot.prio.load(SeqCst),
        );
    }
    text
}

/// Take the oldest message of the lowest priority.
fn take_lowest(q: &Engine) -> Option<u8> {
    let mut value = 0;
    // SAFETY: one writable byte.
    match unsafe { q.try_take(&mut value, 1, |prio, _| Some(40_000 - prio)) } {
        Ok(_) => Some(value),
        Err(Refused::WouldBlock) => None,
        other => panic!("take: {other:?}"),
    }
}

/// Take the message that was sent last.
fn take_youngest(q: &Engine) -> Option<u8> {
    let mut value = 0;
    // SAFETY: one writable byte.
    let took = unsafe { q.try_take(&mut value, 1, |_, s| Some(s.seq.load(SeqCst) as u32)) };
    took.ok().map(|_| value)
}

fn drain(q: &Engine) -> Vec<u8> {
    std::iter::from_fn(|| receive(q).map(|m| m.0)).collect()
}

fn every_slot_is_free(q: &Engine) {
    let segment = q.segment();
    let word = |index| Word(segment.slot(index).unwrap().word.load(SeqCst));
    let held = (0..segment.geometry().nslots).filter(|&index| !word(index).is_free()).count();
    assert_eq!(held, 0, "slots are lost\n{}", picture(q));
}

fn same(mut got: Vec<u8>, mut sent: Vec<u8>) {
    got.sort_unstable();
    sent.sort_unstable();
    assert_eq!(got, sent, "messages received and messages sent");
}

fn model(name: &str, preemptions: usize, seconds: u64, body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    if builder.preemption_bound.is_none() {
        builder.preemption_bound = Some(preemptions);
    }
    builder.max_branches = 50_000;
    // How often it looks at the time.
    builder.checkpoint_interval = 1_000;
    let patience: u64 = std::env::var("PATIENCE").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    let limit = Duration::from_secs(seconds * patience);
    builder.max_duration = Some(limit);
    let runs = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counted = runs.clone();
    let begun = Instant::now();
    builder.check(move || {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        body();
    });
    let runs = runs.load(std::sync::atomic::Ordering::Relaxed);
    let how = if begun.elapsed() < limit { "exhausted" } else { "stopped by time" };
    println!("{name}: {runs} schedules, {how}");
}
