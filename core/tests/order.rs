//! The order of messages and the answers "empty" and "full", under full load: more than
//! a million operations of four processes, each written down with its begin and end, and
//! no two of them in contradiction (see `processes/ledger.rs`).

mod processes;

use processes::ledger::Ledger;
use processes::work::{How, MSGSIZE, Receiver, Sender, Shape, drain};
use processes::{Fate, Stage, begin, spawn};
use std::time::{Duration, Instant};

const MESSAGES: u64 = 40_000;
const ANSWERS: usize = 60_000;

fn main() {
    begin(300);
    let begun = Instant::now();
    let mut operations = 0;
    for shape in [Shape::Lane, Shape::Four, Shape::All] {
        for depth in [1, 10, 64] {
            operations += check(shape, depth);
        }
    }
    println!(
        "order: {operations} operations, {:.1} s, all in order",
        begun.elapsed().as_secs_f64()
    );
    assert!(operations > 1_000_000, "too few operations to say anything");
}

/// Two senders and two receivers that never wait.
fn check(shape: Shape, depth: u64) -> usize {
    let stage = Stage::new(depth, MSGSIZE as u64);
    let ledger = Ledger::new(3 * MESSAGES as usize, ANSWERS);
    let mut senders: Vec<_> = (1..3)
        .map(|number| {
            spawn(|| {
                let queue = stage.open();
                let mut sender = Sender::new(&ledger, &queue, number, How::Try, shape, number);
                for _ in 0..MESSAGES {
                    sender.send_one(|| false);
                }
            })
        })
        .collect();
    let mut receivers: Vec<_> = (1..3)
        .map(|number| {
            spawn(|| {
                let queue = stage.open();
                let mut receiver = Receiver::new(&ledger, &queue, number, How::Try, number);
                while receiver.receive_one() {}
            })
        })
        .collect();
    let patience = Duration::from_secs(60);
    for child in &mut senders {
        assert_eq!(child.wait(patience), Fate::Exited(0), "a sender");
    }
    for _ in &receivers {
        assert!(processes::work::send_pill(&stage.queue, patience), "no room for a pill");
    }
    for child in &mut receivers {
        assert_eq!(child.wait(patience), Fate::Exited(0), "a receiver");
    }
    drain(&ledger, &stage.queue, 99);

    let verdict = ledger.judge(depth as usize);
    println!("{shape:?} depth {depth}: {verdict:?}");
    assert_eq!(verdict.received as u64, 2 * MESSAGES);
    assert!(verdict.is_good(0), "{verdict:?}");
    assert_eq!((verdict.wrong_empty, verdict.wrong_full), (0, 0), "{verdict:?}");
    stage.check_as_new().unwrap();
    verdict.sent + verdict.received + verdict.empty_answers + verdict.full_answers
}
