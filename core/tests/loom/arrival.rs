//! The registration for notification.

use super::*;
use loom::thread;
use mqueue_core::fault::{Step, abandon_at};
use mqueue_core::shm::Arrival;

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

#[test]
fn an_arrival_on_an_emptied_settled_queue_fires() {
    model("notification, settled", 2, 5, || {
        let q = settled(2, 2);
        let owner = q.owner(0);
        assert_eq!(receive(&owner), Some((1, 0)));
        let ticket = owner.register().unwrap();
        assert!(tail(&owner).is_settled());
        let s = q.owner(1);
        let sender = thread::spawn(move || assert!(send(&s, 2, 5)));
        assert!(send(&owner, 3, 7));
        sender.join().unwrap();
        assert!(matches!(owner.arrival(ticket), Arrival::Arrived { pid: 0 | 1, .. }), "silent");
        let again = owner.register().unwrap();
        assert_eq!(owner.arrival(again), Arrival::Waiting, "fired on a queue that is not empty");
        assert_eq!(drain(&owner), [3, 2]);
    });
}

#[test]
fn a_higher_message_beside_the_receive_of_the_last_is_not_silent() {
    // The receive of the lower one counts before the send, which so arrives on an empty
    // queue, though the head still says otherwise.
    model("arrival beside a settled receive", 3, 5, || {
        let q = settled(2, 2);
        let owner = q.owner(0);
        let ticket = owner.register().unwrap();
        let s = q.owner(1);
        let sender = thread::spawn(move || assert!(send(&s, 2, 5)));
        let got = receive(&owner).expect("empty, yet one queued").0;
        sender.join().unwrap();
        if got == 1 {
            assert!(matches!(owner.arrival(ticket), Arrival::Arrived { .. }), "silent");
        }
        assert_eq!(drain(&owner), [3 - got]);
    });
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
