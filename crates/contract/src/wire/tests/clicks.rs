//! What a click reader reads, skips and refuses.

use super::*;
use crate::domain::event::{Click, ClickEvent, EventKind, SignalSource};
use crate::domain::intake::Rejection;
use crate::domain::outcome::DeadLetterReason;
use crate::domain::outcome::DeadLetterReason::{
    InvalidField, NullValue, Undecodable, UnknownSchema, WrongKey, WrongPartition,
};
use crate::domain::time::Timestamp;

fn click(edit: impl FnOnce(&mut ClickEvent)) -> ClickEvent {
    let mut click = ClickEvent {
        event_id: "018f4e6a-0000-7000-8000-000000000001".to_owned(),
        subject_id: Some("subject-1".to_owned()),
        session_id: "session-1".to_owned(),
        occurred_at: Timestamp(1_795_305_599_999),
        kind: EventKind::ProductView,
        category: Some("preschool-toys".to_owned()),
        product_id: Some("p1".to_owned()),
        product_age_range: Some("3-5".to_owned()),
        value_cents: Some(1999),
        region: Some("US-CA".to_owned()),
        gpc: Some(false),
        gpp: None,
    };
    edit(&mut click);
    click
}

fn refused(inbound: &Inbound<'_>) -> DeadLetterReason {
    let rejection = click_reader().read(inbound).err().expect("is refused");
    assert!(!rejection.detail.contains("subject-1"), "{}", rejection.detail);
    rejection.reason
}

#[test]
fn the_contract_s_click_is_read_whole() {
    let contract = contract();
    let case = &contract["records"]["cases"][0];
    let value = from_hex(text(&case["hex"]));
    let by_apache = encode_by_apache_avro(SchemaName::ClickEvent, &case["json"]);
    assert_eq!(value, by_apache);

    let read = click_reader().read(&inbound("subject-1", Some(&value))).unwrap();
    assert_eq!(read.subject_id, Some("subject-1"));
    assert_eq!(read.session_id, "session-1");
    assert_eq!(read.occurred_at, Timestamp(1_795_305_599_999));
    assert_eq!(read.kind, EventKind::ProductView);
    assert_eq!(read.category, Some("preschool-toys"));
    assert_eq!(read.product_id, Some("p1"));
    assert_eq!(read.product_age_range, Some("3-5"));
    assert_eq!(read.value_cents, Some(1999));
    assert_eq!(read.region, Some("US-CA"));
    assert_eq!((read.gpc, read.opt_out_signal), (Some(false), None));
}

#[test]
fn a_field_that_no_rule_reads_is_not_decoded() {
    let value = encode_click(&click(|_| {}));
    let inbound = inbound("subject-1", Some(&value));
    let one = |edit: fn(&mut ClickFields)| {
        let mut fields = ClickFields::default();
        edit(&mut fields);
        let read = ClickReader::new(fields, Partitioner::Murmur2, COUNT).read(&inbound).unwrap();
        assert_eq!((read.subject_id, read.session_id), (Some("subject-1"), "session-1"));
        read
    };
    let seen = |click: &Click<'_>| {
        [
            click.kind != EventKind::Other,
            click.category.is_some(),
            click.product_id.is_some(),
            click.product_age_range.is_some(),
            click.value_cents.is_some(),
            click.region.is_some(),
        ]
    };
    assert_eq!(seen(&one(|_| {})), [false; 6]);
    assert_eq!(seen(&one(|f| f.kind = true)), [true, false, false, false, false, false]);
    assert_eq!(seen(&one(|f| f.category = true)), [false, true, false, false, false, false]);
    assert_eq!(seen(&one(|f| f.product_id = true)), [false, false, true, false, false, false]);
    let age_range = one(|f| f.product_age_range = true);
    assert_eq!(seen(&age_range), [false, false, false, true, false, false]);
    assert_eq!(seen(&one(|f| f.value_cents = true)), [false, false, false, false, true, false]);
    assert_eq!(seen(&one(|f| f.region = true)), [false, false, false, false, false, true]);
}

#[test]
fn every_kind_is_read_as_it_was_written() {
    for kind in EventKind::ALL {
        let value = encode_click(&click(|click| click.kind = kind));
        let read = click_reader().read(&inbound("subject-1", Some(&value))).unwrap();
        assert_eq!(read.kind, kind);
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.symbol());
    }
}

#[test]
fn an_opt_out_signal_is_gpc_or_a_gpp_string_that_opts_out() {
    for (gpc, gpp, expected) in [
        (None, None, None),
        (Some(false), Some(""), None),
        (Some(true), None, Some(SignalSource::Gpc)),
        (Some(true), Some("DBABTA~1YNN"), Some(SignalSource::Gpc)),
        (Some(false), Some("DBABTA~1YNN"), None),
        (Some(false), Some("DBABTA~1YYN"), Some(SignalSource::Gpp)),
        (None, Some("nonsense"), Some(SignalSource::GppUndecodable)),
    ] {
        let value = encode_click(&click(|click| {
            click.gpc = gpc;
            click.gpp = gpp.map(str::to_owned);
        }));
        let read = click_reader().read(&inbound("subject-1", Some(&value))).unwrap();
        assert_eq!(read.opt_out_signal, expected, "{gpc:?} {gpp:?}");
        assert_eq!(read.gpc, gpc);
    }
}

#[test]
fn a_click_without_subject_is_keyed_by_its_session() {
    let value = encode_click(&click(|click| click.subject_id = None));
    let read = click_reader().read(&inbound("session-1", Some(&value))).unwrap();
    assert_eq!((read.subject_id, read.session_id), (None, "session-1"));
    assert_eq!(refused(&inbound("subject-1", Some(&value))), WrongKey);
}

#[test]
fn ids_are_bounded_and_never_assent_s_own() {
    let long = "x".repeat(513);
    for id in ["", long.as_str(), "__assent_canary"] {
        let subject = encode_click(&click(|click| click.subject_id = Some(id.to_owned())));
        assert_eq!(refused(&inbound(id, Some(&subject))), InvalidField);
        let session = encode_click(&click(|click| click.session_id = id.to_owned()));
        assert_eq!(refused(&inbound("subject-1", Some(&session))), InvalidField);
    }
    let longest = "x".repeat(512);
    let value = encode_click(&click(|click| click.subject_id = Some(longest.clone())));
    assert!(click_reader().read(&inbound(&longest, Some(&value))).is_ok());
}

#[test]
fn the_canary_of_its_own_partition_is_read_without_a_signal() {
    let own = "__assent_canary_3";
    let read = |partition, key: &str, click: &ClickEvent| {
        let value = encode_click(click);
        let inbound = Inbound { partition, key: Some(key.as_bytes()), payload: Some(&value) };
        click_reader().read(&inbound).map(|_| ()).map_err(|rejection| rejection.reason)
    };
    let canary = crate::domain::canary::click(3, Timestamp(1));
    assert_eq!(read(3, own, &canary), Ok(()), "wherever its key would belong");
    assert_eq!(read(2, own, &canary), Err(InvalidField));
    assert_eq!(read(3, "session-1", &canary), Err(WrongKey));
    assert_eq!(read(3, own, &ClickEvent { gpc: Some(true), ..canary.clone() }), Err(InvalidField));
    let other = ClickEvent { subject_id: Some("__assent_canary_03".to_owned()), ..canary };
    assert_eq!(read(3, "__assent_canary_03", &other), Err(InvalidField));
}

#[test]
fn the_first_reason_that_applies_is_the_one_given() {
    let good = encode_click(&click(|_| {}));
    let wrong_key = inbound("subject-2", Some(&good));
    let wrong_partition = Inbound { partition: 0, ..inbound("subject-1", Some(&good)) };
    assert_eq!(refused(&inbound("subject-1", None)), NullValue);
    assert_eq!(refused(&wrong_key), WrongKey);
    assert_eq!(refused(&Inbound { key: None, ..wrong_key }), WrongKey);
    assert_eq!(refused(&Inbound { partition: -1, ..wrong_key }), WrongKey);
    assert_eq!(refused(&wrong_partition), WrongPartition);

    let mut trailing = good.clone();
    trailing.push(0);
    let mut other_schema = good.clone();
    other_schema[2..10].copy_from_slice(SchemaName::ConsentRecord.fingerprint());
    for (payload, expected) in [
        (&trailing[..], Undecodable),
        (&good[..good.len() - 1], Undecodable),
        (&good[..10], Undecodable),
        (&good[..9], Undecodable),
        (&[], Undecodable),
        (b"{\"event_id\":1}", Undecodable),
        (&[0, 0, 0, 1], Undecodable),
        (&[0, 0, 0, 0, 1], UnknownSchema),
        (&other_schema, UnknownSchema),
    ] {
        assert_eq!(refused(&Inbound { payload: Some(payload), ..wrong_key }), expected);
    }
}

#[test]
fn whether_a_click_is_decodable_does_not_depend_on_the_rules() {
    let good = encode_click(&click(|_| {}));
    let none = ClickReader::new(ClickFields::default(), Partitioner::Murmur2, COUNT);
    for at in 10..good.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[at] ^= flip;
            let inbound = inbound("subject-1", Some(&bad));
            let reason = |read: Result<Click<'_>, Rejection>| read.err().map(|r| r.reason);
            assert_eq!(reason(none.read(&inbound)), reason(click_reader().read(&inbound)), "{at}");
        }
    }
}

#[test]
fn json_lines_are_read_strictly() {
    let good = serde_json::to_value(click(|_| {})).unwrap();
    assert!(serde_json::from_value::<ClickEvent>(good.clone()).is_ok());
    for (field, value) in [("kind", "VIEW"), ("birth_date", "2020-01-01")] {
        let mut bad = good.clone();
        bad[field] = value.into();
        assert!(serde_json::from_value::<ClickEvent>(bad).is_err(), "{field}");
    }
    assert_eq!(click(|_| {}).key(), "subject-1");
    assert_eq!(click(|click| click.subject_id = None).key(), "session-1");
}
