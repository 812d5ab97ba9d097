//! What a consent reader makes of a record of the changelog.

use super::*;
use crate::domain::binary::Write;
use crate::domain::canary;
use crate::domain::consent::{AgeBand, ConsentRecord, ConsentStatus, Decision, Guardian};
use crate::domain::intake::ConsentBody;
use crate::domain::outcome::DeadLetterReason::{
    self, InvalidField, Undecodable, UnknownSchema, WrongKey, WrongPartition,
};
use crate::domain::time::{Span, Timestamp};

/// What a reading is, without the subject.
#[derive(Debug, PartialEq)]
enum Kind {
    Heartbeat(Option<String>),
    Erasure,
    Record,
    Unreadable(DeadLetterReason),
    Forwarded,
    DeadLettered(DeadLetterReason),
}

fn kind(reading: &ConsentReading) -> Kind {
    match reading.body() {
        ConsentBody::Heartbeat { source } => Kind::Heartbeat(source.map(str::to_owned)),
        ConsentBody::Erasure => Kind::Erasure,
        ConsentBody::Record(_) => Kind::Record,
        ConsentBody::Unreadable(rejection) => Kind::Unreadable(rejection.reason),
        ConsentBody::Forwarded => Kind::Forwarded,
        ConsentBody::DeadLettered(rejection) => Kind::DeadLettered(rejection.reason),
    }
}

fn read(inbound: &Inbound<'_>) -> Kind {
    kind(&consent_reader().read(inbound, false, None))
}

fn decision(since: i64) -> Decision {
    Decision {
        status: ConsentStatus::Granted,
        since: Timestamp(since),
        expires_at: Some(Timestamp(since + 1)),
        notice_version: Some("n1".to_owned()),
    }
}

fn record() -> ConsentRecord {
    ConsentRecord {
        subject_id: "subject-1".to_owned(),
        version: 7,
        recorded_at: Timestamp(1_795_302_000_000),
        age_band: AgeBand::Under13,
        decisions: [("a".to_owned(), decision(1)), ("b".to_owned(), decision(2))].into(),
        guardian: Some(Guardian {
            verified_at: Timestamp(5),
            method: None,
            coppa_consent: true,
            coppa_disclosure: false,
            ccpa_authorization: true,
        }),
        double_opt_in_at: Some(Timestamp(6)),
        opt_out_signal_at: Some(Timestamp(7)),
        source: "cli".to_owned(),
        receipt_id: Some("r".to_owned()),
    }
}

fn read_back(record: &ConsentRecord) -> Option<ConsentRecord> {
    let value = encode_consent(record);
    match consent_reader().read(&inbound(&record.subject_id, Some(&value)), false, None) {
        ConsentReading::Record(read) => Some(*read),
        _ => None,
    }
}

#[test]
fn a_record_is_read_as_it_was_written() {
    let bands = [
        AgeBand::Unknown,
        AgeBand::Under13,
        AgeBand::From13To15,
        AgeBand::From16To17,
        AgeBand::From18,
    ];
    for age_band in bands {
        let record = ConsentRecord { age_band, ..record() };
        assert!(read_back(&record) == Some(record));
    }
    for status in [
        ConsentStatus::NotAsked,
        ConsentStatus::Granted,
        ConsentStatus::Denied,
        ConsentStatus::Withdrawn,
    ] {
        let mut record = record();
        record.decisions.get_mut("a").unwrap().status = status;
        assert!(read_back(&record) == Some(record));
    }
    let bare = ConsentRecord {
        decisions: [].into(),
        guardian: None,
        double_opt_in_at: None,
        opt_out_signal_at: None,
        receipt_id: None,
        ..record()
    };
    assert!(read_back(&bare) == Some(bare));
}

#[test]
fn apache_avro_writes_what_is_read() {
    let record = record();
    let json = serde_json::to_value(&record).unwrap();
    let value = encode_by_apache_avro(SchemaName::ConsentRecord, &json);
    let reading = consent_reader().read(&inbound("subject-1", Some(&value)), false, None);
    let ConsentReading::Record(read) = reading else { panic!("is a record") };
    assert!(*read == record);

    let contract = contract();
    let case = &contract["records"]["cases"][1];
    let theirs = encode_by_apache_avro(SchemaName::ConsentRecord, &case["json"]);
    assert_eq!(to_hex(&theirs), text(&case["hex"]));
}

#[test]
fn a_null_value_erases_and_a_heartbeat_does_not() {
    assert_eq!(read(&inbound("subject-1", None)), Kind::Erasure);
    for partition in 0..2 {
        let no_text = Inbound { partition, key: Some(b"subject-\xff"), payload: None };
        assert_eq!(read(&no_text), Kind::DeadLettered(DeadLetterReason::InvalidField));
    }
    let heartbeat = |partition, key: &'static str, payload| Inbound {
        partition,
        key: Some(key.as_bytes()),
        payload,
    };
    let reader = consent_reader();
    for source in [None, Some("onetrust")] {
        let inbound = heartbeat(3, "__assent_heartbeat_3", None);
        let expected = Kind::Heartbeat(source.map(str::to_owned));
        assert_eq!(kind(&reader.read(&inbound, false, source)), expected);
    }
    for (partition, key, payload) in [
        (4, "__assent_heartbeat_3", None),
        (3, "__assent_heartbeat_03", None),
        (3, "__assent_heartbeat_3", Some(&b""[..])),
        (3, "__assent_heartbeat_", None),
        (3, "__assent_canary", None),
        (3, "__assent_", Some(b"x")),
    ] {
        assert_eq!(read(&heartbeat(partition, key, payload)), Kind::DeadLettered(WrongKey));
    }
}

#[test]
fn the_canary_of_its_own_partition_is_read_and_nothing_else_of_that_name() {
    let now = Timestamp(1_795_302_000_000);
    let of = |partition, key: &str, record: &ConsentRecord| {
        let value = encode_consent(record);
        read(&Inbound { partition, key: Some(key.as_bytes()), payload: Some(&value) })
    };
    let opt_in = canary::opt_in(3, now, Span::HOUR);
    let own = "__assent_canary_3";
    assert_eq!(of(3, own, &opt_in), Kind::Record);
    assert_eq!(of(3, own, &canary::opt_out(3, now)), Kind::Record);
    assert_eq!(of(2, own, &opt_in), Kind::DeadLettered(WrongKey));
    assert_eq!(of(3, own, &canary::opt_in(4, now, Span::HOUR)), Kind::DeadLettered(WrongKey));
    assert_eq!(of(3, "__assent_canary_03", &opt_in), Kind::DeadLettered(WrongKey));
    let adult = ConsentRecord { age_band: AgeBand::From18, ..opt_in.clone() };
    assert_eq!(of(3, own, &adult), Kind::DeadLettered(InvalidField));
    let mut with_more = opt_in;
    with_more.decisions.insert("offers".to_owned(), decision(1));
    assert_eq!(of(3, own, &with_more), Kind::DeadLettered(InvalidField));
    for payload in [None, Some(&b"no Avro"[..])] {
        let inbound = Inbound { partition: 3, key: Some(own.as_bytes()), payload };
        assert!(matches!(read(&inbound), Kind::DeadLettered(_)), "it withholds nobody");
    }
}

#[test]
fn nobody_else_can_agree_to_be_the_canary() {
    let mut record = record();
    record.decisions.insert("canary".to_owned(), decision(1));
    let value = encode_consent(&record);
    let inbound = inbound("subject-1", Some(&value));
    let reading = consent_reader().read(&inbound, false, None);
    let ConsentReading::Record(read) = reading else { panic!("{:?}", kind(&reading)) };
    assert_eq!(read.decisions.keys().collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn a_key_that_can_be_no_subject_is_a_dead_letter() {
    let long = "x".repeat(513);
    for key in [None, Some(&b""[..]), Some(long.as_bytes())] {
        let inbound = Inbound { partition: 0, key, payload: None };
        assert_eq!(read(&inbound), Kind::DeadLettered(InvalidField));
    }
}

#[test]
fn a_misplaced_record_is_forwarded_once() {
    let value = encode_consent(&record());
    for payload in [None, Some(&value[..]), Some(b"nonsense")] {
        let inbound = Inbound { partition: 0, ..inbound("subject-1", payload) };
        assert_eq!(read(&inbound), Kind::Forwarded);
        let again = consent_reader().read(&inbound, true, None);
        assert_eq!(kind(&again), Kind::DeadLettered(WrongPartition));
    }
    let arrived = consent_reader().read(&inbound("subject-1", Some(&value)), true, None);
    assert_eq!(kind(&arrived), Kind::Record);
}

#[test]
fn what_is_no_record_of_its_key_makes_the_subject_unreadable() {
    let good = encode_consent(&record());
    let mut trailing = good.clone();
    trailing.push(0);
    let mut other_schema = good.clone();
    other_schema[2] ^= 1;
    for (payload, expected) in [
        (&good[..good.len() - 1], Undecodable),
        (&trailing, Undecodable),
        (b"", Undecodable),
        (b"{}", Undecodable),
        (&other_schema, UnknownSchema),
        (&[0, 0, 0, 0, 1, 2], UnknownSchema),
    ] {
        let inbound = inbound("subject-1", Some(payload));
        assert_eq!(read(&inbound), Kind::Unreadable(expected));
    }
    assert_eq!(read(&inbound("subject-2", Some(&good))), Kind::Unreadable(WrongKey));
    let key = b"\xff\xfe";
    let partition = Partitioner::Murmur2.partition(key, COUNT);
    let not_text = Inbound { partition, key: Some(key), payload: Some(&good) };
    assert_eq!(read(&not_text), Kind::Unreadable(WrongKey));
}

/// A record of `subject-1` whose `decisions` map is what `put_map` writes.
fn with_map(put_map: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut body = Vec::new();
    body.put_string("subject-1");
    body.put_long(1); // version
    body.put_long(2); // recorded_at
    body.put_long(0); // age_band
    put_map(&mut body);
    for _ in 0..3 {
        body.put_long(0); // guardian, double_opt_in_at, opt_out_signal_at
    }
    body.put_string("cli");
    body.put_long(0); // receipt_id
    frame(SchemaName::ConsentRecord, &body)
}

fn put_decision(body: &mut Vec<u8>, purpose: &str, status: i64) {
    body.put_string(purpose);
    body.put_long(status);
    body.put_long(3); // since
    body.put_long(0);
    body.put_long(0);
}

#[test]
fn map_blocks_of_any_shape_are_read_and_hostile_ones_refused() {
    let blocks = with_map(|body| {
        body.put_long(1);
        put_decision(body, "a", 1);
        body.put_long(-1); // with its size in bytes
        body.put_long(6);
        put_decision(body, "b", 2);
        body.put_long(0);
    });
    let reading = consent_reader().read(&inbound("subject-1", Some(&blocks)), false, None);
    let ConsentReading::Record(record) = reading else { panic!("is a record") };
    assert_eq!(record.decisions["a"].status, ConsentStatus::Granted);
    assert_eq!(record.decisions["b"].status, ConsentStatus::Denied);

    let refused = |value: Vec<u8>| {
        let inbound = inbound("subject-1", Some(&value));
        assert_eq!(read(&inbound), Kind::Unreadable(Undecodable));
    };
    for count in [1, 257, 1 << 40, i64::MAX, i64::MIN, -1, -257] {
        refused(with_map(|body| body.put_long(count)));
    }
    refused(with_map(|body| {
        body.put_long(1);
        put_decision(body, "a", 9); // no such status
        body.put_long(0);
    }));
    refused(with_map(|body| {
        body.put_long(1);
        body.put_long(i64::MAX); // length of a purpose
    }));
}

#[test]
fn a_purpose_named_twice_is_refused() {
    for (first, second) in [(1, 2), (2, 1), (1, 1)] {
        let value = with_map(|body| {
            body.put_long(2);
            put_decision(body, "a", first);
            put_decision(body, "a", second);
            body.put_long(0);
        });
        let inbound = inbound("subject-1", Some(&value));
        assert_eq!(read(&inbound), Kind::Unreadable(Undecodable));
    }
}

#[test]
fn as_many_decisions_as_are_allowed_and_no_more() {
    for (count, readable) in [(256, true), (257, false)] {
        let decisions = (0..count).map(|n| (format!("p{n}"), decision(n))).collect();
        let record = ConsentRecord { decisions, ..record() };
        assert_eq!(read_back(&record).is_some(), readable, "{count}");
    }
}
