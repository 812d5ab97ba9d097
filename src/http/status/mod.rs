//! What the workers last said of themselves; `/livez`, `/readyz` and the gauges of partitions and
//! sources are read off it.
//!
//! A reported lag grows with the report's age, so neither a worker that hangs nor one that lost its
//! partitions hides an alarm. The gauges are written when they are asked for.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::health::Health;
use super::membership::Membership;
use super::reason::Reason;
use crate::clock::Clock;
use crate::config::{Consent, OnSilence, Source};
use crate::telemetry::metrics::Metrics;
use assent_contract::domain::time::{Span, Timestamp};

/// A worker whose poll loop has not ticked for this long is taken for dead (docs/contract/http.md).
pub const TICK_MAX: Duration = Duration::from_secs(30);

/// What has waited to be committed for longer makes an instance not ready (docs/contract/http.md).
pub const WAIT_MAX: Duration = Duration::from_secs(30);

/// A report this fresh is taken as it is: docs/contract/batch.md#lag calls consent synced whose last
/// answered question is at most a second old.
const FRESH: Duration = Duration::from_secs(1);

/// assent_audit_sequence before the first batch, whose sequence is 0.
const NO_BATCH: i64 = -1;

/// What a worker says of a partition it owns.
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionStatus {
    pub restored: bool,
    pub consent_sync_lag_seconds: f64,
    /// Up to which moment consent is applied.
    pub synced: Timestamp,
    pub gate_open: bool,
    /// Why the gate is closed or it is not ready, in any order; none: all is well.
    pub reasons: Vec<Reason>,
    /// How long something of it has waited to be committed.
    pub waits: Duration,
    /// Of the last committed audit batch; `None`: there is none.
    pub audit_sequence: Option<i64>,
    /// `None`: not known yet.
    pub signals_without_record: Option<i64>,
    /// A batch of it broke an invariant and was not committed.
    pub held_back: bool,
    /// How far its state's time is ahead of the clocks, where that closes its gate.
    pub ahead: Option<Span>,
}

impl PartitionStatus {
    /// The group gave it at this moment, and nothing of it is known yet.
    pub fn restoring(since: Timestamp) -> Self {
        Self {
            restored: false,
            consent_sync_lag_seconds: 0.0,
            synced: since,
            gate_open: false,
            reasons: vec![Reason::Restoring],
            waits: Duration::ZERO,
            audit_sequence: None,
            signals_without_record: None,
            held_back: false,
            ahead: None,
        }
    }
}

/// The last report about a partition.
struct Report {
    worker: usize,
    said: PartitionStatus,
    at: Instant,
    /// The worker lost it without giving it back, and is not in the group again.
    lost: bool,
}

/// How long each consent source has said nothing, as a worker reported it.
struct Silences {
    seconds: BTreeMap<String, f64>,
    at: Instant,
}

/// Shared by the workers, who write, and the HTTP server, which reads.
pub struct Status {
    clock: Arc<dyn Clock>,
    started: Instant,
    max_sync_lag: Duration,
    sources: Vec<String>,
    /// Every reason that there can be here.
    reasons: Vec<Reason>,
    /// Milliseconds after `started` of each worker's last tick.
    ticks: Vec<AtomicU64>,
    membership: Mutex<Membership>,
    /// Why nothing is decided, although all is restored and in sync.
    halted: Mutex<Option<String>>,
    /// What the brokers refuse.
    refused: Mutex<Option<String>>,
    partitions: Mutex<BTreeMap<i32, Report>>,
    /// By worker; of those that own partitions, or lost them.
    silences: Mutex<BTreeMap<usize, Silences>>,
}

impl Status {
    pub fn new(workers: usize, consent: &Consent, clock: Arc<dyn Clock>) -> Self {
        let closes = |source: &Source| source.on_silence == OnSilence::Close;
        let closing = consent.sources.iter().filter(|(_, source)| closes(source));
        Self {
            started: clock.instant(),
            clock,
            max_sync_lag: consent.max_sync_lag,
            sources: consent.sources.keys().cloned().collect(),
            reasons: Reason::all(closing.map(|(id, _)| id.as_str())),
            ticks: (0..workers).map(|_| AtomicU64::new(0)).collect(),
            membership: Mutex::new(Membership::of(workers)),
            halted: Mutex::default(),
            refused: Mutex::default(),
            partitions: Mutex::default(),
            silences: Mutex::default(),
        }
    }

    /// The poll loop of this worker (from 0) went round.
    pub fn tick(&self, worker: usize) {
        if let Some(tick) = self.ticks.get(worker) {
            tick.store(self.uptime().as_millis() as u64, Ordering::Relaxed);
        }
    }

    /// When each worker ticked last, in milliseconds since the start.
    pub fn ticks(&self) -> Vec<u64> {
        self.ticks.iter().map(|tick| tick.load(Ordering::Relaxed)).collect()
    }

    /// The consumer group gave this worker these partitions, or none; what it lost before is forgotten.
    pub fn set_joined(&self, worker: usize, partitions: &[i32]) {
        lock(&self.membership).joined(worker);
        let mut known = lock(&self.partitions);
        known.retain(|_, report| report.worker != worker);
        let (at, now) = (self.clock.instant(), self.clock.now());
        for &partition in partitions {
            let said = PartitionStatus::restoring(now);
            known.insert(partition, Report { worker, said, at, lost: false });
        }
    }

    /// This worker gave its partitions back, and waits for the group's next answer.
    pub fn set_given_back(&self, worker: usize) {
        lock(&self.membership).gave_back(worker, self.clock.instant());
        lock(&self.partitions).retain(|_, report| report.worker != worker);
        lock(&self.silences).remove(&worker);
    }

    /// This worker is in the group no more. What is known of its partitions grows old until it is
    /// there again.
    pub fn set_lost(&self, worker: usize) {
        lock(&self.membership).lost(worker);
        let mut known = lock(&self.partitions);
        let its = known.values_mut().filter(|report| report.worker == worker);
        its.for_each(|report| report.lost = true);
    }

    /// Is this partition this instance's now?
    pub fn owns(&self, partition: i32) -> bool {
        lock(&self.partitions).get(&partition).is_some_and(|report| !report.lost)
    }

    /// Nothing is decided for this reason; `None`: it is.
    pub fn set_halted(&self, reason: Option<String>) {
        *lock(&self.halted) = reason;
    }

    /// The brokers refuse this; `None`: nothing.
    pub fn set_refused(&self, what: Option<String>) {
        *lock(&self.refused) = what;
    }

    pub fn set_partition(&self, worker: usize, partition: i32, said: PartitionStatus) {
        let at = self.clock.instant();
        lock(&self.partitions).insert(partition, Report { worker, said, at, lost: false });
    }

    /// How long each configured source has said nothing, in the partition where that is longest.
    pub fn set_silences(&self, worker: usize, seconds: BTreeMap<String, f64>) {
        let at = self.clock.instant();
        lock(&self.silences).insert(worker, Silences { seconds, at });
    }

    /// Did every worker tick within [`TICK_MAX`]?
    pub fn is_live(&self) -> bool {
        let uptime = self.uptime();
        self.ticks.iter().all(|tick| {
            uptime.saturating_sub(Duration::from_millis(tick.load(Ordering::Relaxed))) <= TICK_MAX
        })
    }

    pub fn readiness(&self) -> Readiness {
        let partitions: Vec<_> =
            self.seen().into_iter().map(|(partition, seen)| seen.readiness(partition)).collect();
        let halted = lock(&self.halted).clone();
        let refused = || lock(&self.refused).clone();
        let halted = halted.or_else(refused).or_else(|| self.held_back()).or_else(|| self.ahead());
        let ready = lock(&self.membership).is_whole(self.clock.instant())
            && halted.is_none()
            && partitions.iter().all(|p| p.restored && p.gate_open && p.reason.is_none());
        Readiness { ready, halted, partitions }
    }

    /// The highest of all partitions, now.
    pub fn consent_sync_lag_seconds(&self) -> f64 {
        self.seen().values().map(|seen| seen.lag_seconds).fold(0.0, f64::max)
    }

    /// Writes the gauges that are read off it, and removes those of partitions that are gone. For one
    /// caller: who renders the metrics.
    pub fn publish(&self, metrics: &Metrics) {
        let now = self.clock.instant();
        metrics.group_member.set(i64::from(lock(&self.membership).is_whole(now)));
        let owned = lock(&self.partitions).values().filter(|report| !report.lost).count();
        metrics.assigned_partitions.set(owned as i64);
        metrics.consent_sync_lag_seconds.reset();
        metrics.consent_synced_timestamp_seconds.reset();
        metrics.consent_gate_open.reset();
        metrics.gate_closed_reason.reset();
        metrics.audit_sequence.reset();
        metrics.signals_without_record.reset();
        for (partition, seen) in self.seen() {
            seen.publish(&partition.to_string(), &self.reasons, metrics);
        }
        self.publish_silences(now, metrics);
    }

    fn publish_silences(&self, now: Instant, metrics: &Metrics) {
        let mut longest: BTreeMap<&str, f64> = BTreeMap::new();
        let silences = lock(&self.silences);
        for Silences { seconds, at } in silences.values() {
            let unreported = unreported(now.saturating_duration_since(*at));
            for (source, seconds) in seconds {
                let known = longest.entry(source).or_default();
                *known = known.max(seconds + unreported);
            }
        }
        for source in &self.sources {
            let seconds = longest.get(source.as_str()).copied().unwrap_or(0.0);
            metrics.consent_source_silence_seconds.with_label_values(&[source]).set(seconds);
        }
    }

    /// A batch of the state or the audit of a partition that is being restored can't be read.
    pub fn note_unreadable(&self, partition: i32) {
        if let Some(report) = lock(&self.partitions).get_mut(&partition) {
            report.said.reasons = vec![Reason::UnreadableBatch, Reason::Restoring];
        }
    }

    fn seen(&self) -> BTreeMap<i32, Seen> {
        let now = self.clock.instant();
        let partitions = lock(&self.partitions);
        let seen = |report: &Report| {
            let age = now.saturating_duration_since(report.at);
            Seen::new(&report.said, report.lost, age, self.max_sync_lag)
        };
        partitions.iter().map(|(&partition, report)| (partition, seen(report))).collect()
    }

    fn held_back(&self) -> Option<String> {
        let partitions = lock(&self.partitions);
        let (partition, _) = partitions.iter().find(|(_, report)| report.said.held_back)?;
        Some(format!(
            "partition {partition}: a batch broke an invariant and was not committed; it is tried \
             again without clicks, then in halves, and the input that breaks it every 10 s; look \
             at the log and at assent_invariant_violations_total"
        ))
    }

    fn ahead(&self) -> Option<String> {
        let partitions = lock(&self.partitions);
        let mut ahead = partitions.iter().filter_map(|(p, report)| Some((p, report.said.ahead?)));
        let (partition, by) = ahead.next()?;
        Some(format!(
            "partition {partition}: the last batch was decided {by} s in the future, by a wall \
             clock that was wrong then; opt-outs are applied, but no click is allowed. If the \
             clock is wrong now, correct it; otherwise the partition continues by itself in at \
             most {by} s",
            by = by.0 / 1_000
        ))
    }

    fn uptime(&self) -> Duration {
        self.clock.instant().saturating_duration_since(self.started)
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a report of this age leaves out.
fn unreported(age: Duration) -> f64 {
    if age <= FRESH { 0.0 } else { age.as_secs_f64() }
}

/// A partition as it looks now: what was said of it, grown old.
struct Seen {
    restored: bool,
    lag_seconds: f64,
    synced: Timestamp,
    gate_open: bool,
    /// The gravest first.
    reasons: Vec<Reason>,
    audit_sequence: Option<i64>,
    signals_without_record: Option<i64>,
}

impl Seen {
    fn new(said: &PartitionStatus, lost: bool, age: Duration, max_sync_lag: Duration) -> Self {
        let unreported = unreported(age);
        let lag_seconds = said.consent_sync_lag_seconds + unreported;
        let is_behind = lag_seconds > max_sync_lag.as_secs_f64();
        let waits = said.waits.as_secs_f64() + unreported;
        let waits_long = said.waits > Duration::ZERO && waits > WAIT_MAX.as_secs_f64();
        let mut reasons = said.reasons.clone();
        reasons.extend(lost.then_some(Reason::Restoring));
        reasons.extend(is_behind.then_some(Reason::Stale));
        reasons.extend(waits_long.then_some(Reason::NotCommitting));
        reasons.sort();
        reasons.dedup();
        Self {
            restored: said.restored && !lost,
            lag_seconds,
            synced: said.synced,
            gate_open: said.gate_open && !lost && !is_behind,
            reasons,
            audit_sequence: said.audit_sequence,
            signals_without_record: said.signals_without_record,
        }
    }

    fn readiness(self, partition: i32) -> PartitionReadiness {
        PartitionReadiness {
            partition,
            restored: self.restored,
            consent_sync_lag_seconds: self.lag_seconds,
            gate_open: self.gate_open,
            reason: self.reasons.into_iter().next(),
        }
    }

    fn publish(&self, partition: &str, reasons: &[Reason], metrics: &Metrics) {
        let labels = [partition];
        metrics.consent_sync_lag_seconds.with_label_values(&labels).set(self.lag_seconds);
        let synced = self.synced.0 as f64 / 1_000.0;
        metrics.consent_synced_timestamp_seconds.with_label_values(&labels).set(synced);
        metrics.consent_gate_open.with_label_values(&labels).set(i64::from(self.gate_open));
        let sequence = self.audit_sequence.unwrap_or(NO_BATCH);
        metrics.audit_sequence.with_label_values(&labels).set(sequence);
        let signals = self.signals_without_record.unwrap_or(0);
        metrics.signals_without_record.with_label_values(&labels).set(signals);
        for reason in reasons {
            let holds = self.reasons.contains(reason);
            let labels = [partition, &reason.to_string()];
            metrics.gate_closed_reason.with_label_values(&labels).set(i64::from(holds));
        }
    }
}

impl Health for Status {
    fn is_live(&self) -> bool {
        Self::is_live(self)
    }

    fn readiness(&self) -> (bool, serde_json::Value) {
        let readiness = Self::readiness(self);
        (readiness.ready, serde_json::to_value(readiness).unwrap_or_default())
    }

    fn publish(&self, metrics: &Metrics) {
        Self::publish(self, metrics);
    }
}

/// The body of `/readyz`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Readiness {
    pub ready: bool,
    /// Why nothing is decided, in a sentence; left out where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub halted: Option<String>,
    /// Owned partitions, and those that were lost, by number.
    pub partitions: Vec<PartitionReadiness>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PartitionReadiness {
    pub partition: i32,
    pub restored: bool,
    pub consent_sync_lag_seconds: f64,
    pub gate_open: bool,
    /// `null`: all is well.
    pub reason: Option<Reason>,
}

#[cfg(test)]
mod tests;
