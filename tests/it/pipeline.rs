//! The main job on a real Kafka: what goes in comes out once, whatever ends in between.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::admin::AdminOptions;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};

use crate::audit::{self, Audit};
use crate::support::{self, Message, Plan, Service, Shop, latest, now_ms, view, wait_until};

const WITHIN: Duration = Duration::from_secs(30);
const PURPOSES: [&str; 2] = ["partner-advertising", "personalized-offers"];

#[test]
fn a_grant_gives_a_segment_and_a_denial_takes_it() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    let service = Service::start(&shop, "a");
    service.await_ready();

    kafka.produce([shop.consent(&consent("kim", 1, "GRANTED"))]);
    kafka.produce((0..3).map(|_| shop.click(&view("kim"))));
    let key = wait_until(WITHIN, "an assignment", || {
        latest(&shop.committed("segments.personalized-offers")).into_keys().next()
    });
    assert_eq!(key.len(), 23);

    let denied = Instant::now();
    kafka.produce([shop.consent(&consent("kim", 2, "DENIED"))]);
    let tombstone = wait_until(WITHIN, "a tombstone", || {
        let records = shop.committed("segments.personalized-offers");
        records.into_iter().find(|record| record.value.is_none())
    });
    let took = denied.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(tombstone.key, Some(key));
    assert_eq!(tombstone.header("reason"), Some("opted_out"));
    assert_eq!(tombstone.headers.len(), 2, "{:?}", tombstone.headers);

    kafka.produce([shop.click(&view("kim"))]);
    let audit = settled(&shop);
    let last = audit.clicks.values().max_by_key(|entry| entry.decided_at).unwrap();
    assert_eq!(last.verdicts["personalized-offers"], "OPTED_OUT");
    let metrics = service.metrics();
    let consumed = metrics.count("assent_records_consumed_total", &[]);
    assert_eq!(consumed, 6);
    assert_eq!(metrics.count("assent_outcomes_total", &[]), consumed);
    assert_eq!(metrics.count("assent_tombstones_total", &[("reason", "opted_out")]), 1);
    assert_eq!(metrics.sum("assent_assigned_partitions", &[]), Some(4.0));
    service.stop();
}

#[test]
fn restarts_and_kills_lose_and_double_nothing() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    for round in 0..4 {
        let service = Service::start(&shop, "a");
        service.await_ready();
        let subjects = (0..40).map(|i| format!("r{round}-s{i}"));
        for subject in subjects {
            kafka.produce([shop.consent(&consent(&subject, 1, "GRANTED"))]);
            kafka.produce((0..4).map(|_| shop.click(&view(&subject))));
        }
        if round == 3 {
            settled(&shop);
            service.stop();
        } else if round == 1 {
            service.stop();
        } else {
            service.kill();
        }
    }
    let audit = settled(&shop);
    assert_eq!((audit.clicks.len(), audit.consents.len()), (4 * 160, 4 * 40));
    assert_eq!(live_keys(&shop).len(), 160);
}

#[test]
fn a_denial_that_was_acknowledged_before_the_click_is_never_missed() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    let service = Service::start(&shop, "a");
    service.await_ready();
    let subjects: Vec<String> = (0..2_000).map(|i| format!("race-{i}")).collect();
    kafka.produce(subjects.iter().map(|s| shop.consent(&consent(s, 1, "GRANTED"))));
    kafka.produce(subjects.iter().flat_map(|s| (0..3).map(|_| shop.click(&view(s)))));
    settled_within(&shop, 2 * WITHIN);
    assert_eq!(live_keys(&shop).len(), subjects.len());

    let mut raced = Vec::new();
    for subject in &subjects {
        kafka.produce([shop.consent(&consent(subject, 2, "DENIED"))]);
        raced.extend(kafka.produce([shop.click(&view(subject))]));
    }
    let audit = settled(&shop);
    for place in raced {
        assert_eq!(audit.clicks[&place].verdicts["personalized-offers"], "OPTED_OUT", "{place:?}");
    }
    assert_eq!(live_keys(&shop), BTreeSet::new());
    service.stop();
}

#[test]
fn several_workers_share_one_process() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    let service = Service::start_with(&shop, "a", &[("ASSENT__PIPELINE__WORKERS", "3")]);
    wait_until(WITHIN, "all partitions", || {
        (service.metrics().count("assent_assigned_partitions", &[]) == 4).then_some(())
    });
    service.await_ready();
    traffic(&shop, "many", 100);
    let audit = settled(&shop);
    assert_eq!(audit.clicks.len(), 400);
    assert_eq!(service.metrics().count("assent_live_keys", &[]), 100);
    service.stop();
}

#[test]
fn misrouted_consent_counts_all_the_same() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    let service = Service::start(&shop, "a");
    service.await_ready();
    traffic(&shop, "kid", 1);
    settled(&shop);
    let right = shop.committed("consent-changelog")[0].partition;
    let denial = shop.consent(&consent("kid-0", 2, "DENIED"));
    kafka.produce([denial.partition((right + 1) % shop.partitions)]);
    wait_until(WITHIN, "no live key", || live_keys(&shop).is_empty().then_some(()));
    let audit = settled(&shop);
    let outcomes: BTreeSet<&str> = audit.consents.values().map(|e| e.outcome.as_str()).collect();
    assert_eq!(outcomes, BTreeSet::from(["APPLIED", "FORWARDED"]));
    service.stop();
}

#[test]
fn no_input_stops_a_partition() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &Plan { partitions: 1, ..Plan::default() });
    let service = Service::start(&shop, "a");
    service.await_ready();
    traffic(&shop, "kid", 1);
    let (clicks, changelog) = (shop.topic("clickstream"), shop.topic("consent-changelog"));
    let keyed = |topic: &str, key: &str| Message::new(topic).key(key);
    kafka.produce([
        Message::new(&clicks),
        keyed(&clicks, "x"),
        keyed(&clicks, "x").value("no Avro"),
        Message { key: Some(b"y".to_vec()), ..shop.click(&view("x")) },
        keyed(&changelog, "").value("no key"),
        keyed(&changelog, "kid-0").value("no Avro"),
        keyed(&changelog, "__assent_x").value("reserved"),
        keyed(&changelog, &"long".repeat(200)).value("key"),
        keyed(&changelog, "__assent_heartbeat_0").header("source", "test"),
    ]);
    wait_until(WITHIN, "the unreadable one withheld", || live_keys(&shop).is_empty().then_some(()));
    wait_until(WITHIN, "dead letters", || {
        (shop.committed("segmentation-dead-letters").len() == 8).then_some(())
    });
    traffic(&shop, "later", 1);
    wait_until(WITHIN, "an assignment", || (live_keys(&shop).len() == 1).then_some(()));
    let audit = audit::read(&shop);
    assert_eq!((audit.clicks.len(), audit.consents.len()), (12, 6));
    let letters = shop.committed("segmentation-dead-letters");
    assert!(letters.iter().any(|letter| letter.key_text() == format!("{clicks}/0/4")));
    service.stop();
}

#[test]
fn a_signal_ends_it_in_good_order_also_while_the_broker_is_gone() {
    let kafka = own_kafka_or_skip!();
    let shop = Shop::open(&kafka);
    let service = Service::start(&shop, "a");
    service.await_ready();
    traffic(&shop, "before", 20);
    settled(&shop);
    kafka.kill();
    std::thread::sleep(Duration::from_secs(1));
    service.stop();
    let unreachable = shop.run(&["run"]);
    assert_eq!(unreachable.code, Some(69), "{}", unreachable.stderr);
    assert!(unreachable.stderr.contains("kafka.bootstrap_servers"), "{}", unreachable.stderr);
}

#[test]
fn a_group_that_contradicts_the_state_is_a_stop() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &Plan { partitions: 1, ..Plan::default() });
    decide_something(&shop);

    let mut client = kafka.client();
    let outsider: BaseConsumer = client.set("group.id", shop.group_id()).create().unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(&shop.topic("clickstream"), 0, Offset::Offset(3)).unwrap();
    outsider.commit(&offsets, CommitMode::Sync).expect("committed");

    let stopped = shop.run(&["run"]);
    assert_eq!(stopped.code, Some(1), "{}", stopped.stderr);
    let told = &stopped.stderr;
    assert!(told.contains("click offset 80") && told.contains("click offset 3"), "{told}");
}

#[test]
fn an_input_that_lost_records_is_a_stop() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &Plan { partitions: 1, ..Plan::default() });
    decide_something(&shop);

    let topic = shop.topic("clickstream");
    let (admin, options) = (kafka.admin(), AdminOptions::new());
    support::block_on(admin.delete_topics(&[&topic], &options)).expect("deleted");
    std::thread::sleep(Duration::from_secs(1));
    let plans: Vec<_> =
        shop.topic_plans(&PURPOSES).into_iter().filter(|p| p.name == topic).collect();
    kafka.create_topics(&plans);

    let stopped = shop.run(&["run"]);
    assert_eq!(stopped.code, Some(1), "{}", stopped.stderr);
    assert!(stopped.stderr.contains(&topic), "{}", stopped.stderr);
}

fn decide_something(shop: &Shop<'_>) {
    let service = Service::start(shop, "a");
    service.await_ready();
    traffic(shop, "kid", 20);
    settled(shop);
    service.stop();
}

#[test]
fn what_is_wrong_before_the_start_is_one_message_and_78() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &Plan { create_topics: false, ..Plan::default() });
    let missing = shop.run(&["run"]);
    assert_eq!(missing.code, Some(78), "{}", missing.stderr);
    assert!(missing.stderr.contains("assent topics create"), "{}", missing.stderr);

    let mut plans = shop.topic_plans(&PURPOSES);
    let consent = plans.iter_mut().find(|p| p.name.ends_with("consent-changelog")).unwrap();
    consent.partitions = 3;
    kafka.create_topics(&plans);
    let unequal = shop.run(&["run"]);
    assert_eq!(unequal.code, Some(78), "{}", unequal.stderr);
    assert!(unequal.stderr.contains("has 3 partitions") && unequal.stderr.contains("has 4"));
}

#[test]
fn a_second_process_on_the_same_state_dir_is_refused() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    let service = Service::start(&shop, "a");
    service.await_ready();
    let mut second = shop.command(&["run"]);
    second.env("ASSENT__PIPELINE__STATE_DIR", shop.folder().join("state-a"));
    let refused = support::Finished::of(&mut second);
    assert_eq!(refused.code, Some(78), "{}", refused.stderr);
    assert!(refused.stderr.contains("pipeline.state_dir"), "{}", refused.stderr);
    service.stop();
}

/// A subject of age who looked at nothing yet; every purpose with this status.
pub fn consent(subject_id: &str, version: i64, status: &str) -> Value {
    let since = now_ms() - 60_000;
    let decision =
        json!({"status": status, "since": since, "expires_at": null, "notice_version": null});
    json!({
        "subject_id": subject_id, "version": version, "recorded_at": now_ms(),
        "age_band": "FROM_18",
        "decisions": {PURPOSES[0]: decision.clone(), PURPOSES[1]: decision},
        "guardian": null, "double_opt_in_at": null, "opt_out_signal_at": null,
        "source": "test", "receipt_id": null,
    })
}

/// Subjects who grant and then look at preschool toys four times each.
pub fn traffic(shop: &Shop<'_>, prefix: &str, subjects: usize) {
    let names: Vec<String> = (0..subjects).map(|i| format!("{prefix}-{i}")).collect();
    shop.kafka.produce(names.iter().map(|s| shop.consent(&consent(s, 1, "GRANTED"))));
    shop.kafka.produce(names.iter().flat_map(|s| (0..4).map(|_| shop.click(&view(s)))));
}

/// Waits until every input is audited, then holds all of it against the contract.
pub fn settled(shop: &Shop<'_>) -> Audit {
    settled_within(shop, WITHIN)
}

pub fn settled_within(shop: &Shop<'_>, within: Duration) -> Audit {
    let wanted = shop.committed("clickstream").len() + shop.committed("consent-changelog").len();
    let audit = wait_until(within, "every input audited", || {
        let audit = audit::read(shop);
        (audit.clicks.len() + audit.consents.len() >= wanted).then_some(audit)
    });
    audit.assert_whole(shop);
    audit.assert_effects(shop, &PURPOSES);
    audit
}

pub fn live_keys(shop: &Shop<'_>) -> BTreeSet<Vec<u8>> {
    latest(&shop.committed("segments.personalized-offers")).into_keys().collect()
}
