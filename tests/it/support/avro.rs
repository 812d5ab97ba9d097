//! Values of the contract's schemas to and from JSON, in Avro single-object encoding, by apache-avro:
//! another implementation than the one in `crates/contract/src/wire`.
//!
//! `C3 01 | CRC-64-AVRO of the schema's canonical form, 8 bytes little-endian | datum`
//!
//! The fingerprints are those of the contract's vectors: apache-avro 0.22 leaves braces around a primitive
//! whose logical type it strips from the canonical form, and so has other ones.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;

const MARKER: [u8; 2] = [0xc3, 0x01];

/// The value of the schema in `schemas/<name>.avsc` that the JSON describes. Timestamps are epoch
/// milliseconds; a field that is missing has its default.
pub fn encode(name: &str, json: &serde_json::Value) -> Vec<u8> {
    let form = Form::of(name);
    let value = Value::try_from(json.clone()).and_then(|value| value.resolve(&form.schema));
    let writer = GenericDatumWriter::builder(&form.schema).build().expect("a writer");
    let datum = value.and_then(|value| writer.write_value_to_vec(value)).expect("fits the schema");
    [&form.header[..], &datum].concat()
}

/// The JSON of a value that must be of the schema in `schemas/<name>.avsc`. Bytes are arrays of numbers.
pub fn decode(name: &str, bytes: &[u8]) -> serde_json::Value {
    let form = Form::of(name);
    let datum = bytes.strip_prefix(&form.header[..]);
    let mut datum = datum.expect("single-object encoding of this schema");
    let reader = GenericDatumReader::builder(&form.schema).build().expect("a reader");
    let value = reader.read_value(&mut datum).expect("decodable");
    assert!(datum.is_empty(), "{} bytes are left after the datum", datum.len());
    value.try_into().expect("JSON")
}

/// The datum, without anything before it, that any schema makes of the JSON.
pub fn datum(schema: &str, json: &serde_json::Value) -> Vec<u8> {
    let schema = Schema::parse_str(schema).expect("a valid schema");
    let value = Value::try_from(json.clone()).and_then(|value| value.resolve(&schema));
    let writer = GenericDatumWriter::builder(&schema).build().expect("a writer");
    value.and_then(|value| writer.write_value_to_vec(value)).expect("fits the schema")
}

/// The JSON of a datum that this very schema wrote.
pub fn read_datum(schema: &str, mut datum: &[u8]) -> serde_json::Value {
    let schema = Schema::parse_str(schema).expect("a valid schema");
    let reader = GenericDatumReader::builder(&schema).build().expect("a reader");
    let value = reader.read_value(&mut datum).expect("decodable");
    assert!(datum.is_empty(), "{} bytes are left after the datum", datum.len());
    value.try_into().expect("JSON")
}

/// The text of the schema in `schemas/<name>.avsc`.
pub fn schema_text(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("schemas/{name}.avsc"));
    std::fs::read_to_string(&path).expect("a schema")
}

/// A schema and what stands before its values, read once.
struct Form {
    schema: Schema,
    header: Vec<u8>,
}

impl Form {
    fn of(name: &str) -> Arc<Self> {
        static KNOWN: Mutex<BTreeMap<String, Arc<Form>>> = Mutex::new(BTreeMap::new());
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let read = || Arc::new(Self { schema: schema(name), header: header(name) });
        Arc::clone(known.entry(name.to_owned()).or_insert_with(read))
    }
}

fn header(name: &str) -> Vec<u8> {
    let vectors: serde_json::Value =
        serde_json::from_str(include_str!("../../vectors/vectors.json")).expect("JSON");
    let fingerprint = vectors["fingerprints"]["schemas"][name].as_str().expect("a known schema");
    [&MARKER[..], &unhex(fingerprint)].concat()
}

pub fn unhex(text: &str) -> Vec<u8> {
    let byte = |i| u8::from_str_radix(&text[i..i + 2], 16).expect("hex digits");
    (0..text.len()).step_by(2).map(byte).collect()
}

fn schema(name: &str) -> Schema {
    Schema::parse_str(&schema_text(name)).expect("a valid schema")
}
