//! From samples to a table and to JSON.

use crate::machine::{Machine, NEAR_MOST_NS};
use crate::scenario::Figures;
use serde_json::{Value, json};
use std::fmt::{self, Write};

/// One scenario, measured once with each kind of queue, one right after the other.
pub struct Sample {
    /// Which scenario.
    pub scenario: &'static str,
    /// In which round.
    pub round: u32,
    /// The cache-line round trip before, between and after; ns.
    pub lines: [f64; 3],
    /// Queues of the library.
    pub ours: Figures,
    /// The kernel's; `None` if there are none here.
    pub kernels: Option<Figures>,
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

fn placement(lines: [f64; 3]) -> Placement {
    let near = lines.iter().filter(|&&line| line <= NEAR_MOST_NS).count();
    match near {
        _ if lines == [0.0; 3] => Placement::Alone,
        3 => Placement::Near,
        0 => Placement::Far,
        _ => Placement::Mixed,
    }
}

/// The median; of an even number of values the upper of the middle two. NaN of none.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The medians of one scenario in one placement.
struct Row {
    scenario: &'static str,
    rounds: usize,
    ours: f64,
    ours_p99: Option<f64>,
    ours_sleeps: Option<f64>,
    kernels: Option<f64>,
    kernels_p99: Option<f64>,
    ratio: Option<f64>,
    line: f64,
    others: f64,
}

impl Row {
    fn of(scenario: &'static str, samples: &[&Sample]) -> Row {
        let over = |value: &dyn Fn(&Sample) -> Option<f64>| -> Option<f64> {
            let mut values: Vec<f64> = samples.iter().filter_map(|sample| value(sample)).collect();
            (!values.is_empty()).then(|| median(&mut values))
        };
        Row {
            scenario,
            rounds: samples.len(),
            ours: over(&|sample| Some(sample.ours.typical)).unwrap_or(f64::NAN),
            ours_p99: over(&|sample| sample.ours.p99),
            ours_sleeps: over(&|sample| sample.ours.sleeps),
            kernels: over(&|sample| Some(sample.kernels?.typical)),
            kernels_p99: over(&|sample| sample.kernels?.p99),
            // Of each round by itself: what changes between rounds does not count.
            ratio: over(&|sample| Some(sample.kernels?.typical / sample.ours.typical)),
            line: over(&|sample| Some(median(&mut sample.lines.clone()))).unwrap_or(f64::NAN),
            others: over(&|sample| Some(sample.others)).unwrap_or(f64::NAN),
        }
    }

    fn json(&self) -> Value {
        json!({
            "scenario": self.scenario,
            "rounds": self.rounds,
            "mqueue_rs_ns": self.ours,
            "mqueue_rs_p99_ns": self.ours_p99,
            "mqueue_rs_sleeps": self.ours_sleeps,
            "kernel_ns": self.kernels,
            "kernel_p99_ns": self.kernels_p99,
            "ratio": self.ratio,
            "line_ns": self.line,
            "others_processors": self.others,
        })
    }
}

/// Everything that was measured on one machine.
pub struct Report {
    /// The machine.
    pub machine: Machine,
    /// Messages in each queue.
    pub depth: u32,
    /// Why there are no figures of the kernel's queues.
    pub why_not: Option<String>,
    /// The samples, mixed ones included.
    pub samples: Vec<Sample>,
}

impl Report {
    /// The rows of one placement, in the order of measuring.
    fn rows(&self, placement: Placement) -> Vec<Row> {
        let mut scenarios: Vec<&'static str> = Vec::new();
        for sample in &self.samples {
            if !scenarios.contains(&sample.scenario) {
                scenarios.push(sample.scenario);
            }
        }
        let row = |scenario| {
            let here: Vec<&Sample> = self
                .samples
                .iter()
                .filter(|sample| sample.scenario == scenario && sample.placement() == placement)
                .collect();
            (!here.is_empty()).then(|| Row::of(scenario, &here))
        };
        scenarios.into_iter().filter_map(row).collect()
    }

    fn dropped(&self) -> usize {
        self.samples.iter().filter(|sample| sample.placement() == Placement::Mixed).count()
    }

    /// A table for each placement.
    pub fn table(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write_table(&mut text);
        text
    }

    fn write_table(&self, text: &mut String) -> fmt::Result {
        let Machine { model, kernel, processors } = &self.machine;
        writeln!(text, "{model}, {} processors, Linux {kernel}", processors.len())?;
        writeln!(text, "messages of 64 bytes, queues of {}", self.depth)?;
        if let Some(why_not) = &self.why_not {
            writeln!(text, "the kernel's queues cannot be used here: {why_not}")?;
        }
        for placement in [Placement::Near, Placement::Far, Placement::Alone] {
            let rows = self.rows(placement);
            if rows.is_empty() {
                continue;
            }
            writeln!(text, "\n{:31}{:>20}{:>20}", placement.to_string(), "mqueue_rs", "kernel")?;
            writeln!(
                text,
                "{:31}{:>10}{:>10}{:>10}{:>10}{:>8}{:>7}{:>8}{:>8}{:>8}",
                "us",
                "median",
                "p99",
                "median",
                "p99",
                "ratio",
                "sleeps",
                "line ns",
                "others",
                "rounds"
            )?;
            for row in rows {
                writeln!(
                    text,
                    "{:31}{:>10}{:>10}{:>10}{:>10}{:>8}{:>7}{:>8.0}{:>8.2}{:>8}",
                    row.scenario,
                    us(Some(row.ours)),
                    us(row.ours_p99),
                    us(row.kernels),
                    us(row.kernels_p99),
                    row.ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.1}")),
                    row.ours_sleeps.map_or("-".to_owned(), |sleeps| format!("{sleeps:.2}")),
                    row.line,
                    row.others,
                    row.rounds,
                )?;
            }
        }
        match self.dropped() {
            0 => Ok(()),
            dropped => {
                writeln!(text, "\n{dropped} samples dropped: the processors moved meanwhile")
            }
        }
    }

    /// The same for programs, with every sample.
    pub fn json(&self) -> Value {
        let figures = |figures: Figures| json!({"ns": figures.typical, "p99_ns": figures.p99, "sleeps": figures.sleeps});
        let samples: Vec<Value> = self
            .samples
            .iter()
            .map(|sample| {
                json!({
                    "scenario": sample.scenario,
                    "round": sample.round,
                    "placement": sample.placement().to_string(),
                    "line_ns": sample.lines,
                    "mqueue_rs": figures(sample.ours),
                    "kernel": sample.kernels.map(figures),
                    "others_processors": sample.others,
                })
            })
            .collect();
        let rows = |placement| self.rows(placement).iter().map(Row::json).collect::<Vec<_>>();
        json!({
            "machine": {
                "model": self.machine.model,
                "processors": self.machine.processors.len(),
                "kernel": self.machine.kernel,
            },
            "message_bytes": crate::transport::MESSAGE,
            "depth": self.depth,
            "kernel_queues_unavailable": self.why_not,
            "near": rows(Placement::Near),
            "far": rows(Placement::Far),
            "alone": rows(Placement::Alone),
            "samples_dropped": self.dropped(),
            "samples": samples,
        })
    }
}

fn us(ns: Option<f64>) -> String {
    ns.map_or("-".to_owned(), |ns| match ns / 1000.0 {
        us if us < 10.0 => format!("{us:.3}"),
        us => format!("{us:.1}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_one_of_the_values() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0]), 4.0);
        assert!(median(&mut []).is_nan());
    }

    #[test]
    fn a_sample_during_which_the_processors_moved_belongs_to_no_placement() {
        assert_eq!(placement([120.0, 121.0, 119.0]), Placement::Near);
        assert_eq!(placement([480.0, 470.0, 490.0]), Placement::Far);
        assert_eq!(placement([120.0, 480.0, 480.0]), Placement::Mixed);
        assert_eq!(placement([120.0, 120.0, 480.0]), Placement::Mixed);
    }
}
