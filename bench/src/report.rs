//! From samples to a table and to JSON.

use crate::machine::{Machine, NEAR_MOST_NS};
use crate::peers::{KERNEL, LIMIT, OURS, Peer};
use crate::scenario::{Figures, Scenario, Unit};
use crate::targets;
use serde_json::{Value, json};
use std::fmt::{self, Write};
use std::io;

/// One scenario, measured once with one transport.
pub struct Sample {
    /// Which of the report's scenarios.
    pub scenario: usize,
    /// Which transport.
    pub peer: &'static str,
    /// In which round.
    pub round: u32,
    /// The cache-line round trip before and after; ns.
    pub lines: [f64; 2],
    /// What came out.
    pub figures: Figures,
    /// Processors that others kept busy meanwhile.
    pub others: f64,
}

/// How far apart the two processors are. Figures of different placements say nothing
/// about each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Placement {
    /// They share a cache.
    Near,
    /// They do not.
    Far,
    /// It changed during the sample, which is not used.
    Mixed,
    /// There is one processor only.
    Alone,
}

/// Those whose samples are used.
const PLACEMENTS: [Placement; 3] = [Placement::Near, Placement::Far, Placement::Alone];

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Placement::Near => "near",
            Placement::Far => "far",
            Placement::Mixed => "mixed",
            Placement::Alone => "alone",
        })
    }
}

impl Sample {
    /// Where the processors were.
    pub fn placement(&self) -> Placement {
        placement(self.lines)
    }

    fn line(&self) -> f64 {
        (self.lines[0] + self.lines[1]) / 2.0
    }
}

fn placement(lines: [f64; 2]) -> Placement {
    match lines.map(|line| line <= NEAR_MOST_NS) {
        _ if lines == [0.0; 2] => Placement::Alone,
        [true, true] => Placement::Near,
        [false, false] => Placement::Far,
        _ => Placement::Mixed,
    }
}

/// The median; of an even number of values the upper of the middle two. None of none.
fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// The medians of one scenario with one transport in one placement.
pub struct Cell {
    /// Rounds with a sample.
    pub rounds: usize,
    /// As in [`Figures`].
    pub typical: f64,
    /// As in [`Figures`].
    pub tail: Option<(f64, f64)>,
    /// As in [`Figures`].
    pub fairness: Option<(f64, f64)>,
    /// As in [`Figures`].
    pub sleeps: Option<f64>,
    /// As in [`Figures`].
    pub resident: Option<f64>,
    /// How many times as good as the kernel's queue in the same round.
    pub by_kernel: Option<f64>,
    /// How many times as good as the limit in the same round.
    pub by_limit: Option<f64>,
    /// How many times the cache-line round trip before and after, of times.
    pub by_line: Option<f64>,
    /// Processors that others kept busy.
    pub others: f64,
}

/// Width of the tables' first column, and of one for each transport.
const LABEL: usize = 26;
const WIDTH: usize = 12;

/// Everything that was measured on one machine.
pub struct Report {
    /// The scenarios, in order.
    pub scenarios: Vec<Scenario>,
    /// The samples, mixed ones included.
    pub samples: Vec<Sample>,
    /// What is not measured at all, and why.
    pub missing: Vec<(&'static str, &'static str)>,
    machine: Machine,
    /// Those that are here.
    peers: Vec<&'static str>,
    /// What was not measured: scenario, transport, and why, if it is not simply beyond it.
    blanks: Vec<(String, &'static str, Option<String>)>,
}

impl Report {
    /// Nothing yet.
    pub fn new(machine: Machine, all: &[Peer]) -> Report {
        let here = all.iter().filter(|peer| peer.measure.is_ok());
        let missing = all.iter().filter_map(|peer| Some((peer.name, peer.measure.err()?)));
        Report {
            scenarios: Vec::new(),
            samples: Vec::new(),
            machine,
            peers: here.map(|peer| peer.name).collect(),
            missing: missing.collect(),
            blanks: Vec::new(),
        }
    }

    /// A scenario cannot be measured with a transport.
    pub fn blank(&mut self, scenario: &Scenario, peer: &'static str, error: &io::Error) {
        let why = (error.kind() != io::ErrorKind::Unsupported).then(|| error.to_string());
        self.blanks.push((scenario.title(), peer, why));
    }

    /// Whether that has been said.
    pub fn is_blank(&self, scenario: &Scenario, peer: &str) -> bool {
        self.blanks.iter().any(|(title, name, _)| *title == scenario.title() && *name == peer)
    }

    /// Whether the library could not do everything.
    pub fn has_failed(&self) -> bool {
        self.blanks.iter().any(|(_, peer, _)| *peer == OURS)
    }

    /// The medians; none if there is no sample.
    pub fn cell(&self, scenario: usize, peer: &str, placement: Placement) -> Option<Cell> {
        let of = |peer: &str| -> Vec<&Sample> {
            self.samples
                .iter()
                .filter(|sample| sample.scenario == scenario && sample.peer == peer)
                .filter(|sample| sample.placement() == placement)
                .collect()
        };
        let samples = of(peer);
        let over = |value: &dyn Fn(&Sample) -> Option<f64>| {
            median(samples.iter().filter_map(|sample| value(sample)))
        };
        let pair = |value: &dyn Fn(&Sample) -> Option<(f64, f64)>| {
            let first = over(&|sample| Some(value(sample)?.0));
            first.zip(over(&|sample| Some(value(sample)?.1)))
        };
        let unit = self.scenarios[scenario].unit;
        let by = |other: &str| {
            let others = of(other);
            // Of each round by itself: what changes between rounds does not count.
            over(&|sample| {
                let other = others.iter().find(|other| other.round == sample.round)?;
                Some(unit.ratio(sample.figures.typical, other.figures.typical))
                    .filter(|r| r.is_finite())
            })
        };
        Some(Cell {
            rounds: samples.len(),
            typical: over(&|sample| Some(sample.figures.typical))?,
            tail: pair(&|sample| sample.figures.tail),
            fairness: pair(&|sample| sample.figures.fairness),
            sleeps: over(&|sample| sample.figures.sleeps),
            resident: over(&|sample| sample.figures.resident),
            by_kernel: by(KERNEL),
            by_limit: by(LIMIT),
            by_line: over(&|sample| {
                let has_line = unit == Unit::Time && sample.line() > 0.0;
                has_line.then(|| sample.figures.typical / sample.line())
            }),
            others: over(&|sample| Some(sample.others))?,
        })
    }

    /// What was not measured though the transport offers it: transport, reason, scenarios.
    fn refused(&self) -> Vec<(&str, &str, Vec<&str>)> {
        let mut list: Vec<(&str, &str, Vec<&str>)> = Vec::new();
        for (scenario, peer, why) in &self.blanks {
            let Some(why) = why else { continue };
            match list.iter_mut().find(|(name, reason, _)| name == peer && reason == why) {
                Some((_, _, scenarios)) => scenarios.push(scenario),
                None => list.push((peer, why, vec![scenario])),
            }
        }
        list
    }

    /// For people: for each placement a table of each group of scenarios.
    pub fn table(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write_table(&mut text);
        text
    }

    fn write_table(&self, text: &mut String) -> fmt::Result {
        for placement in PLACEMENTS {
            if self.samples_of(placement) > 0 {
                writeln!(text, "{}", self.circumstances(placement))?;
            }
        }
        for placement in PLACEMENTS {
            let mut group = "";
            for (index, scenario) in self.scenarios.iter().enumerate() {
                let cells: Vec<Option<Cell>> =
                    self.peers.iter().map(|peer| self.cell(index, peer, placement)).collect();
                if cells.iter().all(Option::is_none) {
                    continue;
                }
                if scenario.group != group {
                    group = scenario.group;
                    self.write_heading(text, scenario, placement)?;
                }
                self.write_row(text, scenario, &cells)?;
            }
        }
        targets::write(text, self)?;
        writeln!(text)?;
        for (peer, why) in &self.missing {
            writeln!(text, "{peer}: {why}")?;
        }
        for (peer, why, scenarios) in self.refused() {
            writeln!(text, "{peer}: {why}: {}", scenarios.join(", "))?;
        }
        match self.samples_of(Placement::Mixed) {
            0 => Ok(()),
            dropped => writeln!(text, "{dropped} samples dropped: the processors moved meanwhile"),
        }
    }

    /// The machine, and how long a cache line takes there and back in a placement.
    pub fn circumstances(&self, placement: Placement) -> String {
        let Machine { model, kernel, processors } = &self.machine;
        let of = self.samples.iter().filter(|sample| sample.placement() == placement);
        let line = median(of.map(Sample::line)).unwrap_or(f64::NAN);
        let count = processors.len();
        format!("{model}, {count} processors, Linux {kernel}; {placement}: cache line {line:.0} ns")
    }

    /// Names of the transports that are here.
    pub fn peers(&self) -> &[&'static str] {
        &self.peers
    }

    fn samples_of(&self, placement: Placement) -> usize {
        self.samples.iter().filter(|sample| sample.placement() == placement).count()
    }

    /// The placement with the most samples.
    pub fn usual_placement(&self) -> Placement {
        let most = PLACEMENTS.into_iter().rev().max_by_key(|&place| self.samples_of(place));
        most.unwrap_or(Placement::Near)
    }

    fn write_heading(
        &self,
        text: &mut String,
        scenario: &Scenario,
        placement: Placement,
    ) -> fmt::Result {
        let title = format!("{placement}: {}", scenario.group);
        write!(text, "\n{title:LABEL$}")?;
        for peer in &self.peers {
            write!(text, "{peer:>WIDTH$}")?;
        }
        writeln!(
            text,
            "{:>10}{:>9}{:>8}{:>8}{:>8}",
            "x kernel", "x limit", "sleeps", "others", "rounds"
        )
    }

    fn write_row(
        &self,
        text: &mut String,
        scenario: &Scenario,
        cells: &[Option<Cell>],
    ) -> fmt::Result {
        let mut row = |label: &str, value: &dyn Fn(&Cell) -> Option<String>| -> fmt::Result {
            if !cells.iter().flatten().any(|cell| value(cell).is_some()) {
                return Ok(());
            }
            write!(text, "{label:LABEL$}")?;
            for cell in cells {
                write!(text, "{:>WIDTH$}", cell.as_ref().and_then(value).unwrap_or_default())?;
            }
            if label.starts_with(' ') {
                return writeln!(text);
            }
            let ours = self.peers.iter().position(|peer| *peer == OURS);
            let Some(ours) = ours.and_then(|ours| cells[ours].as_ref()) else {
                return writeln!(text);
            };
            writeln!(
                text,
                "{:>10}{:>9}{:>8}{:>8.2}{:>8}",
                ours.by_kernel.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
                ours.by_limit.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
                ours.sleeps.map_or_else(String::new, |sleeps| format!("{sleeps:.3}")),
                ours.others,
                ours.rounds,
            )
        };
        let unit = scenario.unit;
        let label = format!("{}, {}", scenario.name, unit_name(unit));
        row(&label, &|cell| Some(shown(unit, cell.typical)))?;
        row("  p99", &|cell| Some(shown(unit, cell.tail?.0)))?;
        row("  p99.9", &|cell| Some(shown(unit, cell.tail?.1)))?;
        row("  fairness, senders", &|cell| Some(format!("{:.2}", cell.fairness?.0)))?;
        row("  fairness, receivers", &|cell| Some(format!("{:.2}", cell.fairness?.1)))?;
        row("  resident", &|cell| Some(shown(unit, cell.resident?)))
    }

    /// The same for programs, with every sample.
    pub fn json(&self) -> Value {
        let samples: Vec<Value> = self
            .samples
            .iter()
            .map(|sample| {
                json!({
                    "scenario": self.scenarios[sample.scenario].title(),
                    "transport": sample.peer,
                    "round": sample.round,
                    "placement": sample.placement().to_string(),
                    "line_ns": sample.lines,
                    "others_processors": sample.others,
                    "typical": sample.figures.typical,
                    "p99_p999": sample.figures.tail,
                    "fairness": sample.figures.fairness,
                    "sleeps": sample.figures.sleeps,
                    "resident": sample.figures.resident,
                })
            })
            .collect();
        let rows = |placement: Placement| -> Vec<Value> {
            let mut rows = Vec::new();
            for (index, scenario) in self.scenarios.iter().enumerate() {
                for peer in &self.peers {
                    let Some(cell) = self.cell(index, peer, placement) else { continue };
                    rows.push(json!({
                        "scenario": scenario.title(),
                        "unit": unit_name(scenario.unit),
                        "transport": peer,
                        "rounds": cell.rounds,
                        "typical": cell.typical,
                        "p99_p999": cell.tail,
                        "fairness": cell.fairness,
                        "sleeps": cell.sleeps,
                        "resident": cell.resident,
                        "by_kernel": cell.by_kernel,
                        "by_limit": cell.by_limit,
                        "by_line": cell.by_line,
                        "others_processors": cell.others,
                    }));
                }
            }
            rows
        };
        let refused = self.refused();
        let refused = refused
            .iter()
            .map(|(peer, why, list)| json!({"transport": peer, "why": why, "scenarios": list}));
        let missing = self.missing.iter().map(|(peer, why)| json!({"transport": peer, "why": why}));
        json!({
            "machine": {
                "model": self.machine.model,
                "processors": self.machine.processors.len(),
                "kernel": self.machine.kernel,
            },
            "targets": targets::json(self),
            "near": rows(Placement::Near),
            "far": rows(Placement::Far),
            "alone": rows(Placement::Alone),
            "not_measured": missing.chain(refused).collect::<Vec<Value>>(),
            "samples_dropped": self.samples_of(Placement::Mixed),
            "samples": samples,
        })
    }
}

/// As the tables show it.
fn unit_name(unit: Unit) -> &'static str {
    match unit {
        Unit::Rate => "M/s",
        Unit::Time => "ns",
        Unit::Calls => "each",
        Unit::Bytes => "KiB",
    }
}

fn shown(unit: Unit, value: f64) -> String {
    let value = if unit == Unit::Bytes { value / 1024.0 } else { value };
    match value {
        _ if unit == Unit::Calls => format!("{value:.4}"),
        0.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_one_of_the_values() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0].into_iter()), Some(4.0));
        assert_eq!(median([].into_iter()), None);
    }

    #[test]
    fn a_sample_during_which_the_processors_moved_belongs_to_no_placement() {
        assert_eq!(placement([120.0, 121.0]), Placement::Near);
        assert_eq!(placement([480.0, 470.0]), Placement::Far);
        assert_eq!(placement([120.0, 480.0]), Placement::Mixed);
        assert_eq!(placement([480.0, 120.0]), Placement::Mixed);
    }
}
