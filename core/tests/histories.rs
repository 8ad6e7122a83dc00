//! Short histories of the real engine, each searched for an order in which a plain queue
//! gives the same answers (`history/search.rs`): tens of thousands of races of two to four
//! processes or threads on a queue of one to three messages.
//!
//! `make order OPERATIONS=100000000 SEED=1` is the long form; a short one is in `make test`.
//!
//! A troupe plays many rounds on one queue. In each, the first of them brings the queue
//! into some state, alone: a lane, mixed, partly full. Then all call at the same time, a few
//! times each, and at the end the first one takes what is left. In half of the troupes
//! everybody is slow at random steps of the algorithms, which is where races are lost.

mod processes;

use mqueue_core::deadline::Wait;
use mqueue_core::fault::unsettle;
use mqueue_core::shm::ShmQueue;
use mqueue_core::sync::Ordering::SeqCst;
use mqueue_core::sync::{AtomicU64, pause, yield_now};
use mqueue_core::transport::Transport as _;
use processes::history::intervals::judge;
use processes::history::search::order;
use processes::history::{Deed, Operation, Which, story};
use processes::ledger::{Shared, id};
use processes::log::{Caller, Log};
use processes::work::MSGSIZE;
use processes::{Fate, Rng, Stage, begin, check_clock, now, number, open_inside, or_end, spawn};
use std::time::{Duration, Instant};

/// Rounds of a troupe.
const ROUNDS: usize = 400;
/// Calls of one player in a round at most.
const CALLS: usize = 24;

/// What a troupe is like.
#[derive(Clone, Copy, Debug)]
struct Troupe {
    depth: u64,
    players: usize,
    levels: u64,
    are_threads: bool,
    are_slow: bool,
    /// Some receives are out of turn.
    takes: bool,
    /// Of ten calls so many may wait.
    waits: u64,
}

#[derive(Default, Debug)]
struct Tally {
    operations: usize,
    histories: usize,
    /// In which at least two calls overlapped.
    races: usize,
    empty: usize,
    full: usize,
    timed_out: usize,
}

fn main() {
    // Searching is slower than the fast judge's work, which gets so many.
    let operations = number("OPERATIONS", 6_000_000) as usize / 10;
    let seed = number("SEED", now() >> 10);
    begin(300 + (operations / 5_000) as u32);
    println!("histories: OPERATIONS={} SEED={seed}", operations * 10);
    check_clock();
    let mut rng = Rng::new(seed);
    let mut tally = Tally::default();
    let begun = Instant::now();
    let mut troupes = 0;
    while tally.operations < operations || troupes < 24 {
        let troupe = Troupe {
            depth: 1 + troupes % 3,
            players: 2 + (troupes / 3) as usize % 3,
            levels: 1 + rng.below(3),
            are_threads: rng.one_in(2),
            are_slow: troupes % 2 == 0,
            takes: rng.one_in(4),
            waits: [0, 2, 5][rng.below(3) as usize],
        };
        play(troupe, seed, rng.next(), &mut tally);
        troupes += 1;
    }
    println!(
        "histories: {} of {} operations, {:.1} s: {tally:?}, each has an order",
        tally.histories,
        tally.operations,
        begun.elapsed().as_secs_f64(),
    );
    assert!(tally.races * 10 > tally.histories, "too few races to say anything");
    assert!(tally.empty > 0 && tally.full > 0 && tally.timed_out > 0, "{tally:?}");
}

/// Where players wait for each other.
struct Meeting {
    arrivals: Shared<AtomicU64>,
    players: u64,
}

impl Meeting {
    /// Wait until all have come for the `nth` time (from 1).
    fn wait(&self, nth: u64) {
        self.arrivals[0].fetch_add(1, SeqCst);
        let mut looks = 0;
        while self.arrivals[0].load(SeqCst) < nth * self.players {
            looks += 1;
            if looks < 400 { pause() } else { yield_now() }
        }
    }
}

/// Let a troupe play, and judge every round.
fn play(troupe: Troupe, seed: u64, own_seed: u64, tally: &mut Tally) {
    let stage = Stage::new(troupe.depth, MSGSIZE as u64);
    let players = troupe.players;
    let log = Log::new(players * ROUNDS, CALLS);
    let meeting = Meeting { arrivals: Shared::new(1), players: players as u64 };
    let play_one = |k: usize, queue: &ShmQueue| {
        let mut rng = Rng::new(own_seed + k as u64);
        if troupe.are_slow {
            unsettle(own_seed + k as u64);
        }
        for round in 0..ROUNDS {
            let caller = Caller::new(queue, &log, round * players + k, CALLS);
            let mut player =
                Player { troupe, caller, rng: Rng::new(rng.next()), number: k as u64, sent: 0 };
            if k == 0 {
                player.prepare(queue);
            }
            meeting.wait(2 * round as u64 + 1);
            player.race();
            meeting.wait(2 * round as u64 + 2);
            if k == 0 {
                while player.caller.receive(Wait::Never).is_some() {}
            }
        }
    };
    let open = || open_inside(&stage.name, libc::O_RDWR, &stage.options);
    let mut children = vec![];
    if troupe.are_threads {
        children.push(spawn(|| {
            let queue = open();
            std::thread::scope(|threads| {
                for k in 0..players {
                    let (play_one, queue) = (&play_one, &queue);
                    threads.spawn(move || or_end(|| play_one(k, queue)));
                }
            });
        }));
    } else {
        children.extend((0..players).map(|k| spawn(|| play_one(k, &open()))));
    }
    for child in &mut children {
        assert_eq!(child.wait(Duration::from_secs(200)), Fate::Exited(0), "{troupe:?}");
    }
    stage.check_as_new().unwrap();
    for round in 0..ROUNDS {
        let callers = round * players..(round + 1) * players;
        let operations: Vec<Operation> = callers.flat_map(|k| log.operations(k)).collect();
        let verdict = judge(&operations, troupe.depth as usize);
        let found = order(&operations, troupe.depth as usize);
        if let Err(stuck) = &found {
            println!("histories: FAILED, SEED={seed}, {troupe:?}, round {round}");
            println!("{}", story(&operations));
            println!("fast judge: {verdict:?}");
            let longest: Vec<Operation> = stuck.order.iter().map(|&k| operations[k]).collect();
            println!("no order; the longest beginning of one: {longest:#?}");
            std::process::exit(1);
        }
        assert!(verdict.is_right(), "has an order, yet {verdict:?}\n{}", story(&operations));
        count(&operations, tally);
    }
}

fn count(operations: &[Operation], tally: &mut Tally) {
    let overlap =
        |a: &Operation| operations.iter().any(|b| a != b && a.begin <= b.begin && b.begin <= a.end);
    tally.operations += operations.len();
    tally.histories += 1;
    tally.races += usize::from(operations.iter().any(overlap));
    let refused = operations.iter().filter(|o| matches!(o.deed, Deed::Full | Deed::Empty(_)));
    tally.timed_out += refused.filter(|o| o.end - o.begin > 1_000_000).count();
    tally.full += operations.iter().filter(|o| o.deed == Deed::Full).count();
    tally.empty += operations.iter().filter(|o| matches!(o.deed, Deed::Empty(_))).count();
}

struct Player<'a> {
    troupe: Troupe,
    caller: Caller<'a>,
    rng: Rng,
    number: u64,
    sent: u64,
}

impl Player<'_> {
    fn send(&mut self, prio: u64, wait: Wait) {
        self.sent += 1;
        self.caller.send(id(self.number, prio as u32, self.sent), 1, wait);
    }

    /// Leave the queue as one of many kinds of pasts may leave it.
    fn prepare(&mut self, queue: &ShmQueue) {
        // Enough of one priority to become a lane, or not; of this, nothing is left.
        for _ in 0..[0, 1, 40][self.rng.below(3) as usize] {
            let mut byte = 0;
            // SAFETY: one readable, one writable byte; MSGSIZE is not needed for one of one.
            unsafe {
                queue.send(&byte, 1, 0, Wait::Never).expect("empty, so there is room");
                queue.receive(&mut byte, 1, Wait::Never).expect("it was just sent");
            }
        }
        for _ in 0..self.rng.below(self.troupe.depth + 1) {
            let prio = self.rng.below(self.troupe.levels);
            self.send(prio, Wait::Never);
        }
    }

    fn race(&mut self) {
        for _ in 0..self.rng.below(200) {
            pause();
        }
        // At most twenty calls in all.
        for _ in 0..2 + self.rng.below(14 / self.troupe.players as u64) {
            let wait = match self.rng.below(10) {
                n if n >= self.troupe.waits => Wait::Never,
                0 => Wait::For(1_000_000),
                _ => Wait::For(1 + self.rng.below(40_000) as i64),
            };
            let prio = self.rng.below(self.troupe.levels);
            match self.rng.below(20) {
                0..10 => self.send(prio, wait),
                10 if self.troupe.takes => drop(self.caller.take(Which::Lowest)),
                11 if self.troupe.takes => drop(self.caller.take(Which::Of(prio as u32))),
                _ => drop(self.caller.receive(wait)),
            }
        }
    }
}
