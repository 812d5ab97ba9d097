//! Consent sources that fall silent: one that closes the gate, and one that only alerts.

#![allow(clippy::float_cmp)] // gauges that are set to whole numbers

use serde_json::{Value, json};

use super::{WITHIN, await_all, await_line, lines};
use crate::support::{Message, Plan, Service, Shop, wait_until};

/// Both may be silent for 4 s, and are, from the start.
fn opened(kafka: &'static crate::support::Kafka) -> Shop<'static> {
    let settings = json!({"consent": {"sources": {
        "cmp": {"max_silence": "4s", "on_silence": "close"},
        "web": {"max_silence": "4s", "on_silence": "alert"},
    }}});
    Shop::open_with(kafka, &Plan { settings, ..Plan::default() })
}

fn heartbeat(shop: &Shop<'_>, source: &str) {
    let beat = |partition: i32| {
        let beat = Message::new(shop.topic("consent-changelog")).partition(partition);
        beat.key(format!("__assent_heartbeat_{partition}")).header("source", source)
    };
    shop.kafka.produce((0..shop.partitions).map(beat));
}

#[test]
fn a_silent_source_is_named_in_metrics_log_and_health() {
    let kafka = kafka_or_skip!();
    let shop = opened(kafka);
    let service = Service::start(&shop, "a");
    service.await_ready();
    let of = |name: &str, source: &str| {
        let name = format!("assent_consent_source_{name}");
        service.metrics().sum(&name, &[("source", source)]).expect("a series of each source")
    };
    for source in ["cmp", "web"] {
        assert_eq!(of("silence_bound_seconds", source), 4.0);
        assert!(of("silence_seconds", source) < 5.0, "since the assignment");
        assert_eq!(of("last_record_timestamp_seconds", source), 0.0, "never");
    }

    await_all(&service, 503, &json!("source:cmp"));
    for (source, end) in
        [("cmp", "stay closed until it is active again"), ("web", "may not arrive")]
    {
        wait_until(WITHIN, "silence past its bound", || {
            (of("silence_seconds", source) > of("silence_bound_seconds", source)).then_some(())
        });
        let line = lines(&service, "consent source is silent");
        let line = line.iter().find(|line| line["source"] == source).expect("a line of each");
        assert!(line["message"].as_str().expect("text").ends_with(end), "{line}");
        assert_eq!((&line["level"], &line["partitions"]), (&json!("WARN"), &json!("[0, 1, 2, 3]")));
    }
    let closed = await_line(&service, "gate closed");
    assert_eq!(closed["reason"], "source:cmp");
    let reasons =
        |reason: &str| service.metrics().sum("assent_gate_closed_reason", &[("reason", reason)]);
    assert_eq!((reasons("source:cmp"), reasons("stale")), (Some(4.0), Some(0.0)));
    assert_eq!(reasons("source:web"), None, "it closes nothing");
    assert_eq!(service.metrics().sum("assent_consent_sync_lag_seconds", &[]), Some(0.0));

    heartbeat(&shop, "cmp");
    await_all(&service, 200, &Value::Null);
    assert_eq!(await_line(&service, "consent source is active again")["source"], "cmp");
    await_line(&service, "gate open");
    assert!(of("silence_seconds", "web") > 4.0, "it alerts on");
    assert!(of("last_record_timestamp_seconds", "cmp") > 1.7e9);

    await_all(&service, 503, &json!("source:cmp"));
    heartbeat(&shop, "web");
    wait_until(WITHIN, "both were heard again", || {
        (lines(&service, "consent source is active again").len() == 2).then_some(())
    });
    let silent = lines(&service, "consent source is silent");
    assert_eq!(silent.len(), 3, "a line at each edge, none between: {silent:#?}");
    service.stop();
}
