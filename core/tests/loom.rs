//! Models of the engine: loom runs every schedule of the shipped code for small cases.
//!
//! `make models` runs them, `make models PATIENCE=20` for twenty times as long.
//!
//! Each model bounds the number of preemptions (LOOM_MAX_PREEMPTIONS overrides it) and,
//! since some would run for hours, the time; a model that hits its time has not been
//! exhausted and says so.

#![cfg(loom)]

use loom::thread;
use mqueue_core::fault::{Step, abandon_at, interrupt_at};
use mqueue_core::shm::layout::Geometry;
use mqueue_core::shm::{Arrival, Engine, Owners, Refused, Segment, Waited};
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
        self.owners.0.fetch_or(1 << owner, std::sync::atomic::Ordering::SeqCst);
    }
}

fn send(q: &Engine, value: u8, prio: u32) -> bool {
    // SAFETY: one readable byte.
    match unsafe { q.try_send(&value, 1, prio) } {
        Ok(()) => true,
        Err(Refused::WouldBlock) => false,
        Err(other) => panic!("send: {other:?}"),
    }
}

fn receive(q: &Engine) -> Option<(u8, u32)> {
    let mut value = 0;
    // SAFETY: one writable byte.
    match unsafe { q.try_receive(&mut value, 1) } {
        Ok((1, prio)) => Some((value, prio)),
        Err(Refused::WouldBlock) => None,
        other => panic!("receive: {other:?}\n{}", picture(q)),
    }
}

/// The words of a queue, for a model that fails.
fn picture(q: &Engine) -> String {
    use loom::sync::atomic::Ordering::SeqCst;
    use mqueue_core::shm::word::{Head, Tail, Word};
    let control = q.segment().control();
    let tail = Tail(control.tail.0.word.load(SeqCst));
    let head = Head(control.head.0.word.load(SeqCst));
    let finder = &control.finder.0;
    let mut text = format!(
        "tail {} slot {} flags {:x}, head {} epoch {} slot {} mixed {} snapped {} hint {}\n\
         finder: lock {} len {} drained {} lane {} asked {} done {}\n",
        tail.count(),
        tail.slot(),
        tail.flags() >> 40,
        head.count(),
        head.epoch(),
        head.slot(),
        head.is_mixed(),
        head.is_snapped(),
        control.head.0.hint.load(SeqCst),
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

fn drain(q: &Engine) -> Vec<u8> {
    std::iter::from_fn(|| receive(q).map(|m| m.0)).collect()
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

#[test]
fn two_senders_of_one_priority_and_a_receiver() {
    model("2S 1R lane", 3, 5, || {
        let q = Queue::new(2, 2);
        let senders: Vec<_> = (0..2u8)
            .map(|k| {
                let s = q.owner(k as u32);
                thread::spawn(move || send(&s, 10 + k, 0))
            })
            .collect();
        let r = q.owner(2);
        let mut got: Vec<u8> = (0..2).filter_map(|_| receive(&r).map(|m| m.0)).collect();
        let sent = senders
            .into_iter()
            .enumerate()
            .filter_map(|(k, s)| s.join().unwrap().then_some(10 + k as u8));
        let sent: Vec<u8> = sent.collect();
        got.extend(drain(&r));
        same(got, sent);
    });
}

#[test]
fn a_later_high_message_overtakes_and_a_later_low_one_does_not() {
    model("S: 9 then 0 over a queued 0", 3, 5, || {
        let q = Queue::new(3, 2);
        let r = q.owner(2);
        assert!(send(&r, 1, 0));
        let s = q.owner(1);
        let sender = thread::spawn(move || (send(&s, 2, 9), send(&s, 3, 0)));
        let mut got: Vec<u8> = (0..2).filter_map(|_| receive(&r).map(|m| m.0)).collect();
        assert_eq!(sender.join().unwrap(), (true, true));
        got.extend(drain(&r));
        let place = |v| got.iter().position(|&x| x == v).expect("lost");
        assert!(place(2) < place(3), "9 sent before 0 but received after it");
        assert!(place(1) < place(3), "first in, not first out");
        same(got.clone(), vec![1, 2, 3]);
    });
}

#[test]
fn two_receivers_of_mixed_messages_and_a_sender() {
    model("1S 2R mixed", 2, 7, || {
        let q = Queue::new(3, 3);
        let s = q.owner(0);
        assert!(send(&s, 1, 0) && send(&s, 2, 5));
        let receivers: Vec<_> = (1..3)
            .map(|k| {
                let r = q.owner(k);
                thread::spawn(move || receive(&r).map(|m| m.0))
            })
            .collect();
        let sent = send(&s, 3, 9);
        let mut got: Vec<u8> = receivers
            .into_iter()
            .map(|r| r.join().unwrap().expect("empty, yet two queued"))
            .collect();
        got.extend(drain(&s));
        same(got, if sent { vec![1, 2, 3] } else { vec![1, 2] });
    });
}

#[test]
fn a_completed_high_message_is_received_first() {
    use loom::sync::atomic::{AtomicU32, Ordering::*};
    model("9 completed, then a receive", 3, 5, || {
        let q = Queue::new(3, 2);
        let r = q.owner(1);
        assert!(send(&r, 1, 0));
        let s = q.owner(2);
        let done = Arc::new(AtomicU32::new(0));
        let flag = done.clone();
        let sender = thread::spawn(move || {
            assert!(send(&s, 2, 9));
            flag.store(1, Release);
        });
        let seen = done.load(Acquire) == 1;
        let got = receive(&r).expect("empty, yet one queued");
        assert!(!seen || got == (2, 9), "a lower priority after a higher send had returned");
        sender.join().unwrap();
    });
}

#[test]
fn full_is_said_only_when_it_is_full() {
    model("full answer", 3, 5, || {
        let q = Queue::new(3, 2);
        let r = q.owner(1);
        assert!(send(&r, 1, 0) && send(&r, 2, 5));
        let s = q.owner(2);
        let sender = thread::spawn(move || {
            assert!(send(&s, 3, 9));
            send(&s, 4, 0)
        });
        let got = receive(&r).expect("empty, yet two queued").0;
        let fitted = sender.join().unwrap();
        assert!(fitted || got == 3, "full although the receive came before the 9");
    });
}

#[test]
fn a_slot_recycled_under_a_slow_claimer() {
    model("claim ABA", 3, 5, || {
        let q = Queue::new(1, 1);
        let a = q.owner(1);
        let b = q.owner(2);
        let first = thread::spawn(move || tolerant_send(&a, 11, 0));
        let second = thread::spawn(move || (tolerant_send(&b, 12, 0), receive(&b)));
        let r = q.owner(3);
        let mut got: Vec<u8> = receive(&r).into_iter().map(|m| m.0).collect();
        let sent_a = first.join().unwrap();
        let (sent_b, got_b) = second.join().unwrap();
        got.extend(got_b.map(|m| m.0));
        got.extend(drain(&r));
        let mut sent = vec![];
        sent.extend(sent_a.then_some(11));
        sent.extend(sent_b.then_some(12));
        same(got, sent);
    });
}

/// With one spare slot a sender may find none free although the queue is not full.
fn tolerant_send(q: &Engine, value: u8, prio: u32) -> bool {
    // SAFETY: one readable byte.
    match unsafe { q.try_send(&value, 1, prio) } {
        Ok(()) => true,
        Err(Refused::WouldBlock | Refused::NoSlot) => false,
        Err(other) => panic!("send: {other:?}"),
    }
}

const SEND_STEPS: &[Step] = &[
    Step::SendClaimed,
    Step::SendCopied,
    Step::SendPublished,
    Step::SendConfirmed,
    Step::SendHinted,
    Step::SendIndexed,
    Step::SendLinearized,
];

#[test]
fn a_sender_left_at_any_step_blocks_nobody() {
    for &step in SEND_STEPS {
        model(&format!("sender left at {step:?}"), 2, 2, move || {
            let q = Queue::new(2, 2);
            let dead = q.owner(1);
            let left = thread::spawn(move || abandon_at(step, || send(&dead, 11, 5)));
            let s = q.owner(2);
            let other = thread::spawn(move || send(&s, 12, 0));
            let r = q.owner(3);
            let mut got: Vec<u8> = receive(&r).into_iter().map(|m| m.0).collect();
            let finished = left.join().unwrap();
            let sent_other = other.join().unwrap();
            got.extend(drain(&r));
            let was_sent =
                finished.is_some() || !matches!(step, Step::SendClaimed | Step::SendCopied);
            let mut sent = vec![];
            sent.extend(was_sent.then_some(11));
            sent.extend(sent_other.then_some(12));
            same(got, sent);
            // What it held comes back once it is known to be dead.
            q.is_dead(1);
            for _ in 0..2 {
                assert!(send(&r, 1, 0), "a dead sender's slot is lost");
            }
        });
    }
}

const RECEIVE_STEPS: &[Step] = &[
    Step::ReceiveBegun,
    Step::ReceiveSnapped,
    Step::FinderLocked,
    Step::FinderDrained,
    Step::FinderRebuilding,
    Step::ReceiveStamped,
    Step::ReceivePublished,
    Step::ReceiveFinalized,
    Step::FinderStale,
    Step::FinderPopped,
    Step::ReceiveCopied,
    Step::LaneHalfway,
];

#[test]
fn a_receiver_left_at_any_step_blocks_nobody() {
    for &step in RECEIVE_STEPS {
        model(&format!("receiver left at {step:?}"), 2, 2, move || {
            let q = Queue::new(3, 3);
            let s = q.owner(2);
            assert!(send(&s, 1, 0) && send(&s, 2, 3));
            let dead = q.owner(1);
            let left = thread::spawn(move || abandon_at(step, || receive(&dead)));
            let other = thread::spawn(move || send(&s, 3, 9));
            let r = q.owner(3);
            let mut got: Vec<u8> = receive(&r).into_iter().map(|m| m.0).collect();
            let finished = left.join().unwrap();
            let mut sent = vec![1, 2];
            sent.extend(other.join().unwrap().then_some(3));
            got.extend(drain(&r));
            let died = finished.is_none();
            got.extend(finished.flatten().map(|m| m.0));
            got.sort_unstable();
            let mut once = got.clone();
            once.dedup();
            assert_eq!(once, got, "received twice");
            assert!(
                got.len() == sent.len() || died && got.len() + 1 == sent.len(),
                "lost: {got:?}"
            );
            q.is_dead(1);
            for _ in 0..3 {
                assert!(send(&r, 1, 0), "a dead receiver's slot is lost");
            }
            assert_eq!(drain(&r).len(), 3);
        });
    }
}

#[test]
fn the_finder_misses_nothing_beside_an_emergency_scan() {
    // The second receiver finds the lock taken and scans; then the finder must notice.
    model("finder beside scan", 2, 7, || {
        let q = Queue::new(3, 3);
        let s = q.owner(0);
        assert!(send(&s, 1, 1) && send(&s, 2, 2) && send(&s, 3, 3));
        let a = q.owner(1);
        let b = q.owner(2);
        let first = thread::spawn(move || [receive(&a), receive(&a)]);
        let second = thread::spawn(move || receive(&b));
        let mut got: Vec<u8> = vec![];
        let first = first.join().unwrap();
        assert!(first[0].unwrap().1 > first[1].unwrap().1, "a lower priority first");
        got.extend(first.into_iter().flatten().map(|m| m.0));
        got.extend(second.join().unwrap().map(|m| m.0));
        same(got, vec![1, 2, 3]);
    });
}

#[test]
fn a_slot_recycled_under_a_slow_receiver() {
    // I7: the only free slot is the one just received from, so the new message lies where
    // the head points; a receiver with an older view must not take it for its own win.
    // Loom prunes this schedule away, so it is played.
    model("receive ABA", 1, 5, || {
        let q = Queue::new(2, 1);
        let s = q.owner(0);
        assert!(send(&s, 1, 0));
        let lost = q.owner(3);
        assert!(abandon_at(Step::SendClaimed, || send(&lost, 9, 0)).is_none());
        assert!(send(&s, 2, 5));
        let a = q.owner(1);
        let b = q.owner(2);
        let meanwhile = move || {
            assert_eq!(receive(&b), Some((2, 5)));
            assert!(send(&b, 3, 9));
        };
        let (slow, met) = interrupt_at(Step::FinderLocked, meanwhile, || receive(&a));
        assert!(met);
        assert_eq!(slow, Some((3, 9)));
        same(drain(&s), vec![1]);
        assert!(send(&s, 4, 0) && send(&s, 5, 0), "the queue counts a message that is gone");
    });
}

#[test]
fn a_call_may_be_interrupted_at_every_step_by_calls_on_the_same_handle() {
    // What a signal handler does. Both calls are the same owner's, in the same thread.
    let mut met_all = 0;
    for &step in Step::ALL {
        let met = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let seen = met.clone();
        model(&format!("handler at {step:?}"), 1, 2, move || {
            let q = Queue::new(4, 4);
            let h = q.owner(0);
            assert!(send(&h, 1, 0) && send(&h, 2, 5));
            let inner = h.clone();
            let got = Arc::new(std::sync::Mutex::new(vec![]));
            let handler_got = got.clone();
            let handler = move || {
                assert!(send(&inner, 3, 7));
                let message = receive(&inner);
                handler_got.lock().unwrap().extend(message.map(|m| m.0));
            };
            let ((), met) = interrupt_at(step, handler, || {
                assert!(send(&h, 4, 2));
                for _ in 0..2 {
                    let message = receive(&h);
                    got.lock().unwrap().extend(message.map(|m| m.0));
                }
            });
            let mut got = got.lock().unwrap().clone();
            got.extend(drain(&h));
            same(got, if met { vec![1, 2, 3, 4] } else { vec![1, 2, 4] });
            seen.fetch_or(met, std::sync::atomic::Ordering::Relaxed);
        });
        met_all += met.load(std::sync::atomic::Ordering::Relaxed) as u32;
    }
    assert!(met_all >= 18, "only {met_all} steps were met");
}

#[test]
fn whatever_a_dead_receiver_left_the_order_holds() {
    // F2, F3, F4. Nobody sends, so one who receives three times gets falling priorities.
    for step in [
        Step::FinderLocked,
        Step::FinderDrained,
        Step::FinderHalfway,
        Step::FinderRebuilding,
        Step::ReceiveStamped,
        Step::FinderStale,
    ] {
        model(&format!("order after a death at {step:?}"), 2, 4, move || {
            let q = Arc::new(Queue::new(3, 3));
            let s = q.owner(0);
            assert!(send(&s, 3, 3) && send(&s, 1, 1) && send(&s, 2, 2));
            let dead = q.owner(1);
            let all = q.clone();
            let left = thread::spawn(move || {
                let got = abandon_at(step, || receive(&dead));
                if got.is_none() {
                    all.is_dead(1);
                }
                got
            });
            let mut got: Vec<u8> = (0..2).filter_map(|_| receive(&s).map(|m| m.0)).collect();
            let finished = left.join().unwrap();
            got.extend(drain(&s));
            assert!(got.is_sorted_by(|a, b| a > b), "a lower priority first: {got:?}");
            let died = finished.is_none();
            got.extend(finished.flatten().map(|m| m.0));
            got.sort_unstable();
            let mut once = got.clone();
            once.dedup();
            assert_eq!(once, got, "received twice");
            assert!(got.len() == 3 || died && got.len() == 2, "lost: {got:?}");
        });
    }
}

// The next four know the one order of steps that matters and need no other.

#[test]
fn a_stolen_finder_is_built_anew() {
    model("F3", 0, 5, || {
        let q = Queue::new(3, 3);
        let s = q.owner(0);
        assert!(send(&s, 3, 3) && send(&s, 1, 1) && send(&s, 2, 2));
        // Of the heap's three entries the last is in the hands of the dead.
        let dead = q.owner(1);
        assert!(abandon_at(Step::FinderHalfway, || receive(&dead)).is_none());
        q.is_dead(1);
        assert_eq!(drain(&s), [2, 1]);
    });
}

#[test]
fn an_entry_of_the_finder_stands_for_one_message_only() {
    model("F1", 0, 5, || {
        let q = Queue::new(3, 1);
        let s = q.owner(0);
        assert!(send(&s, 1, 1) && send(&s, 9, 9) && send(&s, 10, 10));
        assert_eq!(receive(&s), Some((10, 10)));
        // Taken past the finder; its slot then has a message of low priority.
        let mut value = 0;
        // SAFETY: one writable byte.
        let took = unsafe { s.try_take(&mut value, 1, |prio, _| (prio == 9).then_some(1)) };
        assert_eq!((took, value), (Ok((1, 9)), 9));
        assert!(send(&s, 5, 5) && send(&s, 0, 0));
        assert_eq!(drain(&s), [5, 1, 0]);
    });
}

#[test]
fn a_message_rolled_back_has_its_number_though_its_sender_was_left() {
    model("I6", 0, 5, || {
        let q = Queue::new(4, 3);
        let s = q.owner(0);
        assert!(send(&s, 0, 5) && receive(&s).is_some() && send(&s, 1, 5));
        let sender = q.owner(1);
        assert!(abandon_at(Step::SendPublished, || send(&sender, 2, 5)).is_none());
        let taker = q.owner(2);
        let took = abandon_at(Step::ReceiveStamped, || {
            let mut value = 0;
            let by_the_sender = |_, slot: &mqueue_core::shm::layout::SlotHeader| {
                use loom::sync::atomic::Ordering::Relaxed;
                (slot.sender.load(Relaxed) == 1).then_some(1)
            };
            // SAFETY: one writable byte.
            unsafe { taker.try_take(&mut value, 1, by_the_sender) }
        });
        assert!(took.is_none());
        // Whoever looked must look again: that receive is lost.
        assert!(send(&s, 3, 5));
        assert_eq!(drain(&s), [1, 2, 3]);
    });
}

#[test]
fn a_lane_has_one_priority_and_no_holes() {
    model("I3", 0, 5, || {
        let q = Queue::new(3, 3);
        let s = q.owner(0);
        // The best is also the oldest, and the first that the finder meets.
        assert!(send(&s, 9, 9) && send(&s, 0, 0) && send(&s, 5, 5));
        assert_eq!(drain(&s), [9, 5, 0]);
        assert!(send(&s, 1, 5) && send(&s, 2, 5) && send(&s, 3, 5));
        assert_eq!(take_youngest(&s), Some(3));
        assert_eq!(drain(&s), [1, 2]);
    });
}

#[test]
fn a_refused_send_holds_no_slot() {
    model("refused send", 2, 5, || {
        use loom::sync::atomic::Ordering::SeqCst;
        let q = Queue::new(1, 2);
        let a = q.owner(1);
        let other = thread::spawn(move || send(&a, 1, 0));
        let s = q.owner(2);
        let mine = send(&s, 2, 0);
        let others = other.join().unwrap();
        assert!(mine != others, "one message has room");
        assert_eq!(drain(&s).len(), 1);
        for index in 0..3 {
            let word = q.segment.slot(index).unwrap().word.load(SeqCst);
            assert!(mqueue_core::shm::word::Word(word).is_free(), "slot {index}");
        }
    });
}

#[test]
fn from_lane_to_mixed_and_back_nothing_gets_lost() {
    model("mode changes", 2, 7, || {
        let q = Queue::new(3, 3);
        let s = q.owner(0);
        assert!(send(&s, 1, 0));
        let a = q.owner(1);
        let sender = thread::spawn(move || {
            assert!(send(&a, 2, 4));
            assert!(send(&a, 3, 4));
        });
        let r = q.owner(2);
        let mut got: Vec<u8> = (0..3).filter_map(|_| receive(&r).map(|m| m.0)).collect();
        sender.join().unwrap();
        got.extend(drain(&r));
        let place = |v| got.iter().position(|&x| x == v).expect("lost");
        assert!(place(2) < place(3), "first in, not first out");
        same(got.clone(), vec![1, 2, 3]);
    });
}

#[test]
fn two_sends_beside_a_receive_from_an_empty_mixed_queue() {
    // The head has MIX and no SNAP: sends do not touch it, so a receiver must not act on
    // an older view of the tail.
    model("2 sends beside empty mixed", 3, 8, || {
        let q = Queue::new(3, 2);
        let s = q.owner(0);
        assert!(send(&s, 1, 0) && send(&s, 2, 9));
        assert!(receive(&s).is_some() && receive(&s).is_some());
        let r = q.owner(1);
        let receiver = thread::spawn(move || receive(&r));
        assert!(send(&s, 5, 5) && send(&s, 9, 9));
        let mine = receive(&s).expect("empty, yet one of two must be there").0;
        let other = receiver.join().unwrap().map(|m| m.0);
        assert!(mine == 9 || other == Some(9), "5 before 9: mine {mine}, the other's {other:?}");
    });
}

#[test]
fn a_stamp_that_lost_does_not_block_a_lane() {
    // A taker stops after stamping a message in the middle for a receive that is past; the
    // queue is a lane again by the time that message is next.
    model("void stamp in a lane", 2, 5, || {
        let q = Queue::new(3, 2);
        let r = q.owner(0);
        assert!(send(&r, 1, 5) && send(&r, 2, 5) && send(&r, 3, 5));
        let t = q.owner(1);
        let taker = thread::spawn(move || abandon_at(Step::ReceiveStamped, || take_youngest(&t)));
        let mut got: Vec<u8> = (0..2).filter_map(|_| receive(&r).map(|m| m.0)).collect();
        let took = taker.join().unwrap();
        got.extend(drain(&r));
        assert!(got.is_sorted(), "first in, not first out: {got:?}");
        let died = took.is_none();
        got.extend(took.flatten());
        assert!(got.len() == 3 || died && got.len() == 2, "lost: {got:?}");
    });
}

/// Take the message that was sent last.
fn take_youngest(q: &Engine) -> Option<u8> {
    use loom::sync::atomic::Ordering::Relaxed;
    let mut value = 0;
    // SAFETY: one writable byte.
    let took = unsafe { q.try_take(&mut value, 1, |_, s| Some(s.seq.load(Relaxed) as u32)) };
    took.ok().map(|_| value)
}

#[test]
fn a_take_out_of_turn_beside_a_receiver_leaves_no_hole() {
    model("take beside receive", 2, 10, || {
        let q = Queue::new(3, 3);
        let s = q.owner(0);
        assert!(send(&s, 1, 7) && send(&s, 2, 7) && send(&s, 3, 5));
        let a = q.owner(1);
        let taker = thread::spawn(move || take_lowest(&a));
        let r = q.owner(2);
        let mut got: Vec<u8> = (0..2).filter_map(|_| receive(&r).map(|m| m.0)).collect();
        got.extend(taker.join().unwrap());
        got.extend(drain(&r));
        same(got, vec![1, 2, 3]);
    });
}

#[test]
fn a_take_halfway_to_a_lane_cannot_make_a_hole() {
    // The schedule itself, played: the take comes between the two changes.
    model("take halfway to a lane", 1, 5, || {
        let q = Queue::new(3, 3);
        let s = q.owner(0);
        assert!(send(&s, 1, 9) && send(&s, 2, 5));
        assert_eq!((receive(&s), receive(&s)), (Some((1, 9)), Some((2, 5))));
        // Still mixed, and uniform from here on: the next receive makes it a lane.
        assert!(send(&s, 3, 5) && send(&s, 4, 5));
        let a = q.owner(1);
        let b = q.owner(2);
        let take = move || assert_eq!(take_youngest(&b), Some(4));
        let (got, met) = interrupt_at(Step::LaneHalfway, take, || receive(&a));
        assert!(met);
        assert_eq!(got, Some((3, 5)));
        assert!(send(&s, 5, 1));
        assert_eq!(receive(&s), Some((5, 1)));
    });
}

#[test]
fn a_receiver_left_halfway_to_a_lane_cannot_make_a_hole() {
    // The receiver has cleared MIX in the head and not yet in the tail when a take makes
    // a hole; it goes on later, or never.
    model("take beside a change to lane", 3, 15, || {
        let q = Queue::new(3, 3);
        let s = q.owner(0);
        assert!(send(&s, 0, 5) && send(&s, 9, 9));
        assert_eq!(receive(&s), Some((9, 9)));
        assert!(send(&s, 2, 5) && send(&s, 3, 5));
        assert_eq!(receive(&s), Some((0, 5)));
        // Uniform now: the next mixed receive turns the queue into a lane.
        let a = q.owner(1);
        let receiver = thread::spawn(move || receive(&a).map(|m| m.0));
        let b = q.owner(2);
        let taker = thread::spawn(move || {
            let mut value = 0;
            // SAFETY: one writable byte. Message 3 is the younger of two equals.
            let took = unsafe {
                b.try_take(&mut value, 1, |_, slot| {
                    use loom::sync::atomic::Ordering::Relaxed;
                    (slot.seq.load(Relaxed) == 3).then_some(1)
                })
            };
            took.ok().map(|_| value)
        });
        let mut got: Vec<u8> = receiver.join().unwrap().into_iter().collect();
        got.extend(taker.join().unwrap());
        got.extend(drain(&s));
        same(got, vec![2, 3]);
        assert!(send(&s, 4, 1));
        assert_eq!(receive(&s), Some((4, 1)));
    });
}

/// Receive as the waiting layer does: try, then rounds of waiting.
fn receive_sleeping(q: &Engine) -> (u8, u32) {
    let event = &q.segment().control().wait.0.receivers;
    let look = || {
        let got = receive(q)?;
        // The baton: a wake meant for another may have been ours.
        if q.queued() > 0 {
            q.wake_receiver();
        }
        Some(got)
    };
    loop {
        if let Some(got) = receive(q) {
            return got;
        }
        if let Waited::Done(got) = event.wait(look, |announced| Some(event.sleep(announced, 0))) {
            return got;
        }
    }
}

/// Send the same way.
fn send_sleeping(q: &Engine, value: u8) {
    let event = &q.segment().control().wait.0.senders;
    let look = || send(q, value, 0).then_some(());
    while !send(q, value, 0) {
        if let Waited::Done(()) = event.wait(look, |announced| Some(event.sleep(announced, 0))) {
            return;
        }
    }
}

#[test]
fn no_wake_is_lost_between_a_sender_and_a_sleeping_receiver() {
    model("eventcount 1S 1R", 3, 5, || {
        let q = Queue::new(1, 2);
        let r = q.owner(1);
        let receiver = thread::spawn(move || receive_sleeping(&r));
        let s = q.owner(0);
        assert!(send(&s, 1, 0));
        assert_eq!(receiver.join().unwrap(), (1, 0));
    });
}

#[test]
fn no_wake_is_lost_for_a_receiver_that_sleeps_again() {
    // A waker that woke nobody must not clear the flag of a later sleeper.
    model("eventcount 1R twice", 3, 10, || {
        let q = Queue::new(2, 2);
        let r = q.owner(1);
        let receiver = thread::spawn(move || (receive_sleeping(&r).0, receive_sleeping(&r).0));
        let s = q.owner(0);
        assert!(send(&s, 1, 0) && send(&s, 2, 0));
        assert_eq!(receiver.join().unwrap(), (1, 2));
    });
}

#[test]
fn no_wake_is_lost_between_two_senders_and_two_sleeping_receivers() {
    model("eventcount 2S 2R", 2, 15, || {
        let q = Queue::new(2, 2);
        let receivers: Vec<_> = (1..3)
            .map(|k| {
                let r = q.owner(k);
                thread::spawn(move || receive_sleeping(&r).0)
            })
            .collect();
        let s = q.owner(0);
        assert!(send(&s, 1, 0) && send(&s, 2, 0));
        same(receivers.into_iter().map(|r| r.join().unwrap()).collect(), vec![1, 2]);
    });
}

#[test]
fn no_wake_is_lost_for_a_sender_that_sleeps_on_a_full_queue() {
    model("eventcount full", 3, 5, || {
        let q = Queue::new(1, 2);
        let s = q.owner(0);
        assert!(send(&s, 1, 0));
        let sender = thread::spawn(move || send_sleeping(&s, 2));
        let r = q.owner(1);
        assert_eq!(receive_sleeping(&r).0, 1);
        assert_eq!(receive_sleeping(&r).0, 2);
        sender.join().unwrap();
    });
}

#[test]
fn a_registration_fires_exactly_when_the_queue_was_empty() {
    model("notification", 2, 7, || {
        let q = Queue::new(2, 2);
        let owner = q.owner(0);
        let ticket = owner.register().unwrap();
        let senders: Vec<_> = (1..3u8)
            .map(|k| {
                let s = q.owner(k as u32);
                thread::spawn(move || assert!(send(&s, k, k as u32)))
            })
            .collect();
        senders.into_iter().for_each(|s| s.join().unwrap());
        assert!(matches!(owner.arrival(ticket), Arrival::Arrived { pid: 1 | 2, .. }), "silent");
        let again = owner.register().unwrap();
        assert_eq!(owner.arrival(again), Arrival::Waiting, "fired on a queue that is not empty");
        same(drain(&owner), vec![1, 2]);
        assert!(send(&owner, 3, 0));
        assert!(matches!(owner.arrival(again), Arrival::Arrived { .. }), "silent the second time");
    });
}

#[test]
fn a_message_behind_one_that_is_just_received_is_not_silent() {
    // The queue is not empty when the sender looks, and empty when its message arrives.
    model("arrival beside a receive", 3, 8, || {
        let q = Queue::new(2, 2);
        let owner = q.owner(0);
        assert!(send(&owner, 1, 0));
        let ticket = owner.register().unwrap();
        let s = q.owner(1);
        let sender = thread::spawn(move || assert!(send(&s, 2, 0)));
        let drained = drain(&owner);
        sender.join().unwrap();
        if drained.len() == 1 {
            assert!(matches!(owner.arrival(ticket), Arrival::Arrived { .. }), "silent");
            same(drain(&owner), vec![2]);
        }
    });
}

#[test]
fn a_sender_left_in_a_notification_leaves_it_to_the_next() {
    for step in [
        Step::SendPublished,
        Step::SendConfirmed,
        Step::SendIndexed,
        Step::NotifyFired,
        Step::NotifyUnwoken,
    ] {
        model(&format!("notifier left at {step:?}"), 2, 2, move || {
            let q = Queue::new(2, 2);
            let owner = q.owner(0);
            let ticket = owner.register().unwrap();
            let dead = q.owner(1);
            let left = thread::spawn(move || abandon_at(step, || send(&dead, 1, 0)));
            let s = q.owner(2);
            assert!(send(&s, 2, 3));
            let finished = left.join().unwrap();
            owner.watch_arrival(ticket, 0);
            assert!(matches!(owner.arrival(ticket), Arrival::Arrived { .. }), "silent");
            let mut got = drain(&owner);
            if finished.is_none() && !got.contains(&1) {
                // It was left while it completed the other's notification, before its own send.
                assert!(matches!(step, Step::NotifyFired | Step::NotifyUnwoken));
                got.push(1);
            }
            same(got, vec![1, 2]);
        });
    }
}

#[test]
fn a_registrant_left_at_any_step_is_replaced() {
    for step in [Step::NotifyRegistered, Step::NotifyDisarmed] {
        model(&format!("registrant left at {step:?}"), 2, 2, move || {
            let q = Queue::new(2, 2);
            let dead = q.owner(1);
            let left = thread::spawn(move || {
                abandon_at(step, || {
                    let ticket = dead.register().unwrap();
                    dead.deregister(ticket);
                })
            });
            let s = q.owner(2);
            assert!(send(&s, 1, 0));
            left.join().unwrap();
            q.is_dead(1);
            same(drain(&s), vec![1]);
            let owner = q.owner(0);
            let ticket = owner.register().expect("a dead registrant made it busy");
            assert_eq!(owner.arrival(ticket), Arrival::Waiting);
            assert!(send(&s, 2, 0));
            assert_eq!(owner.arrival(ticket), Arrival::Arrived { pid: 2, uid: 0 });
        });
    }
}

#[test]
fn what_a_stopped_registrant_holds_is_used_up_by_a_message() {
    for step in [Step::NotifyRegistered, Step::NotifyDisarmed] {
        model(&format!("registrant stopped at {step:?}"), 2, 2, move || {
            let q = Queue::new(2, 2);
            let stopped = q.owner(1);
            let left = thread::spawn(move || {
                abandon_at(step, || {
                    if let Ok(ticket) = stopped.register() {
                        stopped.deregister(ticket);
                    }
                })
            });
            let owner = q.owner(0);
            let first = owner.register();
            left.join().unwrap();
            let mut ticket = first.ok();
            // One message for what it had registered, one more if it was dropping that.
            for _ in 0..2 {
                if ticket.is_none() {
                    assert!(send(&owner, 1, 0));
                    same(drain(&owner), vec![1]);
                    ticket = owner.register().ok();
                }
            }
            let ticket = ticket.expect("busy for ever");
            assert!(send(&owner, 2, 0));
            assert!(matches!(owner.arrival(ticket), Arrival::Arrived { .. }));
        });
    }
}

#[test]
fn a_registration_dropped_beside_a_send_is_fired_or_free() {
    model("deregister beside send", 2, 5, || {
        let q = Queue::new(2, 2);
        let owner = q.owner(0);
        let ticket = owner.register().unwrap();
        let s = q.owner(1);
        let sender = thread::spawn(move || assert!(send(&s, 1, 0)));
        let dropped = owner.deregister(ticket);
        sender.join().unwrap();
        let next = q.owner(2).register();
        assert!(next.is_ok(), "still busy; dropped: {dropped}");
        same(drain(&owner), vec![1]);
    });
}
