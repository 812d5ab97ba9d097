//! Confluent's framing, resolved from what is known of a registry.

use serde_json::json;

use super::*;
use crate::domain::event::{ClickEvent, EventKind, SignalSource};
use crate::domain::outcome::DeadLetterReason;
use crate::domain::time::Timestamp;

const ID: u32 = 7;

fn click() -> ClickEvent {
    ClickEvent {
        event_id: "5f0c3b8e-9a51-4f4a-8f65-3f1d0b8a4a11".to_owned(),
        subject_id: Some("subject-1".to_owned()),
        session_id: "session-1".to_owned(),
        occurred_at: Timestamp(1_795_305_600_000),
        kind: EventKind::Purchase,
        category: None,
        product_id: None,
        product_age_range: None,
        value_cents: Some(-1),
        region: None,
        gpc: Some(true),
        gpp: None,
    }
}

fn framed(id: u32) -> Vec<u8> {
    Framing::Confluent(id).frame(&click_body(&click()))
}

fn knowing(registered: Registered) -> KnownSchemas {
    let mut known = KnownSchemas::empty();
    known.learn(ID, registered);
    known
}

fn unread(value: &[u8], known: &KnownSchemas) -> Unread {
    click_reader().read_with(&inbound("subject-1", Some(value)), known).err().expect("not read")
}

fn reason(value: &[u8], known: &KnownSchemas) -> DeadLetterReason {
    match unread(value, known) {
        Unread::Rejected(rejection) => rejection.reason,
        Unread::Waits(id) => panic!("waits for {id:?}"),
    }
}

#[test]
fn the_contracts_own_schema_is_its_static_one_under_any_id() {
    let compact: Value = serde_json::from_str(SchemaName::ClickEvent.json()).unwrap();
    for text in [SchemaName::ClickEvent.json(), &compact.to_string()] {
        let known = knowing(Registered::avro(text, &[SchemaName::ClickEvent]));
        let schemas = framing::WriterSchemas::of(SchemaName::ClickEvent);
        let value = framed(ID);
        let (plan, body) = schemas.resolve(&value, &known).unwrap();
        assert!(std::ptr::eq(plan, SchemaName::ClickEvent.plan()), "the fast way is open");
        assert_eq!(body, click_body(&click()));
    }
}

#[test]
fn a_writers_own_schema_is_resolved() {
    let mut schema: Value = serde_json::from_str(SchemaName::ClickEvent.json()).unwrap();
    let fields = schema["fields"].as_array_mut().unwrap();
    fields.retain(|field| field["name"] != "region" && field["name"] != "gpp");
    fields.reverse();
    fields.push(json!({"name": "referrer", "type": {"type": "array", "items": "string"}}));
    let avro = apache_avro::Schema::parse_str(&schema.to_string()).unwrap();
    let mut record: Value = serde_json::to_value(click()).unwrap();
    record.as_object_mut().unwrap().retain(|name, _| name != "region" && name != "gpp");
    record["referrer"] = json!(["a", "b"]);
    let value = apache_avro::types::Value::try_from(record).unwrap().resolve(&avro).unwrap();
    let writer = GenericDatumWriter::builder(&avro).build().unwrap();
    let value = Framing::Confluent(ID).frame(&writer.write_value_to_vec(value).unwrap());

    let known = knowing(Registered::avro(&schema.to_string(), &[SchemaName::ClickEvent]));
    let read = click_reader().read_with(&inbound("subject-1", Some(&value)), &known);
    let read = read.map_err(Unread::into_rejection).unwrap();
    assert_eq!((read.session_id, read.kind), ("session-1", EventKind::Purchase));
    assert_eq!(
        (read.value_cents, read.gpc, read.opt_out_signal),
        (Some(-1), Some(true), Some(SignalSource::Gpc))
    );
}

#[test]
fn an_unknown_id_waits_unless_it_can_be_none_or_nobody_is_asked() {
    let known = KnownSchemas::empty();
    assert_eq!(unread(&framed(ID), &known), Unread::Waits(UnknownId(ID)));
    assert_eq!(known.lacks(&framed(ID)), Some(UnknownId(ID)));
    let over = i32::MAX as u32 + 1;
    assert_eq!(reason(&framed(over), &known), DeadLetterReason::UnknownSchema);
    assert_eq!(known.lacks(&framed(over)), None);
    let mut flooded = KnownSchemas::empty();
    flooded.set_flooded(true);
    assert_eq!(reason(&framed(ID), &flooded), DeadLetterReason::UnknownSchema);
    assert_eq!(flooded.lacks(&framed(ID)), None);
    assert_eq!(reason(&framed(ID), &KnownSchemas::none()), DeadLetterReason::UnknownSchema);
}

fn under_ours(text: &str) -> Registered {
    Registered::avro(text, &[SchemaName::ClickEvent])
}

#[test]
fn a_schema_counts_only_under_the_topics_own_subject() {
    let click = SchemaName::ClickEvent.json();
    for elsewhere in SchemaName::ALL.into_iter().filter(|&name| name != SchemaName::ClickEvent) {
        let both = knowing(Registered::avro(click, &[elsewhere, SchemaName::ClickEvent]));
        let inbound = inbound("subject-1", None);
        let value = framed(ID);
        assert!(
            click_reader().read_with(&Inbound { payload: Some(&value), ..inbound }, &both).is_ok()
        );
    }
    let elsewhere = knowing(Registered::avro(click, &[SchemaName::ConsentRecord]));
    assert!(matches!(unread(&framed(ID), &elsewhere), Unread::Rejected(_)));
    let Unread::Rejected(rejection) = unread(&framed(ID), &knowing(Registered::Elsewhere)) else {
        panic!("is rejected")
    };
    assert_eq!(rejection.detail, "the schema id is not registered under the subject of this topic");
}

#[test]
fn no_text_of_a_stranger_is_longer_than_its_bound_in_a_dead_letter() {
    let mut schema: Value = serde_json::from_str(SchemaName::ClickEvent.json()).unwrap();
    for name in ["N".repeat(500), "N".repeat(230_000), "N\u{1b}[2J".to_owned()] {
        schema["name"] = json!(name);
        let Unread::Rejected(rejection) =
            unread(&framed(ID), &knowing(under_ours(&schema.to_string())))
        else {
            panic!("is rejected")
        };
        assert_eq!(rejection.reason, DeadLetterReason::Undecodable);
        assert!(rejection.detail.chars().count() < 300, "{}", rejection.detail);
        assert!(!rejection.detail.chars().any(char::is_control));
    }
}

#[test]
fn what_the_registry_said_of_an_id_is_the_reason() {
    for (registered, expect) in [
        (Registered::Absent, DeadLetterReason::UnknownSchema),
        (Registered::Unanswered, DeadLetterReason::UnknownSchema),
        (
            Registered::Unusable("it is not an Avro schema".to_owned()),
            DeadLetterReason::Undecodable,
        ),
        (under_ours("{\"type\": \"nope\"}"), DeadLetterReason::Undecodable),
        (under_ours("\"string\""), DeadLetterReason::Undecodable),
        (under_ours(SchemaName::DeadLetter.json()), DeadLetterReason::Undecodable),
        (Registered::Elsewhere, DeadLetterReason::UnknownSchema),
        (Registered::avro(SchemaName::ClickEvent.json(), &[]), DeadLetterReason::UnknownSchema),
    ] {
        assert_eq!(reason(&framed(ID), &knowing(registered)), expect);
    }
}

#[test]
fn consent_waits_until_the_registry_is_given_up() {
    let record = serde_json::from_value(json!({
        "subject_id": "subject-1", "version": 1, "recorded_at": 1, "age_band": "FROM_18",
        "decisions": {},
    }));
    let value = Framing::Confluent(ID).frame(&consent_body(&record.unwrap()));
    let inbound = inbound("subject-1", Some(&value));
    let read = |known: &KnownSchemas| consent_reader().read_with(&inbound, false, None, known);
    let mut known = KnownSchemas::empty();
    assert!(matches!(read(&known), ConsentReading::Waits(UnknownId(ID))));
    known.set_given_up(true);
    let ConsentReading::Unreadable(rejection) = read(&known) else { panic!("is unreadable") };
    assert_eq!(rejection.reason, DeadLetterReason::UnknownSchema);
    known.learn(
        ID,
        Registered::avro(SchemaName::ConsentRecord.json(), &[SchemaName::ConsentRecord]),
    );
    assert!(matches!(read(&known), ConsentReading::Record(_)));
}
