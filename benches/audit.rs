//! For `scripts/bench-audit`: fills an audit topic with sound chains, and reads it as bare as a consumer can.
//!
//! `audit fill BOOTSTRAP TOPIC GROUP PARTITIONS BYTES BATCH_ENTRIES` writes some BYTES of batches, round the
//! partitions, lz4. `audit trickle BOOTSTRAP TOPIC GROUP PARTITIONS SECONDS` writes 100 batches of 10 entries a
//! second. `audit fill-subjects BOOTSTRAP TOPIC GROUP PARTITIONS ENTRIES SUBJECTS` writes batches of 700 entries of
//! `subject-0` and so on, under the key [7; 32]. `audit read BOOTSTRAP TOPIC PARTITIONS` reads them read_committed with the settings of
//! `assent audit verify`, one partition after the other, looks at nothing, and prints what it read.

#![allow(clippy::disallowed_methods)] // it times what it does

use std::time::{Duration, Instant};

use assent::clock::{Clock, SystemClock};
use assent_contract::domain::audit::{AuditBatch, AuditEntry, AuditToken, Change, Effect, chain};
use assent_contract::domain::outcome::{InputKind, Outcome, Verdict};
use assent_contract::domain::pseudonym::{KeyRing, Keyset};
use assent_contract::domain::time::Timestamp;
use assent_contract::wire::{SchemaName, frame};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

/// As Assent has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TIMEOUT: Duration = Duration::from_secs(30);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["fill", servers, topic, group, partitions, bytes, entries] => {
            let amount = (number(bytes), number(entries));
            fill(servers, topic, group, number(partitions) as i32, amount, &[]);
        }
        ["fill-subjects", servers, topic, group, partitions, entries, subjects] => {
            let ring = KeyRing::new(&Keyset::first([7; 32]), &[]);
            let token = |at| ring.audit_token(format!("subject-{at}").as_bytes());
            let tokens: Vec<AuditToken> = (0..number(subjects)).map(token).collect();
            // One batch of each partition at least.
            let bytes = number(entries) * ENTRY_BYTES;
            fill(servers, topic, group, number(partitions) as i32, (bytes, 700), &tokens);
        }
        ["read", servers, topic, partitions] => read(servers, topic, number(partitions) as i32),
        ["trickle", servers, topic, group, partitions, seconds] => {
            trickle(servers, topic, group, number(partitions) as i32, number(seconds));
        }
        // `cargo test --all-targets` starts every bench: without arguments, nothing.
        _ => {}
    }
}

fn number(text: &str) -> u64 {
    text.parse().expect("a number")
}

/// As `fill-subjects` writes them, with their part of the batch.
const ENTRY_BYTES: u64 = 34;

/// `tokens`: of whom the entries are in turn; none: each is somebody else's.
fn fill(
    servers: &str,
    topic: &str,
    group: &str,
    partitions: i32,
    (bytes, entries): (u64, u64),
    tokens: &[AuditToken],
) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("compression.type", "lz4")
        .set("linger.ms", "20")
        .set("batch.size", "1000000")
        .set("queue.buffering.max.kbytes", "262144")
        .create()
        .expect("a producer");
    let mut heads = vec![(0_i64, chain::GENESIS); partitions as usize];
    let (mut written, mut batches) = (0_u64, 0_u64);
    let now = SystemClock.now().0;
    while written < bytes {
        for partition in 0..partitions {
            let (sequence, previous) = heads[partition as usize];
            let name = chain::name(group, partition);
            let body = body(&name, sequence, previous, now + sequence, entries, tokens);
            heads[partition as usize] = (sequence + 1, chain::body_hash(&body));
            let value = frame(SchemaName::AuditBatch, &body);
            (written, batches) = (written + value.len() as u64, batches + 1);
            let mut record =
                BaseRecord::to(topic).partition(partition).key(name.as_bytes()).payload(&value);
            while let Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) =
                producer.send(record)
            {
                producer.poll(Duration::from_millis(10));
                record = back;
            }
        }
        producer.poll(Duration::ZERO);
    }
    producer.flush(Duration::from_mins(5)).expect("delivered");
    let entries = batches * entries;
    println!("{{\"batches\": {batches}, \"bytes\": {written}, \"entries\": {entries}}}");
}

fn trickle(servers: &str, topic: &str, group: &str, partitions: i32, seconds: u64) {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", servers).create().expect("a producer");
    let mut heads = vec![(0_i64, chain::GENESIS); partitions as usize];
    for tick in 0..seconds * 100 {
        let partition = (tick % partitions as u64) as i32;
        let (sequence, previous) = heads[partition as usize];
        let name = chain::name(group, partition);
        let body = body(&name, sequence, previous, SystemClock.now().0, 10, &[]);
        heads[partition as usize] = (sequence + 1, chain::body_hash(&body));
        let value = frame(SchemaName::AuditBatch, &body);
        let record =
            BaseRecord::to(topic).partition(partition).key(name.as_bytes()).payload(&value);
        producer.send(record).expect("taken");
        producer.poll(Duration::ZERO);
        std::thread::sleep(Duration::from_millis(10));
    }
    producer.flush(TIMEOUT).expect("delivered");
}

/// Clicks of subjects in two purposes, one in ten with an assignment.
fn body(
    name: &str,
    sequence: i64,
    previous: [u8; 32],
    decided_at: i64,
    entries: u64,
    tokens: &[AuditToken],
) -> Vec<u8> {
    let from = sequence * entries as i64;
    let entry = |at: u64| {
        let mut subject = [1; 17];
        // As spread as tokens are, so that lz4 finds as little as in the real ones.
        let spread = chain::body_hash(&(from as u64 + at).to_le_bytes());
        subject[1..].copy_from_slice(&spread[..16]);
        if !tokens.is_empty() {
            subject = tokens[(from as u64 + at) as usize % tokens.len()];
        }
        let assigned = Effect { purpose: 0, key_version: 1, change: Change::Assigned(spread) };
        AuditEntry {
            input: InputKind::Click,
            offset: Some(from + at as i64),
            outcome: Outcome::Decided,
            subject: Some(subject),
            consent_version: Some(1),
            verdicts: vec![Verdict::OptIn, Verdict::OptOutSignal],
            effects: if at.is_multiple_of(10) { vec![assigned] } else { Vec::new() },
        }
    };
    let batch = AuditBatch {
        chain: name.to_owned(),
        sequence,
        previous,
        decided_at: Timestamp(decided_at),
        rulebook: "2026-11-22".to_owned(),
        rulebook_sha256: [7; 32],
        key_version: 1,
        click_from: from,
        click_to: from + entries as i64,
        consent_from: 0,
        consent_to: 0,
        barrier: 0,
        gate_open: true,
        purposes: vec!["partner-advertising".to_owned(), "personalized-offers".to_owned()],
        entries: (0..entries).map(entry).collect(),
    };
    let mut body = Vec::new();
    batch.encode(&mut body);
    body
}

fn read(servers: &str, topic: &str, partitions: i32) {
    let begun = Instant::now();
    let (mut records, mut bytes) = (0_u64, 0_u64);
    for partition in 0..partitions {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", servers)
            .set("group.id", "bench-audit")
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("check.crcs", "true")
            .set("fetch.wait.max.ms", "10")
            .set("fetch.queue.backoff.ms", "10")
            .set("queued.max.messages.kbytes", "16384")
            .create()
            .expect("a consumer");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Beginning).expect("listed");
        let (_, end) = consumer.fetch_watermarks(topic, partition, TIMEOUT).expect("an end");
        consumer.assign(&list).expect("assigned");
        let mut next = 0;
        while next < end {
            let Some(message) = consumer.poll(TIMEOUT) else { panic!("nothing for {TIMEOUT:?}") };
            let message = message.expect("a message");
            (records, next) = (records + 1, message.offset() + 1);
            bytes += message.payload_len() as u64;
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!("{{\"records\": {records}, \"bytes\": {bytes}, \"seconds\": {seconds:.3}}}");
}
