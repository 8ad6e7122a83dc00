//! mqueue_rs beside the kernel's queues, other libraries, and bare rings, in one run.
//!
//! ```text
//! for each round, for each scenario, for each transport:
//!     cache-line round trip, the measurement, cache-line round trip
//! ```
//!
//! What differs between machines, or between two minutes of one, is in every column; the
//! ratios within the rounds are what to look at. A transport is a file in `transport/` and a
//! line in `peers.rs`; a scenario is a function in `scenario/` and a line in `scenario.rs`.

mod calls;
mod machine;
mod peers;
mod picture;
mod process;
mod report;
mod scenario;
mod shared;
mod targets;
mod transport;

use machine::{Machine, Usage};
use peers::Peer;
use report::{Placement, Report, Sample};
use scenario::{Scenario, Setting, Unit};
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// A measurement is made anew so often if the processors moved meanwhile.
const TRIES: u32 = 3;

const HELP: &str = "\
mqueue_bench: mqueue_rs beside the kernel's queues, other libraries and bare rings

  --rounds N     measure everything N times (5)
  --only NAME    only scenarios whose name begins so: throughput, 'throughput 64/',
                 'round trip', 'in place', contention, 'one process', 'batches of 32',
                 mixed, 'system calls', memory; may be repeated
  --peers LIST   only these, with commas between; mqueue_rs, 'kernel mq' and vyukov always
  --against FILE another build of the library, a libmqueue_rs.so, beside this one
  --quick        once and for a short time: to see that it works, not to be quoted
  --svg FILE     draw a picture, too
  --json         for programs, with every sample
  --help         this";

struct Options {
    rounds: u32,
    only: Vec<String>,
    peers: Option<String>,
    against: Option<PathBuf>,
    quick: bool,
    svg: Option<PathBuf>,
    json: bool,
}

fn options() -> Result<Option<Options>, lexopt::Error> {
    use lexopt::prelude::*;
    let mut options = Options {
        rounds: 5,
        only: Vec::new(),
        peers: None,
        against: None,
        quick: false,
        svg: None,
        json: false,
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("rounds") => options.rounds = parser.value()?.parse()?,
            Long("only") => options.only.push(parser.value()?.string()?),
            Long("peers") => options.peers = Some(parser.value()?.string()?),
            Long("against") => options.against = Some(parser.value()?.into()),
            Long("quick") => (options.quick, options.rounds) = (true, 1),
            Long("svg") => options.svg = Some(parser.value()?.into()),
            Long("json") => options.json = true,
            Short('h') | Long("help") => return Ok(None),
            _ => return Err(argument.unexpected()),
        }
    }
    Ok(Some(options))
}

/// The transports that were asked for, and those that the ratios need.
fn chosen_peers(options: &Options) -> Result<Vec<Peer>, String> {
    let mut chosen = peers::all();
    if let Some(list) = &options.peers {
        let wanted: Vec<&str> = list.split(',').collect();
        let is_known = |name: &&str| chosen.iter().any(|peer| peer.name == *name);
        if let Some(unknown) = wanted.iter().find(|name| !is_known(name)) {
            let names: Vec<&str> = chosen.iter().map(|peer| peer.name).collect();
            return Err(format!(
                "no transport is called '{unknown}'; there are {}",
                names.join(", ")
            ));
        }
        let always = [peers::OURS, peers::KERNEL, peers::LIMIT];
        chosen.retain(|peer| always.contains(&peer.name) || wanted.contains(&peer.name));
    }
    if let Some(file) = &options.against {
        // A name without a slash would be looked for where programs find their libraries.
        file.canonicalize()
            .map_err(|error| error.to_string())
            .and_then(|file| transport::load_other(&file).map_err(|error| error.to_string()))
            .map_err(|error| format!("{}: {error}", file.display()))?;
        chosen.insert(1, peers::other());
    }
    Ok(chosen)
}

fn chosen_scenarios(options: &Options) -> Result<Vec<Scenario>, String> {
    let mut chosen = scenario::all();
    if !options.only.is_empty() {
        chosen
            .retain(|scenario| options.only.iter().any(|only| scenario.title().starts_with(only)));
    }
    if chosen.is_empty() {
        let names: Vec<String> = scenario::all().iter().map(Scenario::title).collect();
        return Err(format!("no scenario begins so; there are\n  {}", names.join("\n  ")));
    }
    Ok(chosen)
}

fn run(
    options: &Options,
    mut scenarios: Vec<Scenario>,
    mut peers: Vec<Peer>,
) -> io::Result<Report> {
    let machine = Machine::look();
    machine::raise_limits();
    let processors = machine.pair();
    let millis = |full, quick| Duration::from_millis(if options.quick { quick } else { full });
    let setting = Setting { span: millis(150, 20), silence: millis(1000, 100), processors };
    let mut report = Report::new(machine, &peers);
    if !calls::prepare() {
        scenarios.retain(|scenario| scenario.unit != Unit::Calls);
        report.missing.push(("system calls", "only root may count them"));
    }

    for round in 1..=options.rounds {
        for (index, scenario) in scenarios.iter().enumerate() {
            if scenario.is_apart() && processors.0 == processors.1 {
                continue;
            }
            for peer in &peers {
                let Ok(measure) = peer.measure else { continue };
                if report.is_blank(scenario, peer.name) {
                    continue;
                }
                for _ in 0..TRIES {
                    let before = machine::line_round_trip(processors)?;
                    let usage = Usage::now();
                    let measured = measure(scenario, &setting);
                    let others = usage.others_since();
                    let lines = [before, machine::line_round_trip(processors)?];
                    let figures = match measured {
                        Ok(figures) => figures,
                        Err(error) => {
                            report.blank(scenario, peer.name, &error);
                            break;
                        }
                    };
                    let (scenario, peer) = (index, peer.name);
                    let sample = Sample { scenario, peer, round, lines, figures, others };
                    let is_usable = sample.placement() != Placement::Mixed;
                    report.samples.push(sample);
                    if is_usable {
                        break;
                    }
                }
            }
            if io::stderr().is_terminal() {
                eprint!("\rround {round} of {}: {:40}", options.rounds, scenario.title());
                let _ = io::stderr().flush();
            }
        }
        // Nobody always comes behind the same neighbour.
        peers.rotate_left(1);
    }
    if io::stderr().is_terminal() {
        eprintln!();
    }
    report.scenarios = scenarios;
    Ok(report)
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
    let chosen = chosen_scenarios(&options)
        .and_then(|scenarios| chosen_peers(&options).map(|peers| (scenarios, peers)));
    let (scenarios, peers) = match chosen {
        Ok(chosen) => chosen,
        Err(error) => {
            eprintln!("mqueue_bench: {error}");
            return ExitCode::from(2);
        }
    };
    match run(&options, scenarios, peers) {
        Ok(report) => {
            if options.json {
                println!("{:#}", report.json());
            } else {
                print!("{}", report.table());
            }
            if let Some(Err(error)) = options.svg.map(|file| picture::draw(&report, &file)) {
                eprintln!("mqueue_bench: the picture: {error}");
                return ExitCode::FAILURE;
            }
            ExitCode::from(u8::from(report.has_failed()))
        }
        Err(error) => {
            eprintln!("mqueue_bench: {error}");
            ExitCode::FAILURE
        }
    }
}
