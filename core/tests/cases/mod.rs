//! Tests whose cases fork (the beacon, queues of typed messages): each case is a function, and
//! a process of its own with one thread, so that one that fails takes its children along and
//! no other case.

use crate::processes::{Fate, spawn};
use std::time::Duration;

/// A case and its name.
pub type Case = (&'static str, fn());

/// `CASES` of the functions with these names.
macro_rules! cases {
    ($($name:ident,)*) => {
        /// The cases of this file.
        pub const CASES: &[$crate::cases::Case] = &[$((stringify!($name), $name),)*];
    };
}

/// Run the cases whose name contains the word on the command line, if there is one; a case
/// that takes longer than `patience` hangs. The end of the process.
pub fn run(test: &str, cases: &[&[Case]], patience: Duration) -> ! {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let is_wanted =
        |name: &str| wanted.as_ref().is_none_or(|wanted| name.contains(wanted.as_str()));
    let cases = cases.concat().into_iter().filter(|(name, _)| is_wanted(name)).collect::<Vec<_>>();
    println!("running {} cases", cases.len());
    let mut failed = 0;
    for &(name, case) in &cases {
        let fate = spawn(case).wait(patience);
        if fate != Fate::Exited(0) {
            failed += 1;
            println!("FAILED {name}: {fate:?}");
        }
    }
    println!("{test}: {} cases passed, {failed} failed", cases.len() - failed);
    std::process::exit(i32::from(failed > 0));
}
