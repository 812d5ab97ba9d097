//! What each field is read as, in each form that a compatible writer may give it: one reading, whatever
//! fields the rules read, so that `run` and `verify`, which reads the fewest, never disagree.
//!
//! Where a writer's union has a branch that ours has not, and uses it, Avro calls that an error: the
//! value is undecodable. But not in `gpc` and `gpp`: something was said there, and it counts as an
//! opt-out.

use apache_avro::types::Value as Avro;
use serde_json::{Map, json};

use super::*;
use crate::domain::consent::ConsentRecord;
use crate::domain::event::{Click, EventKind};
use crate::domain::outcome::DeadLetterReason;

const ID: u32 = 7;

/// A writer's field: its type, or none; and what it writes.
type Written = Option<(Value, Avro)>;

/// The contract's schema and a datum of it, one field of which is another writer's.
fn framed(name: SchemaName, json: &Value, path: &[&str], written: &Written) -> (Value, Vec<u8>) {
    let own = apache_avro::Schema::parse_str(name.json()).unwrap();
    let mut schema: Value = serde_json::from_str(name.json()).unwrap();
    let mut datum = to_avro(&own, json);
    change(&mut schema, &mut datum, path, written);
    let writer = apache_avro::Schema::parse_str(&schema.to_string()).unwrap();
    let writer = GenericDatumWriter::builder(&writer).build().unwrap();
    (schema, Framing::Confluent(ID).frame(&writer.write_value_to_vec(datum).unwrap()))
}

fn change(schema: &mut Value, datum: &mut Avro, path: &[&str], written: &Written) {
    match datum {
        Avro::Union(_, inner) => return change(&mut schema[1], inner, path, written),
        Avro::Map(entries) => {
            let inner = entries.values_mut().next().unwrap();
            return change(&mut schema["values"], inner, path, written);
        }
        _ => {}
    }
    let Avro::Record(values) = datum else { panic!("a record") };
    let (&name, inner) = path.split_first().unwrap();
    let fields = schema["fields"].as_array_mut().unwrap();
    let at = fields.iter().position(|field| field["name"] == name).unwrap();
    let value = values.iter().position(|(field, _)| field == name).unwrap();
    if !inner.is_empty() {
        return change(&mut fields[at]["type"], &mut values[value].1, inner, written);
    }
    match written {
        None => {
            fields.remove(at);
            values.remove(value);
        }
        Some((kind, written)) => {
            fields[at] = json!({"name": name, "type": kind});
            values[value].1 = written.clone();
        }
    }
}

fn knowing(schema: &Value, name: SchemaName) -> KnownSchemas {
    let mut known = KnownSchemas::empty();
    known.learn(ID, Registered::avro(&schema.to_string(), &[name]));
    known
}

#[derive(Clone, Debug, PartialEq)]
enum Read {
    /// As the field's default.
    Default,
    Value,
    Undecodable,
    /// As an opt-out.
    OptOut,
}

/// How a form is called, what is written, and what it is read as.
type Form = (&'static str, Written, Read);

/// The forms in which a writer may have a field of this kind.
fn forms(kind: &str, is_optional: bool) -> Vec<Form> {
    let mut forms = unions(kind);
    if is_optional {
        forms.extend(nulls(kind));
    }
    match kind {
        "string" => forms.extend(texts()),
        "long" => forms.extend(numbers()),
        _ => {}
    }
    forms
}

fn some(kind: &str) -> Avro {
    match kind {
        "string" => Avro::String("text".to_owned()),
        "bytes" => Avro::Bytes(b"text".to_vec()),
        "int" => Avro::Int(5),
        "long" => Avro::Long(5),
        "boolean" => Avro::Boolean(false),
        other => panic!("{other}"),
    }
}

#[allow(clippy::unnecessary_wraps)] // the form of a field that is there
fn written(kind: Value, value: Avro) -> Written {
    Some((kind, value))
}

/// A union, and the branch of it that is used.
fn union(branches: Value, at: u32, value: Avro) -> Written {
    written(branches, Avro::Union(at, Box::new(value)))
}

fn unions(kind: &str) -> Vec<Form> {
    let other = if kind == "string" { "long" } else { "string" };
    let record = json!({"type": "record", "name": "More", "fields": []});
    let array = json!({"type": "array", "items": kind});
    vec![
        ("plain", written(json!(kind), some(kind)), Read::Value),
        ("a union of it", union(json!([kind]), 0, some(kind)), Read::Value),
        ("unused", union(json!(["null", kind, other]), 1, some(kind)), Read::Value),
        ("unused, first", union(json!([other, kind, "null"]), 1, some(kind)), Read::Value),
        ("used", union(json!(["null", kind, other]), 2, some(other)), Read::Undecodable),
        (
            "a double",
            union(json!(["null", "double", kind]), 1, Avro::Double(5.0)),
            Read::Undecodable,
        ),
        (
            "a record",
            union(json!(["null", kind, record]), 2, Avro::Record(vec![])),
            Read::Undecodable,
        ),
        (
            "an array",
            union(json!(["null", kind, array]), 2, Avro::Array(vec![some(kind)])),
            Read::Undecodable,
        ),
    ]
}

fn nulls(kind: &str) -> Vec<Form> {
    vec![
        ("null", written(json!("null"), Avro::Null), Read::Default),
        ("reordered, null", union(json!([kind, "null"]), 1, Avro::Null), Read::Default),
        ("reordered", union(json!([kind, "null"]), 0, some(kind)), Read::Value),
        ("missing", None, Read::Default),
    ]
}

fn texts() -> Vec<Form> {
    let symbol = json!({"type": "enum", "name": "Word", "symbols": ["text"]});
    let fixed = json!({"type": "fixed", "name": "Four", "size": 4});
    let (word, four) = (Avro::Enum(0, "text".to_owned()), Avro::Fixed(4, b"text".to_vec()));
    let bytes = json!(["null", "bytes"]);
    vec![
        ("bytes", union(bytes.clone(), 1, some("bytes")), Read::Value),
        ("no UTF-8", union(bytes, 1, Avro::Bytes(vec![0xff])), Read::Undecodable),
        ("a symbol", union(json!(["null", "string", symbol]), 2, word), Read::Undecodable),
        ("a fixed", union(json!(["null", "string", fixed]), 2, four), Read::Undecodable),
    ]
}

fn numbers() -> Vec<Form> {
    vec![
        ("promoted", written(json!("int"), some("int")), Read::Value),
        ("promoted, a branch", union(json!(["null", "int"]), 1, some("int")), Read::Value),
    ]
}

fn whole_click() -> Value {
    json!({
        "event_id": "018f4e6a-0000-7000-8000-000000000001", "subject_id": "subject-1",
        "session_id": "session-1", "occurred_at": 1_795_305_599_999i64, "kind": "PURCHASE",
        "category": "c", "product_id": "p", "product_age_range": "3-5", "value_cents": 1,
        "region": "US-CA", "gpc": true, "gpp": "DBABTA~1YNN",
    })
}

/// Every set of fields that one rule, all or none may read.
fn all_fields() -> Vec<ClickFields> {
    let none = ClickFields::default;
    vec![
        ClickFields::ALL,
        none(),
        ClickFields { kind: true, ..none() },
        ClickFields { category: true, ..none() },
        ClickFields { product_id: true, ..none() },
        ClickFields { product_age_range: true, ..none() },
        ClickFields { value_cents: true, ..none() },
        ClickFields { region: true, ..none() },
    ]
}

fn as_json(click: &Click<'_>) -> Map<String, Value> {
    let json = json!({
        "subject_id": click.subject_id, "session_id": click.session_id,
        "occurred_at": click.occurred_at, "kind": click.kind, "category": click.category,
        "product_id": click.product_id, "product_age_range": click.product_age_range,
        "value_cents": click.value_cents, "region": click.region, "gpc": click.gpc,
    });
    json.as_object().unwrap().clone()
}

/// What each reader makes of it: the same of all of them, but for the fields that one does not read.
fn read_click(
    schema: &Value,
    value: &[u8],
    key: &str,
) -> Result<(Map<String, Value>, bool), DeadLetterReason> {
    let known = knowing(schema, SchemaName::ClickEvent);
    let read = |fields| {
        let reader = ClickReader::new(fields, Partitioner::Murmur2, COUNT);
        let read = reader.read_with(&inbound(key, Some(value)), &known);
        read.map(|click| (as_json(&click), click.opt_out_signal.is_some()))
            .map_err(|unread| unread.into_rejection().reason)
    };
    let whole = read(ClickFields::ALL);
    for fields in all_fields() {
        match (&whole, read(fields)) {
            (Err(whole), Err(other)) => assert_eq!(*whole, other),
            (Ok((whole, signal)), Ok((other, same))) => {
                assert_eq!(*signal, same);
                for gate in ["subject_id", "session_id", "occurred_at", "gpc"] {
                    assert_eq!(whole[gate], other[gate]);
                }
            }
            _ => panic!("{fields:?}: one reads it, one does not"),
        }
    }
    whole
}

#[test]
fn every_optional_field_of_a_click_in_every_form() {
    let fields = [
        ("subject_id", "string"),
        ("category", "string"),
        ("product_id", "string"),
        ("product_age_range", "string"),
        ("value_cents", "long"),
        ("region", "string"),
        ("gpc", "boolean"),
        ("gpp", "string"),
    ];
    for (field, kind) in fields {
        for (form, written, expect) in forms(kind, true) {
            let mut json = whole_click();
            if field == "gpp" {
                json["gpc"] = json!(false); // else it says so already
            }
            let (schema, value) = framed(SchemaName::ClickEvent, &json, &[field], &written);
            let key = match (field, &expect) {
                ("subject_id", Read::Value) => "text",
                ("subject_id", Read::Default) => "session-1",
                _ => "subject-1",
            };
            let is_signal = matches!(field, "gpc" | "gpp") && form != "no UTF-8";
            let expect = match expect {
                Read::Undecodable if is_signal => Read::OptOut,
                expect => expect,
            };
            let read = read_click(&schema, &value, key);
            let at = format!("{field}, {form}");
            match expect {
                Read::Undecodable => assert_eq!(read, Err(DeadLetterReason::Undecodable), "{at}"),
                Read::OptOut => {
                    let (click, opted_out) = read.expect(&at);
                    assert!(opted_out, "{at}");
                    assert_eq!(click["gpc"], json!(field == "gpc"), "{at}");
                }
                Read::Value | Read::Default => {
                    let is_there = expect == Read::Value;
                    let value = match kind {
                        _ if !is_there => Value::Null,
                        "long" => json!(5),
                        "boolean" => json!(false),
                        _ => json!("text"),
                    };
                    let (click, opted_out) = read.expect(&at);
                    if field == "gpp" {
                        assert_eq!(opted_out, is_there, "{at}: \"text\" is no GPP string");
                        continue;
                    }
                    assert_eq!(opted_out, field != "gpc", "{at}");
                    let mut expected = json.as_object().unwrap().clone();
                    expected[field] = value;
                    assert!(click.iter().all(|(name, value)| expected[name] == *value), "{at}");
                }
            }
        }
    }
}

#[test]
fn every_field_of_a_click_that_must_be_there_in_every_form() {
    for (field, kind) in [("session_id", "string"), ("occurred_at", "long")] {
        for (form, written, expect) in forms(kind, false) {
            let (schema, value) =
                framed(SchemaName::ClickEvent, &whole_click(), &[field], &written);
            let read = read_click(&schema, &value, "subject-1");
            let expected = if kind == "long" { json!(5) } else { json!("text") };
            match expect {
                Read::Value => assert_eq!(read.expect(form).0[field], expected, "{field}, {form}"),
                _ => assert_eq!(read, Err(DeadLetterReason::Undecodable), "{field}, {form}"),
            }
        }
    }
}

#[test]
fn a_kind_of_another_writer() {
    let symbols = |all: &[&str]| json!({"type": "enum", "name": "EventKind", "symbols": all});
    for (form, written, expect) in [
        ("newer", Some((symbols(&["WISH"]), Avro::Enum(0, "WISH".into()))), Some(EventKind::Other)),
        (
            "reordered",
            Some((symbols(&["PURCHASE", "SEARCH"]), Avro::Enum(1, "SEARCH".into()))),
            Some(EventKind::Search),
        ),
        ("text", Some((json!("string"), Avro::String("SEARCH".into()))), None),
    ] {
        let (schema, value) = framed(SchemaName::ClickEvent, &whole_click(), &["kind"], &written);
        match (read_click(&schema, &value, "subject-1"), expect) {
            (Ok((click, _)), Some(kind)) => assert_eq!(click["kind"], kind.symbol(), "{form}"),
            (Err(DeadLetterReason::Undecodable), None) => {}
            other => panic!("{form}: {other:?}"),
        }
    }
}

fn whole_record() -> Value {
    json!({
        "subject_id": "subject-1", "version": 7, "recorded_at": 10, "age_band": "UNDER_13",
        "decisions": {"ads": {"status": "GRANTED", "since": 1, "expires_at": 99, "notice_version": "n"}},
        "guardian": {
            "verified_at": 2, "method": "card", "coppa_consent": true, "coppa_disclosure": true,
            "ccpa_authorization": true,
        },
        "double_opt_in_at": 3, "opt_out_signal_at": 4, "source": "cmp", "receipt_id": "r",
    })
}

fn read_record(schema: &Value, value: &[u8]) -> Result<Value, DeadLetterReason> {
    let known = knowing(schema, SchemaName::ConsentRecord);
    match consent_reader().read_with(&inbound("subject-1", Some(value)), false, None, &known) {
        ConsentReading::Record(record) => Ok(serde_json::to_value(*record).unwrap()),
        ConsentReading::Unreadable(rejection) => Err(rejection.reason),
        _ => panic!("is a record or unreadable"),
    }
}

/// The record with one field set, and whether it has a default and of what.
fn expected(path: &[&str], value: Value) -> Value {
    let mut json = whole_record();
    let at = match path {
        [field] => &mut json[*field],
        ["decisions", field] => &mut json["decisions"]["ads"][*field],
        [outer, field] => &mut json[*outer][*field],
        _ => panic!("no deeper"),
    };
    *at = value;
    json
}

#[test]
fn every_field_of_a_consent_record_in_every_form() {
    let fields: [(&[&str], &str, Option<Value>); 17] = [
        (&["version"], "long", None),
        (&["recorded_at"], "long", None),
        (&["double_opt_in_at"], "long", Some(Value::Null)),
        (&["opt_out_signal_at"], "long", Some(Value::Null)),
        (&["source"], "string", Some(json!("unknown"))),
        (&["receipt_id"], "string", Some(Value::Null)),
        (&["decisions", "since"], "long", None),
        (&["decisions", "expires_at"], "long", Some(Value::Null)),
        (&["decisions", "notice_version"], "string", Some(Value::Null)),
        (&["guardian", "verified_at"], "long", None),
        (&["guardian", "method"], "string", Some(Value::Null)),
        (&["guardian", "coppa_consent"], "boolean", Some(json!(false))),
        (&["guardian", "coppa_disclosure"], "boolean", Some(json!(false))),
        (&["guardian", "ccpa_authorization"], "boolean", Some(json!(false))),
        (&["subject_id"], "string", None),
        (&["age_band"], "string", None),
        (&["decisions", "status"], "string", None),
    ];
    for (path, kind, default) in fields {
        let is_nullable = default == Some(Value::Null);
        let is_enum = matches!(path.last(), Some(&"age_band" | &"status"));
        for (form, written, expect) in forms(kind, is_nullable) {
            let (schema, value) =
                framed(SchemaName::ConsentRecord, &whole_record(), path, &written);
            let read = read_record(&schema, &value);
            let set = match kind {
                "long" => json!(5),
                "boolean" => json!(false),
                _ => json!("text"),
            };
            let wanted = match expect {
                Read::Undecodable | Read::OptOut => Err(DeadLetterReason::Undecodable),
                _ if is_enum => Err(DeadLetterReason::Undecodable),
                Read::Value if path == ["subject_id"] => Err(DeadLetterReason::WrongKey),
                Read::Value => Ok(expected(path, set)),
                Read::Default => Ok(expected(path, Value::Null)),
            };
            assert_eq!(read, wanted, "{path:?}, {form}");
        }
        let (schema, value) = framed(SchemaName::ConsentRecord, &whole_record(), path, &None);
        let missing = match (path.last(), default) {
            (_, Some(default)) => Ok(expected(path, default)),
            _ => Err(DeadLetterReason::Undecodable),
        };
        assert_eq!(read_record(&schema, &value), missing, "{path:?}, missing");
    }
}

/// A guardian whom we can't read is nobody's consent, and no reason to go on as if there were none.
#[test]
fn a_guardian_or_decisions_of_another_form_are_unreadable() {
    let schema: Value = serde_json::from_str(SchemaName::ConsentRecord.json()).unwrap();
    let kind = |name: &str| {
        let fields = schema["fields"].as_array().unwrap();
        fields.iter().find(|field| field["name"] == name).unwrap()["type"].clone()
    };
    let guardian = kind("guardian")[1].clone();
    let more = json!({"type": "record", "name": "Caretaker", "fields": []});
    let union = json!(["null", guardian, more]);
    let used = Avro::Union(2, Box::new(Avro::Record(vec![])));
    let decisions = json!(["null", kind("decisions")]);
    let none = Avro::Union(0, Box::new(Avro::Null));
    for (field, written) in [("guardian", (union, used)), ("decisions", (decisions, none))] {
        let written = Some(written);
        let (schema, value) =
            framed(SchemaName::ConsentRecord, &whole_record(), &[field], &written);
        assert_eq!(read_record(&schema, &value), Err(DeadLetterReason::Undecodable), "{field}");
    }
    let (schema, value) = framed(SchemaName::ConsentRecord, &whole_record(), &["guardian"], &None);
    assert_eq!(read_record(&schema, &value), Ok(expected(&["guardian"], Value::Null)));
    let record: ConsentRecord = serde_json::from_value(whole_record()).unwrap();
    assert!(record.guardian.is_some());
}
