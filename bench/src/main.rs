//! mqueue_rs beside the kernel's queues, in one run.
//!
//! ```text
//! for each round, for each scenario:
//!     cache-line round trip, ours, cache-line round trip, the kernel's, cache-line round trip
//! ```
//!
//! What differs between machines, or between two minutes of one, is in both columns; the
//! ratios of the rounds are what to look at. A transport is a file in `transport/`, a
//! scenario a function in `scenario.rs` and a line in `SCENARIOS`.

mod machine;
mod report;
mod scenario;
mod transport;

use machine::{Machine, Usage};
use report::{Placement, Report, Sample};
use scenario::{Figures, Manner, Setting};
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;
use transport::{Kernel, Shm, Transport};

/// Messages in a queue: what the library gives without being asked. The kernel's have the
/// same if we may raise its limit; else both have what it allows.
const DEPTH: u32 = 64;

/// A sample is taken anew so often if the processors moved meanwhile.
const TRIES: u32 = 3;

const HELP: &str = "\
mqueue_bench: mqueue_rs beside the kernel's queues

  --rounds N   measure everything N times (5)
  --quick      for a short time each: to see that it works, not to be quoted
  --json       for programs, with every sample
  --help       this";

/// Where the processes of a scenario run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Where {
    /// Two processes, each on a processor of its own.
    Apart,
    /// One processor for all.
    Together,
}

#[derive(Clone, Copy)]
enum What {
    Pair,
    RoundTrip(Manner),
}

const SCENARIOS: [(&str, Where, What); 5] = [
    ("send + receive, one process", Where::Together, What::Pair),
    ("round trip, blocking", Where::Apart, What::RoundTrip(Manner::Blocking)),
    ("round trip, polling", Where::Apart, What::RoundTrip(Manner::Polling)),
    ("round trip after 2 ms of sleep", Where::Apart, What::RoundTrip(Manner::AfterSleep)),
    ("round trip, one processor", Where::Together, What::RoundTrip(Manner::Blocking)),
];

fn measure<T: Transport>(what: What, setting: Setting) -> io::Result<Figures> {
    scenario::be_patient();
    match what {
        What::Pair => scenario::pair::<T>(setting),
        What::RoundTrip(manner) => scenario::round_trip::<T>(setting, manner),
    }
}

struct Options {
    rounds: u32,
    quick: bool,
    json: bool,
}

fn options() -> Result<Option<Options>, lexopt::Error> {
    use lexopt::prelude::*;
    let mut options = Options { rounds: 5, quick: false, json: false };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("rounds") => options.rounds = parser.value()?.parse()?,
            Long("quick") => options.quick = true,
            Long("json") => options.json = true,
            Short('h') | Long("help") => return Ok(None),
            _ => return Err(argument.unexpected()),
        }
    }
    Ok(Some(options))
}

fn run(options: &Options) -> io::Result<Report> {
    let machine = Machine::look();
    let depth = transport::raise_limit(DEPTH);
    let why_not = scenario::availability::<Kernel>(depth).err().map(|error| error.to_string());
    let pair = machine.pair();
    let span = Duration::from_millis(if options.quick { 20 } else { 200 });
    let mut samples = Vec::new();

    for round in 1..=options.rounds {
        for (scenario, place, what) in SCENARIOS {
            if place == Where::Apart && pair.0 == pair.1 {
                continue;
            }
            let processors = if place == Where::Apart { pair } else { (pair.0, pair.0) };
            let setting = Setting { depth, span, processors };
            for _ in 0..TRIES {
                let before = machine::line_round_trip(pair)?;
                let usage = Usage::now();
                let ours = measure::<Shm>(what, setting)?;
                let between = machine::line_round_trip(pair)?;
                let kernels = match why_not {
                    None => Some(measure::<Kernel>(what, setting)?),
                    Some(_) => None,
                };
                let others = usage.others_since();
                let lines = [before, between, machine::line_round_trip(pair)?];
                let sample = Sample { scenario, round, lines, ours, kernels, others };
                let is_usable = sample.placement() != Placement::Mixed;
                samples.push(sample);
                if is_usable {
                    break;
                }
            }
        }
        if io::stderr().is_terminal() {
            eprint!("\rround {round} of {}", options.rounds);
            let _ = io::stderr().flush();
        }
    }
    if io::stderr().is_terminal() {
        eprintln!();
    }
    Ok(Report { machine, depth, why_not, samples })
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("mqueue_bench: {error}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(report) if options.json => println!("{:#}", report.json()),
        Ok(report) => print!("{}", report.table()),
        Err(error) => {
            eprintln!("mqueue_bench: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
