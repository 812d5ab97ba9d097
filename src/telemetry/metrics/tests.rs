//! The catalog against the list of the contract (docs/contract/http.md#metrics) and against its
//! document.

use std::collections::BTreeMap;

use super::*;
use assent_contract::domain::pseudonym::{KeyRing, Keyset};

/// The metrics and their labels, written out by hand: they are part of the contract
/// (docs/contract/http.md#metrics).
const CONTRACT: &[(&str, &str)] = &[
    ("assent_consent_sync_lag_seconds", "partition"),
    ("assent_consent_synced_timestamp_seconds", "partition"),
    ("assent_consent_gate_open", "partition"),
    ("assent_gate_closed_reason", "partition,reason"),
    ("assent_consent_source_last_record_timestamp_seconds", "source"),
    ("assent_consent_source_silence_seconds", "source"),
    ("assent_consent_source_silence_bound_seconds", "source"),
    ("assent_opt_outs_pending", ""),
    ("assent_opt_out_oldest_pending_timestamp_seconds", ""),
    ("assent_assigned_partitions", ""),
    ("assent_group_member", ""),
    ("assent_subjects", "consent"),
    ("assent_signals_without_record", "partition"),
    ("assent_segment_members", "purpose,segment"),
    ("assent_live_keys", "purpose,key_version"),
    ("assent_clock_ahead_seconds", ""),
    ("assent_clients_left_behind", ""),
    ("assent_worker_overdue_seconds", ""),
    ("assent_state_bytes", ""),
    ("assent_audit_sequence", "partition"),
    ("assent_key_version", ""),
    ("assent_build_info", "version,revision"),
    ("assent_rulebook_info", "version,sha256"),
    ("assent_access_refused", "resource"),
    ("assent_reader_lag_seconds", "purpose,reader"),
    ("assent_reader_oldest_unread_tombstone_seconds", "purpose,reader"),
    ("assent_cluster_findings", "check"),
    ("assent_canary_last_success_timestamp_seconds", "partition"),
    ("assent_records_consumed_total", "topic"),
    ("assent_outcomes_total", "topic,outcome"),
    ("assent_verdicts_total", "purpose,verdict"),
    ("assent_assignments_total", "purpose"),
    ("assent_tombstones_total", "purpose,reason"),
    ("assent_records_produced_total", "topic"),
    ("assent_dead_letters_total", "topic,reason"),
    ("assent_unreadable_batches_total", "topic"),
    ("assent_clicks_without_gpc_total", ""),
    ("assent_opt_out_signals_total", "source"),
    ("assent_erasures_of_unknown_total", ""),
    ("assent_barrier_timeouts_total", ""),
    ("assent_transactions_total", "result"),
    ("assent_calls_left_behind_total", "call"),
    ("assent_rebalances_total", ""),
    ("assent_invariant_violations_total", "invariant"),
    ("assent_canary_failures_total", "step"),
    ("assent_http_requests_total", "route,status"),
    ("assent_intake_commands_total", "source,outcome"),
    ("assent_intake_deliveries_total", "source,outcome"),
    ("assent_intake_left_out_total", "source,what"),
    ("assent_intake_held", ""),
    ("assent_intake_held_total", "source,outcome"),
    ("assent_consent_source_drift_total", "source,kind"),
    ("assent_lookup_copy_lag_seconds", ""),
    ("assent_lookup_copy_in_sync", ""),
    ("assent_lookup_copy_keys", "purpose"),
    ("assent_lookup_copy_bytes", ""),
    ("assent_intake_pending", ""),
    ("assent_intake_partitions", ""),
    ("assent_rate_limited_total", "client"),
    ("assent_barrier_wait_seconds", ""),
    ("assent_opt_out_propagation_seconds", ""),
    ("assent_canary_opt_out_seconds", ""),
    ("assent_opt_out_handling_seconds", ""),
    ("assent_click_latency_seconds", ""),
    ("assent_transaction_duration_seconds", ""),
    ("assent_restore_duration_seconds", ""),
    ("assent_consent_source_delay_seconds", "source"),
    ("assent_http_request_duration_seconds", "route"),
];

#[test]
fn names_and_labels_are_the_contracts() {
    let declared: Vec<_> = CATALOG.iter().map(|d| (d.name, d.labels.join(","))).collect();
    let contract: Vec<_> = CONTRACT.iter().map(|&(name, labels)| (name, labels.into())).collect();
    assert_eq!(declared, contract);
}

#[test]
fn help_is_a_sentence_that_fits_a_table() {
    for Declaration { name, help, .. } in CATALOG {
        assert!(help.ends_with('.') && !help.contains(['|', '\n']), "{name}: {help}");
    }
}

#[test]
fn the_text_says_what_was_counted() {
    let metrics = Metrics::new();
    metrics.outcomes_total.with_label_values(&["clickstream", "decided"]).inc_by(3);
    metrics.opt_out_propagation_seconds.observe(0.004);
    let text = metrics.render();
    for line in [
        "assent_outcomes_total{outcome=\"decided\",topic=\"clickstream\"} 3",
        "assent_opt_out_propagation_seconds_bucket{le=\"0.0025\"} 0",
        "assent_opt_out_propagation_seconds_bucket{le=\"0.005\"} 1",
        "# TYPE assent_opt_outs_pending gauge",
    ] {
        assert!(text.contains(line), "{line} is missing in:\n{text}");
    }
    assert!(text.contains("assent_build_info{revision="));
}

/// Every counter and every gauge whose labels a shop knows beforehand; those of partitions come with
/// the assignment.
#[test]
fn what_is_known_beforehand_stands_at_zero() {
    let yaml = "consent: {sources: {cmp: {max_silence: 15m}}}";
    let text = at_zero(yaml);
    let reason = "reason=\"opted_out\"";
    for line in [
        "assent_records_consumed_total{topic=\"clickstream\"} 0",
        "assent_outcomes_total{outcome=\"too_late\",topic=\"clickstream\"} 0",
        "assent_outcomes_total{outcome=\"heartbeat\",topic=\"consent-changelog\"} 0",
        "assent_verdicts_total{purpose=\"personalized-offers\",verdict=\"consent_stale\"} 0",
        "assent_assignments_total{purpose=\"partner-advertising\"} 0",
        &format!("assent_tombstones_total{{purpose=\"partner-advertising\",{reason}}} 0"),
        "assent_records_produced_total{topic=\"segments.personalized-offers\"} 0",
        "assent_dead_letters_total{reason=\"wrong_key\",topic=\"consent-changelog\"} 0",
        "assent_dead_letters_total{reason=\"event_time_ahead\",topic=\"clickstream\"} 0",
        "assent_transactions_total{result=\"unclear\"} 0",
        "assent_calls_left_behind_total{call=\"send_offsets\"} 0",
        "assent_invariant_violations_total{invariant=\"inv-4\"} 0",
        "assent_subjects{consent=\"unreadable\"} 0",
        "assent_live_keys{key_version=\"1\",purpose=\"personalized-offers\"} 0",
        "assent_segment_members{purpose=\"personalized-offers\",segment=\"preschool-explorers\"} 0",
        "assent_reader_lag_seconds{purpose=\"personalized-offers\",reader=\"mail\"} 0",
        "assent_consent_source_last_record_timestamp_seconds{source=\"cmp\"} 0",
        "assent_consent_source_silence_seconds{source=\"cmp\"} 0",
        "assent_consent_source_silence_bound_seconds{source=\"cmp\"} 900",
        "assent_consent_source_delay_seconds_count{source=\"cmp\"} 0",
        "assent_consent_source_delay_seconds_count{source=\"other\"} 0",
    ] {
        assert!(text.lines().any(|it| it == line), "{line} is missing in:\n{text}");
    }
    assert!(text.contains("assent_rulebook_info{sha256=\""), "{text}");
    let of_partitions = [
        "consent_sync_lag",
        "consent_synced",
        "consent_gate",
        "gate_closed",
        "audit",
        "signals_without_record",
        "canary_last_success",
        "canary_failures",
        // Of `assent serve`.
        "assent_http_",
        "assent_intake_commands",
        "assent_intake_deliveries",
        "assent_intake_left_out",
        "assent_intake_held_total",
        "assent_consent_source_drift",
        "assent_lookup_copy_keys",
        "assent_rate_limited",
    ];
    for Declaration { name, .. } in CATALOG {
        let comes_later = of_partitions.iter().any(|it| name.contains(it));
        assert_ne!(text.contains(&format!("# TYPE {name} ")), comes_later, "{name}");
    }
}

fn at_zero(yaml: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("assent.yaml");
    std::fs::write(&file, yaml).unwrap();
    let config = crate::config::load(Some(&file), &BTreeMap::new()).unwrap();
    let shipped = include_str!("../../../rules/children-retail.yaml");
    let readers = "retention: 90d\n    readers: [{id: mail, kind: own, group_id: mailer}]\n";
    let read = shipped.replacen("retention: 90d\n", readers, 1);
    let rulebook = assent_contract::rulebook::compile(read.as_bytes()).unwrap();
    let purposes: Vec<String> = rulebook.purposes.iter().map(|it| it.id.clone()).collect();
    let keys = KeyRing::new(&Keyset::first([7; 32]), &purposes);
    let metrics = Metrics::new();
    let calls = ["send_offsets"];
    metrics.stand_at_zero(&Known {
        config: &config,
        rulebook: &rulebook,
        keys: &keys,
        calls: &calls,
    });
    metrics.render()
}

#[test]
fn the_law_counts_in_days_and_its_buckets_reach_there() {
    let text = Metrics::new().render();
    for days in [1, 7, 15, 21, 30] {
        let bucket = format!("handling_seconds_bucket{{le=\"{}\"}} 0", days * 86_400);
        assert!(text.contains(&bucket), "{bucket}: {text}");
    }
}

#[test]
fn the_document_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, documentation()).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == documentation(), "docs/metrics.md is old: UPDATE_DOCS=1 cargo test --lib");
}
