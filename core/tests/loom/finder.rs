//! The finder: it may be wrong, and misses nothing.

use super::*;
use loom::thread;
use mqueue_core::fault::{Step, abandon_at};

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
        let q = Queue::new(4, 2);
        let s = q.owner(0);
        assert!(send(&s, 7, 7) && send(&s, 9, 9) && send(&s, 10, 10));
        // The other three slots are in the hands of one that is stopped.
        let stopped = q.owner(1);
        for _ in 0..3 {
            assert!(abandon_at(Step::SendClaimed, || send(&stopped, 0, 0)).is_none());
        }
        assert_eq!(receive(&s), Some((10, 10)));
        let mut value = 0;
        // SAFETY: one writable byte.
        let took = unsafe { s.try_take(&mut value, 1, |prio, _| (prio == 9).then_some(1)) };
        assert_eq!((took, value), (Ok((1, 9)), 9));
        // That was past the finder, which still has an entry of it. One of these two gets its
        // slot, and neither is the best.
        assert!(send(&s, 5, 5) && send(&s, 0, 0));
        assert_eq!(drain(&s), [7, 5, 0]);
    });
}

/// Send and receive as a script of pseudo-random numbers says, beside a plain list.
fn follow_a_script(mut seed: u32, priorities: u32, steps: u32) {
    let q = Queue::new(18, 4);
    let handles = [q.owner(0), q.owner(1)];
    let mut expected: Vec<(u8, u32)> = vec![];
    for step in 0..steps {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let handle = &handles[step as usize % 2];
        // Mostly towards full, then mostly towards empty.
        let sends = (seed >> 28) < if step / 40 % 2 == 0 { 11 } else { 5 };
        if sends {
            let prio = seed >> 8 & 0xFFFF;
            let prio = prio % priorities;
            let fits = expected.len() < 18;
            assert_eq!(send(handle, step as u8, prio), fits, "at step {step}");
            if fits {
                expected.push((step as u8, prio));
            }
        } else {
            let best = expected.iter().map(|m| m.1).max();
            let at = expected.iter().position(|m| Some(m.1) == best);
            assert_eq!(receive(handle), at.map(|at| expected.remove(at)), "at step {step}");
        }
    }
}

#[test]
fn many_messages_come_in_the_order_of_a_plain_list() {
    // More than a node of the heap has children, and more than a narrow counter counts.
    for (seed, priorities) in [(1, 3), (2, 40), (3, 32_768)] {
        model(&format!("script {seed}"), 0, 5, move || follow_a_script(seed, priorities, 250));
    }
}

#[test]
fn a_message_that_waits_for_a_whole_round_of_counts_makes_no_lane() {
    // With narrow counters its number is then, as a receive count, that of the next message.
    model("a round of counts", 0, 5, || {
        let q = Queue::new(3, 3);
        let s = q.owner(0);
        assert!(send(&s, 1, 0));
        for _ in 0..31 {
            assert!(send(&s, 9, 9));
            assert_eq!(receive(&s), Some((9, 9)));
        }
        assert!(send(&s, 2, 0) && send(&s, 9, 9));
        assert_eq!(receive(&s), Some((9, 9)));
        assert_eq!(drain(&s), [1, 2]);
        assert!(send(&s, 3, 0) && send(&s, 4, 5));
        assert_eq!(drain(&s), [4, 3]);
    });
}
