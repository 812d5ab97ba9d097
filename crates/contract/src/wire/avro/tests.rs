//! Resolution against apache-avro's own answer, and the one thing in which this is stricter; and texts
//! that mean no good.

use std::sync::Arc;

use apache_avro::Schema as Avro;
use apache_avro::schema_compatibility::SchemaCompatibility;
use serde_json::{Value as Json, json};

use super::*;
use crate::wire::schema::SchemaName;

fn check(writer: &Json, reader: SchemaName) -> Result<(), String> {
    let writer = Arc::new(Schema::parse(&writer.to_string())?);
    Plan::resolve(&writer, reader.schema()).map(drop)
}

fn contract(name: SchemaName) -> Json {
    serde_json::from_str(name.json()).unwrap()
}

/// The contract's schema with its fields changed.
fn changed(name: SchemaName, change: impl FnOnce(&mut Vec<Json>)) -> Json {
    let mut schema = contract(name);
    change(schema["fields"].as_array_mut().unwrap());
    schema
}

fn field<'a>(fields: &'a mut [Json], name: &str) -> &'a mut Json {
    fields.iter_mut().find(|field| field["name"] == name).unwrap()
}

fn avro_reads(writer: &Json, reader: SchemaName) -> bool {
    let parse = |json: &str| Avro::parse_str(json).unwrap();
    SchemaCompatibility::can_read(&parse(&writer.to_string()), &parse(reader.json())).is_ok()
}

#[track_caller]
fn as_avro(writer: &Json, reader: SchemaName, expect: Result<(), &str>) {
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
    as_avro(&text, click, Err("occurred_at: string can't be read as long"));
    let mut renamed = contract(click);
    renamed["name"] = json!("Click");
    as_avro(&renamed, click, Err("record Click is not ClickEvent"));
    as_avro(&json!("string"), click, Err(": string can't be read as record"));
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

#[test]
fn the_fingerprint_is_that_of_the_canonical_form_whatever_logical_types_there_are() {
    let plain = Schema::parse(
        r#"{"type": "record", "name": "a.R", "fields": [{"name": "t", "type": "long"}]}"#,
    );
    let other = json!({"name": "R", "namespace": "a", "type": "record", "doc": "d", "fields": [
        {"type": {"logicalType": "timestamp-millis", "type": "long"}, "name": "t", "default": 1},
    ]});
    let other = Schema::parse(&other.to_string()).unwrap();
    let canonical = r#"{"name":"a.R","type":"record","fields":[{"name":"t","type":"long"}]}"#;
    let avro = Avro::parse_str(canonical).unwrap();
    assert_eq!(other.fingerprint(), plain.unwrap().fingerprint());
    let rabin = avro.fingerprint::<apache_avro::rabin::Rabin>().bytes;
    assert_eq!(other.fingerprint().as_slice(), rabin.as_slice());
}

#[track_caller]
fn refused(text: &str, expect: &str) {
    let why = Schema::parse(text).expect_err("is refused");
    assert!(why.contains(expect), "{why}");
    assert!(why.chars().count() < 300 && !why.chars().any(char::is_control), "{why:?}");
}

#[test]
fn a_text_over_a_bound_is_refused_in_a_few_words() {
    let record =
        |name: &str, fields: Json| json!({"type": "record", "name": name, "fields": fields});
    refused(&" ".repeat(256 * 1024 + 1), "longer than 262144 bytes");
    refused(&record(&"N".repeat(230_000), json!([])).to_string(), "a name of more than 512 bytes");
    refused(&json!("N".repeat(230_000)).to_string(), "a name of more than 512 bytes");
    refused("\"N\\u001b[2J\"", "it names N\\u{1b}[2J, which is not defined");
    let nested = (0..64).fold(json!("int"), |inner, _| json!({"type": "array", "items": inner}));
    refused(&nested.to_string(), "nests deeper than 64");
    refused(&format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000)), "it is not JSON");
    let wide: Vec<Json> = (0..65).map(|_| json!("int")).collect();
    refused(&json!(wide).to_string(), "a union of more than 64 branches");
    let symbols: Vec<String> = (0..5_000).map(|n| format!("S{n}")).collect();
    refused(
        &json!({"type": "enum", "name": "E", "symbols": symbols}).to_string(),
        "more than 4096",
    );
    let fields: Vec<Json> =
        (0..3_000).map(|n| json!({"name": format!("f{n}"), "type": "int"})).collect();
    refused(&record("R", json!(fields)).to_string(), "more than 4096");
    refused(r#"["null", ["null", "int"]]"#, "a union in a union");
    let twice = json!({"name": "a", "type": {"type": "fixed", "name": "F", "size": 1}});
    let again = json!({"name": "b", "type": {"type": "fixed", "name": "F", "size": 2}});
    refused(&record("R", json!([twice, again])).to_string(), "it defines F twice");
    for text in
        ["1", "{}", r#"{"type": 7}"#, r#"{"type": "array"}"#, r#"{"type": "fixed", "name": "F"}"#]
    {
        assert!(Schema::parse(text).is_err(), "{text}");
    }
}

/// Each record names the next one twice: whoever follows the names walks 2^100 ways. A default of `{}`
/// is made whole from the defaults inside, as often.
#[test]
fn schemas_whose_ways_double_with_each_record_take_no_time() {
    let last = json!({"type": "record", "name": "R0", "fields": []});
    let nested = (1..30).fold(last, |inner, n| {
        let name = format!("R{}", n - 1);
        json!({"type": "record", "name": format!("R{n}"), "fields": [
            {"name": "a", "type": inner, "default": {}},
            {"name": "b", "type": name, "default": {}},
            {"name": "c", "type": ["null", name, "R29"], "default": null},
        ]})
    });
    let name = "ClickEvent";
    let mut click = contract(SchemaName::ClickEvent);
    let fields = click["fields"].as_array_mut().unwrap();
    fields.push(json!({"name": "bomb", "type": ["null", nested], "default": null}));
    fields.push(json!({"name": "again", "type": {"type": "array", "items": name}}));
    assert_eq!(check(&click, SchemaName::ClickEvent), Ok(()));
}

/// As many pairs as a union of records can make, each a union of records.
#[test]
fn what_is_too_much_to_resolve_is_refused() {
    let mut batch = contract(SchemaName::AuditBatch);
    let fields = batch["fields"].as_array_mut().unwrap();
    let entries = field(fields, "entries");
    let entry = entries["type"]["items"].clone();
    let own = |n: usize| {
        let mut entry = entry.clone();
        entry["namespace"] = json!(format!("n{n}"));
        let text = entry.to_string().replace("\"Sha256\"", "\"assent.v1.Sha256\"");
        serde_json::from_str::<Json>(&text).unwrap()
    };
    entries["type"]["items"] = json!((0..64).map(own).collect::<Vec<_>>());
    let begun = check(&batch, SchemaName::AuditBatch);
    assert!(begun.is_ok() || begun.unwrap_err().contains("4096"));
}

/// `{"next": null | Self}`, as deep as its bytes say: the stack is not theirs to fill.
#[test]
fn a_datum_that_nests_without_end_is_refused() {
    let mut click = contract(SchemaName::ClickEvent);
    let list = json!({"type": "record", "name": "L", "fields": [
        {"name": "next", "type": ["null", "L"], "default": null},
    ]});
    click["fields"].as_array_mut().unwrap().insert(0, json!({"name": "list", "type": list}));
    let writer = Arc::new(Schema::parse(&click.to_string()).unwrap());
    let plan = Plan::resolve(&writer, SchemaName::ClickEvent.schema()).unwrap();
    let body = vec![2; 1 << 20];
    let generous = Bounds { steps: usize::MAX, items: usize::MAX };
    assert!(matches!(decode(&plan, &body, generous), Err(Undecodable)));
}

/// Every type that takes no byte, in arrays in arrays: counts of 2^60, paid for with eight bytes each.
#[test]
fn items_that_are_nothing_cost_steps() {
    let nothings = [
        json!("null"),
        json!({"type": "fixed", "name": "F", "size": 0}),
        json!({"type": "record", "name": "E", "fields": []}),
        json!({"type": "record", "name": "E", "fields": [{"name": "n", "type": "null"}]}),
    ];
    for nothing in nothings {
        let items = |inner| json!({"type": "array", "items": inner});
        let bomb = items(items(items(nothing)));
        let mut click = contract(SchemaName::ClickEvent);
        click["fields"].as_array_mut().unwrap().insert(0, json!({"name": "bomb", "type": bomb}));
        let writer = Arc::new(Schema::parse(&click.to_string()).unwrap());
        let plan = Plan::resolve(&writer, SchemaName::ClickEvent.schema()).unwrap();
        let many = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20];
        for body in [many.repeat(90), [&many[..], &[0x80, 1, 0].repeat(280)].concat()] {
            assert!(matches!(decode(&plan, &body, Bounds::INPUT), Err(Undecodable)));
        }
    }
}

#[test]
fn the_steps_are_counted() {
    let writer = json!({"type": "array", "items": "null"});
    let mut click = contract(SchemaName::ClickEvent);
    click["fields"].as_array_mut().unwrap().push(json!({"name": "more", "type": writer}));
    let writer = Arc::new(Schema::parse(&click.to_string()).unwrap());
    let plan = Plan::resolve(&writer, SchemaName::ClickEvent.schema()).unwrap();
    let event = |nulls: i64| {
        use crate::domain::binary::Write as _;
        let mut body = Vec::new();
        body.put_string("e");
        body.put_long(0);
        body.put_string("v");
        body.put_long(1);
        for _ in 0..8 {
            body.put_long(0);
        }
        if nulls > 0 {
            body.put_long(nulls);
        }
        body.put_long(0);
        body
    };
    for (nulls, readable) in [(0, true), (49_900, true), (50_100, false), (i64::MAX, false)] {
        let body = event(nulls);
        let read = decode(&plan, &body, Bounds::INPUT);
        assert_eq!(read.is_ok(), readable, "{nulls}");
    }
}
