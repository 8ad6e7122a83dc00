//! Small cases whose every answer is written down and put before the search for an order.

use super::history::chronicle::Chronicle;
use super::*;
use loom::thread;

/// Send and receive with every answer written down.
fn play(story: &Chronicle, q: &Engine, sends: &[(u8, u32)], receives: usize) {
    for &(value, prio) in sends {
        story.send(value, prio, || send(q, value, prio));
    }
    for _ in 0..receives {
        story.receive(|| receive(q));
    }
}

#[test]
fn a_send_and_a_receive_each_beside_two_sends_have_an_order() {
    model("2 calls beside 2 sends have an order", 3, 5, || {
        let q = Queue::new(2, 2);
        let story = Chronicle::new();
        let s = q.owner(0);
        play(&story, &s, &[(1, 0), (2, 5)], 1);
        let (a, his) = (q.owner(1), story.clone());
        let other = thread::spawn(move || play(&his, &a, &[(3, 9)], 1));
        play(&story, &s, &[(4, 9), (5, 0)], 0);
        other.join().unwrap();
        play(&story, &s, &[], 3);
        story.judge(2);
    });
}

#[test]
fn two_sends_into_the_last_place_beside_a_receive_have_an_order() {
    model("2S 1R of a nearly full mixed queue have an order", 3, 5, || {
        let q = Queue::new(3, 3);
        let story = Chronicle::new();
        let r = q.owner(0);
        play(&story, &r, &[(1, 0), (2, 5)], 0);
        let senders: Vec<_> = [(3, 9), (4, 0)]
            .into_iter()
            .map(|message| {
                let (s, its) = (q.owner(message.0 as u32), story.clone());
                thread::spawn(move || play(&its, &s, &[message], 0))
            })
            .collect();
        play(&story, &r, &[], 1);
        for sender in senders {
            sender.join().unwrap();
        }
        play(&story, &r, &[], 4);
        story.judge(3);
    });
}
