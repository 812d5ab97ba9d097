//! What a worker says of itself: metrics of what was committed, and the status of its partitions.
//!
//! What a batch did is counted after its commit. Gauges without a `partition` are sums over workers:
//! each adds the difference to what it said last.

use std::collections::BTreeMap;

use std::time::Duration;

use super::edges::Edges;
use super::shared::Shared;
use super::sums::Sum;
use crate::http::{PartitionStatus, Reason, WAIT_MAX};
use assent_contract::domain::ids::{CANARY_PURPOSE, is_valid_id};
use assent_contract::domain::time::{Moment, Span, Timestamp};
use assent_contract::wire::ConsentReading;
use assent_core::commit::{Batch, Part};
use assent_core::engine::output::{BatchOutput, InputTopic};
use assent_core::task::barrier::Question;
use assent_core::task::{Closed, Task};

/// How often the gauges and the status are brought up to date.
pub const REPORT_EVERY: Span = Span(200);

/// The minimum audience of its purpose.
fn least(sum: &Sum, shared: &Shared) -> Option<u32> {
    let (Sum::LiveKeys { purpose, .. } | Sum::Members { purpose, .. }) = sum else { return None };
    let setup = shared.setup();
    let rulebook = &setup.rulebook;
    rulebook.purpose_index(purpose).and_then(|at| rulebook.purposes[at].min_members)
}

/// What one worker reported last.
#[derive(Default)]
pub struct Report {
    sums: BTreeMap<Sum, i64>,
    worker: usize,
    edges: Edges,
    /// What was said of partitions that were lost stands until the group gives an answer.
    is_frozen: bool,
    /// Uptime.
    pub reported_at: Option<Span>,
}

impl Report {
    pub fn of(worker: usize) -> Self {
        Self { worker, edges: Edges::of(worker), ..Self::default() }
    }

    /// Brings gauges and status up to date.
    pub fn refresh(
        &mut self,
        shared: &Shared,
        tasks: &mut BTreeMap<i32, Task>,
        now: Moment,
        may_decide: bool,
    ) {
        self.reported_at = Some(now.uptime);
        if self.is_frozen {
            return;
        }
        let mut sums: BTreeMap<Sum, i64> = self.sums.keys().map(|sum| (sum.clone(), 0)).collect();
        let mut oldest: Option<Timestamp> = None;
        for task in tasks.values_mut() {
            task.note_waiting(now);
            let status = status_of(shared, task, now, may_decide);
            self.edges.note_gate(task.partition, &status);
            shared.status.set_partition(self.worker, task.partition, status);
            note_last_records(shared, task);
            add_task(&mut sums, shared, task);
            oldest = oldest.into_iter().chain(task.opt_outs_pending().1).min();
        }
        self.edges.tell_gates();
        self.edges.tell_sweeps(tasks);
        self.report_silences(shared, tasks, now);
        let oldest = shared.oldest_opt_outs.of_all(self.worker, oldest);
        let seconds = oldest.map_or(0.0, |at| at.0 as f64 / 1_000.0);
        shared.metrics.opt_out_oldest_pending_timestamp_seconds.set(seconds);
        for (sum, value) in sums {
            let before = self.sums.insert(sum.clone(), value).unwrap_or(0);
            match least(&sum, shared) {
                None => add(shared, &sum, value - before),
                Some(least) => {
                    let part = (self.worker, value);
                    let show = |shown| show(shared, &sum, shown);
                    shared.small_counts.show(&sum, part, least, show);
                }
            }
        }
    }

    /// How long each configured source has said nothing, in the partition where that is longest.
    fn report_silences(&mut self, shared: &Shared, tasks: &BTreeMap<i32, Task>, now: Moment) {
        if tasks.is_empty() {
            return;
        }
        let mut seconds = BTreeMap::new();
        for (source, config) in &shared.config.consent.sources {
            let silence = |task: &Task| task.silence_of(source, now).0 as f64 / 1_000.0;
            let longest = tasks.values().map(silence).fold(0.0, f64::max);
            let bound = config.max_silence.as_secs_f64();
            let silent = tasks.values().filter(|task| silence(task) > bound).map(|it| it.partition);
            self.edges.tell_silence(source, config, longest, &silent.collect::<Vec<_>>());
            seconds.insert(source.clone(), longest);
        }
        shared.status.set_silences(self.worker, seconds);
    }

    /// The group answered with these partitions, or none: what was said of others is past.
    pub fn begin(&mut self, shared: &Shared, partitions: &[i32]) {
        shared.status.set_joined(self.worker, partitions);
        self.clear(shared);
        if !partitions.is_empty() {
            let sources = shared.config.consent.sources.keys();
            let never = sources.map(|source| (source.clone(), 0.0)).collect();
            shared.status.set_silences(self.worker, never);
        }
    }

    /// A sweep may begin and end between two reports: whoever begins one says so at once.
    pub fn tell_sweeps(&mut self, tasks: &BTreeMap<i32, Task>) {
        self.edges.tell_sweeps(tasks);
    }

    /// The partitions were given back.
    pub fn forget(&mut self, shared: &Shared) {
        shared.status.set_given_back(self.worker);
        self.clear(shared);
    }

    /// The partitions were lost, and nobody may have them: what was said of them stands, and grows old.
    pub fn freeze(&mut self, shared: &Shared) {
        shared.status.set_lost(self.worker);
        self.is_frozen = true;
    }

    fn clear(&mut self, shared: &Shared) {
        self.is_frozen = false;
        self.edges = Edges::of(self.worker);
        self.refresh(shared, &mut BTreeMap::new(), shared.clock.moment(), true);
    }
}

fn status_of(shared: &Shared, task: &Task, now: Moment, may_decide: bool) -> PartitionStatus {
    let waits = Duration::from_millis(task.waits(now).0.max(0) as u64);
    let gate_open = may_decide && !task.is_bisecting() && task.gate_open(&shared.bounds, now);
    PartitionStatus {
        restored: true,
        consent_sync_lag_seconds: task.barrier.lag(now).0 as f64 / 1_000.0,
        synced: task.barrier.synced(now),
        gate_open,
        reasons: reasons(shared, task, now, may_decide, waits),
        waits,
        audit_sequence: task.committed_sequence(),
        signals_without_record: Some(task.engine.stats().signals),
        held_back: task.is_bisecting(),
        ahead: task.ahead(),
    }
}

/// All that keeps clicks of a partition from being allowed, or from being committed.
fn reasons(
    shared: &Shared,
    task: &Task,
    now: Moment,
    may_decide: bool,
    waits: Duration,
) -> Vec<Reason> {
    let closed = task.closed_by(&shared.bounds, now).map(|closed| match closed {
        Closed::Behind => Reason::Stale,
        Closed::Unreached => Reason::Restoring,
        Closed::Ahead => Reason::Clock,
        Closed::Silent(source) => Reason::Source(source.to_owned()),
    });
    let mut reasons: Vec<Reason> = closed.collect();
    reasons.extend((!may_decide).then_some(Reason::Clock));
    reasons.extend(task.has_fault().then_some(Reason::UnreadableBatch));
    let is_stuck = task.is_bisecting() || waits > WAIT_MAX;
    reasons.extend(is_stuck.then_some(Reason::NotCommitting));
    reasons
}

fn note_last_records(shared: &Shared, task: &Task) {
    for (source, at) in task.engine.last_signs() {
        if shared.config.consent.sources.contains_key(source) {
            let labels = [source.as_str()];
            let gauge = shared
                .metrics
                .consent_source_last_record_timestamp_seconds
                .with_label_values(&labels);
            gauge.set(gauge.get().max(at.0 as f64 / 1_000.0));
        }
    }
}

fn add_task(sums: &mut BTreeMap<Sum, i64>, shared: &Shared, task: &Task) {
    let stats = task.engine.stats();
    let mut count = |sum, by| *sums.entry(sum).or_default() += by;
    count(Sum::OptOutsPending, task.opt_outs_pending().0 as i64);
    count(Sum::StateBytes, stats.bytes());
    for (consent, number) in stats.subjects_by_label() {
        count(Sum::Subjects(consent), number);
    }
    for (&(name, key_version), &number) in &stats.live_keys {
        let purpose = task.engine.purpose_name(name).to_owned();
        if purpose == CANARY_PURPOSE {
            continue;
        }
        count(Sum::LiveKeys { purpose, key_version }, number);
    }
    let setup = shared.setup();
    let rulebook = &setup.rulebook;
    for (&(name, bit), &number) in &stats.members {
        let purpose = task.engine.purpose_name(name);
        let segments = rulebook.purpose_index(purpose).map(|at| &rulebook.purposes[at].segments);
        if let Some(segment) = segments.and_then(|segments| segments.get(usize::from(bit))) {
            let (purpose, segment) = (purpose.to_owned(), segment.id.clone());
            count(Sum::Members { purpose, segment }, number);
        }
    }
}

fn add(shared: &Shared, sum: &Sum, by: i64) {
    let metrics = &shared.metrics;
    match sum {
        Sum::OptOutsPending => metrics.opt_outs_pending.add(by),
        Sum::StateBytes => metrics.state_bytes.add(by),
        Sum::Subjects(consent) => metrics.subjects.with_label_values(&[*consent]).add(by),
        Sum::LiveKeys { purpose, key_version } => {
            metrics.live_keys.with_label_values(&[purpose, &key_version.to_string()]).add(by);
        }
        Sum::Members { purpose, segment } => {
            metrics.segment_members.with_label_values(&[purpose, segment]).add(by);
        }
    }
}

/// A count of an audience; `None`: it is too small to be shown.
fn show(shared: &Shared, sum: &Sum, shown: Option<i64>) {
    let metrics = &shared.metrics;
    let (gauge, purpose, of) = match sum {
        Sum::LiveKeys { purpose, key_version } => {
            (&metrics.live_keys, purpose, key_version.to_string())
        }
        Sum::Members { purpose, segment } => (&metrics.segment_members, purpose, segment.clone()),
        Sum::OptOutsPending | Sum::StateBytes | Sum::Subjects(_) => return,
    };
    let labels = [purpose.as_str(), of.as_str()];
    match shown {
        Some(count) => gauge.with_label_values(&labels).set(count),
        // A series that is not there is none to remove.
        None => drop(gauge.remove_label_values(&labels)),
    }
}

/// Counts a batch that is committed; before its inputs are forgotten.
pub fn count_batch(shared: &Shared, batch: &Batch, tasks: &BTreeMap<i32, Task>, now: Timestamp) {
    for (partition, part) in &batch.parts {
        count_tally(shared, &part.output);
        count_outputs(shared, part);
        tell_what_gave_way(*partition, &part.output);
        if let Some(task) = tasks.get(partition) {
            count_inputs(shared, part, task, now);
        }
    }
}

fn count_inputs(shared: &Shared, part: &Part, task: &Task, now: Timestamp) {
    let metrics = &shared.metrics;
    let topics = &shared.config.topics;
    let consumed = |topic: &str, count: usize| {
        metrics.records_consumed_total.with_label_values(&[topic]).inc_by(count as u64);
    };
    consumed(&topics.clickstream, task.clicks.inputs_of(part.cut.clicks));
    consumed(&topics.consent, part.cut.consents);
    let latencies = metrics.click_latency_seconds.local();
    for timestamp in task.clicks.timestamps(part.cut.clicks) {
        latencies.observe(seconds(now - timestamp));
    }
    latencies.flush();
    for consent in task.consents().iter().take(part.cut.consents) {
        if let ConsentReading::Record(record) = &consent.reading
            && is_valid_id(&record.subject_id)
        {
            metrics
                .consent_source_delay_seconds
                .with_label_values(&[source_label(shared, &record.source)])
                .observe(seconds(consent.arrival.appended - record.recorded_at));
        }
    }
    if part.cut.stale && part.cut.clicks > 0 {
        metrics.barrier_timeouts_total.inc();
    }
}

fn tell_what_gave_way(partition: i32, output: &BatchOutput) {
    if let Some(at) = output.tally.signals_gave_way_at {
        tracing::warn!(
            partition,
            bound_as_of = at.0,
            "there are more opt-out signals of subjects without a record than \
             consent.signals_without_record_max allows, so the oldest were dropped: every subject \
             that first appears counts as opted out of sale and sharing as of then, until they opt \
             in again"
        );
    }
}

fn count_outputs(shared: &Shared, part: &Part) {
    for (topic, count) in shared.destinations.count(&part.output) {
        shared.metrics.records_produced_total.with_label_values(&[topic.as_str()]).inc_by(count);
    }
}

/// From the commit back to the append and to the decision of what was taken away.
pub fn count_opt_outs(shared: &Shared, part: &Part, now: Timestamp) {
    let metrics = &shared.metrics;
    for opt_out in &part.output.opt_outs {
        metrics.opt_out_propagation_seconds.observe(seconds(now - opt_out.append_time));
        if let Some(recorded_at) = opt_out.recorded_at {
            metrics.opt_out_handling_seconds.observe(seconds(now - recorded_at));
        }
    }
}

fn count_tally(shared: &Shared, output: &BatchOutput) {
    let tally = &output.tally;
    let metrics = &shared.metrics;
    let topic = |topic: &InputTopic| shared.destinations.input(*topic);
    let purpose = |index: &u16| output.purposes[usize::from(*index)].as_str();
    for ((input, outcome), &count) in &tally.outcomes {
        let labels = [topic(input), outcome.label()];
        metrics.outcomes_total.with_label_values(&labels).inc_by(count);
    }
    if tally.heartbeats > 0 {
        let labels = [topic(&InputTopic::Consent), "heartbeat"];
        metrics.outcomes_total.with_label_values(&labels).inc_by(tally.heartbeats);
    }
    let of_people =
        tally.verdicts.iter().filter(|((index, _), _)| purpose(index) != CANARY_PURPOSE);
    for ((index, verdict), &count) in of_people {
        metrics.verdicts_total.with_label_values(&[purpose(index), verdict.label()]).inc_by(count);
    }
    for (index, &count) in &tally.assignments {
        metrics.assignments_total.with_label_values(&[purpose(index)]).inc_by(count);
    }
    for ((index, reason), &count) in &tally.tombstones {
        metrics.tombstones_total.with_label_values(&[purpose(index), reason.label()]).inc_by(count);
    }
    for ((input, reason), &count) in &tally.dead_letters {
        let labels = [topic(input), reason.label()];
        metrics.dead_letters_total.with_label_values(&labels).inc_by(count);
    }
    metrics.clicks_without_gpc_total.inc_by(tally.clicks_without_gpc);
    for (source, &count) in &tally.signals {
        metrics.opt_out_signals_total.with_label_values(&[source.label()]).inc_by(count);
    }
    metrics.erasures_of_unknown_total.inc_by(tally.erasures_of_unknown);
}

/// What a batch was found to break, counted also where it is not committed. The keys of `repaired` are
/// removed with it.
pub fn count_violations(shared: &Shared, partition: i32, output: &BatchOutput) {
    let violations = &output.violations;
    for violation in violations.repaired.iter().chain(&violations.broken) {
        let label = violation.invariant.label();
        shared.metrics.invariant_violations_total.with_label_values(&[&label]).inc();
        tracing::error!(partition, %violation, "a defect of assent: an invariant is broken");
    }
}

pub fn count_barrier_wait(shared: &Shared, question: &Question, now: Moment) {
    shared.metrics.barrier_wait_seconds.observe(seconds(now.uptime - question.sent.uptime));
}

/// A configured id, else `other`: an unbounded label would be a leak and a cost.
fn source_label<'a>(shared: &Shared, source: &'a str) -> &'a str {
    if shared.config.consent.sources.contains_key(source) { source } else { "other" }
}

/// Clocks of two machines differ: a negative span reads as 0.
fn seconds(span: Span) -> f64 {
    span.0.max(0) as f64 / 1_000.0
}
