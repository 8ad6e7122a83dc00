//! Hostile files: mutated queues by the thousand, each opened and used, with guards
//! around every mapping and buffer. No call may crash, hang, touch anything else, or
//! answer otherwise than documented (`attack.rs`), nor go on for ever because a word
//! changes at every step of it (`steps.rs`).
//!
//! `make hostile COUNT=1000000 SEED=1`; a few thousand are part of `make test`. A failure
//! names its case, which `make hostile SEED=.. CASE=..` repeats alone. (The numbers of
//! owners and of processes in the files are the machine's own and differ.) The fuzz
//! targets in `fuzz/` use the same attack, with a fuzzer choosing instead of chance.

mod attack;
mod damage;
mod guard;
#[path = "../processes/mod.rs"]
mod processes;
mod steps;

use attack::{Ground, Meanwhile, What};
use damage::Images;
use mqueue_core::deadline::Wait;
use mqueue_core::sync::AtomicU64;
use mqueue_core::sync::Ordering::SeqCst;
use mqueue_core::sys::process::random;
use mqueue_core::transport::Transport as _;
use processes::ledger::Shared;
use processes::{Child, Fate, Rng, Stage, begin, pause, spawn};
use std::path::Path;
use std::time::{Duration, Instant};

/// One attack that takes so much processor time is a hang. (It may be many times slower
/// than the clock: other work, a stopped machine.)
const PATIENCE: Duration = Duration::from_secs(20);
/// One that sleeps for so long is a hang, too. No call here waits a millisecond.
const PATIENCE_ASLEEP: Duration = Duration::from_secs(300);
/// Every so many cases words change in use.
const SCRIBBLED: u64 = 32;
/// Bytes from which a case is made.
const BYTES: usize = 2048;

fn main() {
    let number = |name| std::env::var(name).ok().and_then(|it| it.parse::<u64>().ok());
    let count = number("COUNT").unwrap_or(4000);
    let mut bits = [0; 8];
    bits.copy_from_slice(&random()[..8]);
    let seed = number("SEED").unwrap_or(u64::from_ne_bytes(bits) % 1_000_000);
    begin(600 + u32::try_from(count / 50).unwrap_or(u32::MAX - 600));
    let dir = std::env::var("MQRS_DIR").expect("set by begin");
    guards_notice_a_byte_too_many();
    damage_of_a_large_queue_is_found_in_time();
    match number("CASE") {
        Some(case) => run(&dir, seed, case..case + 1),
        None => {
            let words = (count as usize / 100).min(1000);
            steps::every_call_ends_whatever_changes_under_it(&mut Rng::new(seed), words);
            run(&dir, seed, 0..count);
        }
    }
}

/// The guards are there: what is just outside a mapped queue kills who touches it.
fn guards_notice_a_byte_too_many() {
    let exact = (1..).find(|&maxmsg| {
        mqueue_core::shm::layout::Geometry::of(maxmsg, 8).is_some_and(|it| it.total % 4096 == 0)
    });
    let stage = Stage::new(exact.expect("some number fits"), 8);
    let total = stage.engine().segment().geometry().total as isize;
    for (at, expected) in [
        (-1, Fate::Killed(libc::SIGSEGV)),
        (0, Fate::Exited(0)),
        (total - 1, Fate::Exited(0)),
        (total, Fate::Killed(libc::SIGSEGV)),
    ] {
        let mut touch = spawn(|| {
            let at = stage.engine().segment().base().wrapping_offset(at);
            // SAFETY: none. That it is not sound is the point; this process ends here.
            unsafe { at.read_volatile() };
        });
        assert_eq!(touch.wait(Duration::from_secs(60)), expected, "byte {at}");
    }
}

/// The damage of a large queue costs a call some looks at all of it, not thousands.
fn damage_of_a_large_queue_is_found_in_time() {
    let stage = Stage::new(400_000, 8);
    let mut child = spawn(|| {
        let byte = 1;
        // SAFETY: one byte, each time.
        let send = |prio| unsafe { stage.inside.send(&byte, 1, prio, Wait::Never) };
        send(1).and(send(1)).expect("there is room");
        let segment = stage.engine().segment();
        for slot in (0..segment.geometry().nslots).filter_map(|number| segment.slot(number)) {
            slot.word.store(0, SeqCst);
        }
        // SAFETY: no byte may be written.
        let got = unsafe { stage.inside.receive(std::ptr::null_mut(), 0, Wait::For(1000)) };
        assert_eq!(got.expect_err("it is gone").0, libc::EBADMSG);
    });
    while child.look() == Fate::Running {
        assert!(child.processor_time() < PATIENCE / 2, "a call looks for ever");
        pause(Duration::from_millis(1));
    }
    assert_eq!(child.look(), Fate::Exited(0));
}

/// What the parent sees of a worker.
struct Worker {
    child: Child,
    first: usize,
    case: u64,
    since: Instant,
    used: Duration,
}

const CASE: usize = 0;
const COUNTS: usize = 1;
const ROW: usize = COUNTS + What::NAMES.len();

fn run(dir: &str, seed: u64, cases: std::ops::Range<u64>) {
    let begun = Instant::now();
    let count = cases.end - cases.start;
    println!("hostile: {count} files, SEED={seed}");
    let images = Images::take(Path::new(dir), true);
    println!("hostile: {} sound ones to begin with", images.count());
    let workers = std::thread::available_parallelism().map_or(2, usize::from).min(count as usize);
    let board = Shared::<AtomicU64>::new(ROW * workers);
    let next = Shared::<AtomicU64>::new(1);
    next[0].store(cases.start, SeqCst);
    let mut ground = Some(images);
    let mut all: Vec<Worker> = (0..workers)
        .map(|number| {
            let row = &board[number * ROW..][..ROW];
            let child = spawn(|| {
                // A directory for each: they all use one name.
                let dir = Path::new(dir).join(number.to_string());
                std::fs::create_dir(&dir).expect("a directory for queues");
                // SAFETY: this process has one thread.
                unsafe { std::env::set_var("MQRS_DIR", &dir) };
                let mut ground = Ground::new(&dir, ground.take().expect("taken once"));
                loop {
                    let case = next[0].fetch_add(1, SeqCst);
                    if case >= cases.end {
                        break;
                    }
                    row[CASE].store(case + 1, SeqCst);
                    attack_once(&mut ground, seed, case);
                    for (shown, count) in row[COUNTS..].iter().zip(&ground.counts) {
                        shown.store(count.load(SeqCst), SeqCst);
                    }
                }
            });
            let since = Instant::now();
            Worker { child, first: number * ROW, case: 0, since, used: Duration::ZERO }
        })
        .collect();

    let mut shown = Instant::now();
    while all.iter().any(|worker| worker.child.is_alive()) {
        pause(Duration::from_millis(20));
        for worker in &mut all {
            let case = board[worker.first + CASE].load(SeqCst);
            let again = format!("make hostile SEED={seed} CASE={}", case.wrapping_sub(1));
            match worker.child.look() {
                Fate::Exited(0) => {}
                Fate::Running | Fate::Stopped => worker.check_time(case, &again),
                fate => panic!("{fate:?}; again: {again}"),
            }
        }
        if shown.elapsed() > Duration::from_secs(30) {
            shown = Instant::now();
            let done = next[0].load(SeqCst).saturating_sub(cases.start + workers as u64);
            println!("hostile: {done} done, {:.0} s", begun.elapsed().as_secs_f64());
        }
    }
    let total = |what: usize| -> u64 {
        (0..workers).map(|worker| board[worker * ROW + COUNTS + what].load(SeqCst)).sum()
    };
    let counts: Vec<_> =
        What::NAMES.iter().enumerate().map(|(what, name)| (total(what), *name)).collect();
    println!("hostile: {count} files, {:.1} s, nothing amiss", begun.elapsed().as_secs_f64());
    for (number, name) in &counts {
        println!("hostile: {number:>9} {name}");
    }
    // Else the files are not hostile in the ways that they should be.
    if count >= 1000 {
        assert!(counts.iter().all(|&(number, _)| number > 0), "something never happened");
    }
}

/// Case `case` of the run `seed`.
fn attack_once(ground: &mut Ground, seed: u64, case: u64) {
    let mut rng = Rng::new(seed << 32 ^ case);
    let mut choices = [0; BYTES];
    for word in choices.chunks_exact_mut(4) {
        word.copy_from_slice(&(rng.next() as u32).to_ne_bytes());
    }
    let meanwhile = if case % SCRIBBLED == 0 { Meanwhile::Scribbler } else { Meanwhile::Nobody };
    ground.attack(&choices, meanwhile);
}

impl Worker {
    fn check_time(&mut self, case: u64, again: &str) {
        let used = self.child.processor_time();
        if case != self.case {
            (self.case, self.since, self.used) = (case, Instant::now(), used);
        }
        let used = used.saturating_sub(self.used);
        assert!(used < PATIENCE, "hangs, {used:?} of processor time; again: {again}");
        let asleep = self.since.elapsed();
        assert!(asleep < PATIENCE_ASLEEP, "hangs asleep; again: {again}");
    }
}
