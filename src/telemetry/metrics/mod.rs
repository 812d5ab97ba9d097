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

pub use zero::{CLUSTER_CHECKS, Known, LOGIN, TRANSACTIONAL_ID};

/// Seconds, for what should take milliseconds: barriers, transactions, opt-outs.
const FAST: &[f64] = &[
    0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];

/// Seconds, for answers from memory, and for what waits for a broker.
const ANSWERS: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
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
            /// Of which metrics this process tells.
            shows: fn(&str) -> bool,
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
                Ok(Self { registry, shows: |_| true, $($field),+ })
            }
        }
    };
    (@buckets) => { &[] };
    (@buckets $buckets:ident) => { $buckets };
}

catalog! {
    consent_sync_lag_seconds: GaugeVec["partition"] =
        "How far behind consent sync is. Before the first catch-up it counts from the assignment \
         of the partition; for a lost partition it keeps growing until this instance is in the \
         group again. Alert well below consent.max_sync_lag: beyond it, clicks are decided \
         CONSENT_STALE. Look for an open transaction on the consent changelog, a slow broker, or a \
         worker that restarts.";
    consent_synced_timestamp_seconds: GaugeVec["partition"] =
        "The time up to which consent is known to be applied (epoch seconds). If the lag itself \
         could be stale, use time() minus this.";
    consent_gate_open: IntGaugeVec["partition"] =
        "1 while clicks may be allowed, 0 while the gate is closed. 0 for minutes: treat it as an \
         outage of segmentation, and look at assent_gate_closed_reason.";
    gate_closed_reason: IntGaugeVec["partition", "reason"] =
        "1 for each reason why a partition allows no clicks or is not ready, else 0: restoring, \
         unreadable_batch, clock, stale (consent sync is past its bound), source:<id> (a source \
         with on_silence: close is silent), not_committing (a batch has waited 30 s to be \
         committed, or broke an invariant). /readyz shows the first of them.";
    consent_source_last_record_timestamp_seconds: GaugeVec["source"] =
        "Append time of the latest record or heartbeat of a configured consent source (epoch \
         seconds); 0 if none was ever seen. If it is old while people visit, ask the owner of the \
         source whether opt-outs still arrive.";
    consent_source_silence_seconds: GaugeVec["source"] =
        "How long a configured consent source has sent neither a record nor a heartbeat, in the \
         partition where that is longest. For a source never heard from, it counts from the \
         assignment of the partition. Alert above assent_consent_source_silence_bound_seconds: \
         opt-outs may not arrive.";
    consent_source_silence_bound_seconds: GaugeVec["source"] =
        "How long a configured consent source may be silent (consent.sources.<id>.max_silence). \
         Beyond it, a source with on_silence: close closes the gate of the partition.";
    opt_outs_pending: IntGauge[] =
        "Opt-outs that were read and whose tombstones are not committed yet. It should return to 0 \
         within a second. If it grows, transactions fail: look at assent_transactions_total.";
    opt_out_oldest_pending_timestamp_seconds: Gauge[] =
        "Append time of the oldest opt-out that is not committed yet (epoch seconds); 0 if there \
         is none. Page when it is older than a minute.";
    assigned_partitions: IntGauge[] =
        "Partitions that this instance owns, restored or not. The sum over all instances must \
         equal the partition count of the topic. If it is less, an instance is missing or can't \
         join.";
    group_member: IntGauge[] =
        "1 while every worker of this instance is in the consumer group, even without a partition; \
         0 before the first answer of the group, after partitions were lost, and while a rebalance \
         takes more than 30 s. 0 for a minute: the brokers don't answer, or the group can't be \
         joined.";
    subjects: IntGaugeVec["consent"] =
        "Subjects in the state, by what the state holds about them: record, unreadable, \
         signal_only, erased. If any are unreadable, their producer writes faulty or contradictory \
         consent.";
    signals_without_record: IntGaugeVec["partition"] =
        "Opt-out signals of subjects that have no consent record. At \
         consent.signals_without_record_max the oldest are dropped, and every subject that first \
         appears in the partition counts as opted out as of the last dropped one. Alert at half of \
         it: somebody sends signals under made-up ids, or a site sends a new id with each page.";
    segment_members: IntGaugeVec["purpose", "segment"] =
        "Live keys in a segment; absent below the minimum audience of its purpose. After a sudden \
         fall, look at assent_tombstones_total by reason; after a sudden rise, at the last rulebook.";
    live_keys: IntGaugeVec["purpose", "key_version"] =
        "Live keys: pseudonyms whose last committed value is not null; absent below the minimum \
         audience of their purpose. For a retiring key version this must fall to 0 before you retire \
         it.";
    clock_ahead_seconds: Gauge[] =
        "How far the wall clock is ahead of the monotonic clock and the broker's append times, if \
         that is more than 5 minutes and nothing is decided; else 0. Above 0: correct the clock; \
         /readyz says more.";
    clients_left_behind: IntGauge[] =
        "Kafka clients that were abandoned because a call to them, or closing them, has not \
         returned yet. Each holds threads and memory. At 32 the process ends with exit code 1, so \
         that it can be restarted.";
    worker_overdue_seconds: IntGauge[] =
        "How long the current turn of a worker has taken, if that is more than 15 s, longer than \
         its calls can take; else 0. Above 0: nothing in its partitions is decided. From 30 s on \
         /livez answers 503; after 300 s the process ends with exit code 1.";
    state_bytes: IntGauge[] =
        "Memory used by the state of the owned partitions. Near the limit of the host, add an \
         instance.";
    audit_sequence: IntGaugeVec["partition"] =
        "Sequence of the last committed audit batch; -1 before the first. If it does not move \
         while records are consumed, nothing is committed: look at assent_transactions_total.";
    key_version: IntGauge[] =
        "The active key version. If instances differ for longer than a rollout, a keyset file is \
         outdated.";
    build_info: IntGaugeVec["version", "revision"] =
        "Always 1. The labels say which build runs. If there is more than one outside a rollout, \
         an instance was forgotten.";
    rulebook_info: IntGaugeVec["version", "sha256"] =
        "Always 1. The labels give the version of the rulebook in use and the SHA-256 of its file. \
         If there is more than one outside a rollout, an instance was forgotten.";
    access_refused: IntGaugeVec["resource"] =
        "What the brokers refuse this user, by the configuration key of the topic or group, \
         transactional_id, or login: the number of resources with a right that is missing. Above \
         0: nothing that needs it is decided, /readyz is 503, and the log says which right to \
         grant. It ends by itself once the right is granted again.";
    reader_lag_seconds: GaugeVec["purpose", "reader"] =
        "Age of the oldest record of a purpose's segments that a declared reader has not read, by the \
         offsets that its group commits; 0 if it has read all. Told by the instance that owns \
         partition 0: use the maximum over the instances. It grows while neither the group nor the \
         topic answers.";
    reader_oldest_unread_tombstone_seconds: GaugeVec["purpose", "reader"] =
        "Age of the oldest tombstone that a declared reader of a purpose has not read: for so long \
         it may have used the segments of somebody who left. 0 if there is none. Told as \
         assent_reader_lag_seconds. Alert after an hour; past half of delete.retention.ms the reader \
         has to discard its copy and read from the beginning.";
    cluster_findings: IntGaugeVec["check"] =
        "Problems with the cluster that `assent check` reports and `run` tolerates, by check. \
         Above 0: the log has a WARN line for each, and `assent check` says what to do.";
    canary_last_success_timestamp_seconds: GaugeVec["partition"] =
        "When the canary of a partition last got through: its opt-out was seen at a reader of its \
         topic (epoch seconds); 0: never. Alert on three missed rounds. Told by `assent canary`, and by \
         `assent run --canary` for the partitions that it owns.";

    records_consumed_total: IntCounterVec["topic"] =
        "Input records consumed and committed. If it stays flat while the topic grows, look at \
         assent_consent_gate_open and /livez.";
    outcomes_total: IntCounterVec["topic", "outcome"] =
        "Outcomes of input records; the sum equals assent_records_consumed_total (INV-8). Watch \
         unreadable, dead_lettered and too_late.";
    verdicts_total: IntCounterVec["purpose", "verdict"] =
        "Verdicts of the gate on decided clicks, one for each purpose; verdicts on consent records \
         and timers are not included. If consent_stale rises, look at consent sync; if \
         consent_unreadable rises, at the consent producers.";
    assignments_total: IntCounterVec["purpose"] =
        "Segment assignments committed, renewals included. If none is committed for half a lease \
         although there are live keys, nothing is renewed and the keys will expire.";
    tombstones_total: IntCounterVec["purpose", "reason"] =
        "Tombstones committed, by reason. If opt_out_signal or opted_out rises, people leave; if \
         rulebook_changed rises, a rulebook was rolled out.";
    records_produced_total: IntCounterVec["topic"] =
        "Records committed to each output topic, for capacity planning.";
    dead_letters_total: IntCounterVec["topic", "reason"] =
        "Inputs that could not be used. At any steady rate, read them with `assent dead-letters \
         list` and tell the producer of that topic.";
    unreadable_batches_total: IntCounterVec["topic"] =
        "Batches of an input, the state or the audit that no client can read: damaged on a broker's disk, or \
         too large once decompressed. If there is any, the log names topic, partition, offsets and \
         reason. Clicks become one dead letter; anything else ends the run, see docs/stops.md. Look at \
         the disks of the brokers, and at who writes with which compression.";
    clicks_without_gpc_total: IntCounter[] =
        "Clicks whose collector did not look for Sec-GPC. Above 0: opt-out preference signals may \
         be missed; fix that collector.";
    opt_out_signals_total: IntCounterVec["source"] =
        "Inputs with an opt-out preference signal that binds their subject, by the source of the \
         signal: gpc, gpp, gpp_undecodable, record (opt_out_signal_at of a consent record). If \
         gpp_undecodable rises, a consent platform writes unreadable GPP strings, and everybody it \
         asks is opted out of sale and sharing.";
    erasures_of_unknown_total: IntCounter[] =
        "Erasures of subjects that the state does not know. If there are any, ask their source \
         whether it writes the same key as in consent records: an erasure under another key erases \
         nobody.";
    barrier_timeouts_total: IntCounter[] =
        "Batches whose clicks were decided CONSENT_STALE because no barrier was reached within the \
         bound. Look for an open transaction on the consent changelog, or a broker that doesn't \
         answer.";
    transactions_total: IntCounterVec["result"] =
        "Transactions by result: committed, aborted, unclear. An unclear one is counted again as \
         committed or aborted once reading the topics has shown which; while the brokers can't end it, each \
         try to go on counts as unclear. If aborted or unclear ones \
         repeat, look at the brokers and the network; inputs are decided again, and nothing is \
         lost.";
    calls_left_behind_total: IntCounterVec["call"] =
        "Calls to the Kafka client that did not return in time and were abandoned together with \
         their client, by call. A few while brokers restart are harmless: another client \
         continues, and nothing is lost. If there are steadily more, a broker or a name server \
         accepts connections and does not answer.";
    rebalances_total: IntCounter[] =
        "Assignments that the group gave to workers of this instance, empty ones included. Several \
         per hour without a rollout point to session time-outs: look at CPU and network.";
    invariant_violations_total: IntCounterVec["invariant"] =
        "Invariants found broken while deciding. This is a defect of Assent: page. For inv-1, \
         inv-4, inv-7 and inv-13 the subject's live keys were removed in the same transaction. For \
         inv-2, inv-8 and inv-9 the batch was not committed; the partition decides nothing and \
         tries again every 10 s. The log names the partition; keep it and report the defect.";
    canary_failures_total: IntCounterVec["step"] =
        "Rounds of the canary that failed, by the step at which: reach (no broker answered), opt_in, \
         click, opt_out (not acknowledged), assignment, tombstone (not seen at a reader within 10 s). \
         If assignment rises, a gate is closed or nothing is decided; if tombstone rises, opt-outs of \
         people wait, too.";

    http_requests_total: IntCounterVec["route", "status"] =
        "Requests that `assent serve` answered, by route and status; `other` is what no route has. \
         If 401 or 403 rises, a client has a wrong token or wants more than it may; if 503 rises, \
         the brokers don't take records, or the register can't be read; if 429 rises, a client is \
         at serve.rate_limit.";
    intake_commands_total: IntCounterVec["source", "outcome"] =
        "Changes of consent that this instance owned, by source and what became of them: merged \
         (written to the changelog), unchanged (it stood there already), honored (the audit shows \
         it), failed, refused, unreadable. If honored falls behind merged and unchanged, `assent \
         run` does not decide; if unreadable rises, a key version was retired while changes waited.";
    intake_deliveries_total: IntCounterVec["source", "outcome"] =
        "What consent platforms delivered, by source and what became of it: taken (a change waits to \
         be merged), held (nobody maps the identifier), known (it came before), nothing (it says \
         nothing of a purpose that is mapped), refused (4xx), unavailable (503; the source sends it \
         again). If refused rises, the source changed its format; if held rises, mappings are \
         missing: see `assent intake pending`.";
    intake_left_out_total: IntCounterVec["source", "what"] =
        "What of deliveries was left out, by source: test (a test receipt), nameless (it names \
         nobody), purpose (no mapping has it), word (no mapping has it: it counts as a no), undated \
         (a grant without a time), answer (no mapping has it). If purpose or word rises, complete \
         the mapping of the source: an opt-out of a purpose that is not mapped is not seen.";
    intake_held: IntGauge[] =
        "Deliveries that this instance owns and whose identifier nobody maps. Each is held for 7 \
         days. If it grows, import identities: see `assent intake pending`.";
    intake_held_total: IntCounterVec["source", "outcome"] =
        "What became of deliveries that were held: applied (the mapping came) or expired (7 days \
         passed without one, and what the person said is lost). If expired rises, alert whoever \
         imports identities.";
    consent_source_drift_total: IntCounterVec["source", "kind"] =
        "What `assent consent reconcile` found, by source: stricter (a webhook was lost, and it is \
         written now), looser (the platform has a grant that is not here; nothing is written), \
         unmapped (nobody maps the identifier). If stricter rises, the source loses webhooks: an \
         opt-out was late.";
    lookup_copy_lag_seconds: Gauge[] =
        "How long ago the look-up copy was known to be complete; -1 before the first time. Above \
         0.08 every look-up is answered with the default segment: look at the brokers and at the \
         CPU of this host.";
    lookup_copy_in_sync: IntGauge[] =
        "1 while look-ups are answered from the copy, 0 while they get the default segment.";
    lookup_copy_keys: IntGaugeVec["purpose"] =
        "Keys in the look-up copy; absent below the minimum audience of the purpose. If it differs \
         from assent_live_keys for long, restart the instance and report it.";
    lookup_copy_bytes: IntGauge[] =
        "Memory of the look-up copy's tables. Plan about 60 bytes for each live key.";
    intake_pending: IntGauge[] =
        "Changes of consent that this instance owns and whose effect is not known yet. If it does \
         not return to 0 within seconds, `assent run` does not decide, or a transaction is open.";
    intake_partitions: IntGauge[] =
        "Partitions of the intake that this instance owns. The sum over all instances must equal \
         the partition count; else changes of consent wait.";
    rate_limited_total: IntCounterVec["client"] =
        "Requests answered 429, by client. If one client's rises, it loops, or needs a higher \
         serve.rate_limit.";

    barrier_wait_seconds: Histogram[] in FAST =
        "Time from asking the broker for the end of consent to having applied consent up to there. \
         High: raise fetch capacity, or look for open transactions.";
    opt_out_propagation_seconds: Histogram[] in FAST =
        "Time from the append of a consent record to the commit of the tombstones it caused. p99 \
         above a second: act before people notice.";
    canary_opt_out_seconds: Histogram[] in FAST =
        "Time from handing the canary's opt-out to the producer until a reader of its segment topic \
         saw the tombstone. It is what a person's opt-out takes from Kafka on, reader included; the \
         canary is in no other figure of opt-outs.";
    opt_out_handling_seconds: Histogram[] in LEGAL =
        "Time from recorded_at, when the person decided, to the same commit. The buckets reach \
         past 15 business days (21 calendar days). High while propagation is low: the delay is \
         before Kafka, in the intake.";
    click_latency_seconds: Histogram[] in LONG =
        "Time from the timestamp of a click record to the commit of its decision. Growing: add \
         instances, up to the partition count.";
    transaction_duration_seconds: Histogram[] in FAST =
        "Time from the begin to the end of a transaction. Near 10 s the broker aborts it: look at \
         the request latency of the brokers.";
    restore_duration_seconds: Histogram[] in LONG =
        "Time from the assignment of partitions until their state is restored. Long: the state is \
         large or the broker is slow. It determines how long a restart is felt.";
    consent_source_delay_seconds: HistogramVec["source"] in LEGAL =
        "Time from recorded_at to the append of a consent record, by source. High: that source \
         queues opt-outs; tell its owner.";
    http_request_duration_seconds: HistogramVec["route"] in ANSWERS =
        "Time that `assent serve` took for a request, by route, body and answer included. Look-ups \
         are answered from memory: p99 above a millisecond means too little CPU.";
}

/// How the names of what `assent serve` shows begin.
const OF_SERVE: [&str; 8] = [
    "assent_build_info",
    "assent_calls_left_behind",
    "assent_clients_left_behind",
    "assent_consent_source_drift",
    "assent_http_",
    "assent_intake_",
    "assent_lookup_",
    "assent_rate_limited",
];

impl Metrics {
    /// The catalog's metrics, and the build's own line.
    pub fn new() -> Self {
        let metrics = Self::registered().expect("the catalog declares each metric once, legally");
        metrics.build_info.with_label_values(&[super::VERSION, super::REVISION]).set(1);
        metrics
    }

    /// The same of `assent canary`: what belongs to a pipeline would look like one that stands still.
    pub fn of_canary() -> Self {
        let own = |name: &str| name.starts_with("assent_canary_") || name == "assent_build_info";
        Self { shows: own, ..Self::new() }
    }

    /// The same of `assent serve`, for the same reason.
    pub fn of_serve() -> Self {
        let own = |name: &str| OF_SERVE.iter().any(|beginning| name.starts_with(beginning));
        Self { shows: own, ..Self::new() }
    }

    /// Prometheus' text exposition format.
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        let mut shown = self.registry.gather();
        shown.retain(|family| (self.shows)(family.name()));
        TextEncoder::new().encode(&shown, &mut text).expect("writing into memory doesn't fail");
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
        "# Metrics\n\nGenerated from src/telemetry/metrics/mod.rs by `UPDATE_DOCS=1 cargo test --lib \
         telemetry`. Label values are in lower case.\n\n| name | kind | labels | meaning, and what \
         to do |\n|---|---|---|---|\n",
    );
    for Declaration { name, kind, labels, help } in CATALOG {
        let _ = writeln!(page, "| `{name}` | {kind} | {} | {help} |", labels.join(", "));
    }
    page
}

#[cfg(test)]
mod tests;
