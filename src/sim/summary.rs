//! What many seeds gave together.

use std::collections::BTreeMap;
use std::fmt;

use super::Run;
use super::auditor::Finding;
use super::faults::{Fault, Met};
use crate::task::crash::POINTS;

/// Broken seeds that are kept with their findings.
const BROKEN_MAX: usize = 100;

#[derive(Default)]
pub struct Summary {
    pub seeds: u64,
    pub broken: u64,
    /// The lowest broken seeds, and what they broke.
    pub findings: BTreeMap<u64, Vec<Finding>>,
    pub inputs: u64,
    pub committed: u64,
    pub rolled_back: u64,
    pub surrendered: u64,
    /// Late EndTxn requests that ended a transaction that was open, and those that were fenced.
    pub late_met: u64,
    pub late_fenced: u64,
    pub struck: BTreeMap<Fault, u64>,
    pub crashes: BTreeMap<&'static str, u64>,
    pub met: Met,
    /// Of all histories together, whatever the order in which they were run.
    pub trace: u64,
}

impl Summary {
    pub fn add(&mut self, run: Run) {
        self.merge(Self {
            seeds: 1,
            broken: u64::from(!run.findings.is_empty()),
            findings: [(run.seed, run.findings)]
                .into_iter()
                .filter(|it| !it.1.is_empty())
                .collect(),
            inputs: run.inputs,
            committed: run.committed,
            rolled_back: run.rolled_back,
            surrendered: run.surrendered,
            late_met: run.late_met,
            late_fenced: run.late_fenced,
            struck: run.struck,
            crashes: run.crashes,
            met: run.met,
            trace: run.trace,
        });
    }

    pub fn merge(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.broken += other.broken;
        self.findings.extend(other.findings);
        while self.findings.len() > BROKEN_MAX {
            self.findings.pop_last();
        }
        self.inputs += other.inputs;
        self.committed += other.committed;
        self.rolled_back += other.rolled_back;
        self.surrendered += other.surrendered;
        self.late_met += other.late_met;
        self.late_fenced += other.late_fenced;
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
            "{} seeds, {} broken; {} inputs; transactions: {} committed, {} rolled back, {} \
             surrendered; late EndTxn: {} met an open transaction, {} were fenced\n",
            self.seeds,
            self.broken,
            self.inputs,
            self.committed,
            self.rolled_back,
            self.surrendered,
            self.late_met,
            self.late_fenced
        )?;
        write!(f, "{:<25}{:>9}", "fault", "struck")?;
        for point in POINTS {
            write!(f, "{:>13}", short(point))?;
        }
        writeln!(f)?;
        let count = |of: Option<&u64>| of.copied().unwrap_or(0);
        for fault in Fault::ALL {
            write!(f, "{:<25}{:>9}", fault.name(), count(self.struck.get(fault)))?;
            for point in POINTS {
                write!(f, "{:>13}", count(self.met.get(&(*fault, point))))?;
            }
            writeln!(f)?;
        }
        write!(f, "{:<34}", "crashes after")?;
        for point in POINTS {
            write!(f, "{:>13}", count(self.crashes.get(point)))?;
        }
        Ok(())
    }
}
