//! Sleeping until there is a message, or room.

use super::*;
use loom::thread;
use mqueue_core::shm::Waited;

/// Receive as the waiting layer does: try, then rounds of waiting.
pub fn receive_sleeping(q: &Engine) -> (u8, u32) {
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
fn a_shutdown_wakes_all_who_sleep() {
    model("eventcount shutdown", 2, 10, || {
        let q = Queue::new(1, 2);
        let sleepers: Vec<_> = [1, 2]
            .map(|k| {
                let r = q.owner(k);
                thread::spawn(move || {
                    let wait = &r.segment().control().wait.0;
                    let event = if k == 1 { &wait.receivers } else { &wait.pollers };
                    let look = || {
                        let mut value = 0;
                        // SAFETY: one writable byte.
                        match unsafe { r.try_receive(&mut value, 1, Look::Close) } {
                            Err(Refused::Shut) => Some(()),
                            Err(Refused::WouldBlock) => None,
                            other => panic!("receive: {other:?}"),
                        }
                    };
                    while look().is_none() {
                        event.wait(look, |announced| Some(event.sleep(announced, 0)));
                    }
                })
            })
            .into();
        q.owner(0).shut().unwrap();
        for sleeper in sleepers {
            sleeper.join().unwrap();
        }
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
