//! Several messages in one exchange, looks at messages, dropping, shutdown.

use super::*;
use loom::thread;
use mqueue_core::fault::{Step, abandon_at, interrupt_at};
use mqueue_core::shm::{Content, Dropped, Known};

/// Send two messages as a batch, as far as there is room for one.
fn send_two(q: &Engine, values: [u8; 2], prios: [u32; 2]) -> usize {
    let content = |i: usize| Content { data: &values[i], len: 1, prio: prios[i] };
    // SAFETY: one readable byte each.
    match unsafe { q.try_send_several(2, content, Look::Close) } {
        Ok(sent) => sent,
        Err(Refused::WouldBlock) => 0,
        Err(other) => panic!("send two: {other:?}"),
    }
}

fn receive_two(q: &Engine) -> Vec<u8> {
    let mut values = [0u8; 2];
    let at = values.as_mut_ptr();
    // SAFETY: two writable bytes.
    let room = |i| (unsafe { at.add(i) }, 1);
    let mut numbers = vec![];
    let got = |_, known: Known| numbers.push(known.number);
    // SAFETY: as above.
    match unsafe { q.try_receive_several(2, false, room, got, Look::Close) } {
        Ok(received) => {
            assert!(received < 2 || numbers[1] == numbers[0] + 1);
            values[..received].to_vec()
        }
        Err(Refused::WouldBlock) => vec![],
        Err(other) => panic!("receive two: {other:?}\n{}", picture(q)),
    }
}

/// The queue is empty, and whatever the dead held has come back.
fn check_as_new(q: &Engine) {
    assert_eq!(q.queued_exactly(), 0);
    q.reclaim();
    every_slot_is_free(q);
}

/// How many of the next two messages a look sees.
fn look_at_two(q: &Engine) -> usize {
    let room = |_| (std::ptr::dangling_mut(), 1);
    // SAFETY: the models read no payload of what is looked at.
    unsafe { q.try_look(None, 2, false, room, |_, _| ()) }.unwrap_or(0)
}

fn look(q: &Engine) -> Option<u32> {
    let mut seen = None;
    let room = |_| (std::ptr::dangling_mut(), 1);
    // SAFETY: the models read no payload of what is looked at.
    match unsafe { q.try_look(None, 1, false, room, |_, known| seen = Some(known.prio)) } {
        Ok(_) => seen,
        Err(Refused::WouldBlock) => None,
        Err(other) => panic!("look: {other:?}"),
    }
}

#[test]
fn two_sent_together_come_in_order_and_whole() {
    for prios in [[0, 0], [0, 3], [3, 0]] {
        model(&format!("batch {prios:?} beside a sender and a receiver"), 2, 4, move || {
            let q = Queue::new(3, 3);
            let a = q.owner(1);
            let batch = thread::spawn(move || send_two(&a, [1, 2], prios));
            let s = q.owner(2);
            let single = thread::spawn(move || send(&s, 3, 0));
            let r = q.owner(3);
            let mut got: Vec<u8> = receive(&r).into_iter().map(|m| m.0).collect();
            let sent = batch.join().unwrap();
            assert!(single.join().unwrap());
            got.extend(drain(&r));
            let mut all = vec![1, 2];
            all.truncate(sent);
            all.push(3);
            same(got.clone(), all);
            if sent == 2 && prios == [0, 0] {
                let place = |v| got.iter().position(|&x| x == v);
                assert!(place(1) < place(2), "first in, not first out");
            }
        });
    }
}

#[test]
fn a_sender_of_two_left_at_any_step_blocks_nobody() {
    const STEPS: &[Step] = &[
        Step::SendClaimed,
        Step::SendCopied,
        Step::SendPublished,
        Step::SendConfirmed,
        Step::SendHinted,
        Step::SendIndexed,
        Step::SendLinearized,
    ];
    for &step in STEPS {
        for prios in [[0, 0], [0, 3]] {
            model(&format!("batch {prios:?} left at {step:?}"), 2, 2, move || {
                let q = Queue::new(3, 3);
                let dead = q.owner(1);
                let left =
                    thread::spawn(move || abandon_at(step, || send_two(&dead, [11, 12], prios)));
                let s = q.owner(2);
                let other = thread::spawn(move || send(&s, 13, 0));
                let r = q.owner(3);
                let mut got: Vec<u8> = receive(&r).into_iter().map(|m| m.0).collect();
                let finished = left.join().unwrap();
                assert!(other.join().unwrap());
                got.extend(drain(&r));
                // It may have fallen back to a single send: the tail says how many were sent.
                let sent_of_two = r.counts().sent as usize - 1;
                match finished {
                    Some(two_or_one) => assert_eq!(sent_of_two, two_or_one),
                    None if matches!(step, Step::SendClaimed | Step::SendCopied) => {}
                    None => assert_ne!(sent_of_two, 0, "left after it was sent"),
                }
                let mut sent = vec![13];
                sent.extend([11, 12].iter().take(sent_of_two));
                same(got, sent);
                q.is_dead(1);
                check_as_new(&r);
            });
        }
    }
}

#[test]
fn two_received_together_are_received_once() {
    model("two receivers of two", 2, 5, || {
        let q = Queue::new(3, 3);
        let s = q.owner(0);
        assert!(send(&s, 1, 0) && send(&s, 2, 0) && send(&s, 3, 0));
        let a = q.owner(1);
        let first = thread::spawn(move || receive_two(&a));
        let r = q.owner(2);
        let mut got = receive_two(&r);
        got.extend(first.join().unwrap());
        got.extend(drain(&r));
        same(got, vec![1, 2, 3]);
        check_as_new(&s);
    });
}

#[test]
fn two_received_together_beside_single_receives_and_another_priority() {
    model("a receiver of two beside a receiver and a sender", 2, 7, || {
        let q = Queue::new(3, 3);
        let s = q.owner(0);
        assert!(send(&s, 1, 0) && send(&s, 2, 0));
        let a = q.owner(1);
        let two = thread::spawn(move || receive_two(&a));
        let b = q.owner(2);
        let sender = thread::spawn(move || send(&b, 9, 9));
        let mut got: Vec<u8> = receive(&s).into_iter().map(|m| m.0).collect();
        got.extend(two.join().unwrap());
        assert!(sender.join().unwrap());
        got.extend(drain(&s));
        same(got, vec![1, 2, 9]);
    });
}

#[test]
fn a_receiver_of_two_left_at_any_step_takes_both_or_none() {
    const STEPS: &[Step] = &[
        Step::ReceiveChosen,
        Step::ReceiveStamped,
        Step::ReceivePublished,
        Step::ReceiveFinalized,
        Step::ReceiveCopied,
    ];
    for &step in STEPS {
        model(&format!("receiver of two left at {step:?}"), 2, 3, move || {
            let q = Queue::new(3, 3);
            let s = q.owner(2);
            assert!(send(&s, 1, 0) && send(&s, 2, 0));
            let dead = q.owner(1);
            let left = thread::spawn(move || abandon_at(step, || receive_two(&dead)));
            // Makes the queue a mixed one, where slots' words are looked at one by one.
            let other = thread::spawn(move || send(&s, 3, 9));
            let r = q.owner(3);
            let mut got: Vec<u8> = receive(&r).into_iter().map(|m| m.0).collect();
            let finished = left.join().unwrap();
            assert!(other.join().unwrap());
            got.extend(drain(&r));
            got.extend(finished.unwrap_or_default());
            got.sort_unstable();
            // It may have come to a single receive after all, of any of them.
            let missing: Vec<u8> = (1..4).filter(|value| !got.contains(value)).collect();
            assert!(got.len() + missing.len() == 3, "{got:?}");
            // The third message may lie in the lane behind the second, its send not yet complete.
            assert!(missing.len() < 2 || [[1, 2], [2, 3]].iter().any(|two| missing == *two));
            assert!(missing.is_empty() || step != Step::ReceiveChosen, "{missing:?}");
            q.is_dead(1);
            check_as_new(&r);
            for value in 4..7 {
                assert!(send(&r, value, 0));
            }
            assert_eq!(drain(&r), [4, 5, 6]);
        });
    }
}

/// One that is stopped with two messages received, while the queue becomes a mixed one: what
/// slots say is not what is there.
#[test]
fn messages_received_together_are_gone_for_those_who_look_at_slots() {
    for step in [Step::ReceivePublished, Step::ReceiveFinalized, Step::ReceiveCopied] {
        model(&format!("looking beside a receiver of two at {step:?}"), 0, 2, move || {
            let q = Queue::new(4, 4);
            let (r, s) = (q.owner(1), q.owner(2));
            for value in 1..4 {
                assert!(send(&s, value, 0));
            }
            let others = move || {
                assert!(send(&s, 9, 9));
                assert_eq!(look(&s), Some(9));
                assert_eq!(take_lowest(&s), Some(3), "the one that is still there");
                assert_eq!(receive(&s), Some((9, 9)));
                assert_eq!((look(&s), receive(&s)), (None, None));
            };
            let (got, reached) = interrupt_at(step, others, || receive_two(&r));
            assert!(reached);
            assert_eq!(got, [1, 2]);
        });
    }
}

#[test]
fn a_late_receivers_stamp_on_a_message_received_with_others_is_undone() {
    model("late stamp", 0, 2, || {
        let q = Queue::new(3, 3);
        let s = q.owner(0);
        assert!(send(&s, 1, 0) && send(&s, 2, 0) && send(&s, 3, 0));
        let (late, r) = (q.owner(1), q.owner(2));
        // The late one has chosen message 1; the other takes 1 and 2 and is left with them.
        let others = move || {
            assert!(abandon_at(Step::ReceivePublished, || receive_two(&r)).is_none());
        };
        let (got, _) = interrupt_at(Step::ReceiveChosen, others, || receive(&late));
        assert_eq!(got, Some((3, 0)));
        q.is_dead(2);
        check_as_new(&late);
    });
}

/// The same with one who is stopped with that stamp for good.
#[test]
fn a_stopped_receivers_stamp_on_a_message_received_with_others_is_undone() {
    model("stopped stamp", 0, 2, || {
        let q = Queue::new(3, 3);
        let s = q.owner(0);
        assert!(send(&s, 1, 0) && send(&s, 2, 0) && send(&s, 3, 0));
        let (late, r) = (q.owner(1), q.owner(2));
        // Both have chosen message 1; the one who takes 1 and 2 dies when it has copied 1.
        let others = move || {
            assert!(abandon_at(Step::ReceiveStamped, || receive(&late)).is_none());
        };
        let mut values = [0u8; 2];
        let at = values.as_mut_ptr();
        let two = move || {
            // SAFETY: two writable bytes.
            let room = |i| (unsafe { at.add(i) }, 1);
            let die = |_, _| std::panic::resume_unwind(Box::new("dead"));
            // SAFETY: as above.
            unsafe { r.try_receive_several(2, false, room, die, Look::Close) }.map(drop)
        };
        let work = || std::panic::catch_unwind(std::panic::AssertUnwindSafe(two)).is_err();
        assert_eq!(interrupt_at(Step::ReceiveChosen, others, work), (true, true));
        q.is_dead(2);
        assert_eq!(drain(&s), [3]);
        check_as_new(&s);
    });
}

/// Nobody but who clears up after the dead meets such a stamp while it can still win.
#[test]
fn what_a_dead_receiver_of_two_has_stamped_is_received_whole() {
    model("a dead receiver's stamp", 0, 2, || {
        let q = Queue::new(3, 3);
        let s = q.owner(0);
        assert!(send(&s, 1, 0) && send(&s, 2, 0) && send(&s, 3, 0));
        let r = q.owner(1);
        assert!(abandon_at(Step::ReceiveStamped, || receive_two(&r)).is_none());
        q.is_dead(1);
        s.reclaim();
        let got = drain(&s);
        assert!(got == [3] || got == [1, 2, 3], "{got:?}");
        check_as_new(&s);
    });
}

/// A look meets the stamp; then others, for whom slots' words tell what is there, meet the
/// receiver where the head names its receive and the slot does not say so yet.
#[test]
fn a_look_beside_a_receiver_of_two_brings_nothing_back() {
    model("looking beside a receiver of two", 2, 8, || {
        let q = Queue::new(3, 3);
        let s = q.owner(0);
        assert!(send(&s, 1, 0) && send(&s, 2, 0));
        let (l, r) = (q.owner(1), q.owner(2));
        let looker = thread::spawn(move || look_at_two(&l));
        let theirs = std::rc::Rc::new(std::cell::RefCell::new(vec![]));
        let got = theirs.clone();
        let others = move || {
            assert!(send(&s, 9, 9));
            *got.borrow_mut() = drain(&s);
        };
        let (mut got, _) = interrupt_at(Step::ReceivePublished, others, || receive_two(&r));
        looker.join().unwrap();
        let is_sent = theirs.borrow().contains(&9);
        got.extend(theirs.take());
        got.extend(drain(&r));
        same(got, if is_sent { vec![1, 2, 9] } else { vec![1, 2] });
        check_as_new(&r);
    });
}

#[test]
fn a_batch_beside_a_sender_keeps_to_the_room_that_there_is() {
    model("a batch beside a sender in a queue for two", 3, 5, || {
        let q = Queue::new(2, 3);
        let a = q.owner(1);
        let batch = thread::spawn(move || send_two(&a, [1, 2], [0, 0]));
        let s = q.owner(2);
        let single = usize::from(send(&s, 3, 0));
        let sent = batch.join().unwrap() + single;
        assert_eq!((sent, drain(&s).len()), (2, 2));
    });
}

#[test]
fn a_look_finds_one_of_two_messages_that_follow_each_other() {
    model("looking beside a relay", 3, 5, || {
        let q = Queue::new(3, 3);
        let s = q.owner(0);
        assert!(send(&s, 1, 0));
        let l = q.owner(1);
        let looker = thread::spawn(move || look(&l));
        assert!(send(&s, 2, 0));
        assert_eq!(receive(&s), Some((1, 0)));
        assert_eq!(looker.join().unwrap(), Some(0));
    });
}

#[test]
fn a_look_sees_what_a_receiver_has_stamped_in_vain() {
    model("looking beside a lost receive", 0, 2, || {
        let q = Queue::new(3, 3);
        let (s, late) = (q.owner(0), q.owner(1));
        assert!(send(&s, 1, 0));
        let others = move || {
            assert!(send(&s, 9, 9));
            assert_eq!(look_at_two(&s), 2);
        };
        let (got, reached) = interrupt_at(Step::ReceiveStamped, others, || receive(&late));
        assert!(reached);
        assert_eq!(got, Some((9, 9)));
    });
}

#[test]
fn what_is_dropped_is_not_received_and_the_new_one_is() {
    model("dropping beside a receiver", 2, 5, || {
        let q = Queue::new(2, 3);
        let s = q.owner(0);
        assert!(send(&s, 1, 0) && send(&s, 2, 0));
        let d = q.owner(1);
        let dropper = thread::spawn(move || match d.drop_oldest(5).unwrap() {
            Dropped::One => 1,
            Dropped::NotFull => 0,
            Dropped::NothingBelow => panic!("there are messages below"),
        });
        let b = q.owner(2);
        let sender = thread::spawn(move || send(&b, 9, 9));
        let mut got: Vec<u8> = receive(&s).into_iter().map(|m| m.0).collect();
        let dropped = dropper.join().unwrap();
        let sent = sender.join().unwrap();
        got.extend(drain(&s));
        assert_eq!(got.len() + dropped, 2 + usize::from(sent), "{got:?}");
        got.retain(|&value| value != 9);
        assert!(got.is_sorted(), "{got:?}");
    });
}

#[test]
fn only_a_full_queue_loses_a_message() {
    model("dropping beside a receiver of the only messages", 3, 5, || {
        let q = Queue::new(1, 3);
        let s = q.owner(0);
        assert!(send(&s, 1, 0));
        let d = q.owner(1);
        let dropper = thread::spawn(move || d.drop_oldest(5).unwrap());
        let got = receive(&s);
        let dropped = dropper.join().unwrap();
        assert_eq!(got.is_none(), dropped == Dropped::One);
        assert_eq!(receive(&s), None);
    });
}

/// In mixed mode the message that goes is found by a look, and what was full then may have lost
/// one to a receiver: then the oldest of both would be gone, and the next one as well.
#[test]
fn only_a_full_queue_of_several_priorities_loses_a_message() {
    model("dropping beside a receiver in mixed mode", 3, 8, || {
        let q = all_but_a_lane(2, 3);
        let s = q.owner(0);
        let d = q.owner(1);
        let dropper = thread::spawn(move || d.drop_oldest(5).unwrap());
        let got = receive(&s).map(|m| m.0);
        match dropper.join().unwrap() {
            Dropped::One => assert_eq!((got, drain(&s)), (Some(2), vec![])),
            _ => assert_eq!((got, drain(&s)), (Some(1), vec![2])),
        }
    });
}

#[test]
fn a_look_sees_what_is_next_and_takes_nothing() {
    model("looking beside a sender and a receiver", 2, 5, || {
        let q = Queue::new(3, 3);
        let s = q.owner(0);
        assert!(send(&s, 1, 1) && send(&s, 2, 1));
        let b = q.owner(1);
        let sender = thread::spawn(move || send(&b, 9, 9));
        let l = q.owner(2);
        let looker = thread::spawn(move || look(&l));
        let mut got: Vec<u8> = receive(&s).into_iter().map(|m| m.0).collect();
        // One message is there from beginning to end.
        assert!(looker.join().unwrap().is_some());
        assert!(sender.join().unwrap());
        got.extend(drain(&s));
        same(got, vec![1, 2, 9]);
    });
}

/// With narrow counters the tail's count has come round several times by then.
#[test]
fn numbers_do_not_come_round() {
    model("numbers", 0, 1, || {
        let q = Queue::new(4, 4);
        let s = q.owner(0);
        let mut number = 0;
        for round in 0..90 {
            let sent = send_two(&s, [1, 2], [0, round % 2]) as u64 + u64::from(send(&s, 3, 0));
            let mut numbers = vec![];
            for _ in 0..sent {
                let mut value = 0;
                // SAFETY: one writable byte.
                let known = unsafe { s.try_receive_known(&mut value, 1, false, Look::Close) };
                numbers.push(known.unwrap().number);
            }
            numbers.sort_unstable();
            assert_eq!(numbers, (number + 1..=number + sent).collect::<Vec<_>>());
            number += sent;
            let counts = s.counts();
            assert_eq!((counts.sent, counts.received), (number, number));
        }
    });
}

#[test]
fn what_is_sent_before_a_shutdown_is_received_before_its_end_is_told() {
    for prio in [0, 3] {
        model(&format!("shutdown beside a sender of priority {prio}"), 2, 5, move || {
            let q = Queue::new(3, 3);
            let s = q.owner(0);
            assert!(send(&s, 1, 0));
            let a = q.owner(1);
            let sender = thread::spawn(move || {
                // SAFETY: one readable byte.
                match unsafe { a.try_send(&2, 1, prio, Look::Close) } {
                    Ok(()) => true,
                    Err(Refused::Shut) => false,
                    Err(other) => panic!("send: {other:?}"),
                }
            });
            let b = q.owner(2);
            let shutter = thread::spawn(move || b.shut().unwrap());
            let mut got = vec![];
            for _ in 0..3 {
                let mut value = 0;
                // SAFETY: one writable byte.
                match unsafe { s.try_receive(&mut value, 1, Look::Close) } {
                    Ok(_) => got.push(value),
                    Err(Refused::WouldBlock) => {}
                    Err(Refused::Shut) => {
                        assert_eq!(s.queued(), 0);
                        break;
                    }
                    Err(other) => panic!("receive: {other:?}"),
                }
            }
            shutter.join().unwrap();
            let was_sent = sender.join().unwrap();
            loop {
                let mut value = 0;
                // SAFETY: as above.
                match unsafe { s.try_receive(&mut value, 1, Look::Close) } {
                    Ok(_) => got.push(value),
                    Err(Refused::Shut) => break,
                    Err(other) => panic!("at the end: {other:?}"),
                }
            }
            same(got, if was_sent { vec![1, 2] } else { vec![1] });
        });
    }
}

#[test]
fn of_a_batch_that_a_dead_receiver_had_nobody_takes_later_messages_for_a_part() {
    // Whoever comes late finds new messages in the dead one's slots.
    model("two who bury a batch of two", 2, 20, || {
        let q = Queue::new(2, 0);
        let s = q.owner(0);
        assert!(send(&s, 1, 0) && send(&s, 2, 0));
        let dead = q.owner(1);
        assert!(abandon_at(Step::ReceivePublished, || receive_two(&dead)).is_none());
        q.is_dead(1);
        let late = q.owner(2);
        let other = thread::spawn(move || late.reclaim());
        s.reclaim();
        assert!(send(&s, 3, 0) && send(&s, 4, 0));
        other.join().unwrap();
        assert_eq!(drain(&s), [3, 4], "\n{}", picture(&s));
    });
}
