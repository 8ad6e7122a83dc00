//! The registration for notification.

use super::waiting::receive_sleeping;
use super::*;
use loom::thread;
use mqueue_core::fault::{Step, abandon_at};
use mqueue_core::shm::{Arrival, Ticket};

#[test]
fn a_registration_fires_exactly_when_the_queue_was_empty() {
    model("notification", 2, 7, || {
        let q = Queue::new(2, 2);
        let owner = q.owner(0);
        let ticket = owner.register(false).unwrap();
        let senders: Vec<_> = (1..3u8)
            .map(|k| {
                let s = q.owner(k as u32);
                thread::spawn(move || assert!(send(&s, k, k as u32)))
            })
            .collect();
        senders.into_iter().for_each(|s| s.join().unwrap());
        assert!(matches!(owner.arrival(ticket), Arrival::Arrived { pid: 1 | 2, .. }), "silent");
        let again = owner.register(false).unwrap();
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
        let ticket = owner.register(false).unwrap();
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

/// A receiver that is woken may come to complete the notification that it was woken for.
fn expect_silence_beside_a_sleeper(name: &str, queue: fn() -> Queue) {
    model(name, 3, 10, move || {
        let q = queue();
        let owner = q.owner(0);
        let ticket = owner.register(false).unwrap();
        let r = q.owner(1);
        let receiver = thread::spawn(move || receive_sleeping(&r).0);
        let s = q.owner(2);
        let slept = owner.segment().control().wait.0.receivers.sleepers() > 0;
        assert!(send(&s, 1, 0));
        assert_eq!(receiver.join().unwrap(), 1);
        if slept {
            assert_eq!(owner.arrival(ticket), Arrival::Waiting, "fired beside a receiver");
        }
    });
}

#[test]
fn a_message_for_a_sleeping_receiver_does_not_fire() {
    expect_silence_beside_a_sleeper("notification, 1R asleep", || Queue::new(2, 2));
}

#[test]
fn a_message_for_a_sleeping_receiver_does_not_fire_in_mixed_mode() {
    expect_silence_beside_a_sleeper("notification, 1R asleep, mixed", || {
        let q = settled(2, 2);
        assert_eq!(receive(&q.owner(0)), Some((1, 0)));
        q
    });
}

#[test]
fn a_sender_left_before_the_wake_leaves_it_to_the_next() {
    model("caller left before the wake", 3, 5, || {
        let q = Queue::new(2, 2);
        let owner = q.owner(0);
        let ticket = owner.register(false).unwrap();
        let r = q.owner(1);
        let receiver = thread::spawn(move || receive_sleeping(&r).0);
        let dead = q.owner(2);
        abandon_at(Step::NotifyCalled, || send(&dead, 1, 0));
        // It wakes who sleeps, or fires if nobody does and nobody was called.
        owner.watch_arrival(ticket, 0);
        assert_eq!(receiver.join().unwrap(), 1);
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
            let ticket = owner.register(false).unwrap();
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
                    let ticket = dead.register(false).unwrap();
                    dead.deregister(ticket);
                })
            });
            let s = q.owner(2);
            assert!(send(&s, 1, 0));
            left.join().unwrap();
            q.is_dead(1);
            same(drain(&s), vec![1]);
            let owner = q.owner(0);
            let ticket = owner.register(false).expect("a dead registrant made it busy");
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
        let ticket = owner.register(false).unwrap();
        let s = q.owner(1);
        let sender = thread::spawn(move || assert!(send(&s, 1, 0)));
        let dropped = owner.deregister(ticket);
        sender.join().unwrap();
        let next = q.owner(2).register(false);
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
        let ticket = owner.register(false).unwrap();
        assert!(tail(&owner).is_settled());
        let s = q.owner(1);
        let sender = thread::spawn(move || assert!(send(&s, 2, 5)));
        assert!(send(&owner, 3, 7));
        sender.join().unwrap();
        assert!(matches!(owner.arrival(ticket), Arrival::Arrived { pid: 0 | 1, .. }), "silent");
        let again = owner.register(false).unwrap();
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
        let ticket = owner.register(false).unwrap();
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
                    if let Ok(ticket) = stopped.register(false) {
                        stopped.deregister(ticket);
                    }
                })
            });
            let owner = q.owner(0);
            let first = owner.register(false);
            left.join().unwrap();
            let mut ticket = first.ok();
            // One message for what it had registered, one more if it was dropping that.
            for _ in 0..2 {
                if ticket.is_none() {
                    assert!(send(&owner, 1, 0));
                    same(drain(&owner), vec![1]);
                    ticket = owner.register(false).ok();
                }
            }
            let ticket = ticket.expect("busy for ever");
            assert!(send(&owner, 2, 0));
            assert!(matches!(owner.arrival(ticket), Arrival::Arrived { .. }));
        });
    }
}

/// How often a registration that stays is delivered until nothing is left to deliver.
fn deliveries(owner: &Engine, ticket: &mut Ticket) -> u32 {
    let mut count = 0;
    while owner.arrival(*ticket) != Arrival::Waiting {
        *ticket = owner.renew(*ticket);
        count += 1;
    }
    count
}

/// How often it has fired.
fn times_fired(owner: &Engine) -> u64 {
    owner.segment().control().notify.0.fired.load(SeqCst) >> 40
}

#[test]
fn one_that_stays_fires_once_however_many_complete_it() {
    model("a registration that stays, three to complete it", 3, 8, || {
        let q = Queue::new(3, 2);
        let owner = q.owner(0);
        let mut ticket = owner.register(true).unwrap();
        let s = q.owner(1);
        let sender = thread::spawn(move || assert!(send(&s, 1, 0)));
        let s = q.owner(2);
        let another = thread::spawn(move || assert!(send(&s, 2, 0)));
        owner.watch_arrival(ticket, 0);
        sender.join().unwrap();
        another.join().unwrap();
        assert_eq!(times_fired(&owner), 1, "one arrival on the empty queue");
        assert_eq!(deliveries(&owner, &mut ticket), 1);
        assert!(q.owner(3).register(false).is_err(), "it stays");
        same(drain(&owner), vec![1, 2]);
        assert!(send(&owner, 3, 0));
        assert_eq!(deliveries(&owner, &mut ticket), 1, "silent the second time");
    });
}

#[test]
fn one_that_stays_tells_of_what_comes_after_the_drain() {
    // Nobody registers again: what the receiver leaves behind must be told.
    model("a registration that stays beside a drain", 3, 8, || {
        let q = Queue::new(2, 2);
        let owner = q.owner(0);
        let mut ticket = owner.register(true).unwrap();
        let helper = {
            let owner = owner.clone();
            thread::spawn(move || {
                let told = deliveries(&owner, &mut ticket) > 0;
                (if told { drain(&owner) } else { vec![] }, ticket)
            })
        };
        let s = q.owner(1);
        assert!(send(&s, 1, 0) && send(&s, 2, 0));
        let (mut got, mut ticket) = helper.join().unwrap();
        if got.len() < 2 {
            assert!(deliveries(&owner, &mut ticket) > 0, "silent over a message");
            got.extend(drain(&owner));
        }
        assert_eq!(got, [1, 2]);
    });
}

#[test]
fn a_sender_left_in_a_notification_that_stays_leaves_it_to_the_next() {
    for step in [Step::SendPublished, Step::SendIndexed, Step::NotifyFired, Step::NotifyUnwoken] {
        model(&format!("notifier of one that stays left at {step:?}"), 2, 2, move || {
            let q = Queue::new(2, 2);
            let owner = q.owner(0);
            let mut ticket = owner.register(true).unwrap();
            let helper = {
                let owner = owner.clone();
                thread::spawn(move || owner.watch_arrival(ticket, 0))
            };
            let dead = q.owner(1);
            abandon_at(step, || send(&dead, 1, 0));
            helper.join().unwrap();
            owner.watch_arrival(ticket, 0);
            assert_eq!(times_fired(&owner), 1);
            assert_eq!(deliveries(&owner, &mut ticket), 1);
            same(drain(&owner), vec![1]);
            assert!(owner.deregister(ticket));
            assert!(q.owner(2).register(true).is_ok());
        });
    }
}

#[test]
fn one_that_stays_and_is_dropped_beside_a_send_makes_room() {
    model("deregister one that stays beside send", 3, 5, || {
        let q = Queue::new(2, 2);
        let owner = q.owner(0);
        let ticket = owner.register(true).unwrap();
        let s = q.owner(1);
        let sender = thread::spawn(move || assert!(send(&s, 1, 0)));
        assert!(owner.deregister(ticket), "nobody else can use it up");
        sender.join().unwrap();
        let next = q.owner(2);
        let next_ticket = next.register(false).expect("still busy");
        assert_eq!(next.arrival(next_ticket), Arrival::Waiting);
        same(drain(&owner), vec![1]);
    });
}
