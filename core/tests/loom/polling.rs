//! Who waits for a queue among several: never asleep beside a message, or beside room.

use super::*;
use loom::thread;
use mqueue_core::fault::{Step, abandon_at};
use mqueue_core::shm::Waited;
use mqueue_core::shm::poll::event::{READABLE, WRITABLE};

/// Wait as for several queues: announce, mark, look, sleep, and again.
fn poll(q: &Engine, events: u32) {
    let pollers = q.pollers();
    let look = || {
        q.mark(events);
        (q.ready() & events != 0).then_some(())
    };
    while q.ready() & events == 0 {
        if let Waited::Done(()) = pollers.wait(look, |word| Some(pollers.sleep(word, 0))) {
            return;
        }
    }
}

#[test]
fn no_message_is_slept_through_by_one_who_polls() {
    model("poller 1S 1P", 3, 5, || {
        let q = Queue::new(1, 2);
        let p = q.owner(1);
        let poller = thread::spawn(move || poll(&p, READABLE));
        let s = q.owner(0);
        assert!(send(&s, 1, 0));
        poller.join().unwrap();
    });
}

#[test]
fn no_room_is_slept_through_by_one_who_polls() {
    model("poller 1R 1P", 3, 5, || {
        let q = Queue::new(1, 2);
        let r = q.owner(0);
        assert!(send(&r, 1, 0));
        let p = q.owner(1);
        let poller = thread::spawn(move || poll(&p, WRITABLE));
        assert_eq!(receive(&r), Some((1, 0)));
        poller.join().unwrap();
    });
}

#[test]
fn one_message_wakes_all_who_poll() {
    // The mark is one, and the wake of who finds it must do for both.
    model("poller 1S 2P", 2, 10, || {
        let q = Queue::new(1, 2);
        let pollers: Vec<_> = (1..3)
            .map(|k| {
                let p = q.owner(k);
                thread::spawn(move || poll(&p, READABLE))
            })
            .collect();
        let s = q.owner(0);
        assert!(send(&s, 1, 0));
        for poller in pollers {
            poller.join().unwrap();
        }
    });
}

#[test]
fn two_changes_wake_one_who_polls_for_both() {
    // A mark of one side is used up by a change that is undone before the poller looks.
    model("poller 1S 1R 1P", 2, 10, || {
        let q = Queue::new(1, 2);
        let p = q.owner(1);
        let poller = thread::spawn(move || poll(&p, READABLE));
        let s = q.owner(0);
        assert!(send(&s, 1, 0));
        assert_eq!(receive(&s), Some((1, 0)));
        assert!(send(&s, 2, 0));
        poller.join().unwrap();
    });
}

const STEPS: &[Step] = &[
    Step::SendPublished,
    Step::SendConfirmed,
    Step::SendHinted,
    Step::SendIndexed,
    Step::SendUnwoken,
    Step::WakeUnmarked,
    Step::WakeUntouched,
];

#[test]
fn what_a_sender_left_at_any_step_has_sent_is_seen_by_the_next_look() {
    for &step in STEPS {
        model(&format!("poller, sender left at {step:?}"), 2, 2, move || {
            let q = Queue::new(2, 2);
            let dead = q.owner(1);
            let left = thread::spawn(move || abandon_at(step, || send(&dead, 11, 0)));
            let p = q.owner(2);
            let announced = p.pollers().announce();
            p.mark(READABLE);
            let _ = p.ready();
            p.pollers().withdraw(announced);
            // It was sent: the tail names it.
            left.join().unwrap();
            assert_eq!(p.ready() & READABLE, READABLE);
            // And the next sender finds the next mark.
            let again = p.clone();
            assert!(receive(&p).is_some());
            let poller = thread::spawn(move || poll(&again, READABLE));
            let s = q.owner(3);
            assert!(send(&s, 12, 0));
            poller.join().unwrap();
        });
    }
}
