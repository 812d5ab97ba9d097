//! The minimum audience on real Kafka, over two instances: nobody is named in a segment before so many are in
//! it, wherever they lie; below, whoever is named stays so; at half of it nobody is named any more.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Plan, Record, Service, Shop, consent, latest, pseudonym, view, wait_until};
use crate::verify::assert_sound;

const OFFERS: &str = "personalized-offers";
const ADS: &str = "partner-advertising";

const LEAST: usize = 6;

/// Two readings of what other partitions say, and a commit, many times over.
const WITHIN: Duration = Duration::from_secs(45);

/// Long enough for what must not come.
const NOTHING_FOR: Duration = Duration::from_secs(6);

/// Offers ask for an audience, advertising for none.
fn plan() -> Plan {
    let plan = Plan::of_lookers("audience-1", 1);
    let rulebook = plan.rulebook.expect("one of its own").replacen(
        "title: Offers, ",
        &format!("title: Offers, min_members: {LEAST}, "),
        1,
    );
    Plan { rulebook: Some(rulebook), ..plan }
}

fn people(numbers: std::ops::Range<usize>) -> impl Iterator<Item = String> {
    numbers.map(|number| format!("person-{number}"))
}

/// They consent to both purposes, and look once.
fn come(shop: &Shop<'_>, numbers: std::ops::Range<usize>) {
    for id in people(numbers) {
        shop.kafka.produce([shop.consent(&consent(&id, 1, "GRANTED", &[OFFERS, ADS]))]);
        shop.kafka.produce([shop.click(&view(&id))]);
    }
}

fn leave(shop: &Shop<'_>, numbers: std::ops::Range<usize>) {
    let denied = people(numbers).map(|id| shop.consent(&consent(&id, 2, "DENIED", &[OFFERS, ADS])));
    shop.kafka.produce(denied);
}

/// Whose assignments are live.
fn live(shop: &Shop<'_>, purpose: &str) -> BTreeSet<String> {
    let records = shop.kafka.read_committed(&shop.segments(purpose));
    latest(&records).into_values().map(|record| record.key_text().to_owned()).collect()
}

fn keys(purpose: &str, numbers: std::ops::Range<usize>) -> BTreeSet<String> {
    people(numbers).map(|id| pseudonym(purpose, &id)).collect()
}

fn await_live(shop: &Shop<'_>, purpose: &str, numbers: std::ops::Range<usize>) {
    let wanted = keys(purpose, numbers);
    wait_until(WITHIN, "those who are to be live", || {
        (live(shop, purpose) == wanted).then_some(())
    });
}

/// They stay live, and nobody else is.
fn stay_live(shop: &Shop<'_>, purpose: &str, numbers: std::ops::Range<usize>) {
    let (wanted, from) = (keys(purpose, numbers), Instant::now());
    while from.elapsed() < NOTHING_FOR {
        assert_eq!(live(shop, purpose), wanted);
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn tombstones(shop: &Shop<'_>, purpose: &str) -> Vec<String> {
    let records = shop.kafka.read_committed(&shop.segments(purpose));
    let removed = records.iter().filter(|record| record.value.is_none());
    removed.filter_map(|record: &Record| record.header("reason").map(str::to_owned)).collect()
}

fn members(shop: &Shop<'_>) -> Vec<Value> {
    let counts = shop.run(&["segments", "count", "--json"]).ok().json();
    let counts = counts["counts"].as_array().expect("a list").clone();
    counts.into_iter().map(|count| count["members"].clone()).collect()
}

#[test]
fn nobody_is_named_below_the_minimum_and_what_is_there_ends_at_half_of_it() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &plan());
    let (first, second) = (Service::start(&shop, "a"), Service::start(&shop, "b"));
    first.await_ready();
    second.await_ready();

    come(&shop, 0..LEAST - 1);
    await_live(&shop, ADS, 0..LEAST - 1);
    stay_live(&shop, OFFERS, 0..0);
    assert_eq!(shop.kafka.read_committed(&shop.segments(OFFERS)), [], "nothing was ever there");
    assert_eq!(members(&shop), [json!(LEAST - 1), Value::Null]);

    come(&shop, LEAST - 1..LEAST);
    await_live(&shop, OFFERS, 0..LEAST);
    let clicks = shop.kafka.read_committed(&shop.topic("clickstream"));
    let partitions: BTreeSet<i32> = clicks.iter().map(|click| click.partition).collect();
    assert!(partitions.len() > 2, "both instances have some: {partitions:?}");
    assert_eq!(members(&shop), [json!(LEAST), json!(LEAST)]);
    let gauge = "assent_segment_members";
    for service in [&first, &second] {
        let metrics = service.metrics();
        let of = |purpose| metrics.sum(gauge, &[("purpose", purpose)]);
        assert!(of(ADS).is_some(), "no minimum");
        assert_eq!(of(OFFERS), None, "an instance has a part of six");
        assert_eq!(metrics.sum("assent_live_keys", &[("purpose", OFFERS)]), None);
    }

    leave(&shop, 0..1);
    await_live(&shop, OFFERS, 1..LEAST);
    stay_live(&shop, OFFERS, 1..LEAST);
    assert_eq!(members(&shop), [json!(LEAST - 1), Value::Null]);

    first.kill();
    stay_live(&shop, OFFERS, 1..LEAST);
    second.stop();
    let again = Service::start(&shop, "a");
    again.await_ready();
    stay_live(&shop, OFFERS, 1..LEAST);

    leave(&shop, 1..3);
    await_live(&shop, OFFERS, 0..0);
    await_live(&shop, ADS, 3..LEAST);
    let mut reasons = tombstones(&shop, OFFERS);
    reasons.sort_unstable();
    let expected =
        ["opted_out", "opted_out", "opted_out", "segments_left", "segments_left", "segments_left"];
    assert_eq!(reasons, expected);
    again.stop();
    assert_sound(&shop);
}

/// Without the others nobody knows, so an instance alone opens nothing; a stop of everything keeps what is open.
#[test]
fn an_instance_that_comes_back_alone_goes_on_where_the_group_stood() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &plan());
    let service = Service::start(&shop, "a");
    service.await_ready();
    come(&shop, 0..LEAST);
    await_live(&shop, OFFERS, 0..LEAST);
    service.sigkill();
    drop(service);
    let service = Service::start(&shop, "a");
    service.await_ready();
    stay_live(&shop, OFFERS, 0..LEAST);
    come(&shop, LEAST..LEAST + 1);
    await_live(&shop, OFFERS, 0..LEAST + 1);
    assert_eq!(tombstones(&shop, OFFERS), [""; 0]);
    service.stop();
    let found = assert_sound(&shop);
    assert_eq!(found["notes"], json!([]), "everything was checked");
}
