//! Queues of typed messages, as several processes use them; what a call does when nobody is in
//! the midst of another, programs in C tell (`ctests/dropin/sysv_*.c`).
//!
//! `cargo test -p mqueue_core --features faults --test typed -- WORD` runs the cases whose name
//! contains WORD.
//!
//! A queue of these cases holds ten messages of ten bytes.

mod case;
#[path = "../cases/mod.rs"]
#[macro_use]
mod cases;
mod deaths;
mod numbers;
#[path = "../processes/mod.rs"]
mod processes;
mod waking;

fn main() {
    processes::begin(600);
    let cases = [deaths::CASES, waking::CASES, numbers::CASES];
    cases::run("typed", &cases, 2 * case::PATIENCE);
}
