//! From samples to a table and to JSON.

use crate::machine::{Machine, NEAR_MOST_NS};
use crate::peers::{KERNEL, LIMIT, OURS};
use crate::scenario::{Figures, Scenario, Unit};
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
    /// Cache-line round trip, ns.
    pub line: f64,
    /// Processors that others kept busy.
    pub others: f64,
}

/// Everything that was measured on one machine.
pub struct Report {
    /// The scenarios, in order.
    pub scenarios: Vec<Scenario>,
    /// The samples, mixed ones included.
    pub samples: Vec<Sample>,
    machine: Machine,
    peers: Vec<&'static str>,
    /// What was not measured: scenario, transport, and why, if it is not simply beyond it.
    blanks: Vec<(String, &'static str, Option<String>)>,
}

impl Report {
    /// Nothing yet.
    pub fn new(machine: Machine, peers: Vec<&'static str>) -> Report {
        Report { scenarios: Vec::new(), samples: Vec::new(), machine, peers, blanks: Vec::new() }
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

    /// Whether something went wrong with the library itself.
    pub fn has_failed(&self) -> bool {
        self.blanks.iter().any(|(_, peer, why)| *peer == OURS && why.is_some())
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
            line: over(&|sample| Some((sample.lines[0] + sample.lines[1]) / 2.0))?,
            others: over(&|sample| Some(sample.others))?,
        })
    }

    fn dropped(&self) -> usize {
        self.samples.iter().filter(|sample| sample.placement() == Placement::Mixed).count()
    }

    /// For people: for each placement a table of each group of scenarios.
    pub fn table(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write_table(&mut text);
        text
    }

    fn write_table(&self, text: &mut String) -> fmt::Result {
        let Machine { model, kernel, processors } = &self.machine;
        writeln!(text, "{model}, {} processors, Linux {kernel}", processors.len())?;
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
        writeln!(text)?;
        for (scenario, peer, why) in &self.blanks {
            if let Some(why) = why {
                writeln!(text, "{peer}: {scenario}: {why}")?;
            }
        }
        match self.dropped() {
            0 => Ok(()),
            dropped => writeln!(text, "{dropped} samples dropped: the processors moved meanwhile"),
        }
    }

    fn write_heading(
        &self,
        text: &mut String,
        scenario: &Scenario,
        placement: Placement,
    ) -> fmt::Result {
        let title = format!("{placement}: {}", scenario.group);
        write!(text, "\n{title:24}")?;
        for peer in &self.peers {
            write!(text, "{peer:>12}")?;
        }
        writeln!(
            text,
            "{:>10}{:>9}{:>8}{:>9}{:>8}{:>8}",
            "x kernel", "x limit", "sleeps", "line ns", "others", "rounds"
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
            write!(text, "{label:24}")?;
            for cell in cells {
                write!(text, "{:>12}", cell.as_ref().and_then(value).unwrap_or_default())?;
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
                "{:>10}{:>9}{:>8}{:>9.0}{:>8.2}{:>8}",
                ours.by_kernel.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
                ours.by_limit.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
                ours.sleeps.map_or_else(String::new, |sleeps| format!("{sleeps:.3}")),
                ours.line,
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
                        "line_ns": cell.line,
                        "others_processors": cell.others,
                    }));
                }
            }
            rows
        };
        let blanks: Vec<Value> = self
            .blanks
            .iter()
            .map(|(scenario, peer, why)| json!({"scenario": scenario, "transport": peer, "why": why}))
            .collect();
        json!({
            "machine": {
                "model": self.machine.model,
                "processors": self.machine.processors.len(),
                "kernel": self.machine.kernel,
            },
            "near": rows(Placement::Near),
            "far": rows(Placement::Far),
            "alone": rows(Placement::Alone),
            "not_measured": blanks,
            "samples_dropped": self.dropped(),
            "samples": samples,
        })
    }
}

/// As the tables show it.
fn unit_name(unit: Unit) -> &'static str {
    match unit {
        Unit::Rate => "M/s",
        Unit::Time => "ns",
        Unit::Bytes => "KiB",
    }
}

fn shown(unit: Unit, value: f64) -> String {
    let value = if unit == Unit::Bytes { value / 1024.0 } else { value };
    match value {
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
