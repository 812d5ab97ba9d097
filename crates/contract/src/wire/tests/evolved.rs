//! Audit batches and dead letters of other compatible versions of their schemas.

use apache_avro::reader::datum::GenericDatumReader;
use proptest::prelude::*;
use serde_json::json;

use super::outputs::batch;
use super::*;
use crate::domain::audit::AuditBatch;
use crate::domain::dead_letter::DeadLetter;
use crate::domain::outcome::DeadLetterReason;
use crate::domain::time::Timestamp;

const ID: u32 = 7;

fn schema_of(name: SchemaName) -> Value {
    serde_json::from_str(name.json()).unwrap()
}

fn fields(record: &mut Value) -> &mut Vec<Value> {
    record["fields"].as_array_mut().unwrap()
}

fn entry_of(schema: &mut Value) -> &mut Value {
    let entries = fields(schema).iter_mut().find(|field| field["name"] == "entries").unwrap();
    &mut entries["type"]["items"]
}

/// Its own body, as a writer with this schema would write it.
fn rewritten(name: SchemaName, body: &[u8], writer: &Value) -> Vec<u8> {
    let own = apache_avro::Schema::parse_str(name.json()).unwrap();
    let other = apache_avro::Schema::parse_str(&writer.to_string()).unwrap();
    let reader = GenericDatumReader::builder(&own).build().unwrap();
    let value = reader.read_value(&mut &body[..]).unwrap().resolve(&other).unwrap();
    let writer = GenericDatumWriter::builder(&other).build().unwrap();
    Framing::Confluent(ID).frame(&writer.write_value_to_vec(value).unwrap())
}

fn knowing(writer: &Value) -> KnownSchemas {
    let mut known = KnownSchemas::empty();
    known.learn(ID, Registered::avro(&writer.to_string(), &SchemaName::ALL));
    known
}

fn read_batch(batch: &AuditBatch, writer: &Value) -> Option<AuditBatch> {
    let mut body = Vec::new();
    batch.encode(&mut body);
    let value = rewritten(SchemaName::AuditBatch, &body, writer);
    decode_audit_batch(&value, &knowing(writer)).ok()
}

proptest! {
    #[test]
    fn audit_batches(batch in batch()) {
        let mut newer = schema_of(SchemaName::AuditBatch);
        let more = json!({"name": "more", "type": "string", "default": "of something"});
        fields(entry_of(&mut newer)).insert(1, more.clone());
        fields(&mut newer).insert(0, more);
        prop_assert_eq!(read_batch(&batch, &newer), Some(batch.clone()));

        let mut older = schema_of(SchemaName::AuditBatch);
        fields(entry_of(&mut older)).retain(|field| field["name"] != "consent_version");
        let mut expected = batch.clone();
        for entry in &mut expected.entries {
            entry.consent_version = None;
        }
        prop_assert_eq!(read_batch(&batch, &older), Some(expected));
    }
}

fn letter() -> DeadLetter {
    DeadLetter {
        reason: DeadLetterReason::WrongKey,
        topic: "clickstream".to_owned(),
        partition: 11,
        offset: 1 << 40,
        payload_sha256: Some([7; 32]),
        failed_at: Timestamp(1_795_305_600_000),
        detail: "the key is neither".to_owned(),
    }
}

/// With a symbol before all others, so that an index read as this version's is another reason.
fn newer_letter() -> Value {
    let mut newer = schema_of(SchemaName::DeadLetter);
    newer["fields"][0]["type"]["symbols"].as_array_mut().unwrap().insert(0, json!("NEWER"));
    fields(&mut newer).push(json!({"name": "more", "type": ["null", "long"], "default": null}));
    newer
}

#[test]
fn a_dead_letters_reason_is_read_by_its_symbol() {
    let mut body = Vec::new();
    letter().encode(&mut body);
    let newer = newer_letter();
    let value = rewritten(SchemaName::DeadLetter, &body, &newer);
    assert_eq!(decode_dead_letter(&value, &knowing(&newer)).ok(), Some(letter()));
}

#[test]
fn a_symbol_that_this_version_does_not_know_is_refused() {
    let mut body = Vec::new();
    letter().encode(&mut body);
    let newer = newer_letter();
    let mut value = rewritten(SchemaName::DeadLetter, &body, &newer);
    value[5] = 0; // NEWER
    assert!(matches!(decode_dead_letter(&value, &knowing(&newer)), Err(Unread::Rejected(_))));
}
