//! The broker goes away for longer than a session lasts, and comes back.

#![allow(clippy::float_cmp)] // gauges that are set to whole numbers

use std::time::Duration;

use serde_json::json;

use super::{WITHIN, await_line, lines};
use crate::support::{Plan, Service, Shop, consent, view, wait_until};

const PURPOSES: [&str; 2] = ["partner-advertising", "personalized-offers"];

/// Warnings that one outage may cost: one line of each kind.
const WARNINGS_MAX: usize = 12;

#[test]
fn an_outage_hides_no_alarm_and_ends_by_itself() {
    let kafka = own_kafka_or_skip!();
    let settings = json!({"consent": {"sources": {"cmp": {"max_silence": "1h"}}}});
    let shop = Shop::open_with(&kafka, &Plan { settings, ..Plan::default() });
    let service = Service::start(&shop, "a");
    service.await_ready();
    kafka.produce([shop.consent(&consent("kim", 1, "GRANTED", &PURPOSES))]);
    kafka.produce([shop.click(&view("kim"))]);
    wait_until(WITHIN, "a click decided", || {
        (service.metrics().count("assent_outcomes_total", &[("outcome", "decided")]) == 1)
            .then_some(())
    });
    let synced = gauge(&service, "consent_synced_timestamp_seconds", "0");
    assert_eq!(sum(&service, "group_member"), 1.0);

    kafka.kill();
    let lost = await_line(&service, "partitions lost");
    assert_eq!(lost["partitions"], "[0, 1, 2, 3]");
    assert_alarmed(&service, synced);
    let away = lines(&service, "a broker is away");
    assert_eq!(away.len(), 1, "one line, then one a minute: {away:#?}");

    kafka.restart();
    service.await_ready();
    assert_well(&service);
    assert!(lines(&service, "partitions assigned").len() >= 2, "{}", service.log());
    let noisy = service.log().lines().filter(|line| line.contains("\"level\":\"WARN\"")).count();
    assert!(noisy <= WARNINGS_MAX, "{noisy} warnings of one outage:\n{}", service.log());
    service.stop();
}

fn gauge(service: &Service, name: &str, partition: &str) -> f64 {
    let name = format!("assent_{name}");
    service.metrics().sum(&name, &[("partition", partition)]).expect("the series is there")
}

fn sum(service: &Service, name: &str) -> f64 {
    service.metrics().sum(&format!("assent_{name}"), &[]).expect("the series is there")
}

/// Everything that was lost is still there, and grows.
fn assert_alarmed(service: &Service, synced_before: f64) {
    let lag = || gauge(service, "consent_sync_lag_seconds", "3");
    let first = lag();
    assert!(first > 5.0, "{first}");
    std::thread::sleep(Duration::from_secs(3));
    for partition in ["0", "1", "2", "3"] {
        assert_eq!(gauge(service, "consent_gate_open", partition), 0.0);
        let synced = gauge(service, "consent_synced_timestamp_seconds", partition);
        assert!(synced < synced_before + 5.0, "it stands still");
        assert!(gauge(service, "gate_closed_reason", partition) >= 1.0);
    }
    assert!(lag() >= first + 3.0, "{first}, then {}", lag());
    assert!(sum(service, "consent_source_silence_seconds") > first, "no source is heard either");
    assert!(service.metrics().sum("assent_live_keys", &[]).is_some());
    let (status, body) = service.readyz();
    assert_eq!(status, 503, "{body}");
    let partitions = body["partitions"].as_array().expect("a list");
    assert_eq!(partitions.len(), 4, "{body}");
    for partition in partitions {
        let open = (&partition["restored"], &partition["gate_open"]);
        assert_eq!(open, (&json!(false), &json!(false)));
        assert!(
            ["restoring", "stale"].map(|it| json!(it)).contains(&partition["reason"]),
            "{body}"
        );
    }
    assert_eq!((sum(service, "group_member"), service.get("/livez").0), (0.0, 200));
}

fn assert_well(service: &Service) {
    wait_until(WITHIN, "in sync", || {
        (sum(service, "consent_sync_lag_seconds") == 0.0).then_some(())
    });
    assert_eq!(sum(service, "group_member"), 1.0);
    assert_eq!(sum(service, "assigned_partitions"), 4.0);
    assert_eq!(sum(service, "gate_closed_reason"), 0.0);
    assert_eq!(sum(service, "consent_gate_open"), 4.0);
}
