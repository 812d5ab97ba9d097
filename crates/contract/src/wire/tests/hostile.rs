//! Whatever bytes come, a reader answers; and what was encoded is read back.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::domain::consent::{AgeBand, ConsentRecord, ConsentStatus, Decision, Guardian};
use crate::domain::event::{ClickEvent, EventKind};
use crate::domain::time::Timestamp;

/// Every reader on the same bytes; none may panic.
fn read_everything(value: &[u8]) {
    for key in ["subject-1", "__assent_heartbeat_0", "session-1"] {
        let inbound = inbound(key, Some(value));
        let _ = click_reader().read(&inbound);
        let _ = consent_reader().read(&inbound, false, None);
    }
    let _ = decode_assignment(value, &KnownSchemas::none());
    let _ = decode_contextual(value, &KnownSchemas::none());
    let _ = decode_dead_letter(value, &KnownSchemas::none());
    let _ = decode_audit_batch(value, &KnownSchemas::none());
    let _ = gpp::signal(None, Some(&String::from_utf8_lossy(value)));
}

fn timestamp() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp)
}

fn id() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9 é🧸_-]{1,40}"
}

fn uuid(bytes: [u8; 16]) -> String {
    let hex = to_hex(&bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// As JSON, since inputs have no `Debug`.
fn click() -> impl Strategy<Value = Value> {
    let event_id = any::<[u8; 16]>().prop_map(uuid);
    let ids = (event_id, option::of(id()), id(), timestamp());
    let kind = prop::sample::select(EventKind::ALL.to_vec());
    let texts = (option::of(id()), option::of(id()), option::of(id()), option::of(id()));
    (ids, kind, texts, option::of(any::<i64>()), option::of(any::<bool>()), option::of(id()))
        .prop_map(|(ids, kind, texts, value_cents, gpc, gpp)| {
            json(&ClickEvent {
                event_id: ids.0,
                subject_id: ids.1,
                session_id: ids.2,
                occurred_at: ids.3,
                kind,
                category: texts.0,
                product_id: texts.1,
                product_age_range: texts.2,
                value_cents,
                region: texts.3,
                gpc,
                gpp,
            })
        })
}

fn decision() -> impl Strategy<Value = Decision> {
    let status = prop::sample::select(vec![
        ConsentStatus::NotAsked,
        ConsentStatus::Granted,
        ConsentStatus::Denied,
        ConsentStatus::Withdrawn,
    ]);
    (status, timestamp(), option::of(timestamp()), option::of(id())).prop_map(
        |(status, since, expires_at, notice_version)| Decision {
            status,
            since,
            expires_at,
            notice_version,
        },
    )
}

fn guardian() -> impl Strategy<Value = Guardian> {
    (timestamp(), option::of(id()), any::<[bool; 3]>()).prop_map(|(verified_at, method, flags)| {
        Guardian {
            verified_at,
            method,
            coppa_consent: flags[0],
            coppa_disclosure: flags[1],
            ccpa_authorization: flags[2],
        }
    })
}

/// As JSON, since inputs have no `Debug`.
fn consent() -> impl Strategy<Value = Value> {
    let age_band = prop::sample::select(vec![AgeBand::Unknown, AgeBand::Under13, AgeBand::From18]);
    let head = (id(), any::<i64>(), timestamp(), age_band);
    let times = (option::of(timestamp()), option::of(timestamp()));
    let decisions = btree_map(id(), decision(), 0..5);
    (head, decisions, option::of(guardian()), times, id(), option::of(id())).prop_map(
        |(head, decisions, guardian, times, source, receipt_id)| {
            json(&ConsentRecord {
                subject_id: head.0,
                version: head.1,
                recorded_at: head.2,
                age_band: head.3,
                decisions,
                guardian,
                double_opt_in_at: times.0,
                opt_out_signal_at: times.1,
                source,
                receipt_id,
            })
        },
    )
}

fn json(input: &impl serde::Serialize) -> Value {
    serde_json::to_value(input).unwrap()
}

fn from_json<T: serde::de::DeserializeOwned>(json: &Value) -> T {
    serde_json::from_value(json.clone()).unwrap()
}

/// A value with some bytes changed, then cut or extended.
fn mutated(value: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let length = value.len();
    let changes = vec((10..length, any::<u8>()), 0..4);
    let tail = vec(any::<u8>(), 0..4);
    (Just(value), changes, 0..length, tail).prop_map(|(mut value, changes, cut, tail)| {
        for (at, byte) in changes {
            value[at] = byte;
        }
        if cut % 3 == 0 {
            value.truncate(cut);
        }
        value.extend(tail);
        value
    })
}

/// Whatever length or count is declared, nothing is reserved for it: 2^62 bytes would abort the test.
#[test]
fn a_declared_length_reserves_nothing() {
    let giants: [&[u8]; 4] = [
        &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        &[0xfe, 0xff, 0xff, 0xff, 0x0f],
    ];
    let contract = contract();
    let records = contract["records"]["cases"].as_array().unwrap().iter();
    let audits = contract["audit_chain"]["batches"].as_array().unwrap().iter();
    let values = records.map(|case| from_hex(text(&case["hex"]))).chain(
        audits.map(|case| frame(SchemaName::AuditBatch, &from_hex(text(&case["body_hex"])))),
    );
    for value in values {
        for at in 10..value.len() {
            for giant in giants {
                read_everything(&[&value[..at], giant, &value[at..]].concat());
                read_everything(&[&value[..at], giant].concat());
            }
        }
    }
}

/// A block of a map or an array says how many items it has and, where negative, how many bytes.
#[test]
fn a_block_that_never_ends_is_refused() {
    let contract = contract();
    for case in contract["records"]["cases"].as_array().unwrap() {
        let header = from_hex(&text(&case["hex"])[..20]);
        for filler in [0x00, 0x01, 0x02, 0x7f, 0xff] {
            read_everything(&[header.clone(), vec![filler; 1 << 20]].concat());
        }
    }
}

proptest! {
    #[test]
    fn random_bytes_are_answered(value in vec(any::<u8>(), 0..300)) {
        read_everything(&value);
    }

    #[test]
    fn random_bodies_are_answered(body in vec(any::<u8>(), 0..300)) {
        for schema in SchemaName::ALL {
            read_everything(&frame(schema, &body));
        }
    }

    #[test]
    fn mutated_clicks_are_answered(
        value in click().prop_map(|json| encode_click(&from_json(&json))).prop_flat_map(mutated)
    ) {
        read_everything(&value);
    }

    #[test]
    fn mutated_consent_is_answered(
        value in consent().prop_map(|json| encode_consent(&from_json(&json))).prop_flat_map(mutated)
    ) {
        read_everything(&value);
    }

    #[test]
    fn clicks_are_read_as_written(json in click()) {
        let click: ClickEvent = from_json(&json);
        let value = encode_click(&click);
        let theirs = encode_by_apache_avro(SchemaName::ClickEvent, &json);
        prop_assert_eq!(to_hex(&value), to_hex(&theirs));
        let read = click_reader().read(&inbound(click.key(), Some(&value)));
        let Ok(read) = read else { return Err(TestCaseError::fail("is read")) };
        prop_assert_eq!(read.subject_id, click.subject_id.as_deref());
        prop_assert_eq!(read.session_id, &click.session_id);
        prop_assert_eq!(read.occurred_at, click.occurred_at);
        prop_assert_eq!(read.kind, click.kind);
        prop_assert_eq!(read.category, click.category.as_deref());
        prop_assert_eq!(read.product_id, click.product_id.as_deref());
        prop_assert_eq!(read.product_age_range, click.product_age_range.as_deref());
        prop_assert_eq!(read.value_cents, click.value_cents);
        prop_assert_eq!(read.region, click.region.as_deref());
        prop_assert_eq!(read.gpc, click.gpc);
    }

    #[test]
    fn consent_is_read_as_written(json in consent()) {
        let record: ConsentRecord = from_json(&json);
        let theirs = encode_by_apache_avro(SchemaName::ConsentRecord, &json);
        for value in [encode_consent(&record), theirs] {
            let inbound = inbound(&record.subject_id, Some(&value));
            let reading = consent_reader().read(&inbound, false, None);
            let ConsentReading::Record(read) = reading else {
                return Err(TestCaseError::fail("is a record"));
            };
            prop_assert!(*read == record);
        }
    }
}
