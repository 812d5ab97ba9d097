//! Every vector of the contract that is about bytes.

use std::borrow::Cow;

use super::*;
use crate::domain::audit::{AuditBatch, AuditEntry, Change, Effect, chain};
use crate::domain::consent::ConsentRecord;
use crate::domain::event::ClickEvent;
use crate::domain::outcome::{DeadLetterReason, InputKind, Outcome, Verdict};
use crate::domain::segment::SegmentAssignment;
use crate::domain::time::Timestamp;

#[test]
fn fingerprints_are_those_of_the_contract_and_of_apache_avro() {
    let contract = contract();
    let null = avro::Schema::parse("\"null\"").unwrap();
    let expected = text(&contract["fingerprints"]["null_schema"]);
    assert_eq!(to_hex(null.fingerprint()), expected);
    for (file, name) in [
        ("click_event", SchemaName::ClickEvent),
        ("consent_record", SchemaName::ConsentRecord),
        ("segment_assignment", SchemaName::SegmentAssignment),
        ("contextual_segment", SchemaName::ContextualSegment),
        ("dead_letter", SchemaName::DeadLetter),
        ("audit_batch", SchemaName::AuditBatch),
    ] {
        let expected = text(&contract["fingerprints"]["schemas"][file]);
        assert_eq!(to_hex(name.fingerprint()), expected, "{file}");
        assert_eq!(apache_fingerprint(name), expected, "{file}");
    }
    // Of commands and readers alone: the vectors don't have them.
    for name in [SchemaName::AuditAccess, SchemaName::ReaderAck] {
        assert_eq!(to_hex(name.fingerprint()), apache_fingerprint(name));
    }
}

fn apache_fingerprint(name: SchemaName) -> String {
    // apache-avro 0.22 leaves braces around a primitive whose logical type it strips.
    let canonical = apache_avro::Schema::parse_str(name.json())
        .unwrap()
        .canonical_form()
        .replace(r#"{"type":"string"}"#, r#""string""#)
        .replace(r#"{"type":"long"}"#, r#""long""#);
    to_hex(&crc_64_avro(&canonical).to_le_bytes())
}

/// As the Avro specification gives it, "Schema Fingerprints".
fn crc_64_avro(text: &str) -> u64 {
    const EMPTY: u64 = 0xc15d_213a_a4d7_a795;
    text.bytes().fold(EMPTY, |crc, byte| {
        let index = (crc ^ u64::from(byte)) & 0xff;
        let entry = (0..8).fold(index, |fp, _| (fp >> 1) ^ (EMPTY & (fp & 1).wrapping_neg()));
        (crc >> 8) ^ entry
    })
}

#[test]
fn records_are_encoded_as_the_contract_has_them() {
    for case in contract()["records"]["cases"].as_array().unwrap() {
        let json = case["json"].clone();
        let value = match text(&case["schema"]) {
            "click_event" => encode_click(&serde_json::from_value::<ClickEvent>(json).unwrap()),
            "consent_record" => {
                encode_consent(&serde_json::from_value::<ConsentRecord>(json).unwrap())
            }
            "segment_assignment" => {
                let value = encode_assignment(&serde_json::from_value(json.clone()).unwrap());
                let read = decode_assignment(&value, &KnownSchemas::none()).unwrap();
                assert_eq!(serde_json::to_value(read).unwrap(), json);
                value
            }
            other => panic!("no test for {other}"),
        };
        assert_eq!(to_hex(&value), text(&case["hex"]));
    }
}

fn encode_assignment(assignment: &SegmentAssignment) -> Vec<u8> {
    frame(SchemaName::SegmentAssignment, &assignment.body())
}

#[test]
fn confluent_framing_is_recognized_and_unknown_without_a_registry() {
    let contract = contract();
    let value = from_hex(text(&contract["confluent"]["hex"]));
    let single_object = from_hex(text(&contract["records"]["cases"][0]["hex"]));
    let framing::Framed::Confluent { id, body } = framing::Framed::split(&value) else {
        panic!("is Confluent framing");
    };
    assert_eq!(u64::from(id), contract["confluent"]["schema_id"].as_u64().unwrap());
    assert_eq!(body, &single_object[framing::HEADER_LEN..]);
    let rejection = click_reader().read(&inbound("subject-1", Some(&value))).err().unwrap();
    assert_eq!(rejection.reason, DeadLetterReason::UnknownSchema);
}

#[test]
fn audit_batches_are_encoded_read_and_linked_as_the_contract_has_them() {
    for case in contract()["audit_chain"]["batches"].as_array().unwrap() {
        let batch = batch(&case["json"]);
        let mut body = Vec::new();
        batch.encode(&mut body);
        assert_eq!(to_hex(&body), text(&case["body_hex"]));
        assert_eq!(to_hex(&chain::body_hash(&body)), text(&case["sha256"]));
        assert_eq!(
            decode_audit_batch(&frame(SchemaName::AuditBatch, &body), &KnownSchemas::none()),
            Ok(batch)
        );
    }
}

#[test]
fn a_contextual_segment_survives_its_encoding() {
    let mut body = Vec::new();
    let segments = ["craft-fans", "preschool-page"];
    crate::domain::segment::encode_contextual("token", &segments, Timestamp(7), "r1", &mut body);
    let read =
        decode_contextual(&frame(SchemaName::ContextualSegment, &body), &KnownSchemas::none())
            .unwrap();
    assert_eq!((read.session_token.as_str(), read.occurred_at), ("token", Timestamp(7)));
    assert_eq!((read.segments, read.rulebook.as_str()), (segments.map(str::to_owned).into(), "r1"));
}

fn batch(json: &Value) -> AuditBatch {
    let long = |field: &str| json[field].as_i64().unwrap();
    AuditBatch {
        chain: text(&json["chain"]).to_owned(),
        sequence: long("sequence"),
        previous: fixed(&json["previous"]).unwrap(),
        decided_at: Timestamp(long("decided_at")),
        rulebook: text(&json["rulebook"]).to_owned(),
        rulebook_sha256: fixed(&json["rulebook_sha256"]).unwrap(),
        key_version: long("key_version") as u8,
        click_from: long("click_from"),
        click_to: long("click_to"),
        consent_from: long("consent_from"),
        consent_to: long("consent_to"),
        barrier: long("barrier"),
        gate_open: json["gate_open"].as_bool().unwrap(),
        purposes: serde_json::from_value(json["purposes"].clone()).unwrap(),
        entries: json["entries"].as_array().unwrap().iter().map(entry).collect(),
    }
}

fn entry(json: &Value) -> AuditEntry {
    let verdict = |json: &Value| symbol(Verdict::ALL, Verdict::symbol, json);
    AuditEntry {
        input: symbol(InputKind::ALL, InputKind::symbol, &json["input"]),
        offset: json["offset"].as_i64(),
        outcome: symbol(Outcome::ALL, Outcome::symbol, &json["outcome"]),
        subject: fixed(&json["subject"]),
        consent_version: json["consent_version"].as_i64(),
        verdicts: json["verdicts"].as_array().unwrap().iter().map(verdict).collect(),
        effects: json["effects"].as_array().unwrap().iter().map(effect).collect(),
    }
}

fn effect(json: &Value) -> Effect {
    Effect {
        purpose: json["purpose"].as_u64().unwrap() as u16,
        key_version: json["key_version"].as_u64().unwrap() as u8,
        change: match fixed(&json["value_sha256"]) {
            Some(hash) => Change::Assigned(hash),
            None => Change::Removed(Cow::Owned(text(&json["reason"]).to_owned())),
        },
    }
}

fn symbol<T: Copy>(all: &[T], symbol_of: fn(T) -> &'static str, json: &Value) -> T {
    all.iter().copied().find(|&each| symbol_of(each) == text(json)).unwrap()
}

fn fixed<const N: usize>(json: &Value) -> Option<[u8; N]> {
    json.as_str().map(|hex| from_hex(hex).try_into().unwrap())
}
