//! Log lines where a gate closes or opens, and where a consent source falls silent or is heard again:
//! one for all partitions of a worker that change alike, none while nothing changes.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{OnSilence, Source};
use crate::http::{PartitionStatus, Reason};

/// How a partition stood when it was last looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Standing {
    gate_open: bool,
    /// The gravest.
    reason: Option<Reason>,
}

/// What was told last.
#[derive(Default)]
pub struct GateLog {
    worker: usize,
    told: BTreeMap<i32, Standing>,
    changed: BTreeMap<Standing, Vec<i32>>,
    silent: BTreeSet<String>,
}

impl GateLog {
    pub fn of(worker: usize) -> Self {
        Self { worker, ..Self::default() }
    }

    /// Takes note of how a partition stands now, for [`Self::tell`].
    pub fn note(&mut self, partition: i32, status: &PartitionStatus) {
        let reason = status.reasons.iter().min().cloned();
        let standing = Standing { gate_open: status.gate_open, reason };
        // The first moments after an assignment are no news: the line of the restore has been told.
        let is_first = !self.told.contains_key(&partition);
        if is_first && standing.reason == Some(Reason::Restoring) {
            return;
        }
        if self.told.get(&partition) != Some(&standing) {
            self.told.insert(partition, standing.clone());
            self.changed.entry(standing).or_default().push(partition);
        }
    }

    /// A line for each change.
    pub fn tell(&mut self) {
        let worker = self.worker;
        for (Standing { gate_open, reason }, partitions) in std::mem::take(&mut self.changed) {
            match (gate_open, reason) {
                (true, None) => tracing::info!(worker, ?partitions, "gate open"),
                (true, Some(reason)) => {
                    tracing::warn!(worker, ?partitions, %reason, "gate open, but not ready");
                }
                (false, reason) => {
                    let reason = reason.map(|reason| reason.to_string()).unwrap_or_default();
                    tracing::warn!(worker, ?partitions, reason, "gate closed: no click is allowed");
                }
            }
        }
    }

    /// A line where a source falls silent for longer than it may in some partition, or is heard again.
    pub fn tell_silence(
        &mut self,
        source: &str,
        config: &Source,
        silence_seconds: f64,
        partitions: Vec<i32>,
    ) {
        let worker = self.worker;
        let was_silent = self.silent.contains(source);
        if partitions.is_empty() {
            if was_silent {
                self.silent.remove(source);
                tracing::info!(worker, source, "consent source is heard again");
            }
        } else if !was_silent {
            self.silent.insert(source.to_owned());
            let bound_seconds = config.max_silence.as_secs_f64();
            let follows = match config.on_silence {
                OnSilence::Close => "its gates are closed there until it is heard again",
                OnSilence::Alert => "clicks go on; opt-outs from it may not arrive",
            };
            tracing::warn!(
                worker,
                source,
                ?partitions,
                silence_seconds,
                bound_seconds,
                "consent source is silent; {follows}"
            );
        }
    }
}
