//! The beacon: what poll sees of the queue, beside senders and receivers.

use super::*;
use loom::thread;
use mqueue_core::fault::{Step, abandon_at, interrupt_at};

/// What poll sees.
fn packets(q: &Engine) -> u32 {
    q.segment().fifo.load(SeqCst)
}

/// A queue with a beacon.
fn lit(maxmsg: u64) -> Queue {
    let q = Queue::new(maxmsg, 2);
    q.owner(0).begin_beacon();
    q
}

/// What the queue holds, as it should be shown.
fn level(q: &Engine) -> u32 {
    match q.queued() {
        0 => 0,
        full if full == q.segment().geometry().maxmsg => 2,
        _ => 1,
    }
}

#[test]
fn two_senders_at_once_leave_it_right() {
    for maxmsg in [1, 2, 3] {
        model(&format!("beacon 2S, maxmsg {maxmsg}"), 2, 10, move || {
            let q = lit(maxmsg);
            let s = q.owner(1);
            let sender = thread::spawn(move || send(&s, 1, 0));
            let r = q.owner(2);
            if !send(&r, 2, 0) {
                r.correct_beacon_if_any();
            }
            assert!(packets(&r) > 0, "a message was sent and is not shown");
            sender.join().unwrap();
            assert_eq!(packets(&r), level(&r));
        });
    }
}

#[test]
fn a_sender_and_a_receiver_at_once_leave_it_right() {
    for maxmsg in [1, 2] {
        model(&format!("beacon 1S 1R, maxmsg {maxmsg}"), 3, 15, move || {
            let q = lit(maxmsg);
            let r = q.owner(2);
            assert!(send(&r, 1, 0));
            assert_eq!(packets(&r), level(&r));
            let s = q.owner(1);
            let sender = thread::spawn(move || send(&s, 2, 0));
            assert!(receive(&r).is_some());
            sender.join().unwrap();
            assert_eq!(packets(&r), level(&r));
        });
    }
}

#[test]
fn who_has_emptied_it_is_shown_no_message() {
    // While one is about to show its message that message is received.
    model("beacon 1S, receive and poll", 3, 15, || {
        let q = lit(2);
        let r = q.owner(2);
        let receiver = thread::spawn(move || {
            let got = receive(&r).is_some();
            assert!(!got || packets(&r) == 0, "readable, and empty");
        });
        let s = q.owner(1);
        assert!(send(&s, 1, 0));
        receiver.join().unwrap();
        assert_eq!(packets(&s), level(&s));
    });
}

#[test]
fn who_has_filled_it_is_shown_no_room() {
    model("beacon 1R, send and poll", 3, 15, || {
        let q = lit(2);
        let s = q.owner(2);
        assert!(send(&s, 1, 0) && send(&s, 2, 0));
        let sender = thread::spawn(move || {
            let sent = send(&s, 3, 0);
            assert!(!sent || packets(&s) == 2, "writable, and full");
        });
        let r = q.owner(1);
        assert!(receive(&r).is_some());
        sender.join().unwrap();
        assert_eq!(packets(&r), level(&r));
    });
}

#[test]
fn the_only_receiver_finds_what_it_has_seen() {
    model("beacon 1S twice, poll and receive", 3, 15, || {
        let q = lit(3);
        let r = q.owner(2);
        let receiver = thread::spawn(move || {
            for _ in 0..2 {
                while packets(&r) == 0 {
                    thread::yield_now();
                }
                assert!(receive(&r).is_some(), "readable, and empty");
            }
            assert_eq!(packets(&r), 0);
        });
        let s = q.owner(1);
        assert!(send(&s, 1, 0) && send(&s, 2, 0));
        receiver.join().unwrap();
    });
}

#[test]
fn who_makes_it_beside_a_send_overlooks_no_message() {
    model("beacon made beside a send", 3, 10, || {
        let q = Queue::new(2, 2);
        let s = q.owner(1);
        let sender = thread::spawn(move || assert!(send(&s, 1, 0)));
        let p = q.owner(0);
        p.begin_beacon();
        sender.join().unwrap();
        assert_eq!(packets(&p), 1);
    });
}

#[test]
fn two_who_make_it_at_once_leave_it_right() {
    model("beacon made twice", 3, 10, || {
        let q = Queue::new(2, 2);
        let s = q.owner(2);
        assert!(send(&s, 1, 0));
        let other = q.owner(1);
        let other = thread::spawn(move || other.begin_beacon());
        s.begin_beacon();
        assert_eq!(packets(&s), 1);
        other.join().unwrap();
        assert_eq!(packets(&s), 1);
    });
}

const STEPS: &[Step] = &[
    Step::SendPublished,
    Step::SendConfirmed,
    Step::SendUnwoken,
    Step::BeaconLocked,
    Step::BeaconLooked,
    Step::BeaconChanged,
];

#[test]
fn what_a_sender_left_at_any_step_is_mended_by_a_call_that_is_refused() {
    for &step in STEPS {
        for maxmsg in [1, 2] {
            model(&format!("beacon, sender left at {step:?}, {maxmsg}"), 2, 3, move || {
                let q = Arc::new(lit(maxmsg));
                let (dead, all) = (q.owner(1), q.clone());
                let left = thread::spawn(move || {
                    if abandon_at(step, || send(&dead, 1, 0)).is_none() {
                        all.is_dead(1);
                    }
                });
                let r = q.owner(2);
                while receive(&r).is_none() {
                    thread::yield_now();
                }
                left.join().unwrap();
                assert!(receive(&r).is_none());
                r.correct_beacon_if_any();
                assert_eq!(packets(&r), 0);
                assert!(send(&r, 2, 0));
                assert_eq!(packets(&r), level(&r));
            });
        }
    }
}

#[test]
fn what_a_receiver_left_at_any_step_is_mended_by_a_call_that_is_refused() {
    for step in [
        Step::ReceivePublished,
        Step::ReceiveUnwoken,
        Step::BeaconLocked,
        Step::BeaconLooked,
        Step::BeaconChanged,
    ] {
        model(&format!("beacon, receiver left at {step:?}"), 2, 3, move || {
            let q = Arc::new(lit(1));
            let s = q.owner(2);
            assert!(send(&s, 1, 0));
            let (dead, all) = (q.owner(1), q.clone());
            let left = thread::spawn(move || {
                if abandon_at(step, || receive(&dead)).is_none() {
                    all.is_dead(1);
                }
            });
            while !send(&s, 2, 0) {
                thread::yield_now();
            }
            left.join().unwrap();
            assert!(!send(&s, 3, 0));
            s.correct_beacon_if_any();
            assert_eq!(packets(&s), 2);
            assert!(receive(&s).is_some());
            assert_eq!(packets(&s), level(&s));
        });
    }
}

#[test]
fn one_who_was_taken_for_dead_leaves_it_right_when_it_goes_on() {
    for step in [Step::BeaconLocked, Step::BeaconLooked, Step::BeaconChanged] {
        model(&format!("beacon, stopped at {step:?}"), 2, 5, move || {
            let q = Arc::new(lit(3));
            let slow = q.owner(1);
            let (other, all) = (q.owner(2), q.clone());
            // Its lock is taken over, and what it is about to do is done.
            let meanwhile = move || {
                all.is_dead(1);
                other.correct_beacon_if_any();
                assert_eq!(packets(&other), 1);
            };
            let (sent, met) = interrupt_at(step, meanwhile, || send(&slow, 1, 0));
            assert!(sent && met);
            assert_eq!(packets(&slow), 1);
        });
    }
}

#[test]
fn what_was_left_to_a_helper_is_shown_when_its_lease_ends() {
    model("beacon, a lease ends beside a send", 3, 10, || {
        let q = lit(2);
        let helper = q.owner(1);
        helper.take_lease();
        let s = q.owner(2);
        let sender = thread::spawn(move || assert!(send(&s, 1, 0)));
        helper.end_lease();
        sender.join().unwrap();
        assert_eq!(packets(&helper), 1);
    });
}

#[test]
fn what_is_false_is_taken_away_though_there_is_a_lease() {
    model("beacon, a lease and what is false", 3, 10, || {
        let q = lit(2);
        let helper = q.owner(1);
        assert!(send(&helper, 1, 0));
        helper.take_lease();
        let r = q.owner(2);
        assert!(receive(&r).is_some());
        assert_eq!(packets(&r), 0);
        assert!(send(&r, 2, 0));
        assert_eq!(packets(&r), 0, "left to the helper");
        assert!(send(&r, 3, 0));
        assert_eq!(packets(&r), 2);
        assert!(receive(&r).is_some());
        helper.end_lease();
        assert_eq!(packets(&r), 1);
    });
}

#[test]
fn a_message_that_nobody_takes_after_all_is_shown() {
    // Whoever slept is woken for the message, and another takes it; the next one is shown.
    use mqueue_core::shm::Waited;
    model("beacon, sleeper and poller", 2, 20, || {
        let q = lit(2);
        let sleeper = q.owner(1);
        let sleeping = thread::spawn(move || {
            let event = &sleeper.segment().control().wait.0.receivers;
            let look = || {
                let got = receive(&sleeper);
                if got.is_some() && sleeper.queued() > 0 {
                    sleeper.wake_receiver();
                }
                got
            };
            while receive(&sleeper).is_none() {
                let waited = event.wait(look, |word| {
                    sleeper.settle_beacon();
                    Some(event.sleep(word, 0))
                });
                if let Waited::Done(_) = waited {
                    return;
                }
            }
        });
        let s = q.owner(0);
        assert!(send(&s, 1, 0) && send(&s, 2, 0));
        sleeping.join().unwrap();
        assert_eq!(level(&s), 1);
        assert_eq!(packets(&s), 1);
    });
}
