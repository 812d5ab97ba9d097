//! The rig itself: without these holding, no other test here proves anything.

use std::time::Duration;

use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::Value;

use crate::support::{self, Isolation, Kafka, Message, Plan, Shop, TopicPlan};

const WITHIN: Duration = Duration::from_secs(30);

#[test]
fn a_reader_of_committed_records_sees_no_aborted_one_and_stops_at_an_open_one() {
    let kafka = kafka_or_skip!();
    let topic = create_topic(kafka, "transactions", 1);
    let producer = transactional(kafka, "rig-transactions");

    send_in_transaction(&producer, &topic, "committed");
    producer.commit_transaction(WITHIN).expect("committed");
    send_in_transaction(&producer, &topic, "aborted");
    producer.abort_transaction(WITHIN).expect("aborted");
    assert_eq!(keys(kafka, &topic, Isolation::Committed), ["committed"]);

    send_in_transaction(&producer, &topic, "open");
    assert_eq!(keys(kafka, &topic, Isolation::Committed), ["committed"]);
    assert_eq!(keys(kafka, &topic, Isolation::Uncommitted), ["committed", "aborted", "open"]);

    producer.commit_transaction(WITHIN).expect("committed");
    assert_eq!(keys(kafka, &topic, Isolation::Committed), ["committed", "open"]);
}

#[test]
fn what_was_acknowledged_outlasts_a_kill_of_the_broker() {
    let kafka = own_kafka_or_skip!();
    let topic = create_topic(&kafka, "survivors", 2);
    let message = Message::new(&topic).partition(1).key("key").value("value");
    let message = message.header("reason", "test").timestamp(1_795_305_600_000);
    assert_eq!(kafka.produce([message]), [(1, 0)]);
    let before = kafka.broker_pid();

    kafka.kill();
    kafka.restart();

    assert_ne!(kafka.broker_pid(), before);
    let records = kafka.read_committed(&topic);
    let [record] = &records[..] else { panic!("one record, not {records:?}") };
    assert_eq!((record.partition, record.offset, record.timestamp), (1, 0, 1_795_305_600_000));
    assert_eq!((record.key_text(), record.header("reason")), ("key", Some("test")));
}

#[test]
fn a_shop_has_topics_of_its_own_and_the_contracts_bytes() {
    let kafka = kafka_or_skip!();
    let plan = || Plan { rulebook: Some(String::new()), ..Plan::default() };
    let (shop, other) = (Shop::open_with(kafka, &plan()), Shop::open_with(kafka, &plan()));
    let vectors = vectors();
    let cases = vectors["records"]["cases"].as_array().expect("cases");
    let consent = cases.iter().find(|case| case["schema"] == "consent_record").expect("a case");

    kafka.produce([shop.consent(&consent["json"])]);

    let records = shop.committed("consent-changelog");
    assert_eq!(hex(records[0].value.as_deref().expect("a value")), consent["hex"]);
    assert!(other.committed("consent-changelog").is_empty());
}

#[test]
fn values_are_encoded_as_the_contract_has_them() {
    for case in vectors()["records"]["cases"].as_array().expect("cases") {
        let schema = case["schema"].as_str().expect("a name");
        let bytes = support::unhex(case["hex"].as_str().expect("hex"));
        let json = support::decode(schema, &bytes);
        assert_eq!(hex(&support::encode(schema, &json)), case["hex"], "{schema}");
    }
}

fn create_topic(kafka: &Kafka, name: &str, partitions: i32) -> String {
    let plan = TopicPlan { name: format!("rig.{name}"), partitions, config: vec![] };
    kafka.create_topics(std::slice::from_ref(&plan));
    plan.name
}

fn transactional(kafka: &Kafka, id: &str) -> BaseProducer {
    let producer: BaseProducer =
        kafka.client().set("transactional.id", id).create().expect("a producer");
    producer.init_transactions(WITHIN).expect("initialized");
    producer
}

fn send_in_transaction(producer: &BaseProducer, topic: &str, key: &str) {
    producer.begin_transaction().expect("begun");
    producer.send(BaseRecord::to(topic).key(key).payload("")).expect("taken");
    producer.flush(WITHIN).expect("delivered");
}

fn keys(kafka: &Kafka, topic: &str, isolation: Isolation) -> Vec<String> {
    kafka.read(topic, isolation).iter().map(|record| record.key_text().to_owned()).collect()
}

fn vectors() -> Value {
    serde_json::from_str(include_str!("../vectors/vectors.json")).expect("JSON")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[test]
fn the_program_finds_nothing_wrong_with_a_shop() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    let checked = shop.run(&["check", "--json"]).ok().json();
    assert_eq!(checked["ok"], true, "{checked:#}");
}
