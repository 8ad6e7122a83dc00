//! A process is killed or stopped at every named step of the algorithms, in every role
//! that gets there, while others send and receive; they must go on as if nothing had
//! happened, and at the end nothing may be wrong with any message or with the queue.
//!
//! `cargo test -p mqueue_core --features faults --test crash -- WORD` runs the cases
//! whose name contains WORD.
//!
//! A case: one victim, armed with a step and a signal, works until the signal strikes.
//! From then on two senders and two receivers each complete `OPERATIONS`. A stopped
//! victim goes on then, or goes on and is killed at its very next step, while the others
//! complete some more. Then everybody leaves and the ledger is judged.

mod beacons;
mod case;
mod endings;
#[path = "../processes/mod.rs"]
mod processes;
mod roles;
mod staged;
mod steps;
mod traps;

use processes::begin;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

/// Runs cases and counts.
struct Report {
    wanted: Option<String>,
    is_talkative: bool,
    passed: usize,
    failed: usize,
}

impl Report {
    fn case(&mut self, name: &str, run: impl FnOnce() -> Result<(), String>) {
        if self.wanted.as_ref().is_some_and(|wanted| !name.contains(wanted.as_str())) {
            return;
        }
        let begun = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(run)).unwrap_or(Err("it panicked".into()));
        if self.is_talkative {
            println!("{:6} ms {name}", begun.elapsed().as_millis());
        }
        match result {
            Ok(()) => self.passed += 1,
            Err(why) => {
                self.failed += 1;
                println!("FAILED {name}: {why}");
            }
        }
    }
}

fn main() {
    begin(3600);
    let begun = Instant::now();
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let is_talkative = std::env::var_os("TALK").is_some();
    let mut report = Report { wanted, is_talkative, passed: 0, failed: 0 };
    staged::crowd(&mut report);
    staged::forked(&mut report);
    staged::relatives(&mut report);
    staged::resting(&mut report);
    staged::resting_with_an_heir(&mut report);
    staged::sent_by_the_dead(&mut report);
    staged::asleep(&mut report);
    staged::unwoken(&mut report);
    staged::late_stamp(&mut report);
    staged::robbery(&mut report);
    staged::batches(&mut report);
    endings::refused(&mut report);
    steps::steps(&mut report);
    let Report { passed, failed, .. } = report;
    println!(
        "crash: {passed} cases passed, {failed} failed, {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    std::process::exit(i32::from(failed > 0));
}
