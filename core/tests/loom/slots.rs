//! Slots that are used again, and the hints about where they are.

use super::*;
use loom::sync::Notify;
use loom::sync::atomic::AtomicU32;
use loom::thread;
use mqueue_core::fault::{Step, abandon_at, interrupt_at};
use mqueue_core::shm::word::seq_distance;

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
    match unsafe { q.try_send(&value, 1, prio, Look::Close) } {
        Ok(()) => true,
        Err(Refused::WouldBlock | Refused::NoSlot) => false,
        Err(other) => panic!("send: {other:?}"),
    }
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
fn the_index_is_only_a_hint() {
    for (wrong, priorities) in [0, 1, 5, u32::MAX].iter().flat_map(|&w| [(w, 1), (w, 3)]) {
        model(&format!("index {wrong}, {priorities} priorities"), 0, 5, move || {
            let q = Queue::new(3, 3);
            let s = q.owner(0);
            let spoil = || (0..6).for_each(|place| q.segment.entry(place).store(wrong, SeqCst));
            for _ in 0..3 {
                for value in 0..3u8 {
                    assert!(send(&s, value, value as u32 % priorities));
                    spoil();
                }
                assert!(!send(&s, 9, 9), "three of three");
                assert_eq!(drain(&s), if priorities == 1 { [0, 1, 2] } else { [2, 1, 0] });
            }
        });
    }
}

#[test]
fn a_late_proposal_takes_no_message_s_place() {
    // The receiver was stopped until the place that it has a slot for is in use again.
    model("late proposal", 1, 5, || {
        let q = settled(3, 3);
        let s = q.owner(0);
        assert!(send(&s, 2, 5));
        let r = q.owner(1);
        let place = head(&s).count() % 6;
        let others = move || {
            for value in 10..15 {
                assert!(send(&s, value, 9));
                assert_eq!(receive(&s), Some((value, 9)));
            }
            // Number `place` of the next round.
            while tail(&s).take_count() % 6 != place {
                assert!(send(&s, 3, 9) && receive(&s).is_some());
            }
            assert!(send(&s, 4, 0));
        };
        let (got, met) = interrupt_at(Step::FinderStale, others, || receive(&r));
        assert!(met);
        assert_eq!(got, Some((2, 5)));
        assert_eq!(drain(&r), [1, 4]);
        for value in 0..3 {
            assert!(send(&r, value, 0));
        }
        assert_eq!(drain(&r), [0, 1, 2]);
    });
}

/// What is noted of receives, against how many there were.
fn noted_too_few(q: &Engine) -> u64 {
    let t = tail(q);
    let received = t.count().wrapping_sub(t.queued(head(q)) as u64);
    seq_distance(received, q.segment().control().finalized.0.count.load(SeqCst))
}

#[test]
fn the_note_of_receives_is_never_ahead() {
    // The second receive is noted before the first.
    for step in [Step::ReceivePublished, Step::ReceiveFinalized] {
        model(&format!("two receives, one inside the other at {step:?}"), 1, 5, move || {
            let q = settled(3, 3);
            let s = q.owner(0);
            assert!(send(&s, 2, 5) && send(&s, 3, 3));
            let (a, b) = (q.owner(1), q.owner(2));
            let other = move || assert_eq!(receive(&b), Some((3, 3)));
            let (got, met) = interrupt_at(step, other, || receive(&a));
            assert!(met);
            assert_eq!(got, Some((2, 5)));
            assert!(noted_too_few(&s) <= 1, "{} too few", noted_too_few(&s));
            // So that senders who go by it see that there is room.
            // SAFETY: one readable byte.
            assert_eq!(unsafe { q.owner(3).try_send(&4, 1, 0, Look::Glance) }, Ok(()));
        });
    }
}

#[test]
fn a_note_of_the_past_makes_no_room() {
    // The receiver that notes was stopped for a dozen receives, and then comes another.
    model("note of the past", 1, 5, || {
        let q = settled(3, 3);
        let s = q.owner(0);
        let r = q.owner(1);
        assert!(send(&s, 2, 5));
        let others = move || {
            for _ in 0..12 {
                assert!(send(&s, 3, 9));
                assert_eq!(receive(&s), Some((3, 9)));
            }
        };
        let (got, met) = interrupt_at(Step::ReceivePublished, others, || receive(&r));
        assert!(met);
        assert_eq!(got, Some((2, 5)));
        assert_eq!(noted_too_few(&r), 12);
        for _ in 0..2 {
            let fresh = q.owner(2);
            let fitted = (0..4).filter(|&value| send(&fresh, value, value as u32)).count();
            assert_eq!(fitted, 2, "one and {fitted} of three");
            assert_eq!(receive(&fresh).map(|m| m.1), Some(1));
            assert!(receive(&fresh).is_some());
        }
    });
}

#[test]
fn a_claim_of_the_slot_that_the_tail_names_is_no_send() {
    // I5, played: of two slots one has a message; the other is that of the last send, which
    // has been received, and is claimed for the next.
    model("claim of the last send's slot", 0, 5, || {
        let q = Queue::new(2, 0);
        let s = q.owner(0);
        assert!(send(&s, 1, 0) && send(&s, 2, 5));
        assert_eq!(receive(&s), Some((2, 5)));
        let left = q.owner(1);
        assert!(abandon_at(Step::SendClaimed, || send(&left, 3, 9)).is_none());
        assert_eq!(drain(&s), [1]);
        q.is_dead(1);
        assert!(send(&s, 4, 0) && send(&s, 5, 5), "the slot of a send that was none is lost");
        assert_eq!(drain(&s), [5, 4]);
    });
}

/// Where one thread waits for another, without the choices that a loop of looks would add.
struct Gate(AtomicU32, Notify);

impl Gate {
    fn new() -> Arc<Gate> {
        Arc::new(Gate(AtomicU32::new(0), Notify::new()))
    }
    fn open(&self) {
        self.0.store(1, SeqCst);
        self.1.notify();
    }
    fn pass(&self) {
        while self.0.load(SeqCst) == 0 {
            self.1.wait();
        }
    }
}

#[test]
fn a_claim_is_not_stamped_from_before_its_slot_was_free() {
    // I5. The slot is sent with and received from while the claimer looks at it, and others
    // complete the send that the tail names before the claimer has written its message.
    model("stamp of a claim", 2, 5, || {
        let q = Queue::new(2, 1);
        let dead = q.owner(1);
        assert!(abandon_at(Step::SendClaimed, || send(&dead, 9, 0)).is_none());
        q.is_dead(1);
        let (claims, may_go_on) = (Gate::new(), Gate::new());
        let claimer = q.owner(2);
        let (here, gate) = (claims.clone(), may_go_on.clone());
        let sender = thread::spawn(move || {
            let wait = move || {
                here.open();
                gate.pass();
            };
            interrupt_at(Step::SendClaimed, wait, || send(&claimer, 1, 0))
        });
        let s = q.owner(0);
        assert!(send(&s, 2, 0));
        assert_eq!(receive(&s), Some((2, 0)));
        claims.pass();
        assert!(s.reclaim());
        may_go_on.open();
        assert_eq!(sender.join().unwrap(), (true, true));
        assert_eq!(drain(&s), [1]);
    });
}
