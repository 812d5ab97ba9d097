//! What reading a datum costs, ours compared with apache-avro's: `cargo bench -p assent-contract`.
//!
//! Ours begins with the framed value and ends with a checked input (ids, key, partition); apache-avro's begins
//! with the body and ends with a value, or with a record by serde where it can. So ours does more.
//! docs/performance.md has the ratios.

use std::hint::black_box;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use assent_contract::domain::consent::{AgeBand, ConsentRecord, ConsentStatus, Decision, Guardian};
use assent_contract::domain::event::{ClickEvent, ClickFields, EventKind};
use assent_contract::domain::partitioner::Partitioner;
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::wire::{
    ClickReader, ConsentReader, ConsentReading, Framing, Inbound, KnownSchemas, Registered,
    SchemaName, click_body, consent_body,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde::Deserialize;
use serde_json::{Value, json};

const PARTITIONS: i32 = 12;
const NOW: Timestamp = Timestamp(1_795_305_600_000);

fn click() -> ClickEvent {
    ClickEvent {
        event_id: "018f4e6a-0000-7000-8000-000000000001".to_owned(),
        subject_id: Some("customer-004711".to_owned()),
        session_id: "session-00815234".to_owned(),
        occurred_at: NOW,
        kind: EventKind::ProductView,
        category: Some("preschool-toys".to_owned()),
        product_id: Some("product-1234".to_owned()),
        product_age_range: Some("3-5".to_owned()),
        value_cents: Some(1_999),
        region: Some("US-CA".to_owned()),
        gpc: Some(false),
        gpp: None,
    }
}

fn record() -> ConsentRecord {
    let status = ConsentStatus::Granted;
    let decision =
        Decision { status, since: NOW - Span::DAY, expires_at: Some(NOW), notice_version: None };
    let purposes = ["personalized-offers", "partner-advertising"];
    ConsentRecord {
        subject_id: "customer-004711".to_owned(),
        version: 7,
        recorded_at: NOW,
        age_band: AgeBand::Under13,
        decisions: purposes.map(|purpose| (purpose.to_owned(), decision.clone())).into(),
        guardian: Some(Guardian {
            verified_at: NOW - Span::DAY,
            method: Some("card".to_owned()),
            coppa_consent: true,
            coppa_disclosure: true,
            ccpa_authorization: true,
        }),
        double_opt_in_at: Some(NOW - Span::DAY),
        opt_out_signal_at: None,
        source: "preference-center".to_owned(),
        receipt_id: Some("receipt-1".to_owned()),
    }
}

/// The contract's schema as a stranger has it: one field more, at the end.
fn stranger(name: SchemaName) -> String {
    let mut schema: Value = serde_json::from_str(name.json()).expect("JSON");
    let fields = schema["fields"].as_array_mut().expect("fields");
    fields.push(json!({"name": "experiment", "type": ["null", "string"], "default": null}));
    schema.to_string()
}

fn without_logical_types(name: SchemaName) -> String {
    fn plain(value: &Value) -> Value {
        match value {
            Value::Object(object) if object.contains_key("logicalType") => object["type"].clone(),
            Value::Object(object) => object.iter().map(|(key, it)| (key, plain(it))).collect(),
            Value::Array(all) => all.iter().map(plain).collect(),
            other => other.clone(),
        }
    }
    plain(&serde_json::from_str(name.json()).expect("JSON")).to_string()
}

/// The field that a stranger has at the end: a text of four bytes.
const EXPERIMENT: [u8; 6] = [2, 8, b'b', b'l', b'u', b'e'];

const OWN: u32 = 1;
const STRANGE: u32 = 2;

fn known(name: SchemaName) -> KnownSchemas {
    let mut known = KnownSchemas::empty();
    known.learn(OWN, Registered::avro(name.json(), &[name]));
    known.learn(STRANGE, Registered::avro(&stranger(name), &[name]));
    known
}

fn inbound<'a>(key: &'a str, payload: &'a [u8]) -> Inbound<'a> {
    let partition = Partitioner::Murmur2.partition(key.as_bytes(), PARTITIONS);
    Inbound { partition, key: Some(key.as_bytes()), payload: Some(payload) }
}

/// By serde it has no way to read another writer's schema.
#[derive(Deserialize)]
#[serde(rename = "ClickEvent")]
#[allow(dead_code)] // read to be there
struct TheirClick {
    event_id: String,
    subject_id: Option<String>,
    session_id: String,
    occurred_at: i64,
    kind: TheirKind,
    category: Option<String>,
    product_id: Option<String>,
    product_age_range: Option<String>,
    value_cents: Option<i64>,
    region: Option<String>,
    gpc: Option<bool>,
    gpp: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename = "EventKind", rename_all = "SCREAMING_SNAKE_CASE")]
enum TheirKind {
    PageView,
    ProductView,
    Search,
    AddToCart,
    Purchase,
    Other,
}

fn clicks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("click");
    group.throughput(Throughput::Elements(1));
    let (click, known) = (click(), known(SchemaName::ClickEvent));
    let body = click_body(&click);
    let reader = ClickReader::new(ClickFields::ALL, Partitioner::Murmur2, PARTITIONS);
    let own = Framing::Confluent(OWN).frame(&body);
    let strange_body = [body.as_slice(), &EXPERIMENT].concat();
    let strange = Framing::Confluent(STRANGE).frame(&strange_body);
    for (name, value) in [("own schema, ours", &own), ("stranger's schema, ours", &strange)] {
        let inbound = inbound(click.key(), value);
        assert!(reader.read_with(&inbound, &known).is_ok(), "and what is made once is made");
        group.bench_function(name, |b| {
            b.iter(|| reader.read_with(black_box(&inbound), &known).expect("a click"));
        });
    }
    let schema = Schema::parse_str(SchemaName::ClickEvent.json()).expect("a schema");
    let plain = GenericDatumReader::builder(&schema).build().expect("a reader");
    group.bench_function("own schema, apache-avro by value", |b| {
        b.iter(|| plain.read_value(&mut black_box(body.as_slice())).expect("a value"));
    });
    // By serde it takes a UUID for bytes, unless the schema says that it is a text.
    let schema_of_texts = Schema::parse_str(&without_logical_types(SchemaName::ClickEvent));
    let schema_of_texts = schema_of_texts.expect("a schema");
    let texts = GenericDatumReader::builder(&schema_of_texts).build().expect("a reader");
    group.bench_function("own schema, apache-avro by serde", |b| {
        let read = || texts.read_deser::<TheirClick>(&mut black_box(body.as_slice()));
        b.iter(|| read().expect("a click"));
    });
    let writer = Schema::parse_str(&stranger(SchemaName::ClickEvent)).expect("a schema");
    let both = GenericDatumReader::builder(&writer).reader_schema(&schema).build();
    let both = both.expect("a reader");
    group.bench_function("stranger's schema, apache-avro by value", |b| {
        b.iter(|| both.read_value(&mut black_box(strange_body.as_slice())).expect("a value"));
    });
    group.finish();
}

fn consent(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("consent");
    group.throughput(Throughput::Elements(1));
    let (record, known) = (record(), known(SchemaName::ConsentRecord));
    let body = consent_body(&record);
    let reader = ConsentReader::new(Partitioner::Murmur2, PARTITIONS);
    let own = Framing::Confluent(OWN).frame(&body);
    let strange_body = [body.as_slice(), &EXPERIMENT].concat();
    let strange = Framing::Confluent(STRANGE).frame(&strange_body);
    for (name, value) in [("own schema, ours", &own), ("stranger's schema, ours", &strange)] {
        let inbound = inbound(&record.subject_id, value);
        let read = reader.read_with(&inbound, false, None, &known);
        assert!(matches!(read, ConsentReading::Record(..)), "and what is made once is made");
        group.bench_function(name, |b| {
            b.iter(|| reader.read_with(black_box(&inbound), false, None, &known));
        });
    }
    let schema = Schema::parse_str(SchemaName::ConsentRecord.json()).expect("a schema");
    let plain = GenericDatumReader::builder(&schema).build().expect("a reader");
    group.bench_function("own schema, apache-avro by value", |b| {
        b.iter(|| plain.read_value(&mut black_box(body.as_slice())).expect("a value"));
    });
    let writer = Schema::parse_str(&stranger(SchemaName::ConsentRecord)).expect("a schema");
    let both = GenericDatumReader::builder(&writer).reader_schema(&schema).build();
    let both = both.expect("a reader");
    group.bench_function("stranger's schema, apache-avro by value", |b| {
        b.iter(|| both.read_value(&mut black_box(strange_body.as_slice())).expect("a value"));
    });
    group.finish();
}

criterion_group!(benches, clicks, consent);
criterion_main!(benches);
