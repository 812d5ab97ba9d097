//! The catalog against the contract's list (design, section 9) and against its document.

use super::*;

/// Section 9's metrics, written out by hand; and `assent_clock_ahead_seconds`, which it does not list.
const CONTRACT: &[(&str, &str)] = &[
    ("assent_consent_sync_lag_seconds", "partition"),
    ("assent_consent_synced_timestamp_seconds", "partition"),
    ("assent_consent_gate_open", "partition"),
    ("assent_consent_source_last_record_timestamp_seconds", "source"),
    ("assent_opt_outs_pending", ""),
    ("assent_opt_out_oldest_pending_timestamp_seconds", ""),
    ("assent_assigned_partitions", ""),
    ("assent_subjects", "consent"),
    ("assent_segment_members", "purpose,segment"),
    ("assent_live_keys", "purpose,key_version"),
    ("assent_clock_ahead_seconds", ""),
    ("assent_state_bytes", ""),
    ("assent_audit_sequence", "partition"),
    ("assent_key_version", ""),
    ("assent_build_info", "version,revision"),
    ("assent_records_consumed_total", "topic"),
    ("assent_outcomes_total", "topic,outcome"),
    ("assent_verdicts_total", "purpose,verdict"),
    ("assent_assignments_total", "purpose"),
    ("assent_tombstones_total", "purpose,reason"),
    ("assent_records_produced_total", "topic"),
    ("assent_dead_letters_total", "topic,reason"),
    ("assent_clicks_without_gpc_total", ""),
    ("assent_barrier_timeouts_total", ""),
    ("assent_transactions_total", "result"),
    ("assent_rebalances_total", ""),
    ("assent_invariant_violations_total", "invariant"),
    ("assent_barrier_wait_seconds", ""),
    ("assent_opt_out_propagation_seconds", ""),
    ("assent_opt_out_handling_seconds", ""),
    ("assent_click_latency_seconds", ""),
    ("assent_transaction_duration_seconds", ""),
    ("assent_restore_duration_seconds", ""),
    ("assent_consent_source_delay_seconds", "source"),
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

#[test]
fn the_document_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, documentation()).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == documentation(), "docs/metrics.md is old: UPDATE_DOCS=1 cargo test --lib");
}
