//! The beacon: a descriptor by which poll sees in any process whether a queue is empty, partly
//! filled or full.
//!
//! `cargo test -p mqueue_core --test beacon -- WORD` runs the cases whose name contains WORD.

#[path = "../cases/mod.rs"]
#[macro_use]
mod cases;
mod crowd;
mod file;
mod lazy;
mod levels;
#[path = "../processes/mod.rs"]
mod processes;
mod strangers;

use processes::{Fate, Stage, begin, spawn};
use std::time::Duration;

/// After this time something hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A queue of so many messages of 8 bytes.
fn stage(maxmsg: u64) -> Stage {
    Stage::new(maxmsg, 8)
}

/// What a child does must succeed.
fn in_child(work: impl FnOnce()) {
    assert_eq!(spawn(work).wait(PATIENCE), Fate::Exited(0), "in a child");
}

fn main() {
    begin(600);
    let cases = [levels::CASES, file::CASES, strangers::CASES, crowd::CASES, lazy::CASES];
    cases::run("beacon", &cases, 2 * PATIENCE);
}
