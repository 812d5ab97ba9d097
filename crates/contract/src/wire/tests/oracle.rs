//! Random writers' schemas and data of them, against apache-avro: it writes, it reads as the contract's
//! schema, and what we read is the same. Where we are stricter (it takes a symbol for a string, say),
//! we refuse; we never read what it refuses, and never something else.

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::wire::avro::{self, Bounds, Plan};

/// splitmix64: a schema and a datum of a seed, so that a failure is one number.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn name(&mut self) -> String {
        format!("N{:x}", self.next())
    }

    fn shuffle<T>(&mut self, all: &mut [T]) {
        for at in (1..all.len()).rev() {
            all.swap(at, self.below(at + 1));
        }
    }
}

/// Any type, with names of its own.
fn any_type(dice: &mut Dice, depth: usize) -> Value {
    const PRIMITIVES: [&str; 8] =
        ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];
    match dice.below(if depth == 0 { 10 } else { 14 }) {
        at @ 0..8 => json!(PRIMITIVES[at]),
        8 => json!({"type": "fixed", "name": dice.name(), "size": dice.below(4)}),
        9 => json!({"type": "enum", "name": dice.name(), "symbols": ["A", "B", "OTHER"]}),
        10 => json!({"type": "array", "items": any_type(dice, depth - 1)}),
        11 => json!({"type": "map", "values": any_type(dice, depth - 1)}),
        12 => {
            let fields: Vec<Value> = (0..dice.below(4))
                .map(|at| json!({"name": format!("f{at}"), "type": any_type(dice, depth - 1)}))
                .collect();
            json!({"type": "record", "name": dice.name(), "fields": fields})
        }
        _ => {
            let mut branches: Vec<Value> =
                ["null", "int", "string"].map(|name| json!(name)).to_vec();
            branches.truncate(1 + dice.below(3));
            branches.push(json!({"type": "map", "values": any_type(dice, depth - 1)}));
            dice.shuffle(&mut branches);
            json!(branches)
        }
    }
}

/// A type of the contract's, as another version of its writer might have it.
fn evolved(dice: &mut Dice, own: &Value, depth: usize) -> Value {
    match own {
        Value::String(name) => match (name.as_str(), dice.below(6)) {
            ("long", 0) => json!("int"),
            ("string", 0) => json!("bytes"),
            ("null", 0) => any_type(dice, 1),
            (_, 1) => json!([name]),
            (_, 2) if name != "null" => json!(["null", name]),
            _ => own.clone(),
        },
        Value::Array(branches) => {
            let mut branches: Vec<Value> = branches
                .iter()
                .map(|branch| match branch {
                    Value::String(_) => branch.clone(),
                    named => evolved(dice, named, depth),
                })
                .collect();
            if dice.below(3) == 0 {
                branches.push(json!({"type": "array", "items": any_type(dice, 1)}));
            }
            if dice.below(4) == 0 {
                branches.remove(dice.below(branches.len()))
            } else {
                dice.shuffle(&mut branches);
                json!(branches)
            }
        }
        object => match object["type"].as_str().unwrap() {
            "record" => record(dice, object, depth),
            "map" => json!({"type": "map", "values": evolved(dice, &object["values"], depth)}),
            "enum" => {
                let mut symbols = object["symbols"].as_array().unwrap().clone();
                dice.shuffle(&mut symbols);
                symbols.truncate(1 + dice.below(symbols.len()));
                symbols.push(json!("NEWER"));
                json!({"type": "enum", "name": object["name"], "symbols": symbols})
            }
            primitive => evolved(dice, &json!(primitive), depth),
        },
    }
}

fn record(dice: &mut Dice, own: &Value, depth: usize) -> Value {
    let mut fields = Vec::new();
    for field in own["fields"].as_array().unwrap() {
        let goes = if field.get("default").is_some() { 4 } else { 40 };
        if dice.below(goes) > 0 {
            let kind = match dice.below(3) {
                0 => evolved(dice, &field["type"], depth),
                _ => plain(&field["type"]),
            };
            fields.push(json!({"name": field["name"], "type": kind}));
        }
    }
    for at in 0..dice.below(3) {
        fields.push(json!({"name": format!("more{at}"), "type": any_type(dice, depth)}));
    }
    dice.shuffle(&mut fields);
    json!({"type": "record", "name": own["name"], "namespace": "assent.v1", "fields": fields})
}

/// Without logical types: apache-avro reads a text as a UUID only where it is one, and times as times.
fn plain(json: &Value) -> Value {
    match json {
        Value::Object(object)
            if object["type"].is_string() && object.contains_key("logicalType") =>
        {
            object["type"].clone()
        }
        Value::Object(object) => object.iter().map(|(key, value)| (key, plain(value))).collect(),
        Value::Array(all) => all.iter().map(plain).collect(),
        other => other.clone(),
    }
}

fn datum(dice: &mut Dice, schema: &Schema) -> Avro {
    const LONGS: [i64; 5] = [0, -1, i64::MAX, i64::MIN, 1_795_305_600_000];
    match schema {
        Schema::Null => Avro::Null,
        Schema::Boolean => Avro::Boolean(dice.below(2) == 0),
        Schema::Int => Avro::Int(dice.next() as i32),
        Schema::Long => Avro::Long(LONGS[dice.below(5)]),
        Schema::Float => Avro::Float(0.5),
        Schema::Double => Avro::Double(-2.5),
        Schema::Bytes => {
            let bytes: [&[u8]; 3] = [b"", b"bytes", &[0xff, 0xfe]];
            Avro::Bytes(bytes[dice.below(3)].to_vec())
        }
        Schema::String => {
            Avro::String(["", "text", "é🧸", "DBABTA~1YYN"][dice.below(4)].to_owned())
        }
        Schema::Fixed(fixed) => Avro::Fixed(fixed.size, vec![7; fixed.size]),
        Schema::Enum(own) => {
            let at = dice.below(own.symbols.len());
            Avro::Enum(at as u32, own.symbols[at].clone())
        }
        Schema::Array(array) => {
            Avro::Array((0..dice.below(4)).map(|_| datum(dice, &array.items)).collect())
        }
        Schema::Map(map) => {
            let entry = |at| (format!("k{at}"), datum(dice, &map.types));
            Avro::Map((0..3).map(entry).collect())
        }
        Schema::Union(union) => {
            let at = dice.below(union.variants().len());
            Avro::Union(at as u32, Box::new(datum(dice, &union.variants()[at])))
        }
        Schema::Record(record) => Avro::Record(
            record
                .fields
                .iter()
                .map(|field| (field.name.clone(), datum(dice, &field.schema)))
                .collect(),
        ),
        other => panic!("not generated: {other:?}"),
    }
}

/// `None`: there is something in it that the reader has not.
fn ours(value: &avro::Value<'_>) -> Option<Value> {
    Some(match value {
        avro::Value::Null => Value::Null,
        avro::Value::Boolean(value) => json!(value),
        avro::Value::Long(value) => json!(value),
        avro::Value::Text(text) | avro::Value::Symbol(text) => json!(text),
        avro::Value::Fixed(bytes) => json!(bytes),
        avro::Value::Record(_, values) | avro::Value::Array(values) => {
            Value::Array(values.iter().map(ours).collect::<Option<_>>()?)
        }
        avro::Value::Map(entries) => {
            let entry = |(key, value): &(&str, _)| Some(((*key).to_owned(), ours(value)?));
            Value::Object(entries.iter().map(entry).collect::<Option<_>>()?)
        }
        avro::Value::Foreign => return None,
    })
}

fn theirs(value: &Avro) -> Value {
    match value {
        Avro::Null => Value::Null,
        Avro::Boolean(value) => json!(value),
        Avro::Int(value) => json!(value),
        Avro::Long(value) => json!(value),
        Avro::String(text) | Avro::Enum(_, text) => json!(text),
        Avro::Union(_, inner) => theirs(inner),
        Avro::Array(items) => items.iter().map(theirs).collect(),
        Avro::Map(entries) => {
            entries.iter().map(|(key, value)| (key.clone(), theirs(value))).collect()
        }
        Avro::Record(fields) => fields.iter().map(|(_, value)| theirs(value)).collect(),
        other => panic!("not in the contract's: {other:?}"),
    }
}

/// Whether it was read, for the sum at the end.
fn agree(name: SchemaName, seed: u64) -> Result<bool, TestCaseError> {
    let mut dice = Dice(seed);
    let contract = plain(&serde_json::from_str(name.json()).unwrap());
    let schema = record(&mut dice, &contract, 3);
    let writer = Schema::parse_str(&schema.to_string()).unwrap();
    let value = datum(&mut dice, &writer);
    let body =
        GenericDatumWriter::builder(&writer).build().unwrap().write_value_to_vec(value).unwrap();
    let reader = Schema::parse_str(&contract.to_string()).unwrap();
    let both = GenericDatumReader::builder(&writer).reader_schema(&reader).build();
    let their = both.ok().and_then(|both| both.read_value(&mut &body[..]).ok());

    let parsed = avro::Schema::parse(&schema.to_string());
    let parsed = std::sync::Arc::new(parsed.map_err(TestCaseError::fail)?);
    let Ok(plan) = Plan::resolve(&parsed, name.schema()) else {
        return Ok(false);
    };
    let Some(our) = avro::decode(&plan, &body, Bounds::INPUT).ok().as_ref().and_then(ours) else {
        return Ok(false);
    };
    let their = their.as_ref().map(theirs);
    prop_assert_eq!(Some(our), their, "{}", schema);
    for cut in [1, body.len() / 2] {
        prop_assert!(avro::decode(&plan, &body[..body.len() - cut], Bounds::INPUT).is_err());
    }
    Ok(true)
}

#[test]
fn random_writers_are_read_as_apache_avro_reads_them() {
    for name in [SchemaName::ClickEvent, SchemaName::ConsentRecord] {
        let each =
            (0..2_000).map(|seed| agree(name, seed).unwrap_or_else(|e| panic!("{seed}: {e}")));
        let read = each.filter(|read| *read).count();
        assert!(read > 200, "{name:?}: {read} of 2,000 were read");
    }
}

proptest! {
    #[test]
    fn clicks_of_random_writers(seed in any::<u64>()) {
        agree(SchemaName::ClickEvent, seed)?;
    }

    #[test]
    fn consent_of_random_writers(seed in any::<u64>()) {
        agree(SchemaName::ConsentRecord, seed)?;
    }

    /// Whatever bytes follow whatever schema.
    #[test]
    fn random_bytes_of_random_writers(
        seed in any::<u64>(),
        body in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        for name in [SchemaName::ClickEvent, SchemaName::ConsentRecord] {
            let contract = plain(&serde_json::from_str(name.json()).unwrap());
            let schema = record(&mut Dice(seed), &contract, 3).to_string();
            let mut known = KnownSchemas::empty();
            known.learn(1, Registered::avro(&schema, &[name]));
            let value = Framing::Confluent(1).frame(&body);
            let _ = click_reader().read_with(&inbound("s", Some(&value)), &known);
            let _ = consent_reader().read_with(&inbound("s", Some(&value)), false, None, &known);
        }
    }
}
