//! Calls that are left at some step for ever, and calls in the midst of calls.

use super::*;
use loom::thread;
use mqueue_core::fault::{Step, abandon_at, interrupt_at};

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
    Step::LaneUnsettled,
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

#[test]
fn a_receiver_left_on_the_way_to_a_lane_hides_no_message() {
    // Stopped for ever, and dead.
    use loom::sync::atomic::Ordering::Acquire;
    for (step, dies) in
        [Step::FinderLocked, Step::FinderStale, Step::LaneUnsettled, Step::LaneHalfway]
            .iter()
            .flat_map(|&step| [(step, false), (step, true)])
    {
        model(&format!("left at {step:?}, dead: {dies}"), 2, 3, move || {
            let q = Arc::new(all_but_a_lane(4, 4));
            let left = q.owner(1);
            let all = q.clone();
            let left = thread::spawn(move || {
                let got = abandon_at(step, || receive(&left));
                if got.is_none() && dies {
                    all.is_dead(1);
                }
                got
            });
            let s = q.owner(2);
            let (sender, done) = sending(s, 3, 9);
            let r = q.owner(3);
            let seen = done.load(Acquire) == 1;
            let mine = receive(&r).expect("empty, yet one of two must be there").0;
            sender.join().unwrap();
            let finished = left.join().unwrap();
            let gone = finished.is_none();
            let others = finished.flatten().map(|m| m.0);
            assert!(!seen || mine == 3 || gone || others == Some(3), "0 after the 9 was sent");
            let rest = drain(&r);
            assert!(rest.is_sorted_by_key(|&v| (v != 3, v)), "a lower one first: {rest:?}");
            let mut got = rest;
            got.push(mine);
            got.extend(others);
            got.sort_unstable();
            let lost_with_it = gone && step == Step::FinderStale;
            assert!(
                got == [1, 2, 3] || lost_with_it && (got == [2, 3] || got == [1, 2]),
                "lost or received twice: {got:?}"
            );
        });
    }
}

#[test]
fn a_send_that_was_left_is_completed_by_the_next() {
    // Though the notes tell of the send before it.
    for prio in [0, 5] {
        model(&format!("send behind one that was left, priority {prio}"), 0, 5, move || {
            let q = Queue::new(4, 3);
            let s = q.owner(0);
            assert!(send(&s, 1, 0));
            let left = q.owner(1);
            assert!(abandon_at(Step::SendPublished, || send(&left, 2, 0)).is_none());
            assert!(send(&s, 3, prio));
            assert_eq!(drain(&s), if prio == 0 { [1, 2, 3] } else { [3, 1, 2] });
        });
    }
}
