//! Log lines at the edges: where a gate closes or opens, a consent source falls silent or is heard again,
//! a sweep begins or is done. One line for all partitions of a worker that change alike, none while
//! nothing changes. Names partitions, never a subject (INV-6).

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{OnSilence, Source};
use crate::http::{PartitionStatus, Reason};
use assent_core::task::Task;

/// How a partition's gate was when it was last looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct GateStatus {
    gate_open: bool,
    /// The gravest.
    reason: Option<Reason>,
}

/// What was told last.
#[derive(Default)]
pub struct Edges {
    worker: usize,
    gates: BTreeMap<i32, GateStatus>,
    /// Partitions whose gate changed, to be told together.
    changed: BTreeMap<GateStatus, Vec<i32>>,
    silent: BTreeSet<String>,
    old_rulebook: BTreeSet<i32>,
    old_keys: BTreeSet<i32>,
}

impl Edges {
    pub fn of(worker: usize) -> Self {
        Self { worker, ..Self::default() }
    }

    /// Takes note of how a partition's gate is now, for [`Self::tell_gates`].
    pub fn note_gate(&mut self, partition: i32, status: &PartitionStatus) {
        let reason = status.reasons.iter().min().cloned();
        let gate = GateStatus { gate_open: status.gate_open, reason };
        // That an assignment begins with it is no news.
        let is_first = !self.gates.contains_key(&partition);
        if is_first && gate.reason == Some(Reason::Restoring) {
            return;
        }
        if self.gates.get(&partition) != Some(&gate) {
            self.gates.insert(partition, gate.clone());
            self.changed.entry(gate).or_default().push(partition);
        }
    }

    pub fn tell_gates(&mut self) {
        let worker = self.worker;
        for (GateStatus { gate_open, reason }, partitions) in std::mem::take(&mut self.changed) {
            let reason = reason.map(|reason| reason.to_string()).unwrap_or_default();
            match (gate_open, reason.is_empty()) {
                (true, true) => tracing::info!(worker, ?partitions, "gate open"),
                (true, false) => {
                    tracing::warn!(worker, ?partitions, reason, "gate open, but not ready");
                }
                (false, _) => {
                    tracing::warn!(worker, ?partitions, reason, "gate closed: no click is allowed");
                }
            }
        }
    }

    /// A source is silent for longer than it may in these partitions, for so long in one of them.
    pub fn tell_silence(&mut self, id: &str, source: &Source, seconds: f64, partitions: &[i32]) {
        let worker = self.worker;
        if partitions.is_empty() {
            if self.silent.remove(id) {
                tracing::info!(worker, source = id, "consent source is active again");
            }
        } else if self.silent.insert(id.to_owned()) {
            let follows = match source.on_silence {
                OnSilence::Close => {
                    "the gates of these partitions stay closed until it is active again"
                }
                OnSilence::Alert => "clicks are still decided; opt-outs from it may not arrive",
            };
            tracing::warn!(
                worker,
                source = id,
                ?partitions,
                silence_seconds = seconds,
                bound_seconds = source.max_silence.as_secs_f64(),
                "consent source is silent: {follows}"
            );
        }
    }

    pub fn tell_sweeps(&mut self, tasks: &BTreeMap<i32, Task>) {
        let under = |is_old: fn(&Task) -> bool| {
            tasks.iter().filter(|(_, task)| is_old(task)).map(|(&it, _)| it).collect()
        };
        let outdated = under(|task| task.engine.is_outdated());
        tell_sweep(self.worker, "rulebook", &mut self.old_rulebook, outdated);
        let old = under(|task| task.engine.has_old_keys());
        tell_sweep(self.worker, "keys", &mut self.old_keys, old);
    }
}

/// What lies under an earlier rulebook or an older key is brought up to date in these partitions.
fn tell_sweep(worker: usize, of: &str, known: &mut BTreeSet<i32>, now: BTreeSet<i32>) {
    let begun: Vec<i32> = now.difference(known).copied().collect();
    if !begun.is_empty() {
        tracing::info!(worker, of, partitions = ?begun, "sweep begun");
    }
    let done: Vec<i32> = known.difference(&now).copied().collect();
    if !done.is_empty() {
        tracing::info!(worker, of, partitions = ?done, "sweep done");
    }
    *known = now;
}
