//! What is ready and what is not, what grows, and what is seen of it in the metrics.

use std::collections::BTreeMap;

use super::*;
use crate::clock::ManualClock;
use crate::config::Consent;
use assent_contract::domain::time::Timestamp;

const START: Timestamp = Timestamp(1_000_000);

fn good() -> PartitionStatus {
    PartitionStatus {
        restored: true,
        gate_open: true,
        reasons: vec![],
        ..PartitionStatus::restoring(START)
    }
}

/// With a bound of a minute, and the sources `cmp` (closes) and `web` (alerts).
fn instance(workers: usize) -> (Status, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(START));
    let source = |on_silence| Source { max_silence: Duration::from_secs(10), on_silence };
    let sources = [("cmp", source(OnSilence::Close)), ("web", source(OnSilence::Alert))];
    let consent = Consent {
        max_sync_lag: Duration::from_mins(1),
        signals_without_record_max: 1_000_000,
        sources: sources.map(|(id, source)| (id.to_owned(), source)).into(),
    };
    (Status::new(workers, &consent, clock.clone()), clock)
}

fn published(status: &Status) -> String {
    let metrics = Metrics::new();
    status.publish(&metrics);
    metrics.render()
}

fn assert_says(status: &Status, lines: &[&str]) {
    let text = published(status);
    for line in lines {
        assert!(text.lines().any(|it| it == *line), "{line} is missing in:\n{text}");
    }
}

#[test]
fn every_worker_must_tick_within_thirty_seconds() {
    let (status, clock) = instance(2);
    clock.advance(Duration::from_secs(20));
    status.tick(0);
    assert!(status.is_live());
    clock.advance(Duration::from_secs(11));
    assert!(!status.is_live(), "worker 1 never ticked");
    status.tick(1);
    assert!(status.is_live());
}

#[test]
fn ready_once_joined_and_every_owned_partition_is_restored_and_open() {
    let check = |partitions: &[PartitionStatus], expect: bool| {
        let (status, _) = instance(1);
        assert!(!status.readiness().ready, "not joined");
        status.set_joined(0, &[]);
        for (partition, report) in partitions.iter().enumerate() {
            status.set_partition(0, partition as i32, report.clone());
        }
        assert_eq!(status.readiness().ready, expect, "{partitions:?}");
    };
    check(&[], true);
    check(&[good(), good()], true);
    check(&[good(), PartitionStatus::restoring(START)], false);
    check(&[PartitionStatus { gate_open: false, ..good() }], false);
    check(&[PartitionStatus { consent_sync_lag_seconds: 60.0, ..good() }], true);
    check(&[PartitionStatus { consent_sync_lag_seconds: 60.1, ..good() }], false);
    check(&[PartitionStatus { reasons: vec![Reason::UnreadableBatch], ..good() }], false);
}

#[test]
fn every_worker_must_be_in_the_group() {
    let (status, _) = instance(2);
    status.set_joined(0, &[]);
    assert!(!status.readiness().ready);
    assert_says(&status, &["assent_group_member 0"]);
    status.set_joined(1, &[]);
    assert!(status.readiness().ready);
    assert_says(&status, &["assent_group_member 1"]);
}

#[test]
fn the_gravest_reason_is_named_and_all_are_counted() {
    let (status, _) = instance(1);
    status.set_joined(0, &[7]);
    let closed = PartitionStatus {
        gate_open: false,
        reasons: vec![Reason::NotCommitting, Reason::Source("cmp".to_owned()), Reason::Stale],
        ..good()
    };
    status.set_partition(0, 7, closed);
    let body = serde_json::to_string(&status.readiness()).unwrap();
    assert_eq!(
        body,
        r#"{"ready":false,"partitions":[{"partition":7,"restored":true,"consent_sync_lag_seconds":0.0,"gate_open":false,"reason":"stale"}]}"#
    );
    let series = |reason, value| {
        format!("assent_gate_closed_reason{{partition=\"7\",reason=\"{reason}\"}} {value}")
    };
    let lines = [
        series("stale", 1),
        series("source:cmp", 1),
        series("not_committing", 1),
        series("clock", 0),
        series("restoring", 0),
        series("unreadable_batch", 0),
    ];
    assert_says(&status, &lines.each_ref().map(String::as_str));
    assert!(!published(&status).contains("source:web"), "it never closes a gate");
}

#[test]
fn who_decides_nothing_is_not_ready_and_says_why() {
    let (status, _) = instance(1);
    status.set_joined(0, &[0]);
    status.set_partition(0, 0, good());
    status.set_halted(Some("the clock".to_owned()));
    let readiness = status.readiness();
    assert_eq!((readiness.ready, readiness.halted.as_deref()), (false, Some("the clock")));
    status.set_halted(None);
    assert!(status.readiness().ready);
    status.set_partition(0, 0, PartitionStatus { held_back: true, ..good() });
    let readiness = status.readiness();
    assert!(!readiness.ready && readiness.halted.unwrap().starts_with("partition 0: "));
    status.set_partition(0, 0, PartitionStatus { ahead: Some(Span(3_600_000)), ..good() });
    let readiness = status.readiness();
    assert!(!readiness.ready && readiness.halted.unwrap().contains("3600 s in the future"));
}

#[test]
fn an_old_report_grows_old_and_closes_the_gate() {
    let (status, clock) = instance(1);
    status.set_joined(0, &[3]);
    status.set_partition(0, 3, good());
    clock.advance(Duration::from_secs(61));
    let readiness = status.readiness();
    assert!(!readiness.ready);
    let partition = &readiness.partitions[0];
    assert!(partition.consent_sync_lag_seconds > 60.0 && !partition.gate_open);
    assert_eq!(partition.reason, Some(Reason::Stale));
    assert_says(
        &status,
        &[
            "assent_consent_sync_lag_seconds{partition=\"3\"} 61",
            "assent_consent_gate_open{partition=\"3\"} 0",
        ],
    );
    status.set_given_back(0);
    assert!(status.readiness().ready);
    assert!(!published(&status).contains("partition=\"3\""));
}

#[test]
fn what_waits_for_thirty_seconds_is_not_committing() {
    let (status, clock) = instance(1);
    status.set_joined(0, &[0, 1]);
    let waits = |seconds| PartitionStatus { waits: Duration::from_secs(seconds), ..good() };
    status.set_partition(0, 0, waits(30));
    status.set_partition(0, 1, good());
    assert!(status.readiness().ready);
    clock.advance(Duration::from_secs(5));
    let reasons: Vec<_> =
        status.readiness().partitions.into_iter().map(|partition| partition.reason).collect();
    assert_eq!(reasons, [Some(Reason::NotCommitting), None], "the worker hangs, and waits on");
    status.set_partition(0, 0, waits(31));
    assert!(!status.readiness().ready);
}

#[test]
fn what_was_lost_keeps_its_series_until_the_group_answers() {
    let (status, clock) = instance(2);
    status.set_joined(0, &[0]);
    status.set_joined(1, &[1]);
    let (sequence, signals) = (Some(9), Some(7));
    let said =
        PartitionStatus { audit_sequence: sequence, signals_without_record: signals, ..good() };
    status.set_partition(0, 0, said);
    status.set_partition(1, 1, good());
    status.set_lost(0);
    clock.advance(Duration::from_secs(40));
    status.set_partition(1, 1, good());
    let readiness = status.readiness();
    assert!(!readiness.ready);
    assert_eq!(readiness.partitions[0].reason, Some(Reason::Restoring));
    assert!(!readiness.partitions[0].restored);
    assert_says(
        &status,
        &[
            "assent_consent_sync_lag_seconds{partition=\"0\"} 40",
            "assent_consent_synced_timestamp_seconds{partition=\"0\"} 1000",
            "assent_consent_gate_open{partition=\"0\"} 0",
            "assent_audit_sequence{partition=\"0\"} 9",
            "assent_signals_without_record{partition=\"0\"} 7",
            "assent_assigned_partitions 1",
            "assent_group_member 0",
        ],
    );
    clock.advance(Duration::from_secs(21));
    assert_eq!(status.readiness().partitions[0].reason, Some(Reason::Restoring));
    assert!(published(&status).contains("partition=\"0\",reason=\"stale\"} 1"));

    // Another worker has it now, and keeps it when the first one is back.
    status.set_joined(1, &[0, 1]);
    status.set_joined(0, &[]);
    let owned: Vec<i32> = status.readiness().partitions.iter().map(|it| it.partition).collect();
    assert_eq!(owned, [0, 1]);
    assert_says(&status, &["assent_group_member 1", "assent_assigned_partitions 2"]);
}

#[test]
fn a_rebalance_that_nobody_answers_is_a_loss() {
    let (status, clock) = instance(1);
    status.set_joined(0, &[0]);
    status.set_given_back(0);
    assert!(status.readiness().ready, "the group is asked");
    clock.advance(Duration::from_secs(31));
    assert!(!status.readiness().ready);
    status.set_joined(0, &[]);
    assert!(status.readiness().ready, "the group gave it nothing");
}

#[test]
fn the_longest_silence_speaks_for_a_source_and_grows_with_a_worker_that_hangs() {
    let (status, clock) = instance(2);
    let silences = |cmp, web| BTreeMap::from([("cmp".to_owned(), cmp), ("web".to_owned(), web)]);
    let (cmp, web) = (
        "assent_consent_source_silence_seconds{source=\"cmp\"}",
        "assent_consent_source_silence_seconds{source=\"web\"}",
    );
    assert_says(&status, &[&format!("{cmp} 0"), &format!("{web} 0")]);
    status.set_silences(0, silences(1.0, 7.0));
    status.set_silences(1, silences(3.0, 2.0));
    assert_says(&status, &[&format!("{cmp} 3"), &format!("{web} 7")]);
    clock.advance(Duration::from_mins(1));
    status.set_silences(1, silences(63.0, 62.0));
    assert_says(&status, &[&format!("{cmp} 63"), &format!("{web} 67")]);
    status.set_given_back(0);
    status.set_given_back(1);
    assert_says(&status, &[&format!("{cmp} 0"), &format!("{web} 0")]);
}
