//! A test for each runbook with commands: its fault is made, its page is followed, the fault is fixed.

use std::time::Duration;

use assent_contract::domain::partitioner::Partitioner;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::json;

use super::Runbook;
use crate::canary::while_it_speaks;
use crate::support::{
    Kafka, Message, Plan, Service, Shop, TopicPlan, consent, now_ms, pseudonym, view, wait_until,
};

const WITHIN: Duration = Duration::from_mins(1);
const PURPOSES: [&str; 2] = ["partner-advertising", "personalized-offers"];

fn await_reason(service: &Service, reason: &str) {
    wait_until(WITHIN, &format!("a partition with reason {reason}"), || {
        let (_, body) = service.readyz();
        let reasons = body["partitions"].as_array()?.iter().map(|it| it["reason"].clone());
        reasons.into_iter().find(|it| it == reason)
    });
}

fn await_sum(service: &Service, name: &str, labels: &[(&str, &str)], at_least: f64) {
    wait_until(WITHIN, &format!("{name} {labels:?} at {at_least}"), || {
        (service.metrics().sum(name, labels)? >= at_least).then_some(())
    });
}

#[test]
fn consent_misrouted() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &Plan { partitions: 2, ..Plan::default() });
    let service = Service::start(&shop, "a");
    service.await_ready();
    let right = Partitioner::Murmur2.partition(b"kim", 2);
    let record = shop.consent(&consent("kim", 1, "GRANTED", &PURPOSES));
    kafka.produce([record.partition(1 - right)]);
    await_sum(&service, "assent_outcomes_total", &[("outcome", "forwarded")], 1.0);
    Runbook::of("AssentConsentMisrouted", &shop, Some(&service)).look(&[
        ("assent check", "kafka.partitioner"),
        ("--reason wrong_partition", "no dead letters"),
        ("kafka-console-consumer.sh", "assent-forwarded:"),
    ]);
    service.stop();
}

/// One source closes the gate, the other only alerts.
fn silent(kafka: &'static Kafka) -> Shop<'static> {
    let settings = json!({"consent": {"sources": {
        "cmp": {"max_silence": "3s", "on_silence": "close"},
    }}});
    Shop::open_with(kafka, &Plan { settings, ..Plan::default() })
}

#[test]
fn consent_source_silent() {
    let kafka = kafka_or_skip!();
    let shop = silent(kafka);
    let service = Service::start(&shop, "a");
    service.await_ready();
    await_reason(&service, "source:cmp");
    Runbook::of("AssentConsentSourceSilent", &shop, Some(&service)).look(&[
        ("grep '^assent_consent_source'", "assent_consent_source_silence_seconds{"),
        ("kafka-get-offsets.sh", ".consent-changelog:3:0"),
    ]);
    service.stop();
}

#[test]
fn gate_closed() {
    let kafka = kafka_or_skip!();
    let shop = silent(kafka);
    let service = Service::start(&shop, "a");
    service.await_ready();
    await_reason(&service, "source:cmp");
    let page = Runbook::of("AssentGateClosed", &shop, Some(&service));
    page.look(&[("/readyz", "\"source:cmp\""), ("gate_closed_reason", "reason=\"source:cmp\"} 1")]);
    while_it_speaks(&shop, || page.over(&[("wait-ready", "")]));
    service.stop();
}

/// An open transaction of somebody else's holds what a reader of consent may see.
#[test]
fn consent_sync_lag() {
    let kafka = own_kafka_or_skip!();
    let settings = json!({"consent": {"max_sync_lag": "2s"}});
    let shop = Shop::open_with(&kafka, &Plan { settings, ..Plan::default() });
    let service = Service::start(&shop, "a");
    service.await_ready();
    let stuck: BaseProducer =
        kafka.client().set("transactional.id", "stuck").create().expect("a producer");
    stuck.init_transactions(WITHIN).expect("initialized");
    stuck.begin_transaction().expect("begun");
    let topic = shop.topic("consent-changelog");
    let beat = BaseRecord::to(&topic).partition(0).key("__assent_heartbeat_0").payload("");
    stuck.send(beat).expect("taken");
    stuck.flush(WITHIN).expect("written");
    kafka.produce([shop.consent(&consent("kim", 1, "GRANTED", &PURPOSES)).partition(0)]);
    await_reason(&service, "stale");

    let page = Runbook::of("AssentConsentSyncLag", &shop, Some(&service));
    page.look(&[
        ("/readyz", "\"stale\""),
        ("gate_closed_reason", "reason=\"stale\"} 1"),
        ("find-hanging", "StartOffset"),
        ("describe-producers", "CurrentTransactionStartOffset"),
        ("assent check", "consent-changelog"),
        ("--under-replicated-partitions", ""),
    ]);
    stuck.abort_transaction(WITHIN).expect("aborted");
    page.over(&[("wait-ready --caught-up", ""), ("assent verify", "no violations found")]);
    service.stop();
}

#[test]
fn consent_unreadable() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    let service = Service::start(&shop, "a");
    service.await_ready();
    let topic = shop.topic("consent-changelog");
    let other = shop.consent(&consent("somebody-else", 1, "GRANTED", &PURPOSES));
    kafka.produce([
        Message::new(&topic).key("kim").value("no Avro"),
        other.key("lou"),
        shop.consent(&consent("user_0035", 1, "GRANTED", &PURPOSES)),
        shop.consent(&consent("user_0035", 1, "DENIED", &PURPOSES)),
    ]);
    await_sum(&service, "assent_subjects", &[("consent", "unreadable")], 3.0);
    Runbook::of("AssentConsentUnreadable", &shop, Some(&service)).look(&[
        ("--reason undecodable", "UNDECODABLE"),
        ("--reason unknown_schema", "no dead letter matches"),
        ("--reason wrong_key", "WRONG_KEY"),
        ("consent show", "user_0035"),
    ]);
    service.stop();
}

#[test]
fn dead_letters() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    let service = Service::start(&shop, "a");
    service.await_ready();
    kafka.produce([Message::new(shop.topic("clickstream")).key("kim").value("no Avro")]);
    await_sum(&service, "assent_dead_letters_total", &[("reason", "undecodable")], 1.0);
    Runbook::of("AssentDeadLetters", &shop, Some(&service))
        .look(&[("--reason undecodable", "UNDECODABLE"), ("--json", "\"reason\":\"UNDECODABLE\"")]);
    service.stop();
}

/// What must not be there is put there by hand: no build of Assent writes it.
#[test]
fn invariant_violated() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    let service = Service::start(&shop, "a");
    service.await_ready();
    kafka
        .produce([shop.consent(&consent("kim", 1, "DENIED", &PURPOSES)), shop.click(&view("kim"))]);
    await_sum(&service, "assent_outcomes_total", &[("outcome", "decided")], 1.0);
    let at = Partitioner::Murmur2.partition(b"kim", shop.partitions);
    let key = pseudonym("personalized-offers", "kim");
    let ends = now_ms() + 3_600_000;
    kafka.produce([shop.assignment("personalized-offers", &key, &["toy-lovers"], ends)]);
    Runbook::of("AssentInvariantViolated", &shop, Some(&service))
        .meaning("--partitions 3", format!("--partitions {at}"))
        .look(&[("kubectl logs", ""), ("verify --json", "\"INV-"), ("--partitions", "INV-")]);
    let kept = std::fs::read_to_string(shop.folder().join("assent-0.log")).expect("the log");
    assert!(kept.contains("partitions assigned"), "{kept}");
    service.stop();
}

#[test]
fn metrics_missing() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    let service = Service::start(&shop, "a");
    service.await_ready();
    let page = Runbook::of("AssentMetricsMissing", &shop, Some(&service));
    service.sigstop();
    page.look(&[("/livez", "no answer"), ("kubectl logs", "partitions assigned")]);
    service.sigcont();
    page.over(&[("wait-ready", "")]);
    service.stop();
}

/// So many replicas have to acknowledge what is written to a purpose's topic.
fn set_min_in_sync(kafka: &Kafka, shop: &Shop<'_>, replicas: &str) {
    let name = shop.segments("personalized-offers");
    let config = vec![
        ("cleanup.policy", "compact".to_owned()),
        ("min.insync.replicas", replicas.to_owned()),
    ];
    kafka.configure(&TopicPlan { name, partitions: shop.partitions, config });
}

/// Somebody is live, and opts out while nothing can be committed: one replica too few is there.
fn opt_out_that_waits(kafka: &Kafka, shop: &Shop<'_>, service: &Service) {
    kafka.produce([shop.consent(&consent("kim", 1, "GRANTED", &PURPOSES))]);
    kafka.produce([shop.click(&view("kim"))]);
    wait_until(WITHIN, "somebody live", || {
        (!shop.committed("segments.personalized-offers").is_empty()).then_some(())
    });
    set_min_in_sync(kafka, shop, "3");
    kafka.node(3).kill();
    kafka.produce([shop.consent(&consent("kim", 2, "WITHDRAWN", &PURPOSES))]);
    await_sum(service, "assent_opt_outs_pending", &[], 1.0);
}

#[test]
fn opt_out_pending_and_transactions_failing() {
    let kafka = three_or_skip!();
    let shop = Shop::open_with(&kafka, &Plan::of_lookers("1", 1));
    let service = Service::start(&shop, "a");
    service.await_ready();
    opt_out_that_waits(&kafka, &shop, &service);
    let page = Runbook::of("AssentOptOutPending", &shop, Some(&service));
    let starved = format!("Topic: {}", shop.segments("personalized-offers"));
    page.look(&[
        ("/metrics", "assent_opt_outs_pending 1"),
        ("/readyz", "partitions"),
        ("assent check", "replicas are in sync"),
        ("--under-min-isr-partitions", &starved),
        ("__transaction_state", ""),
    ]);
    await_sum(&service, "assent_transactions_total", &[("result", "unclear")], 3.0);
    Runbook::of("AssentTransactionsFailing", &shop, Some(&service)).look(&[
        ("/metrics", "assent_transactions_total{result=\"unclear\"}"),
        ("assent check", "replicas are in sync"),
        ("--under-min-isr-partitions", &starved),
        ("kafka-transactions.sh", shop.group_id()),
    ]);
    kafka.node(3).start();
    kafka.await_in_sync();
    page.over(&[("wait-ready --caught-up", "")]);
    assert_eq!(service.metrics().sum("assent_opt_outs_pending", &[]), Some(0.0));
    service.stop();
}

#[test]
fn partition_unowned() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    let service = Service::start(&shop, "a");
    service.await_ready();
    service.sigkill();
    let page = Runbook::of("AssentPartitionUnowned", &shop, Some(&service));
    // Its place in the group is kept until its session ends, after 12 s.
    wait_until(WITHIN, "the group without members", || {
        let shown = page.execute(
            "kafka-consumer-groups.sh --bootstrap-server localhost:9092 --describe --group assent --state",
        );
        shown.stdout.contains("Empty").then_some(())
    });
    page.look(&[
        ("kubectl logs", "partitions assigned"),
        ("kafka-consumer-groups.sh", "has no active members"),
        ("assent check", "consent-changelog"),
    ]);
    let again = Service::start(&shop, "a");
    Runbook::of("AssentPartitionUnowned", &shop, Some(&again))
        .over(&[("wait-ready --caught-up", "")]);
    again.stop();
}

/// The gate is closed by a silent source before the canary's first round; the next one is far away.
#[test]
fn canary_failing() {
    let kafka = kafka_or_skip!();
    let silent =
        json!({"consent": {"sources": {"cmp": {"max_silence": "3s", "on_silence": "close"}}}});
    let shop = crate::canary::open_every(kafka, "10m", &silent);
    let service = Service::start(&shop, "a");
    service.await_ready();
    await_reason(&service, "source:cmp");
    let canary = Service::start_canary(&shop);
    await_sum(&canary, "assent_canary_failures_total", &[("step", "assignment")], 1.0);
    let metrics = format!("{}/metrics", service.address());
    let page = Runbook::of("AssentCanaryFailing", &shop, Some(&service))
        .meaning(&metrics, format!("{}/metrics", canary.address()));
    page.look(&[
        ("/metrics", "assent_canary_failures_total{step=\"assignment\"}"),
        ("canary --once", "no assignment came"),
        ("/readyz", "\"source:cmp\""),
        ("--reason wrong_key", "no dead letters"),
        ("assent check", "segments.canary"),
    ]);
    while_it_speaks(&shop, || page.over(&[("canary --once", "the opt-out was seen after")]));
    canary.stop();
    service.stop();
}

/// A reader that is declared, and has stood still since before somebody left.
#[test]
fn reader_behind() {
    let kafka = kafka_or_skip!();
    let lookers = Plan::of_lookers("1", 1);
    let group = format!("mailer-{}", std::process::id());
    let readers =
        format!("retention: 30d, readers: [{{id: mail, kind: own, group_id: {group}}}]}}");
    let rulebook = lookers.rulebook.map(|it| it.replacen("retention: 30d}", &readers, 1));
    let shop = Shop::open_with(kafka, &Plan { rulebook, ..Plan::default() });
    let reader: BaseConsumer = kafka.client().set("group.id", &group).create().expect("a reader");
    let mut read = TopicPartitionList::new();
    let topic = shop.segments("personalized-offers");
    for partition in 0..shop.partitions {
        read.add_partition_offset(&topic, partition, Offset::Offset(0)).expect("an offset");
    }
    reader.commit(&read, CommitMode::Sync).expect("committed");
    drop(reader);
    let service = Service::start(&shop, "a");
    service.await_ready();
    let says = |version, status| shop.consent(&consent("kim", version, status, &PURPOSES));
    kafka.produce([says(1, "GRANTED")]);
    kafka.produce([shop.click(&view("kim"))]);
    await_sum(&service, "assent_assignments_total", &[("purpose", "personalized-offers")], 1.0);
    kafka.produce([says(2, "WITHDRAWN")]);
    await_sum(
        &service,
        "assent_reader_oldest_unread_tombstone_seconds",
        &[("reader", "mail")],
        1.0,
    );

    let describe = format!("--group {group}");
    let grant = format!("--operation Describe --group '{group}'");
    let page = Runbook::of("AssentReaderBehind", &shop, Some(&service));
    let page = page.meaning("--group mailer", describe);
    page.look(&[
        ("/metrics", "assent_reader_oldest_unread_tombstone_seconds{"),
        ("--describe --group mailer", &topic),
        ("--members", "has no active members"),
        ("assent check --print-acls", &grant),
    ]);
    page.over(&[("wait-ready", "")]);
    service.stop();
}
