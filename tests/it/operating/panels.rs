//! What the Grafana dashboard shows: rows, panels, queries. The one source of deploy/grafana/assent.json.
//!
//! In a query every metric gets the dashboard's `job`, and `[R]` is the range of a rate. What a panel means is
//! the catalog's own text of the metrics that it names.

use Look::{Lines, Stat};
use Series::{Delays, Of};

pub struct Row {
    pub title: &'static str,
    pub panels: &'static [Panel],
}

pub struct Panel {
    pub title: &'static str,
    /// As Grafana names units.
    pub unit: &'static str,
    pub look: Look,
    pub series: &'static [Series],
}

pub enum Look {
    Lines,
    /// One number, yellow and red from these values on.
    Stat(f64, f64),
}

pub enum Series {
    /// A query, and the legend of what it returns.
    Of(&'static str, &'static str),
    /// The median and the slowest hundredth of a histogram, by a label, or of all.
    Delays(&'static str, &'static str),
}

const fn lines(title: &'static str, unit: &'static str, series: &'static [Series]) -> Panel {
    Panel { title, unit, look: Lines, series }
}

const fn stat(
    title: &'static str,
    unit: &'static str,
    look: Look,
    series: &'static [Series],
) -> Panel {
    Panel { title, unit, look, series }
}

pub const ROWS: &[Row] = &[
    Row { title: "Consent in sync, opt-outs leaving", panels: CONSENT },
    Row { title: "Gate and verdicts", panels: GATE },
    Row { title: "Throughput", panels: THROUGHPUT },
    Row { title: "Transactions", panels: TRANSACTIONS },
    Row { title: "Instances and state", panels: STATE },
    Row { title: "Audit", panels: AUDIT },
    Row { title: "Readers", panels: READERS },
    Row { title: "Canary", panels: CANARY },
    Row { title: "Front ends", panels: SERVING },
];

const SERVING: &[Panel] = &[
    lines(
        "Requests, a second",
        "ops",
        &[Of(
            "sum by (route, status) (rate(assent_http_requests_total[R]))",
            "{{route}} {{status}}",
        )],
    ),
    lines("An answer takes", "s", &[Delays("assent_http_request_duration_seconds", "route")]),
    lines(
        "Age of the look-up copy, in sync",
        "s",
        &[
            Of("max by (instance) (assent_lookup_copy_lag_seconds)", "{{instance}}"),
            Of("min by (instance) (assent_lookup_copy_in_sync)", "{{instance}} in sync"),
        ],
    ),
    lines(
        "Keys of the look-up copy",
        "short",
        &[Of("max by (instance, purpose) (assent_lookup_copy_keys)", "{{instance}} {{purpose}}")],
    ),
    lines(
        "Memory of the look-up copy",
        "bytes",
        &[Of("max by (instance) (assent_lookup_copy_bytes)", "{{instance}}")],
    ),
    lines(
        "Changes of consent in an hour",
        "short",
        &[Of(
            "sum by (source, outcome) (increase(assent_intake_commands_total[1h]))",
            "{{source}} {{outcome}}",
        )],
    ),
    lines(
        "Changes whose effect is not known yet",
        "short",
        &[
            Of("max by (instance) (assent_intake_pending)", "{{instance}}"),
            Of("max by (instance) (assent_intake_partitions)", "{{instance}} partitions"),
        ],
    ),
    lines(
        "Deliveries of consent platforms in an hour",
        "short",
        &[
            Of(
                "sum by (source, outcome) (increase(assent_intake_deliveries_total[1h]))",
                "{{source}} {{outcome}}",
            ),
            Of(
                "sum by (source, outcome) (increase(assent_intake_held_total[1h]))",
                "{{source}} held, then {{outcome}}",
            ),
            Of("max by (instance) (assent_intake_held)", "{{instance}} held"),
        ],
    ),
    lines(
        "Left out of deliveries in an hour",
        "short",
        &[Of(
            "sum by (source, what) (increase(assent_intake_left_out_total[1h]))",
            "{{source}} {{what}}",
        )],
    ),
    lines(
        "Found by comparing with platforms, in a day",
        "short",
        &[Of(
            "sum by (source, kind) (increase(assent_consent_source_drift_total[1d]))",
            "{{source}} {{kind}}",
        )],
    ),
    lines(
        "Over the rate in an hour",
        "short",
        &[Of("sum by (client) (increase(assent_rate_limited_total[1h]))", "{{client}}")],
    ),
];

const CONSENT: &[Panel] = &[
    stat(
        "Consent-sync lag, worst partition",
        "s",
        Stat(5.0, 30.0),
        &[Of("max(min by (job, partition) (assent_consent_sync_lag_seconds))", "lag")],
    ),
    stat(
        "Minutes out of sync, of 0.1 %",
        "percentunit",
        Stat(0.001, 0.0144),
        &[Of("max(avg_over_time(assent:consent_sync_bad_minute[$__range]))", "bad minutes")],
    ),
    stat(
        "Opt-outs waiting",
        "short",
        Stat(1.0, 100.0),
        &[Of("sum(assent_opt_outs_pending)", "opt-outs")],
    ),
    stat(
        "Oldest opt-out waits for",
        "s",
        Stat(1.0, 60.0),
        &[Of(
            "max((time() - assent_opt_out_oldest_pending_timestamp_seconds) * (assent_opt_out_oldest_pending_timestamp_seconds > bool 0))",
            "oldest",
        )],
    ),
    lines(
        "Consent-sync lag by partition",
        "s",
        &[Of("min by (job, partition) (assent_consent_sync_lag_seconds)", "{{job}} {{partition}}")],
    ),
    lines(
        "From an opt-out's append to its tombstones",
        "s",
        &[Delays("assent_opt_out_propagation_seconds", "")],
    ),
    lines(
        "Opt-outs over a second",
        "percentunit",
        &[Of(
            "1 - sum(rate(assent_opt_out_propagation_seconds_bucket{le=~\"1|1[.]0\"}[R])) / sum(rate(assent_opt_out_propagation_seconds_count[R]))",
            "share",
        )],
    ),
    lines(
        "From a person's decision to its tombstones",
        "s",
        &[Delays("assent_opt_out_handling_seconds", "")],
    ),
    lines(
        "Silence of consent sources, and its bound",
        "s",
        &[
            Of("max by (source) (assent_consent_source_silence_seconds)", "{{source}}"),
            Of(
                "max by (source) (assent_consent_source_silence_bound_seconds)",
                "{{source}}: bound",
            ),
        ],
    ),
    lines(
        "Since a source's last record",
        "s",
        &[Of(
            "time() - max by (source) (assent_consent_source_last_record_timestamp_seconds > 0)",
            "{{source}}",
        )],
    ),
    lines(
        "From a decision to its append, by source",
        "s",
        &[Delays("assent_consent_source_delay_seconds", "source")],
    ),
    lines(
        "Consent is known up to so long ago",
        "s",
        &[Of(
            "time() - max by (job, partition) (assent_consent_synced_timestamp_seconds)",
            "{{job}} {{partition}}",
        )],
    ),
    lines("Waiting for the barrier", "s", &[Delays("assent_barrier_wait_seconds", "")]),
    lines(
        "Barriers that were not reached, a second",
        "ops",
        &[Of("sum by (instance) (rate(assent_barrier_timeouts_total[R]))", "{{instance}}")],
    ),
];

const GATE: &[Panel] = &[
    lines(
        "Gate open",
        "short",
        &[Of("max by (job, partition) (assent_consent_gate_open)", "{{job}} {{partition}}")],
    ),
    lines(
        "Partitions closed or not ready, by reason",
        "short",
        &[Of(
            "sum by (reason) (min by (job, partition, reason) (assent_gate_closed_reason))",
            "{{reason}}",
        )],
    ),
    lines(
        "Verdicts on clicks, a second",
        "ops",
        &[Of(
            "sum by (purpose, verdict) (rate(assent_verdicts_total[R]))",
            "{{purpose}} {{verdict}}",
        )],
    ),
    lines(
        "Assignments, a second",
        "ops",
        &[Of("sum by (purpose) (rate(assent_assignments_total[R]))", "{{purpose}}")],
    ),
    lines(
        "Tombstones, a second",
        "ops",
        &[Of(
            "sum by (purpose, reason) (rate(assent_tombstones_total[R]))",
            "{{purpose}} {{reason}}",
        )],
    ),
    lines(
        "Opt-out signals, a second",
        "ops",
        &[Of("sum by (source) (rate(assent_opt_out_signals_total[R]))", "{{source}}")],
    ),
    lines(
        "Clicks without a look for Sec-GPC, a second",
        "ops",
        &[Of("sum(rate(assent_clicks_without_gpc_total[R]))", "clicks")],
    ),
    lines(
        "Subjects by what is held of them",
        "short",
        &[Of("sum by (consent) (assent_subjects)", "{{consent}}")],
    ),
    lines(
        "Signals of unknown subjects",
        "short",
        &[Of("max by (job, partition) (assent_signals_without_record)", "{{job}} {{partition}}")],
    ),
    lines(
        "Erasures of unknown subjects in an hour",
        "short",
        &[Of("sum(increase(assent_erasures_of_unknown_total[1h]))", "erasures")],
    ),
];

const THROUGHPUT: &[Panel] = &[
    lines(
        "Records consumed, a second",
        "ops",
        &[Of("sum by (topic) (rate(assent_records_consumed_total[R]))", "{{topic}}")],
    ),
    lines(
        "Outcomes, a second",
        "ops",
        &[Of("sum by (topic, outcome) (rate(assent_outcomes_total[R]))", "{{topic}} {{outcome}}")],
    ),
    lines(
        "Records produced, a second",
        "ops",
        &[Of("sum by (topic) (rate(assent_records_produced_total[R]))", "{{topic}}")],
    ),
    lines("From a click to its decision", "s", &[Delays("assent_click_latency_seconds", "")]),
    lines(
        "Dead letters in an hour",
        "short",
        &[Of(
            "sum by (topic, reason) (increase(assent_dead_letters_total[1h]))",
            "{{topic}} {{reason}}",
        )],
    ),
    lines(
        "Batches that can't be read, in an hour",
        "short",
        &[Of("sum by (topic) (increase(assent_unreadable_batches_total[1h]))", "{{topic}}")],
    ),
];

const TRANSACTIONS: &[Panel] = &[
    lines(
        "Transactions, a second",
        "ops",
        &[Of(
            "sum by (instance, result) (rate(assent_transactions_total[R]))",
            "{{instance}} {{result}}",
        )],
    ),
    lines("A transaction takes", "s", &[Delays("assent_transaction_duration_seconds", "")]),
    lines(
        "Invariants found broken",
        "short",
        &[Of(
            "sum by (instance, invariant) (assent_invariant_violations_total)",
            "{{instance}} {{invariant}}",
        )],
    ),
    lines(
        "Calls and clients left behind",
        "short",
        &[
            Of(
                "sum by (instance, call) (increase(assent_calls_left_behind_total[1h]))",
                "{{instance}} {{call}}, in an hour",
            ),
            Of("max by (instance) (assent_clients_left_behind)", "{{instance}} clients"),
        ],
    ),
    lines(
        "Refused by the brokers",
        "short",
        &[Of("max by (instance, resource) (assent_access_refused)", "{{instance}} {{resource}}")],
    ),
    lines(
        "A worker's turn is overdue by",
        "s",
        &[Of("max by (instance) (assent_worker_overdue_seconds)", "{{instance}}")],
    ),
    lines(
        "Answers of the group in an hour",
        "short",
        &[Of("sum by (instance) (increase(assent_rebalances_total[1h]))", "{{instance}}")],
    ),
];

const STATE: &[Panel] = &[
    lines(
        "Partitions by instance",
        "short",
        &[Of("max by (instance) (assent_assigned_partitions)", "{{instance}}")],
    ),
    lines(
        "In the group",
        "short",
        &[Of("min by (instance) (assent_group_member)", "{{instance}}")],
    ),
    lines(
        "Memory of the state",
        "bytes",
        &[Of("max by (instance) (assent_state_bytes)", "{{instance}}")],
    ),
    lines(
        "Restoring takes",
        "s",
        &[Of(
            "sum by (instance) (assent_restore_duration_seconds_sum) / sum by (instance) (assent_restore_duration_seconds_count > 0)",
            "{{instance}}, on average",
        )],
    ),
    lines(
        "Members of segments",
        "short",
        &[Of("sum by (purpose, segment) (assent_segment_members)", "{{purpose}} {{segment}}")],
    ),
    lines(
        "Live keys",
        "short",
        &[Of(
            "sum by (purpose, key_version) (assent_live_keys)",
            "{{purpose}} version {{key_version}}",
        )],
    ),
    lines("Active key", "short", &[Of("max by (instance) (assent_key_version)", "{{instance}}")]),
    lines(
        "Builds",
        "short",
        &[Of("count by (version, revision) (assent_build_info)", "{{version}} {{revision}}")],
    ),
    lines(
        "Rulebooks",
        "short",
        &[Of("count by (version, sha256) (assent_rulebook_info)", "{{version}} {{sha256}}")],
    ),
    lines(
        "The clock is ahead by",
        "s",
        &[Of("max by (instance) (assent_clock_ahead_seconds)", "{{instance}}")],
    ),
    lines(
        "Findings of check",
        "short",
        &[Of("max by (check) (assent_cluster_findings)", "{{check}}")],
    ),
];

const AUDIT: &[Panel] = &[
    lines(
        "Last audit batch by partition",
        "short",
        &[Of("max by (job, partition) (assent_audit_sequence)", "{{job}} {{partition}}")],
    ),
    lines(
        "Audit batches, a second",
        "ops",
        &[Of("sum by (job) (deriv(assent_audit_sequence[5m]))", "{{job}}")],
    ),
];

const CANARY: &[Panel] = &[
    lines("The canary's opt-out takes", "s", &[Delays("assent_canary_opt_out_seconds", "")]),
    lines(
        "Since the canary last got through",
        "s",
        &[Of(
            "time() - max by (partition) (assent_canary_last_success_timestamp_seconds > 0)",
            "{{partition}}",
        )],
    ),
    lines(
        "Rounds of the canary that failed, in an hour",
        "short",
        &[Of("sum by (step) (increase(assent_canary_failures_total[1h]))", "{{step}}")],
    ),
];

const READERS: &[Panel] = &[
    lines(
        "Oldest tombstone that a reader has not read",
        "s",
        &[Of(
            "max by (purpose, reader) (assent_reader_oldest_unread_tombstone_seconds)",
            "{{purpose}} {{reader}}",
        )],
    ),
    lines(
        "Readers are behind by",
        "s",
        &[Of("max by (purpose, reader) (assent_reader_lag_seconds)", "{{purpose}} {{reader}}")],
    ),
];
