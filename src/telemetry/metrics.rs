//! The catalog of metrics: each is declared once, with its labels and what to do about it.
//!
//! Names and labels are part of the contract (docs/contract/http.md#metrics). `docs/metrics.md` is made
//! from this file. What several workers share (a gauge without `partition`) is a sum: add and subtract.
//! What an instance knows before anything happens stands at 0 from the start ([`Known`]).

mod zero;

use std::fmt::Write as _;

use prometheus::core::Collector;
use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

pub use zero::{CLUSTER_CHECKS, Known};

/// Seconds, for what should take milliseconds: barriers, transactions, opt-outs.
const FAST: &[f64] = &[
    0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];

/// Seconds, for what may have waited elsewhere first: a queue of the shop's, an outage, a night.
const LONG: &[f64] =
    &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 86_400.0];

/// Seconds, for what the law counts in days: 15 business days are 21 calendar days, and more over
/// holidays.
const LEGAL: &[f64] = &[
    0.01,
    0.1,
    0.5,
    1.0,
    5.0,
    30.0,
    60.0,
    300.0,
    900.0,
    3_600.0,
    21_600.0,
    86_400.0,
    259_200.0,
    604_800.0,
    864_000.0,
    1_296_000.0,
    1_814_400.0,
    2_160_000.0,
    2_592_000.0,
];

/// One metric as declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Declaration {
    pub name: &'static str,
    /// `gauge`, `counter` or `histogram`.
    pub kind: &'static str,
    pub labels: &'static [&'static str],
    /// What it counts, and how to act on it.
    pub help: &'static str,
}

/// A type of metric that can be made from its declaration. Only histograms use the buckets.
trait Declared: Collector + Clone + Sized + 'static {
    const KIND: &'static str;
    fn declare(declaration: &Declaration, buckets: &[f64]) -> prometheus::Result<Self>;
}

macro_rules! declared {
    ($($kind:literal: $type:ident($options:ident $(, $labels:ident)?);)+) => {$(
        impl Declared for $type {
            const KIND: &'static str = $kind;
            fn declare(declaration: &Declaration, buckets: &[f64]) -> prometheus::Result<Self> {
                declared!(@make $type, $options(declaration, buckets) $(, declaration.$labels)?)
            }
        }
    )+};
    (@make $type:ident, $options:expr) => { $type::with_opts($options) };
    (@make $type:ident, $options:expr, $labels:expr) => { $type::new($options, $labels) };
}

declared! {
    "gauge": Gauge(plain);
    "gauge": IntGauge(plain);
    "gauge": GaugeVec(plain, labels);
    "gauge": IntGaugeVec(plain, labels);
    "counter": IntCounter(plain);
    "counter": IntCounterVec(plain, labels);
    "histogram": Histogram(bucketed);
    "histogram": HistogramVec(bucketed, labels);
}

fn plain(declaration: &Declaration, _: &[f64]) -> Opts {
    Opts::new(declaration.name, declaration.help)
}

fn bucketed(declaration: &Declaration, buckets: &[f64]) -> HistogramOpts {
    HistogramOpts::new(declaration.name, declaration.help).buckets(buckets.to_vec())
}

macro_rules! catalog {
    ($($field:ident: $type:ident [$($label:literal),*] $(in $buckets:ident)? = $help:literal;)+) => {
        /// Every metric of the catalog, registered in a registry of its own. Each field is named
        /// as its metric without `assent_`, and [`CATALOG`] says what it means; cloning a field clones a handle.
        #[derive(Clone)]
        pub struct Metrics {
            registry: Registry,
            $(pub $field: $type,)+
        }

        /// The declarations, in the order of the documents.
        pub const CATALOG: &[Declaration] = &[$(Declaration {
            name: concat!("assent_", stringify!($field)),
            kind: <$type as Declared>::KIND,
            labels: &[$($label),*],
            help: $help,
        }),+];

        impl Metrics {
            fn registered() -> prometheus::Result<Self> {
                let registry = Registry::new();
                let mut declarations = CATALOG.iter();
                $(
                    let declaration = declarations.next().ok_or(prometheus::Error::AlreadyReg)?;
                    let buckets: &[f64] = catalog!(@buckets $($buckets)?);
                    let $field = <$type as Declared>::declare(declaration, buckets)?;
                    registry.register(Box::new($field.clone()))?;
                )+
                Ok(Self { registry, $($field),+ })
            }
        }
    };
    (@buckets) => { &[] };
    (@buckets $buckets:ident) => { $buckets };
}

catalog! {
    consent_sync_lag_seconds: GaugeVec["partition"] =
        "How far behind the applied consent is; counted from the assignment until consent is caught up with for the first time, and growing on for a partition that was lost, until this instance is in the group again. Alert well below consent.max_sync_lag: past it, clicks are decided CONSENT_STALE. Look for an open transaction on the consent changelog, a slow broker, or a worker that restarts.";
    consent_synced_timestamp_seconds: GaugeVec["partition"] =
        "Up to which moment consent is known to be applied (epoch seconds). Use it where the lag itself could be stale: time() minus this.";
    consent_gate_open: IntGaugeVec["partition"] =
        "1 while clicks may be allowed, 0 while consent sync is past its bound or not yet reached. 0 for minutes: treat as an outage of segmentation, and see assent_gate_closed_reason.";
    gate_closed_reason: IntGaugeVec["partition", "reason"] =
        "1 for each reason why clicks of a partition are not allowed or it is not ready, else 0: restoring, unreadable_batch, clock, stale (consent sync is past its bound), source:<id> (a source with on_silence: close is silent), not_committing (something has waited for 30 s to be committed, or broke an invariant). /readyz names the first of them.";
    consent_source_last_record_timestamp_seconds: GaugeVec["source"] =
        "Append time of the latest record or heartbeat of a configured consent source (epoch seconds), 0 where none was ever seen. Old while people visit: ask the source's owner whether opt-outs still arrive.";
    consent_source_silence_seconds: GaugeVec["source"] =
        "How long a configured consent source has said nothing, neither a record nor a heartbeat, in the partition where that is longest; of a source never heard, since the assignment. Alert where it is above assent_consent_source_silence_bound_seconds: opt-outs may not arrive.";
    consent_source_silence_bound_seconds: GaugeVec["source"] =
        "How long a configured consent source may say nothing (consent.sources.<id>.max_silence). Beyond, a source with on_silence: close shuts the gate of the partition.";
    opt_outs_pending: IntGauge[] =
        "Opt-outs read whose tombstones are not committed. Should return to 0 within a second; growing: transactions fail, see assent_transactions_total.";
    opt_out_oldest_pending_timestamp_seconds: Gauge[] =
        "Append time of the oldest opt-out that is not committed (epoch seconds), 0 where there is none. Page when it is older than a minute.";
    assigned_partitions: IntGauge[] =
        "Partitions this instance owns, restored or not. The sum over instances must be the topic's count; less: an instance is missing or can't join.";
    group_member: IntGauge[] =
        "1 while every worker of this instance is in the consumer group, be it with no partition; 0 before the group's first answer, after a loss, and where a rebalance takes over 30 s. 0 for a minute: the brokers don't answer, or the group is not to be joined.";
    subjects: IntGaugeVec["consent"] =
        "Subjects in the state, by what is held of them: record, unreadable, signal_only, erased. Any unreadable: their producer writes faulty or contradicting consent.";
    signals_without_record: IntGaugeVec["partition"] =
        "Opt-out signals kept of subjects of whom nothing else is. At consent.signals_without_record_max the oldest give way, and whoever first appears in the partition counts as opted out as of the last of them. Alert at half of it: somebody sends signals under made-up ids, or a site sends a new id with each page.";
    segment_members: IntGaugeVec["purpose", "segment"] =
        "Live keys in a segment. A sudden fall: look at assent_tombstones_total by reason; a sudden rise: at the last rulebook.";
    live_keys: IntGaugeVec["purpose", "key_version"] =
        "Pseudonyms whose last committed value is not null. A retiring key version must fall to 0 before it is retired.";
    clock_ahead_seconds: Gauge[] =
        "How far the wall clock is ahead of the monotonic clock and the broker's append times, where that is over 5 minutes and nothing is decided; else 0. Above 0: set the clock right; /readyz says more.";
    clients_left_behind: IntGauge[] =
        "Clients of Kafka that were left behind, since a call to them or their close did not come back yet. Each holds threads and memory: at 32 the process ends with exit code 1, to be started anew.";
    worker_overdue_seconds: IntGauge[] =
        "How long the turn of a worker has taken, where that is over 15 s, more than its calls allow; else 0. Above 0: nothing of its partitions is decided. /livez says 503 from 30 s on; after 300 s the process ends with exit code 1.";
    state_bytes: IntGauge[] =
        "Memory that the state of the owned partitions takes. Near the limit of the host: add an instance.";
    audit_sequence: IntGaugeVec["partition"] =
        "Sequence of the last committed audit batch, -1 before the first. Standing still while records are consumed: no commits, see assent_transactions_total.";
    key_version: IntGauge[] =
        "The active pseudonym key. Instances that differ for longer than a rollout: a keyset file is stale.";
    build_info: IntGaugeVec["version", "revision"] =
        "Always 1. Which build runs; more than one value outside a rollout: an instance was forgotten.";
    rulebook_info: IntGaugeVec["version", "sha256"] =
        "Always 1. Which rulebook decides: its version and the SHA-256 of its file. More than one value outside a rollout: an instance was forgotten.";
    cluster_findings: IntGaugeVec["check"] =
        "What `assent check` finds wrong with the cluster and `run` tolerates, by check. Above 0: the log has a WARN line for each, and `assent check` says what to do.";

    records_consumed_total: IntCounterVec["topic"] =
        "Input records consumed and committed. Flat while the topic grows: see assent_consent_gate_open and /livez.";
    outcomes_total: IntCounterVec["topic", "outcome"] =
        "What became of each input record; the sum is assent_records_consumed_total (INV-8). Watch unreadable, dead_lettered and too_late.";
    verdicts_total: IntCounterVec["purpose", "verdict"] =
        "The gate's answers to clicks decided, one for each purpose; consent and timers are not in it. A rise of consent_stale: consent sync; of consent_unreadable: a faulty consent producer.";
    assignments_total: IntCounterVec["purpose"] =
        "Segment assignments committed, renewals included. 0 with live keys for half a lease: nothing is renewed, and the keys end.";
    tombstones_total: IntCounterVec["purpose", "reason"] =
        "Keys removed, by reason. A rise of opt_out_signal or opted_out: people leave; of rulebook_changed: a rulebook was rolled out.";
    records_produced_total: IntCounterVec["topic"] =
        "Records committed to each output topic, for capacity planning.";
    dead_letters_total: IntCounterVec["topic", "reason"] =
        "Inputs that could not be used. Any steady rate: read segmentation-dead-letters and tell the producer of that topic.";
    unreadable_batches_total: IntCounterVec["topic"] =
        "Batches of an input that no client can read: damaged on a broker's disk, or too large once decompressed. Any: the log names topic, partition, offsets and reason. Of clicks they become one dead letter; consent ends the run, see docs/stops.md. Look at the broker's disks, and at who writes with which compression.";
    clicks_without_gpc_total: IntCounter[] =
        "Clicks whose collector did not look for Sec-GPC. Above 0: an opt-out preference signal may go unseen; fix that collector.";
    opt_out_signals_total: IntCounterVec["source"] =
        "Inputs with an opt-out preference signal that binds their subject, by what said so: gpc, gpp, gpp_undecodable, record (a consent record's opt_out_signal_at). A rise of gpp_undecodable: a consent platform writes GPP strings that nobody can read, and everybody it asks is opted out of sale and sharing.";
    erasures_of_unknown_total: IntCounter[] =
        "Erasures of subjects of whom nothing is kept. Any: ask their source whether it writes the key as consent records have it, since an erasure under another key erases nobody.";
    barrier_timeouts_total: IntCounter[] =
        "Batches with clicks that were decided CONSENT_STALE, since no barrier was reached within the bound. Look for an open transaction on the consent changelog, or a broker that doesn't answer.";
    transactions_total: IntCounterVec["result"] =
        "Transactions by result: committed, aborted, unclear. An unclear one is counted again, once the log has said which of the two it was. Repeated aborted or unclear: the brokers or the network; inputs are decided again, nothing is lost.";
    calls_left_behind_total: IntCounterVec["call"] =
        "Calls to the Kafka client that did not come back in their time and were left behind with their client, by call. Some while brokers restart: another client goes on, nothing is lost. Steadily more: a broker or a name server takes connections and does not answer.";
    rebalances_total: IntCounter[] =
        "Answers of the group to a worker of this instance, with or without partitions. Several an hour without a rollout: session time-outs, see CPU and network.";
    invariant_violations_total: IntCounterVec["invariant"] =
        "Invariants found broken while deciding: a defect of Assent, page. inv-1, inv-4, inv-7 and inv-13: the subject lost what was live, in the same transaction. inv-2, inv-8 and inv-9: the batch was not committed, the partition decides nothing and tries again every 10 s. The log says which partition; keep it, and report it.";

    barrier_wait_seconds: Histogram[] in FAST =
        "From asking the broker for the end of consent to having applied up to there. High: raise fetch capacity, or look for open transactions.";
    opt_out_propagation_seconds: Histogram[] in FAST =
        "From the append of a consent record to the commit of the tombstones it caused. p99 over a second: act before people notice.";
    opt_out_handling_seconds: Histogram[] in LEGAL =
        "From recorded_at, when a person decided, to the same commit; the buckets reach past 15 business days (21 calendar days). High while propagation is low: the delay is before Kafka, in the intake.";
    click_latency_seconds: Histogram[] in LONG =
        "From a click record's timestamp to the commit of its decision. Growing: add instances, up to the partition count.";
    transaction_duration_seconds: Histogram[] in FAST =
        "Begin to end of a transaction. Near 10 s the broker aborts it: look at the brokers' request latency.";
    restore_duration_seconds: Histogram[] in LONG =
        "From the assignment of partitions until their state is restored. Long: the state is large or the broker slow; it sets how long a restart is felt.";
    consent_source_delay_seconds: HistogramVec["source"] in LEGAL =
        "From recorded_at to the append of a consent record, by source. High: that source queues opt-outs; tell its owner.";
}

impl Metrics {
    /// The catalog's metrics, and the build's own line.
    pub fn new() -> Self {
        let metrics = Self::registered().expect("the catalog declares each metric once, legally");
        metrics.build_info.with_label_values(&[super::VERSION, super::REVISION]).set(1);
        metrics
    }

    /// Prometheus' text exposition format.
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .expect("writing into memory doesn't fail");
        String::from_utf8(text).expect("names, labels and help are text")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// `docs/metrics.md`.
pub fn documentation() -> String {
    let mut page = String::from(
        "# Metrics\n\nMade from src/telemetry/metrics.rs by `UPDATE_DOCS=1 cargo test --lib \
         telemetry`. Labels are in lower case.\n\n| name | kind | labels | what it says, and what \
         to do |\n|---|---|---|---|\n",
    );
    for Declaration { name, kind, labels, help } in CATALOG {
        let _ = writeln!(page, "| `{name}` | {kind} | {} | {help} |", labels.join(", "));
    }
    page
}

#[cfg(test)]
mod tests;
