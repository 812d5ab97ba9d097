//! Consent on a wrong partition, and sources that fall silent (docs/contract/topics.md#heartbeats,
//! docs/contract/bad-input.md#consent), where `bad_input` and `contract` leave off: a crash between
//! sending on and the commit, and a silence that only alerts.

use std::collections::BTreeMap;
use std::time::Duration;

use assent_contract::domain::partitioner::Partitioner;
use serde_json::json;

use crate::audit;
use crate::pipeline::{live_keys, settled, traffic};
use crate::support::{Message, Plan, Service, Shop, consent, now_ms, view, wait_until};
use crate::verify::assert_sound;

const WITHIN: Duration = Duration::from_mins(1);
const PURPOSES: [&str; 2] = ["partner-advertising", "personalized-offers"];

/// It was sent on, and the transaction that says so was not committed: it is sent on again, and its
/// second coming changes nothing. Neither goes round a second time.
#[cfg(feature = "crash-points")]
#[test]
fn what_was_sent_on_before_a_crash_counts_once() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &Plan { partitions: 2, ..Plan::default() });
    let service = Service::start(&shop, "a");
    service.await_ready();
    traffic(&shop, "kid", 1);
    settled(&shop);
    service.stop();
    let right = Partitioner::Murmur2.partition(b"kid-0", 2);
    let denial = shop.consent(&consent("kid-0", 2, "DENIED", &PURPOSES));
    kafka.produce([denial.partition(1 - right)]);
    let mut crashing = Service::start_with(&shop, "a", &[("ASSENT_CRASH_AT", "after_produce")]);
    assert!(crashing.wait(WITHIN).code().is_none());

    let service = Service::start(&shop, "a");
    service.await_ready();
    wait_until(WITHIN, "the denial applied", || live_keys(&shop).is_empty().then_some(()));
    let audit = settled(&shop);
    let mut outcomes: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in audit.consents.values() {
        *outcomes.entry(&entry.outcome).or_default() += 1;
    }
    let sent_on = shop.committed("consent-changelog");
    let sent_on = sent_on.iter().filter(|it| it.header("assent-forwarded").is_some()).count();
    assert!(sent_on == 1 || sent_on == 2, "{sent_on}");
    let superseded = outcomes.remove("SUPERSEDED").unwrap_or(0);
    assert_eq!(
        (superseded, outcomes),
        (sent_on - 1, BTreeMap::from([("APPLIED", 2), ("FORWARDED", 1)]))
    );
    assert_sound(&shop);
    service.stop();
}

#[test]
fn a_silence_that_only_alerts_shows_in_the_metric_and_closes_nothing() {
    let kafka = kafka_or_skip!();
    let sources = json!({"cmp": {"max_silence": "2s", "on_silence": "alert"}});
    let settings = json!({"consent": {"sources": sources}});
    let shop = Shop::open_with(kafka, &Plan { partitions: 1, settings, ..Plan::default() });
    let service = Service::start(&shop, "a");
    service.await_ready();
    let beat = Message::new(shop.topic("consent-changelog")).key("__assent_heartbeat_0");
    kafka.produce([beat.partition(0).header("source", "cmp")]);
    let sign = || {
        let labels = [("source", "cmp")];
        service.metrics().sum("assent_consent_source_last_record_timestamp_seconds", &labels)
    };
    let last = wait_until(WITHIN, "the heartbeat's time", || sign().filter(|at| *at > 0.0));
    assert!((now_ms() as f64 / 1_000.0 - last).abs() < 60.0, "{last}");

    std::thread::sleep(Duration::from_secs(3));
    shop.run(&["heartbeat"]).ok();
    kafka.produce([shop.consent(&consent("kim", 1, "GRANTED", &PURPOSES))]);
    let place = kafka.produce([shop.click(&view("kim"))])[0];
    let entry = wait_until(WITHIN, "decided", || audit::read(&shop).clicks.get(&place).cloned());
    assert_eq!(entry.verdicts[PURPOSES[1]], "OPT_IN");
    assert!(entry.gate_open && service.readyz().0 == 200);
    assert_eq!(sign(), Some(last), "another's heartbeat vouches for nobody");
    service.stop();
}
