//! What the library is to reach, and whether it does. Ratios within a round where that is
//! possible, as they hold on other machines too.

use crate::peers::{KERNEL, LIMIT, OURS};
use crate::report::{Cell, Placement, Report};
use serde_json::{Value, json};
use std::fmt::{self, Write};

/// What a scenario is to reach.
#[derive(Clone, Copy)]
enum Demand {
    /// Times as good as the kernel's queue, at least.
    ByKernel(f64),
    /// Times as good as the limit, at least.
    ByLimit(f64),
    /// Times the cache-line round trip, at most.
    Lines(f64),
    /// The slowest process over the fastest, at least.
    Fairness(f64),
    /// Nanoseconds, at most.
    Time(f64),
    /// KiB, at most.
    Memory(f64),
    /// Times as good as another of our own scenarios, at least.
    ByOwn(&'static str, f64),
}

use Demand::{ByKernel, ByLimit, ByOwn, Fairness, Lines, Memory, Time};

const TARGETS: [(&str, Demand); 20] = [
    ("throughput 64/1024", ByKernel(15.0)),
    ("throughput 64/1024", ByLimit(0.9)),
    ("throughput 64/10", ByKernel(10.0)),
    ("in place 65536/64", ByOwn("throughput 65536/64", 10.0)),
    ("round trip blocking", Lines(2.5)),
    ("round trip one processor", ByKernel(1.0)),
    ("contention 2+2/1024", ByKernel(10.0)),
    ("contention 2+2/1024", Fairness(0.9)),
    ("contention 4+4/1024", ByKernel(9.0)),
    ("contention 4+4/1024", Fairness(0.8)),
    ("one process pair", Time(25.0)),
    ("one process pair", ByKernel(60.0)),
    ("batches of 32 8/1024", ByOwn("throughput 8/1024", 2.5)),
    ("batches of 32 pair", ByOwn("batches of 32 single pair", 2.5)),
    ("mixed 1+1 32", ByKernel(8.0)),
    ("mixed 1+1 32", ByKernel(12.0)),
    ("mixed 1+1 32768", ByKernel(8.0)),
    ("mixed 1+1 32768", ByKernel(12.0)),
    ("mixed bursts 32768", Time(60.0)),
    ("memory 1024 x 256", Memory(380.0)),
];

impl Demand {
    /// What is demanded, and whether it is the most that is allowed.
    fn bound(self) -> (f64, bool) {
        match self {
            ByKernel(least) | ByLimit(least) | Fairness(least) | ByOwn(_, least) => (least, false),
            Lines(most) | Time(most) | Memory(most) => (most, true),
        }
    }

    fn measured(self, cell: &Cell, report: &Report, placement: Placement) -> Option<f64> {
        match self {
            ByOwn(other, _) => {
                let index = index(report, other)?;
                let other = report.cell(index, OURS, placement)?.typical;
                Some(report.scenarios[index].unit.ratio(cell.typical, other))
            }
            ByKernel(_) => cell.by_kernel,
            ByLimit(_) => cell.by_limit,
            Lines(_) => cell.by_line,
            Fairness(_) => cell.fairness.map(|(senders, receivers)| senders.min(receivers)),
            Time(_) => Some(cell.typical),
            Memory(_) => Some(cell.typical / 1024.0),
        }
    }

    fn is_met_by(self, value: f64) -> bool {
        let (bound, is_most) = self.bound();
        if is_most { value <= bound } else { value >= bound }
    }
}

impl fmt::Display for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ByKernel(least) => write!(f, "at least {least} x {KERNEL}"),
            ByLimit(least) => write!(f, "at least {least} x {LIMIT}"),
            Lines(most) => write!(f, "at most {most} x cache line"),
            Fairness(least) => write!(f, "fairness at least {least}"),
            Time(most) => write!(f, "at most {most} ns"),
            Memory(most) => write!(f, "at most {most} KiB"),
            ByOwn(other, least) => write!(f, "at least {least} x {other}"),
        }
    }
}

/// One target, and what was measured near and far.
struct Verdict {
    scenario: &'static str,
    demand: Demand,
    measured: [Option<(f64, usize)>; 2],
}

const JUDGED: [Placement; 2] = [Placement::Near, Placement::Far];

fn index(report: &Report, title: &str) -> Option<usize> {
    report.scenarios.iter().position(|scenario| scenario.title() == title)
}

fn verdicts(report: &Report) -> Vec<Verdict> {
    let verdict = |&(scenario, demand): &(&'static str, Demand)| {
        let index = index(report, scenario)?;
        let measured = JUDGED.map(|placement| {
            let cell = report.cell(index, OURS, placement)?;
            Some((demand.measured(&cell, report, placement)?, cell.rounds))
        });
        Some(Verdict { scenario, demand, measured })
    };
    TARGETS.iter().filter_map(verdict).collect()
}

/// Write a line for each target whose scenario was measured.
pub fn write(text: &mut String, report: &Report) -> fmt::Result {
    let verdicts = verdicts(report);
    if verdicts.is_empty() {
        return Ok(());
    }
    write!(text, "\n{:27}{:34}", "targets", "")?;
    for placement in JUDGED {
        write!(text, "{:26}", placement.to_string())?;
    }
    writeln!(text)?;
    for Verdict { scenario, demand, measured } in verdicts {
        write!(text, "{scenario:27}{:34}", demand.to_string())?;
        for measured in measured {
            let cell = measured.map_or_else(String::new, |(value, rounds)| {
                let word = if demand.is_met_by(value) { "met" } else { "missed" };
                format!("{value:<7.2}{word:7}{rounds} rounds")
            });
            write!(text, "{cell:26}")?;
        }
        writeln!(text)?;
    }
    Ok(())
}

/// The same for programs.
pub fn json(report: &Report) -> Value {
    let one = |verdict: Verdict| {
        let measured = verdict.measured.map(|measured| {
            measured.map(|(value, rounds)| {
                json!({"value": value, "met": verdict.demand.is_met_by(value), "rounds": rounds})
            })
        });
        let [near, far] = measured;
        json!({
            "scenario": verdict.scenario,
            "demand": verdict.demand.to_string(),
            "near": near,
            "far": far,
        })
    };
    verdicts(report).into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_belongs_to_a_scenario() {
        let titles: Vec<String> =
            crate::scenario::all().iter().map(|scenario| scenario.title()).collect();

        for (scenario, demand) in TARGETS {
            assert!(titles.iter().any(|title| title == scenario), "{scenario}");
            if let ByOwn(other, _) = demand {
                assert!(titles.iter().any(|title| title == other), "{other}");
            }
        }
    }

    #[test]
    fn a_bound_is_the_least_or_the_most() {
        assert!(ByKernel(10.0).is_met_by(10.0) && !ByKernel(10.0).is_met_by(9.9));
        assert!(Time(25.0).is_met_by(25.0) && !Time(25.0).is_met_by(25.1));
    }
}
