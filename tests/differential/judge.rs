//! Runs a script on both sides, step by step; makes a script that differs shorter; and says
//! what there is to read.

#![forbid(unsafe_code)]

use crate::differences::{Case, known};
use crate::script::{Script, Step};
use crate::side::Side;
use std::collections::BTreeMap;
use std::fmt;

pub struct Judge {
    pub kernel: Side,
    pub ours: Side,
    /// How often a call had a result on the first side: what the scripts have tried.
    pub tally: BTreeMap<(String, String), u64>,
    /// How often a known difference was met.
    pub met: BTreeMap<&'static str, u64>,
}

/// A script, the first of its steps after which the sides differ, and what they said there.
pub struct Difference {
    script: Script,
    said: Vec<[Vec<String>; 2]>,
}

impl Judge {
    pub fn new(kernel: Side, ours: Side) -> Judge {
        Judge { kernel, ours, tally: BTreeMap::new(), met: BTreeMap::new() }
    }

    /// Run it until the sides differ.
    pub fn try_out(&mut self, script: &Script) -> Option<Difference> {
        self.kernel.begin(script);
        self.ours.begin(script);
        let mut said = Vec::new();
        let is_same = self.try_steps(script, &mut said);
        let ends = [self.kernel.end(), self.ours.end()];
        match is_same {
            // The queues are known to be other ones.
            None => None,
            Some(true) if ends[0] == ends[1] => None,
            Some(is_same) => {
                if is_same {
                    said.push(ends);
                }
                Some(Difference { script: script.clone(), said })
            }
        }
    }

    /// Whether all steps led to the same; None after a known difference.
    fn try_steps(&mut self, script: &Script, said: &mut Vec<[Vec<String>; 2]>) -> Option<bool> {
        for (at, step) in script.steps.iter().enumerate() {
            let (kernel, ours) = (self.kernel.step(step), self.ours.step(step));
            self.count(step, &kernel);
            let before = &script.steps[..at];
            let case = Case { before, said, step, kernel: &kernel, ours: &ours };
            if let Some(known) = known(&case) {
                *self.met.entry(known.sentence).or_default() += 1;
                return None;
            }
            let is_same = kernel == ours;
            said.push([kernel, ours]);
            if !is_same {
                return Some(false);
            }
        }
        Some(true)
    }

    /// Leave out what is not needed to see a difference: half of the steps, a quarter, ...
    pub fn shrink(&mut self, mut found: Difference) -> Difference {
        let mut size = found.script.steps.len();
        while size > 0 {
            let mut at = 0;
            let mut is_shorter = false;
            while at < found.script.steps.len() {
                let mut shorter = found.script.clone();
                shorter.steps.truncate(found.said.len());
                let end = (at + size).min(shorter.steps.len());
                shorter.steps.drain(at.min(end)..end);
                match self.try_out(&shorter) {
                    Some(still) => (found, is_shorter) = (still, true),
                    None => at += size,
                }
                if at >= found.said.len() {
                    break;
                }
            }
            // The last steps may need another round: one that left may have held others.
            if !(is_shorter && size == 1) {
                size /= 2;
            }
        }
        found
    }

    fn count(&mut self, step: &Step, lines: &[String]) {
        let who = format!("{} ", step.actor);
        let mut results = lines.iter().filter_map(|line| line.strip_prefix(&who));
        let Some(result) = results.find(|result| !result.starts_with('!')) else { return };
        let result = result.split(' ').next().unwrap_or_default();
        let is_told = result.starts_with('E') || result == "asleep";
        let result = if is_told { result } else { "done" };
        *self.tally.entry((step.verb().to_owned(), result.to_owned())).or_default() += 1;
    }
}

impl Difference {
    /// The number of steps up to where it shows.
    pub fn length(&self) -> usize {
        self.said.len()
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} actors", self.script.actors)?;
        let end = "all: end".to_owned();
        let steps = self.script.steps.iter().map(Step::to_string).chain([end]);
        for (step, [kernel, ours]) in steps.zip(&self.said) {
            if kernel == ours {
                writeln!(f, "  {step}\n      {}", kernel.join("; "))?;
            } else {
                writeln!(f, "  {step}\n      kernel: {}", kernel.join("; "))?;
                writeln!(f, "      ours:   {}", ours.join("; "))?;
            }
        }
        Ok(())
    }
}
