//! The order of messages and the answers "empty" and "full" under full load: millions of
//! calls by up to eight processes or threads, each written down with its begin and end,
//! and no two of them in contradiction (`history/intervals.rs`).
//!
//! `make order OPERATIONS=100000000 SEED=1` is the long form, once as users run the engine
//! and once with everybody slow at random steps of it; a short one is in `make test`.
//!
//! The run is a row of scenes. Each deals anew what they differ in, so that every value
//! of each comes up again and again, in ever other company.

mod processes;

use mqueue_core::sync::AtomicU64;
use mqueue_core::sync::Ordering::SeqCst;
use processes::history::intervals::{Verdict, judge};
use processes::history::{Operation, Which, story};
use processes::ledger::{PILL, Shared, id};
use processes::log::{Caller, Log};
use processes::work::{How, MSGSIZE};
use processes::{
    Fate, Rng, Stage, begin, check_clock, now, number, open_inside, or_end, pause, spawn,
};
use std::time::{Duration, Instant};

/// Messages of a scene.
const MESSAGES: usize = 8_000;
/// Answers "full" and "empty" written down by each caller.
const ANSWERS: usize = 4_000;

/// Which priorities are sent.
#[derive(Clone, Copy, Debug)]
enum Levels {
    Few(u64),
    /// Now one, now four: from a lane to mixed and back.
    Changing,
    /// Many, but nearly in the order in which they are sent, like those of a lane.
    Falling,
}

/// What a scene is like.
#[derive(Clone, Copy, Debug)]
struct Scene {
    depth: u64,
    levels: Levels,
    senders: usize,
    receivers: usize,
    /// How each call waits; `None`: now so, now so.
    how: Option<How>,
    are_threads: bool,
    /// Some receives are out of turn.
    takes: bool,
    /// Everybody is slow at random steps of the algorithms (feature `faults`).
    are_slow: bool,
}

/// Values that come in random order, and each as often as the others.
struct Deck<T>(Vec<T>, usize);

impl<T: Copy> Deck<T> {
    fn deal(&mut self, rng: &mut Rng) -> T {
        if self.1 == 0 {
            self.1 = self.0.len();
        }
        let at = rng.below(self.1 as u64) as usize;
        self.1 -= 1;
        self.0.swap(at, self.1);
        self.0[self.1]
    }
}

fn main() {
    let short = if cfg!(feature = "faults") { 2_000_000 } else { 6_000_000 };
    let operations = number("OPERATIONS", short) as usize;
    let seed = number("SEED", now() >> 10);
    begin(300 + (operations / 20_000) as u32);
    println!("order: OPERATIONS={operations} SEED={seed}");
    check_clock();
    let mut rng = Rng::new(seed);
    let mut depths = Deck(vec![1, 2, 10, 64], 0);
    let few = [1, 2, 32, 32768].map(Levels::Few);
    let mut levels = Deck([&few[..], &[Levels::Changing, Levels::Falling]].concat(), 0);
    let mut crowds = Deck((0..16).map(|k| (1 + k / 4, 1 + k % 4)).collect(), 0);
    let mut hows = Deck(vec![Some(How::Try), Some(How::Timed), Some(How::Block), None], 0);
    let mut homes = Deck(vec![false, true], 0);
    let mut takes = Deck(vec![false, false, true], 0);
    let begun = Instant::now();
    let mut all = Verdict::default();
    let mut scenes = 0;
    // At least once round everything.
    while all.operations() < operations || scenes < 16 {
        let (senders, receivers) = crowds.deal(&mut rng);
        let scene = Scene {
            depth: depths.deal(&mut rng),
            levels: levels.deal(&mut rng),
            senders,
            receivers,
            how: hows.deal(&mut rng),
            are_threads: homes.deal(&mut rng),
            takes: takes.deal(&mut rng),
            are_slow: cfg!(feature = "faults") && scenes % 3 > 0,
        };
        let operations = play(scene, rng.next());
        let verdict = judge(&operations, scene.depth as usize);
        if !verdict.is_right() {
            println!("order: FAILED, SEED={seed}, scene {scenes}, {scene:?}: {verdict:?}");
            println!("{}", excerpt(&operations, verdict.when.unwrap_or_default()));
            std::process::exit(1);
        }
        scenes += 1;
        all.sent += verdict.sent;
        all.received += verdict.received;
        all.empty_answers += verdict.empty_answers;
        all.full_answers += verdict.full_answers;
    }
    println!(
        "order: {} operations in {scenes} scenes, {:.1} s: {} sent, {} received, {} \"empty\", \
         {} \"full\", all in order",
        all.operations(),
        begun.elapsed().as_secs_f64(),
        all.sent,
        all.received,
        all.empty_answers,
        all.full_answers,
    );
    assert!(all.empty_answers > 0 && all.full_answers > 0, "nobody was refused");
}

/// What happened around the first mistake.
fn excerpt(operations: &[Operation], (begin, end): (u64, u64)) -> String {
    let is_near = |o: &&Operation| o.end + 1000 >= begin && o.begin <= end + 1000;
    let near: Vec<Operation> = operations.iter().filter(is_near).take(80).copied().collect();
    format!("at [{begin} {end}]\n{}", story(&near))
}

/// Let all send and receive; what they did.
fn play(scene: Scene, seed: u64) -> Vec<Operation> {
    let Scene { depth, senders, receivers, .. } = scene;
    let stage = Stage::new(depth, MSGSIZE as u64);
    let callers = senders + receivers;
    let log = Log::new(callers + 1, MESSAGES + ANSWERS + 64);
    let sent: Shared<AtomicU64> = Shared::new(1);
    let play_one = |k: usize, queue: &_| {
        if scene.are_slow {
            #[cfg(feature = "faults")]
            mqueue_core::fault::unsettle(seed + k as u64);
        }
        let rng = Rng::new(seed + k as u64);
        let caller = Caller::new(queue, &log, k, ANSWERS);
        if k < senders {
            send_all(scene, k as u64, caller, rng);
            sent[0].fetch_add(1, SeqCst);
        } else {
            receive_all(scene, caller, rng);
        }
    };
    let open = || open_inside(&stage.name, libc::O_RDWR, &stage.options);
    let mut children = vec![];
    if scene.are_threads {
        children.push(spawn(|| {
            let queue = open();
            std::thread::scope(|threads| {
                for k in 0..callers {
                    let (play_one, queue) = (&play_one, &queue);
                    threads.spawn(move || or_end(|| play_one(k, queue)));
                }
            });
        }));
    } else {
        children.extend((0..callers).map(|k| spawn(|| play_one(k, &open()))));
    }
    while sent[0].load(SeqCst) < senders as u64 {
        for child in &mut children {
            assert!(matches!(child.look(), Fate::Running | Fate::Exited(0)), "{scene:?}");
        }
        pause(Duration::from_micros(500));
    }
    let mut last = Caller::new(&stage.inside, &log, callers, ANSWERS);
    let mut pills = 0;
    // With takes, receivers may leave before the pills that are meant for others are seen.
    while children.iter_mut().any(|child| child.look() == Fate::Running) {
        if pills < receivers {
            let pill = PILL | pills as u64;
            pills += usize::from(last.send(pill, 1, How::Timed.wait(&mut Rng::new(seed))));
        } else {
            pause(Duration::from_micros(500));
        }
    }
    for child in &mut children {
        assert_eq!(child.look(), Fate::Exited(0), "{scene:?}");
    }
    while last.receive(How::Try.wait(&mut Rng::new(seed))).is_some() {}
    stage.check_as_new().unwrap();
    (0..=callers).flat_map(|k| log.operations(k)).collect()
}

fn how(scene: Scene, rng: &mut Rng) -> How {
    scene.how.unwrap_or_else(|| How::ALL[rng.below(3) as usize])
}

fn send_all(scene: Scene, number: u64, mut caller: Caller, mut rng: Rng) {
    for k in 0..(MESSAGES / scene.senders) as u64 {
        let prio = match scene.levels {
            Levels::Few(levels) => rng.below(levels),
            // All senders at the same time; a quarter of a millisecond is a few dozen messages.
            Levels::Changing if now() >> 18 & 1 == 0 => 1,
            Levels::Changing => rng.below(4),
            Levels::Falling if rng.one_in(40) => rng.below(256),
            Levels::Falling => 255 - now() / 40_000 % 256,
        };
        let words = 1 + rng.below(MSGSIZE as u64 / 8) as usize;
        let message = id(number, prio as u32, k);
        while !caller.send(message, words, how(scene, &mut rng).wait(&mut rng)) {
            if rng.one_in(4) {
                std::thread::yield_now();
            }
        }
    }
}

fn receive_all(scene: Scene, mut caller: Caller, mut rng: Rng) {
    loop {
        let got = match rng.below(16) {
            0 if scene.takes => caller.take(Which::Lowest),
            1 if scene.takes => caller.take(Which::Of(rng.below(4) as u32)),
            _ => caller.receive(how(scene, &mut rng).wait(&mut rng)),
        };
        match got {
            Some(id) if id & PILL == PILL => return,
            None if rng.one_in(4) => std::thread::yield_now(),
            _ => {}
        }
    }
}
