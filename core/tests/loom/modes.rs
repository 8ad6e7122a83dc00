//! From a lane to mixed mode and back, and takes out of turn.

use super::*;
use loom::thread;
use mqueue_core::fault::{Step, abandon_at, interrupt_at};

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
    // They do not touch the head, so nothing may follow from the queue having been empty.
    model("2 sends beside empty mixed", 2, 5, || {
        let q = settled(3, 2);
        let s = q.owner(0);
        assert_eq!(receive(&s), Some((1, 0)));
        assert!(tail(&s).is_settled());
        let r = q.owner(1);
        let receiver = thread::spawn(move || receive(&r).map(|m| m.0));
        assert!(send(&s, 5, 5) && send(&s, 9, 9));
        let first = receiver.join().unwrap();
        let rest = drain(&s);
        match first {
            None => assert_eq!(rest, [9, 5]),
            Some(got) => assert_eq!(rest, [14 - got]),
        }
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
fn a_take_on_the_way_to_a_lane_cannot_make_a_hole() {
    // The schedules themselves, played: the take comes between two changes.
    for step in [Step::FinderLocked, Step::LaneUnsettled, Step::LaneHalfway] {
        model(&format!("take at {step:?}"), 1, 5, move || {
            let q = all_but_a_lane(3, 3);
            let a = q.owner(1);
            let b = q.owner(2);
            let take = move || assert_eq!(take_youngest(&b), Some(2));
            let (got, met) = interrupt_at(step, take, || receive(&a));
            assert!(met);
            assert_eq!(got, Some((1, 0)));
            let s = q.owner(0);
            assert!(send(&s, 3, 0) && send(&s, 4, 1));
            assert_eq!(drain(&s), [4, 3]);
        });
    }
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

/// A sender of a higher priority beside a receiver for whom the queue becomes a lane.
fn nothing_is_overlooked(q: &Queue) {
    use loom::sync::atomic::Ordering::Acquire;
    let s = q.owner(2);
    let (sender, done) = sending(s, 3, 9);
    let r = q.owner(0);
    let first = receive(&r).expect("empty, yet two queued").0;
    let seen = done.load(Acquire) == 1;
    let second = receive(&r).expect("empty, yet one queued").0;
    assert!(!seen || first == 3 || second == 3, "0 after the 9 was sent: {first}, {second}");
    sender.join().unwrap();
    let mut got = vec![first, second];
    got.extend(drain(&r));
    let place = |v| got.iter().position(|&x| x == v).expect("lost");
    assert!(place(1) < place(2), "first in, not first out");
    same(got.clone(), vec![1, 2, 3]);
}

#[test]
fn the_way_to_a_lane_overlooks_no_settled_send() {
    model("to a lane, settled", 3, 10, || nothing_is_overlooked(&all_but_a_lane(4, 3)));
}

#[test]
fn the_way_to_a_lane_overlooks_no_send_that_is_not_settled() {
    for step in [Step::LaneUnsettled, Step::LaneHalfway] {
        model(&format!("to a lane from {step:?}"), 3, 5, move || {
            let q = all_but_a_lane(4, 3);
            let dead = q.owner(1);
            assert!(abandon_at(step, || receive(&dead)).is_none());
            assert!(!tail(&dead).is_settled() && tail(&dead).is_mixed());
            q.is_dead(1);
            nothing_is_overlooked(&q);
        });
    }
}

#[test]
fn a_full_answer_halfway_to_a_lane_makes_no_hole() {
    // It makes the head mixed without a send; the tail is then cleared behind it.
    model("full halfway to a lane", 1, 5, || {
        let q = all_but_a_lane(3, 3);
        let s = q.owner(2);
        assert!(send(&s, 3, 0));
        let a = q.owner(1);
        let ask = move || {
            assert!(!send(&s, 4, 9), "three of three");
            assert_eq!(receive(&s), Some((1, 0)));
        };
        let (got, met) = interrupt_at(Step::LaneHalfway, ask, || receive(&a));
        assert!(met);
        assert_eq!(got, Some((2, 0)));
        let s = q.owner(0);
        assert!(send(&s, 5, 0) && send(&s, 6, 9));
        assert_eq!(drain(&s), [6, 3, 5]);
    });
}

#[test]
fn a_take_sees_every_settled_send_that_was_complete() {
    use loom::sync::atomic::{AtomicU32, Ordering::*};
    model("take beside a settled send", 3, 5, || {
        let q = settled(3, 2);
        let s = q.owner(2);
        let r = q.owner(1);
        assert!(send(&s, 2, 5));
        assert_eq!(take_lowest(&r), Some(1));
        let done = Arc::new(AtomicU32::new(0));
        let flag = done.clone();
        let sender = thread::spawn(move || {
            assert!(send(&s, 3, 1));
            flag.store(1, Release);
            send(&s, 4, 0)
        });
        let seen = done.load(Acquire) == 1;
        let took = take_lowest(&r).expect("empty, yet one queued");
        assert!(!seen || took != 2, "5 although the 1 was there");
        assert!(sender.join().unwrap());
        let rest = drain(&r);
        assert!(
            rest.is_sorted_by_key(|v| match v {
                2 => 0,
                3 => 1,
                _ => 2,
            }),
            "{rest:?}"
        );
        assert_eq!(rest.len(), 2);
    });
}

#[test]
fn a_receive_in_the_midst_of_the_way_to_a_lane_gets_the_best() {
    // By the same owner, as a signal handler would, and by another; wherever it comes.
    let mut met_all = 0;
    for (step, owner) in Step::ALL.iter().flat_map(|&step| [(step, 1), (step, 2)]) {
        let met_one = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let seen = met_one.clone();
        model(&format!("{step:?} interrupted by owner {owner}"), 1, 2, move || {
            let q = all_but_a_lane(4, 4);
            let r = q.owner(1);
            let other = q.owner(owner);
            let handler = move || {
                assert!(send(&other, 3, 9));
                assert_eq!(receive(&other), Some((3, 9)));
                assert!(send(&other, 4, 9));
            };
            let (got, met) = interrupt_at(step, handler, || receive(&r));
            let got = got.expect("empty, yet two queued").0;
            seen.fetch_or(met, std::sync::atomic::Ordering::Relaxed);
            let rest = drain(&r);
            match got {
                1 if met => assert_eq!(rest, [4, 2]),
                1 => assert_eq!(rest, [2]),
                _ => assert_eq!((got, &rest[..]), (4, &[1, 2][..])),
            }
        });
        met_all += met_one.load(std::sync::atomic::Ordering::Relaxed) as u32;
    }
    assert!(met_all >= 16, "only {met_all} steps were met");
}

#[test]
fn a_settled_tail_means_a_mixed_head() {
    model("settled means mixed", 3, 10, || {
        let q = all_but_a_lane(3, 3);
        let receivers: Vec<_> = (1..3)
            .map(|k| {
                let r = q.owner(k);
                thread::spawn(move || receive(&r).expect("empty, yet two queued").0)
            })
            .collect();
        let s = q.owner(0);
        let (before, head, after) = (tail(&s), head(&s), tail(&s));
        if before == after && before.is_settled() {
            assert!(head.is_mixed(), "sends would go unnoticed");
        }
        same(receivers.into_iter().map(|r| r.join().unwrap()).collect(), vec![1, 2]);
    });
}

#[test]
fn a_receiver_with_an_old_head_settles_nothing() {
    // It waits for the lock while the queue becomes a lane, and a send of another priority
    // is left before it has marked the head.
    model("old head", 1, 5, || {
        let q = all_but_a_lane(4, 4);
        let (s, left) = (q.owner(0), q.owner(2));
        let others = move || {
            assert_eq!(receive(&s), Some((1, 0)));
            assert!(abandon_at(Step::SendIndexed, || send(&left, 3, 5)).is_none());
        };
        let r = q.owner(1);
        let (got, met) = interrupt_at(Step::FinderWanted, others, || receive(&r));
        assert!(met);
        assert_eq!(got, Some((2, 0)));
        assert!(head(&r).is_mixed() || !tail(&r).is_settled(), "sends would go unnoticed");
        assert!(send(&r, 4, 9));
        assert_eq!(drain(&r), [4, 3]);
    });
}
