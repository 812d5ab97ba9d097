//! The counters of a run: nothing appears with its first event, and outcomes add up to what was consumed.

use std::collections::BTreeSet;

use serde_json::json;

use super::WITHIN;
use crate::support::{
    Message, Metrics, Plan, Service, Shop, consent, now_ms, view, wait_until, with,
};

const PURPOSES: [&str; 2] = ["partner-advertising", "personalized-offers"];

/// The series there are, without the buckets of histograms.
fn series(service: &Service) -> BTreeSet<String> {
    let text = service.get("/metrics").1;
    let samples = text.lines().filter(|line| !line.starts_with('#') && !line.contains("_bucket{"));
    samples.filter_map(|line| line.rsplit_once(' ')).map(|(series, _)| series.to_owned()).collect()
}

#[test]
fn counters_stand_at_zero_and_add_up() {
    let kafka = kafka_or_skip!();
    let settings = json!({"consent": {"sources": {"test": {"max_silence": "1h"}}}});
    let shop = Shop::open_with(kafka, &Plan { settings, ..Plan::of_lookers("counted-1", 2) });
    let service = Service::start(&shop, "a");
    service.await_ready();
    let before = series(&service);

    let sent = everything(&shop);
    let (clicks, changes) = (sent.clicks, sent.consents);
    let topics = [(shop.topic("clickstream"), clicks), (shop.topic("consent-changelog"), changes)];
    let metrics = wait_until(WITHIN, "all consumed", || {
        let metrics = service.metrics();
        let consumed =
            |topic: &str| metrics.count("assent_records_consumed_total", &[("topic", topic)]);
        topics.iter().all(|(topic, count)| consumed(topic) == *count).then_some(metrics)
    });
    for (topic, count) in &topics {
        let of_topic = [("topic", topic.as_str())];
        assert_eq!(metrics.count("assent_outcomes_total", &of_topic), *count, "{topic}");
    }
    assert_outcomes(
        &metrics,
        &topics[0].0,
        &[("decided", 6), ("too_late", 1), ("dead_lettered", 3)],
    );
    let consents = [
        ("applied", 3),
        ("superseded", 1),
        ("erased", 1),
        ("unreadable", 1),
        ("dead_lettered", 1),
        ("heartbeat", 1),
        ("forwarded", 0),
    ];
    assert_outcomes(&metrics, &topics[1].0, &consents);
    for purpose in PURPOSES {
        let verdicts = metrics.count("assent_verdicts_total", &[("purpose", purpose)]);
        assert_eq!(verdicts, 6, "one for each click decided, and none for consent");
    }
    let letters = metrics.count("assent_dead_letters_total", &[]);
    let written = [("topic", shop.topic("segmentation-dead-letters"))];
    let written = written.each_ref().map(|(name, topic)| (*name, topic.as_str()));
    assert_eq!(letters, 5);
    assert_eq!(metrics.count("assent_records_produced_total", &written), letters);
    let assigned = metrics.count("assent_assignments_total", &[]);
    let removed = metrics.count("assent_tombstones_total", &[]);
    assert!(assigned > 0 && removed > 0, "{assigned} assigned, {removed} removed");
    let segments: u64 = PURPOSES
        .iter()
        .map(|purpose| {
            let topic = shop.segments(purpose);
            metrics.count("assent_records_produced_total", &[("topic", topic.as_str())])
        })
        .sum();
    assert_eq!(segments, assigned + removed);

    let appeared: Vec<String> = series(&service).difference(&before).cloned().collect();
    assert_eq!(appeared, Vec::<String>::new(), "series that came with their first event");
    service.stop();
}

fn assert_outcomes(metrics: &Metrics, topic: &str, expected: &[(&str, u64)]) {
    for (outcome, count) in expected {
        let labels = [("topic", topic), ("outcome", *outcome)];
        assert_eq!(metrics.count("assent_outcomes_total", &labels), *count, "{topic} {outcome}");
    }
}

struct Sent {
    clicks: u64,
    consents: u64,
}

/// One of everything that can become of an input, but for what is on a wrong partition.
fn everything(shop: &Shop<'_>) -> Sent {
    let says = |who, version, status| shop.consent(&consent(who, version, status, &PURPOSES));
    let changelog = shop.topic("consent-changelog");
    let junk = |key: &str| Message::new(&changelog).key(key).value("junk");
    let beat = Message::new(&changelog).partition(0).key("__assent_heartbeat_0");
    let kim = says("kim", 1, "GRANTED");
    let first = [
        kim.clone(),
        says("lee", 1, "GRANTED"),
        kim,
        junk("pat"),
        Message::new(&changelog).partition(0).key("").value("junk"),
        beat.header("source", "test"),
    ];
    let consents = first.len() as u64 + 2;
    shop.kafka.produce(first);
    let old = with(view("kim"), json!({"occurred_at": now_ms() - 40 * 86_400_000}));
    let ahead = with(view("kim"), json!({"occurred_at": now_ms() + 3_600_000}));
    let clickstream = shop.topic("clickstream");
    let clicks = [
        shop.click(&view("kim")),
        shop.click(&view("kim")),
        shop.click(&view("lee")),
        shop.click(&view("lee")),
        shop.click(&view("nobody")),
        shop.click(&old),
        shop.click(&ahead),
        Message::new(&clickstream).key("kim").value("junk"),
        Message::new(&clickstream).key("kim"),
        shop.click(&with(view("kim"), json!({"gpc": true}))),
    ];
    let count = clicks.len() as u64;
    shop.kafka.produce(clicks);
    std::thread::sleep(std::time::Duration::from_secs(2)); // the clicks come first
    shop.kafka.produce([says("lee", 2, "DENIED"), shop.erasure("kim")]);
    Sent { clicks: count, consents }
}
