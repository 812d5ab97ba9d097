//! What many seeds gave together.

use std::collections::BTreeMap;
use std::fmt;

use super::Run;
use super::auditor::Finding;
use super::broker::LateRequests;
use super::faults::{CLOCKS, Fault, Met};
use assent_contract::domain::time::Span;
use assent_core::commit::POINTS;

/// Broken seeds that are kept with their findings.
const BROKEN_MAX: usize = 100;

#[derive(Default)]
pub struct Summary {
    pub seeds: u64,
    pub broken: u64,
    /// Of the broken ones: those that ended in a panic.
    pub panicked: u64,
    /// The lowest broken seeds, and what they broke.
    pub findings: BTreeMap<u64, Vec<Finding>>,
    /// The lowest seeds that panicked, and what they said.
    pub panics: BTreeMap<u64, String>,
    pub inputs: u64,
    pub committed: u64,
    pub rolled_back: u64,
    pub surrendered: u64,
    pub late: LateRequests,
    /// The longest rest of the runs in which a fault struck; where a clock's did, it counts as that
    /// clock's alone.
    pub longest_rest: BTreeMap<Fault, Span>,
    pub struck: BTreeMap<Fault, u64>,
    pub crashes: BTreeMap<&'static str, u64>,
    pub met: Met,
    /// Of all histories together, whatever the order in which they were run.
    pub trace: u64,
}

impl Summary {
    /// `Err`: the seed's run panicked, with these words.
    pub fn add(&mut self, seed: u64, run: Result<Run, String>) {
        let run = match run {
            Ok(run) => run,
            Err(message) => {
                let panics = [(seed, message)].into();
                let alone = Self { seeds: 1, broken: 1, panicked: 1, panics, ..Self::default() };
                return self.merge(alone);
            }
        };
        self.merge(Self {
            seeds: 1,
            panicked: 0,
            panics: BTreeMap::new(),
            broken: u64::from(!run.findings.is_empty()),
            findings: [(run.seed, run.findings)]
                .into_iter()
                .filter(|it| !it.1.is_empty())
                .collect(),
            inputs: run.inputs,
            committed: run.committed,
            rolled_back: run.rolled_back,
            surrendered: run.surrendered,
            late: run.late,
            longest_rest: rests(run.rested_in, &run.struck),
            struck: run.struck,
            crashes: run.crashes,
            met: run.met,
            trace: run.trace,
        });
    }

    pub fn merge(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.broken += other.broken;
        self.panicked += other.panicked;
        keep_lowest(&mut self.findings, other.findings);
        keep_lowest(&mut self.panics, other.panics);
        self.inputs += other.inputs;
        self.committed += other.committed;
        self.rolled_back += other.rolled_back;
        self.surrendered += other.surrendered;
        self.late.own += other.late.own;
        self.late.other += other.late.other;
        self.late.idle += other.late.idle;
        self.late.fenced += other.late.fenced;
        for (fault, rest) in other.longest_rest {
            let longest = self.longest_rest.entry(fault).or_insert(rest);
            *longest = rest.max(*longest);
        }
        add_counts(&mut self.struck, other.struck);
        add_counts(&mut self.crashes, other.crashes);
        add_counts(&mut self.met, other.met);
        self.trace ^= other.trace;
    }

    /// Pairs of a fault and a crash point that never met.
    pub fn never_met(&self) -> Vec<(Fault, &'static str)> {
        let pairs = Fault::ALL.iter().flat_map(|&fault| POINTS.map(|point| (fault, point)));
        pairs.filter(|pair| !self.met.contains_key(pair)).collect()
    }
}

/// Whose rest a run's is.
fn rests(rested_in: Option<Span>, struck: &BTreeMap<Fault, u64>) -> BTreeMap<Fault, Span> {
    let of_clocks = CLOCKS.iter().any(|fault| struck.contains_key(fault));
    let faults = struck.keys().filter(|fault| !of_clocks || CLOCKS.contains(fault));
    faults.filter_map(|&fault| Some((fault, rested_in?))).collect()
}

fn keep_lowest<T>(to: &mut BTreeMap<u64, T>, from: BTreeMap<u64, T>) {
    to.extend(from);
    while to.len() > BROKEN_MAX {
        to.pop_last();
    }
}

fn short(point: &str) -> String {
    point.trim_start_matches("after_").replace("during_", "in ")
}

fn add_counts<K: Ord>(to: &mut BTreeMap<K, u64>, from: BTreeMap<K, u64>) {
    for (key, count) in from {
        *to.entry(key).or_default() += count;
    }
}

/// Faults by crash point: how often a process ended there in the fault's wake.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} seeds, {} broken, {} of them by a panic; {} inputs; transactions: {} committed, {} \
             rolled back, {} given up; late requests: {} reached their own transaction, {} \
             another, {} none, {} were fenced\n",
            self.seeds,
            self.broken,
            self.panicked,
            self.inputs,
            self.committed,
            self.rolled_back,
            self.surrendered,
            self.late.own,
            self.late.other,
            self.late.idle,
            self.late.fenced
        )?;
        write!(f, "{:<30}{:>9}{:>9}", "fault", "struck", "recovery, s")?;
        for point in POINTS {
            write!(f, "{:>13}", short(point))?;
        }
        writeln!(f)?;
        let count = |of: Option<&u64>| of.copied().unwrap_or(0);
        for fault in Fault::ALL {
            let rest = self.longest_rest.get(fault).map_or(0, |rest| rest.0);
            let rest = rest as f64 / 1_000.0;
            let struck = count(self.struck.get(fault));
            write!(f, "{:<30}{struck:>9}{rest:>9.1}", fault.name())?;
            for point in POINTS {
                write!(f, "{:>13}", count(self.met.get(&(*fault, point))))?;
            }
            writeln!(f)?;
        }
        write!(f, "{:<48}", "crashes after")?;
        for point in POINTS {
            write!(f, "{:>13}", count(self.crashes.get(point)))?;
        }
        Ok(())
    }
}
