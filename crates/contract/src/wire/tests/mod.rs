//! The readers and encoders against the contract's vectors, against apache-avro, and against
//! bytes that mean no good.

mod clicks;
mod consents;
mod evolved;
mod hostile;
mod oracle;
mod outputs;
mod registered;
mod variants;
mod vectors;

use apache_avro::writer::datum::GenericDatumWriter;
use serde_json::Value;

use super::*;
use crate::domain::event::ClickFields;
use crate::domain::hex::hex as to_hex;
use crate::domain::partitioner::Partitioner;

const COUNT: i32 = 12;

fn contract() -> Value {
    serde_json::from_str(include_str!("../../../../../tests/vectors/vectors.json")).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn from_hex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

fn click_reader() -> ClickReader {
    ClickReader::new(ClickFields::ALL, Partitioner::Murmur2, COUNT)
}

fn consent_reader() -> ConsentReader {
    ConsentReader::new(Partitioner::Murmur2, COUNT)
}

/// On the partition where the key belongs.
fn inbound<'a>(key: &'a str, payload: Option<&'a [u8]>) -> Inbound<'a> {
    let partition = Partitioner::Murmur2.partition(key.as_bytes(), COUNT);
    Inbound { partition, key: Some(key.as_bytes()), payload }
}

/// Encodes a whole value by apache-avro, from JSON as the contract's vectors write it.
fn encode_by_apache_avro(name: SchemaName, json: &Value) -> Vec<u8> {
    let schema = apache_avro::Schema::parse_str(name.json()).unwrap();
    let value = to_avro(&schema, json);
    let body =
        GenericDatumWriter::builder(&schema).build().unwrap().write_value_to_vec(value).unwrap();
    frame(name, &body)
}

fn to_avro(schema: &apache_avro::Schema, json: &Value) -> apache_avro::types::Value {
    use apache_avro::Schema;
    use apache_avro::types::Value as Avro;
    match schema {
        Schema::Record(record) => Avro::Record(
            record
                .fields
                .iter()
                .map(|field| (field.name.clone(), to_avro(&field.schema, &json[&field.name])))
                .collect(),
        ),
        Schema::Union(union) => {
            let index = usize::from(!json.is_null());
            Avro::Union(index as u32, Box::new(to_avro(&union.variants()[index], json)))
        }
        Schema::Map(map) => Avro::Map(
            json.as_object()
                .unwrap()
                .iter()
                .map(|(key, value)| (key.clone(), to_avro(&map.types, value)))
                .collect(),
        ),
        Schema::Array(array) => Avro::Array(
            json.as_array().unwrap().iter().map(|item| to_avro(&array.items, item)).collect(),
        ),
        Schema::Enum(symbols) => {
            let symbol = text(json);
            let index = symbols.symbols.iter().position(|each| each == symbol).unwrap();
            Avro::Enum(index as u32, symbol.to_owned())
        }
        Schema::Null => Avro::Null,
        Schema::Boolean => Avro::Boolean(json.as_bool().unwrap()),
        Schema::Long => Avro::Long(json.as_i64().unwrap()),
        Schema::TimestampMillis => Avro::TimestampMillis(json.as_i64().unwrap()),
        Schema::String | Schema::Uuid(_) => Avro::String(text(json).to_owned()),
        other => panic!("the input schemas have no {other:?}"),
    }
}
