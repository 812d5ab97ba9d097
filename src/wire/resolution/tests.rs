//! Against apache-avro's own answer, and the one thing in which this is stricter.

use apache_avro::Schema;
use apache_avro::schema_compatibility::SchemaCompatibility;
use serde_json::json;

use super::*;

fn contract(name: SchemaName) -> Value {
    serde_json::from_str(name.json()).unwrap()
}

/// The contract's schema with its fields changed.
fn changed(name: SchemaName, change: impl FnOnce(&mut Vec<Value>)) -> Value {
    let mut schema = contract(name);
    change(schema["fields"].as_array_mut().unwrap());
    schema
}

fn field<'a>(fields: &'a mut [Value], name: &str) -> &'a mut Value {
    fields.iter_mut().find(|field| field["name"] == name).unwrap()
}

fn avro_reads(writer: &Value, reader: SchemaName) -> bool {
    let parse = |json: &str| Schema::parse_str(json).unwrap();
    SchemaCompatibility::can_read(&parse(&writer.to_string()), &parse(reader.json())).is_ok()
}

#[track_caller]
fn as_avro(writer: &Value, reader: SchemaName, expect: Result<(), &str>) {
    assert_eq!(avro_reads(writer, reader), expect.is_ok(), "apache-avro");
    assert_eq!(check(writer, reader), expect.map_err(str::to_owned));
}

#[test]
fn the_contracts_schemas_read_as_themselves_and_as_no_other() {
    for writer in SchemaName::ALL {
        for reader in SchemaName::ALL {
            assert_eq!(check(&contract(writer), reader).is_ok(), writer == reader, "{writer:?}");
        }
    }
}

#[test]
fn an_older_and_a_newer_click_resolve() {
    let click = SchemaName::ClickEvent;
    let older = changed(click, |fields| {
        fields.retain(|field| field["name"] != "gpp" && field["name"] != "region");
        field(fields, "kind")["type"]["symbols"] = json!(["PAGE_VIEW", "OTHER"]);
    });
    as_avro(&older, click, Ok(()));
    let newer = changed(click, |fields| {
        fields.reverse();
        fields.push(json!({"name": "referrer", "type": "string"}));
        field(fields, "value_cents")["type"] = json!(["null", "int"]);
    });
    as_avro(&newer, click, Ok(()));
}

#[test]
fn what_does_not_resolve_says_where() {
    let click = SchemaName::ClickEvent;
    let without = changed(click, |fields| fields.retain(|field| field["name"] != "session_id"));
    as_avro(&without, click, Err("session_id is missing"));
    let text = changed(click, |fields| field(fields, "occurred_at")["type"] = json!("string"));
    as_avro(&text, click, Err("occurred_at: string does not read as long"));
    let mut renamed = contract(click);
    renamed["name"] = json!("Click");
    as_avro(&renamed, click, Err("record Click is not ClickEvent"));
    as_avro(&json!("string"), click, Err(": string does not read as record"));
}

#[test]
fn names_are_looked_up_in_their_namespace() {
    let consent = SchemaName::ConsentRecord;
    let named = changed(consent, |fields| {
        let time = json!({"type": "long", "logicalType": "timestamp-millis"});
        fields.push(json!({"name": "last", "type": ["null", "Decision"], "default": null}));
        fields.push(json!({"name": "first", "type": ["null", "assent.v1.Guardian"]}));
        field(fields, "recorded_at")["type"] = json!({"type": time});
    });
    assert_eq!(check(&named, consent), Ok(()));
    let mut elsewhere = contract(consent);
    elsewhere["namespace"] = json!("com.shop");
    assert_eq!(check(&elsewhere, consent), Ok(()));
    let recursive = changed(consent, |fields| {
        field(fields, "guardian")["type"] = json!(["null", "ConsentRecord"]);
    });
    assert_eq!(check(&recursive, consent), Ok(())); // null fits; a ConsentRecord there is no datum of ours
}

#[test]
fn a_time_in_another_unit_is_refused() {
    let consent = SchemaName::ConsentRecord;
    let micros = json!({"type": "long", "logicalType": "timestamp-micros"});
    let writer = changed(consent, |fields| field(fields, "recorded_at")["type"] = micros.clone());
    assert!(avro_reads(&writer, consent), "Avro itself does not look at it");
    let why = "recorded_at is in timestamp-micros, and must be in timestamp-millis";
    assert_eq!(check(&writer, consent), Err(why.to_owned()));
    let nullable = changed(consent, |fields| {
        field(fields, "double_opt_in_at")["type"] = json!(["null", micros]);
    });
    assert!(check(&nullable, consent).unwrap_err().starts_with("double_opt_in_at is in "));
    let plain = changed(consent, |fields| field(fields, "recorded_at")["type"] = json!("long"));
    assert_eq!(check(&plain, consent), Ok(()));
}
