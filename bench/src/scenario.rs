//! What is measured: a list of scenarios, and one file for each group of them. Each scenario
//! is one function, the same for every transport.

use crate::transport::{Spec, Transport, Waiting};
use std::io;
use std::time::Duration;

mod flow;
mod memory;
mod one_process;
mod round_trip;

pub use round_trip::Manner;

/// Bytes in a message, unless the scenario is about that.
const SIZE: usize = 64;

/// Messages in a batch.
const BATCH: usize = 32;

/// Messages in a queue, unless the scenario is about that.
const DEPTH: usize = 1024;

/// Where the processes of a scenario run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Two processes, each on a processor of its own.
    Apart,
    /// One processor for all.
    Together,
    /// Wherever the kernel likes.
    Anywhere,
}

#[derive(Clone, Copy)]
enum What {
    Flow { senders: usize, receivers: usize, place: Place },
    Calls,
    InPlace,
    Batches,
    PairOfBatches,
    SinglePairs,
    BothWays,
    RoundTrip(Manner, Place),
    Pair,
    Hold,
    Bursts,
    Memory,
}

/// What a figure counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// Millions of messages in a second; more is better.
    Rate,
    /// Nanoseconds; less is better.
    Time,
    /// System calls for each message; less is better.
    Calls,
    /// Bytes; less is better.
    Bytes,
}

impl Unit {
    /// How many times as good one figure is as another.
    pub fn ratio(self, figure: f64, other: f64) -> f64 {
        if self == Unit::Rate { figure / other } else { other / figure }
    }
}

/// One row of the table.
pub struct Scenario {
    /// The rows that belong together.
    pub group: &'static str,
    /// Its name within the group.
    pub name: String,
    /// What its figures count.
    pub unit: Unit,
    what: What,
    size: usize,
    depth: usize,
    levels: u32,
}

/// What all measurements of one run have in common.
#[derive(Clone, Copy)]
pub struct Setting {
    /// How long to measure.
    pub span: Duration,
    /// How long nothing happens before the first message after silence.
    pub silence: Duration,
    /// The processors of two processes that run apart.
    pub processors: (usize, usize),
}

impl Setting {
    fn processor(&self, place: Place, first: bool) -> Option<usize> {
        match place {
            Place::Apart => Some(if first { self.processors.0 } else { self.processors.1 }),
            Place::Together => Some(self.processors.0),
            Place::Anywhere => None,
        }
    }
}

/// What one measurement gave.
#[derive(Clone, Copy)]
pub struct Figures {
    /// The mean rate or time, the median for round trips, the length of the file.
    pub typical: f64,
    /// For round trips, what 99 of 100 and 999 of 1000 stay below; ns.
    pub tail: Option<(f64, f64)>,
    /// Where many send and receive: messages of the slowest process over those of the
    /// fastest, among senders and among receivers.
    pub fairness: Option<(f64, f64)>,
    /// How often processes slept, for each message or round trip.
    pub sleeps: Option<f64>,
    /// Bytes that are really there.
    pub resident: Option<f64>,
}

impl Figures {
    fn typical(typical: f64) -> Figures {
        Figures { typical, tail: None, fairness: None, sleeps: None, resident: None }
    }
}

/// All scenarios.
pub fn all() -> Vec<Scenario> {
    let mut list = Vec::new();
    let mut add = |group, name: String, unit, what, size, depth, levels| {
        list.push(Scenario { group, name, unit, what, size, depth, levels });
    };

    for size in [8, 64, 256, 1024, 8192, 65536] {
        for depth in [10, 64, 1024] {
            let flow = What::Flow { senders: 1, receivers: 1, place: Place::Apart };
            add("throughput", format!("{size}/{depth}"), Unit::Rate, flow, size, depth, 1);
        }
    }
    for size in [64, 65536] {
        add("in place", format!("{size}/64"), Unit::Rate, What::InPlace, size, 64, 1);
    }
    for (name, manner, place) in [
        ("polling", Manner::Polling, Place::Apart),
        ("blocking", Manner::Blocking, Place::Apart),
        ("after 2 ms of sleep", Manner::AfterSleep, Place::Apart),
        ("after silence", Manner::AfterSilence, Place::Apart),
        ("one processor", Manner::Blocking, Place::Together),
    ] {
        let what = What::RoundTrip(manner, place);
        add("round trip", name.to_owned(), Unit::Time, what, SIZE, 64, 1);
    }
    for depth in [1024, 10] {
        for processes in [2, 4] {
            let (senders, receivers) = (processes, processes);
            let flow = What::Flow { senders, receivers, place: Place::Anywhere };
            let name = format!("{senders}+{receivers}/{depth}");
            add("contention", name, Unit::Rate, flow, SIZE, depth, 1);
        }
    }
    add("one process", "pair".to_owned(), Unit::Time, What::Pair, SIZE, DEPTH, 1);
    add("batches of 32", "8/1024".to_owned(), Unit::Rate, What::Batches, 8, DEPTH, 1);
    add("batches of 32", "pair".to_owned(), Unit::Time, What::PairOfBatches, 8, DEPTH, 1);
    add("batches of 32", "single pair".to_owned(), Unit::Time, What::SinglePairs, 8, DEPTH, 1);
    for levels in [32, 32768] {
        let mut mixed = |name: &str, unit, what| {
            add("mixed", format!("{name} {levels}"), unit, what, SIZE, DEPTH, levels);
        };
        mixed("hold", Unit::Time, What::Hold);
        mixed("bursts", Unit::Time, What::Bursts);
        mixed("1+1", Unit::Rate, What::Flow { senders: 1, receivers: 1, place: Place::Apart });
        mixed("both ways", Unit::Rate, What::BothWays);
    }
    for depth in [10, 1024] {
        let name = format!("{SIZE}/{depth}");
        add("system calls", name, Unit::Calls, What::Calls, SIZE, depth, 1);
    }
    add("memory", "1024 x 256".to_owned(), Unit::Bytes, What::Memory, 256, 1024, 1);
    list
}

impl Scenario {
    /// Group and name.
    pub fn title(&self) -> String {
        format!("{} {}", self.group, self.name)
    }

    /// Whether it needs two processors.
    pub fn is_apart(&self) -> bool {
        matches!(
            self.what,
            What::Flow { place: Place::Apart, .. }
                | What::RoundTrip(_, Place::Apart)
                | What::BothWays
                | What::InPlace
                | What::Batches
                | What::Calls
        )
    }

    fn spec(&self) -> Spec {
        let (senders, receivers) = match self.what {
            What::Flow { senders, receivers, .. } => (senders, receivers),
            What::BothWays => (2, 2),
            _ => (1, 1),
        };
        let waiting = match self.what {
            What::RoundTrip(Manner::Polling, _) => Waiting::Never,
            What::RoundTrip(Manner::AfterSleep | Manner::AfterSilence, _)
            | What::RoundTrip(_, Place::Together) => Waiting::Asleep,
            _ => Waiting::AsItDoes,
        };
        let (size, depth, levels) = (self.size, self.depth, self.levels);
        Spec { size, depth, levels, waiting, senders, receivers }
    }

    /// Measure it once.
    pub fn measure<T: Transport>(&self, setting: &Setting) -> io::Result<Figures> {
        let spec = self.spec();
        match self.what {
            What::Flow { place, .. } => flow::flow::<T>(&spec, setting, place),
            What::InPlace => flow::in_place::<T>(&spec, setting),
            What::Batches => flow::batches::<T>(&spec, setting),
            What::SinglePairs => one_process::single_pairs::<T>(&spec, setting),
            What::PairOfBatches => one_process::pair_of_batches::<T>(&spec, setting),
            What::Calls => flow::calls::<T>(&spec, setting),
            What::BothWays => flow::both_ways::<T>(&spec, setting),
            What::RoundTrip(manner, place) => {
                round_trip::round_trip::<T>(&spec, setting, manner, place)
            }
            What::Pair => one_process::pair::<T>(&spec, setting),
            What::Hold => one_process::hold::<T>(&spec, setting),
            What::Bursts => one_process::bursts::<T>(&spec, setting),
            What::Memory => memory::memory::<T>(&spec),
        }
    }
}

/// Priorities below a limit, a power of two, that look random: the same in every run.
struct Priorities {
    state: u64,
    mask: u32,
}

impl Priorities {
    fn new(seed: usize, levels: u32) -> Priorities {
        Priorities { state: (seed as u64 + 1) << 32, mask: levels - 1 }
    }

    /// xorshift64* (S. Vigna, "An experimental exploration of Marsaglia's xorshift
    /// generators, scrambled").
    #[inline(always)]
    fn next(&mut self) -> u32 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        (self.state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as u32 & self.mask
    }
}
