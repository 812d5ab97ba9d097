//! What no client can read of Assent's own topics, and consent that can't be read before anything was decided:
//! a stop that is named, and that goes on once its loss is accepted (INV-9, INV-12; docs/stops.md).

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Damage, Kafka, Service, Shop, consent, pseudonym, view, wait_until};
use crate::unreadable::{OFFERS, PURPOSES, accept, batch, live, plan};

const WITHIN: Duration = Duration::from_mins(1);
/// A fault is named within this, once the partition is being taken up.
const NAMED_WITHIN: Duration = Duration::from_secs(30);

/// One broker is damaged once for all of them: each has topics of its own.
#[test]
fn what_nobody_can_read_of_state_and_audit_is_a_stop_that_names_it() {
    let kafka = own_kafka_or_skip!();
    let [state, audit] = [(); 2].map(|()| decided(&kafka));
    let first = Shop::open_with(&kafka, &plan());
    let says = |who: &str, status| first.consent(&consent(who, 1, status, &PURPOSES));
    let (from, to) = batch(&kafka, "gzip", [says("kim", "DENIED"), says("lee", "GRANTED")]);
    kafka.produce([says("max", "GRANTED")]);
    let of_state = last_offset(&state, "assent-state");
    let of_audit = last_offset(&audit, "segmentation-audit");
    kafka.stop();
    let (state_topic, audit_topic) =
        (state.topic("assent-state"), audit.topic("segmentation-audit"));
    let of_state = kafka.damage(&state_topic, 0, of_state, Damage::Checksum);
    let of_audit = kafka.damage(&audit_topic, 0, of_audit, Damage::Records);
    kafka.damage(&first.topic("consent-changelog"), 0, from, Damage::Checksum);
    kafka.restart();
    state_that_nobody_can_read_begins_anew(&state, &state_topic, of_state);
    audit_that_nobody_can_read_costs_nobody_anything(&audit, &audit_topic, of_audit);
    consent_that_comes_first_is_passed_over(&first, (from, to));
}

fn state_that_nobody_can_read_begins_anew(shop: &Shop<'_>, topic: &str, range: (i64, i64)) {
    let told = stopped(shop, topic, range);
    assert!(
        told.contains(&format!("topic {topic}, partition 0: the state can't be read")),
        "{told}"
    );
    let looked = accept(shop, &[]);
    assert_eq!(looked["partitions"][0]["live_keys"], 2, "{looked}");
    assert_eq!(accept(shop, &["--yes"])["accepted"], true);
    assert_eq!(live(shop, OFFERS), BTreeSet::new());
    goes_on(shop, 3);
    assert_eq!(live(shop, OFFERS), kim());
    // The batch lies there for ever, and does not count any more.
    goes_on(shop, 1);
}

fn audit_that_nobody_can_read_costs_nobody_anything(
    shop: &Shop<'_>,
    topic: &str,
    range: (i64, i64),
) {
    let told = stopped(shop, topic, range);
    assert!(told.contains("nobody can tell whether the audit ends where the state does"), "{told}");
    let looked = accept(shop, &[]);
    assert_eq!(looked["partitions"][0]["subjects"], 0, "{looked}");
    assert_eq!(accept(shop, &["--yes"])["accepted"], true);
    assert_eq!(live(shop, OFFERS), kim());
    goes_on(shop, 1);
    assert_eq!(accept(shop, &["--yes"])["partitions"], Value::Array(vec![]));
}

fn consent_that_comes_first_is_passed_over(shop: &Shop<'_>, range: (i64, i64)) {
    stopped(shop, &shop.topic("consent-changelog"), range);
    let looked = accept(shop, &[]);
    assert_eq!(looked["partitions"][0]["next_consent"].as_i64(), Some(range.1 + 1), "{looked}");
    assert_eq!(accept(shop, &["--yes"])["accepted"], true);
    let service = Service::start(shop, "a");
    service.await_ready();
    shop.kafka.produce(vec![shop.click(&view("max")); 3]);
    let max = BTreeSet::from([pseudonym(OFFERS, "max")]);
    wait_until(WITHIN, "what follows is applied", || (live(shop, OFFERS) == max).then_some(()));
    service.stop();
}

/// Kim granted, and looked often enough.
fn decided(kafka: &Kafka) -> Shop<'_> {
    let shop = Shop::open_with(kafka, &plan());
    kafka.produce([shop.consent(&consent("kim", 1, "GRANTED", &PURPOSES))]);
    goes_on(&shop, 3);
    shop
}

fn kim() -> BTreeSet<String> {
    BTreeSet::from([pseudonym(OFFERS, "kim")])
}

/// Takes its partition up, decides so many clicks, and has Kim's key afterwards.
fn goes_on(shop: &Shop<'_>, clicks: usize) {
    let service = Service::start(shop, "a");
    service.await_ready();
    let last = shop.kafka.produce(vec![shop.click(&view("kim")); clicks])[clicks - 1].1;
    wait_until(WITHIN, "decided", || {
        let clickstream = shop.topic("clickstream");
        let committed = shop.kafka.committed_offsets(shop.group_id(), &clickstream, 1);
        (committed.get(&0).is_some_and(|at| *at > last) && live(shop, OFFERS) == kim())
            .then_some(())
    });
    service.stop();
}

fn last_offset(shop: &Shop<'_>, topic: &str) -> i64 {
    shop.committed(topic).last().expect("a record").offset
}

/// Starts it: it is named in log, metric and `/readyz`, and ends the run. Returns its last line.
fn stopped(shop: &Shop<'_>, topic: &str, (from, to): (i64, i64)) -> String {
    let mut service = Service::start(shop, "a");
    wait_until(NAMED_WITHIN, "unreadable_batch in /readyz", || {
        let (status, body) = service.readyz();
        let of_it = body["partitions"].as_array()?.iter().find(|it| it["partition"] == 0)?;
        (status == 503 && of_it["reason"] == "unreadable_batch").then_some(())
    });
    wait_until(NAMED_WITHIN, "counted", || {
        let labels = [("topic", topic)];
        (service.metrics().count("assent_unreadable_batches_total", &labels) == 1).then_some(())
    });
    assert_eq!(service.wait(WITHIN).code(), Some(1));
    let log = service.log();
    let named = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let is_it = |line: &Value| {
        line["topic"] == topic
            && line["partition"] == 0
            && line["offset"] == from
            && line["last"] == to
    };
    assert!(named.into_iter().any(|line| is_it(&line)), "{log}");
    let told = log.lines().last().unwrap_or_default().to_owned();
    assert!(told.contains(&format!("offsets {from} to {to} can't be read")), "{told}");
    assert!(told.contains("assent state accept-loss"), "{told}");
    told
}
