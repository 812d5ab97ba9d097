//! What Assent writes, of any content: read back as it was, and by apache-avro to the same bytes.

use apache_avro::reader::datum::GenericDatumReader;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::domain::ack::ReaderAck;
use crate::domain::audit::access::{AuditAccess, AuditCommand};
use crate::domain::audit::{AuditBatch, AuditEntry, Change, Effect};
use crate::domain::dead_letter::DeadLetter;
use crate::domain::outcome::{
    Basis, DeadLetterReason, InputKind, Outcome, TombstoneReason, Verdict,
};
use crate::domain::request::{PrivacyRequest, RequestKind, RequestStatus};
use crate::domain::segment::{AssignmentBody, SegmentAssignment, encode_contextual};
use crate::domain::time::Timestamp;

/// apache-avro reads the whole body by the schema, and writes the same bytes.
fn is_avro(name: SchemaName, body: &[u8]) -> Result<(), TestCaseError> {
    let schema = apache_avro::Schema::parse_str(name.json()).unwrap();
    let reader = GenericDatumReader::builder(&schema).build().unwrap();
    let mut rest = body;
    let value = reader.read_value(&mut rest).map_err(|e| TestCaseError::fail(e.to_string()))?;
    prop_assert!(rest.is_empty(), "bytes are left");
    let written =
        GenericDatumWriter::builder(&schema).build().unwrap().write_value_to_vec(value).unwrap();
    prop_assert_eq!(to_hex(&written), to_hex(body));
    Ok(())
}

fn request() -> impl Strategy<Value = PrivacyRequest> {
    let words = (text(), text(), text(), option::of(text()), option::of(text()));
    let times = (time(), option::of(time()), option::of(any::<i64>()));
    let kinds = (select(RequestKind::ALL.to_vec()), select(RequestStatus::ALL.to_vec()));
    (words, times, kinds, option::of(any::<[u8; 17]>())).prop_map(
        |((request_id, scope, manner, chain, basis_of_denial), times, (kind, status), subject)| {
            let (received_at, honored_at, sequence) = times;
            PrivacyRequest {
                request_id,
                kind,
                scope,
                manner,
                subject,
                received_at,
                status,
                honored_at,
                chain,
                sequence,
                basis_of_denial,
            }
        },
    )
}

fn text() -> impl Strategy<Value = String> {
    "\\PC{0,12}"
}

fn time() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp)
}

fn effect() -> impl Strategy<Value = Effect> {
    let removed = select(Verdict::ALL.to_vec())
        .prop_map(|verdict| Change::Removed(TombstoneReason::Withheld(verdict).label().into()));
    let change = prop_oneof![any::<[u8; 32]>().prop_map(Change::Assigned), removed];
    (any::<u16>(), any::<u8>(), change).prop_map(|(purpose, key_version, change)| Effect {
        purpose,
        key_version,
        change,
    })
}

fn entry() -> impl Strategy<Value = AuditEntry> {
    let kinds = [InputKind::Click, InputKind::Consent, InputKind::Timer, InputKind::Upkeep];
    let input = (select(kinds.to_vec()), option::of(any::<i64>()), select(Outcome::ALL.to_vec()));
    let verdicts = vec(select(Verdict::ALL.to_vec()), 0..4);
    let subject = (option::of(any::<[u8; 17]>()), option::of(any::<i64>()));
    (input, subject, verdicts, vec(effect(), 0..4)).prop_map(
        |((input, offset, outcome), (subject, consent_version), verdicts, effects)| AuditEntry {
            input,
            offset,
            outcome,
            subject,
            consent_version,
            verdicts,
            effects,
        },
    )
}

pub(super) fn batch() -> impl Strategy<Value = AuditBatch> {
    let names = (text(), text(), vec(text(), 0..4));
    let hashes = (any::<[u8; 32]>(), any::<[u8; 32]>());
    let numbers = (any::<[i64; 6]>(), time(), any::<u8>(), any::<bool>());
    (names, hashes, numbers, vec(entry(), 0..5)).prop_map(|(names, hashes, numbers, entries)| {
        let [sequence, click_from, click_to, consent_from, consent_to, barrier] = numbers.0;
        AuditBatch {
            chain: names.0,
            sequence,
            previous: hashes.0,
            decided_at: numbers.1,
            rulebook: names.1,
            rulebook_sha256: hashes.1,
            key_version: numbers.2,
            click_from,
            click_to,
            consent_from,
            consent_to,
            barrier,
            gate_open: numbers.3,
            purposes: names.2,
            entries,
        }
    })
}

proptest! {
    #[test]
    fn privacy_requests_survive(request in request()) {
        let body = request.body();
        is_avro(SchemaName::PrivacyRequest, &body)?;
        let value = frame(SchemaName::PrivacyRequest, &body);
        prop_assert_eq!(decode_privacy_request(&value, &KnownSchemas::none()), Ok(request));
        let longer = [&value[..], &[0]].concat();
        prop_assert!(decode_privacy_request(&longer, &KnownSchemas::none()).is_err());
    }

    #[test]
    fn what_readers_acknowledge_survives(offset in any::<i64>(), at in time()) {
        let ack = ReaderAck { offset, at };
        is_avro(SchemaName::ReaderAck, &ack.body())?;
        let value = frame(SchemaName::ReaderAck, &ack.body());
        prop_assert_eq!(decode_reader_ack(&value, &KnownSchemas::none()), Ok(ack));
        let longer = [&value[..], &[0]].concat();
        prop_assert!(decode_reader_ack(&longer, &KnownSchemas::none()).is_err());
    }

    #[test]
    fn questions_to_the_audit_survive(
        times in (time(), option::of(any::<i64>())),
        texts in (text(), text(), option::of(text())),
        command in select(AuditCommand::ALL.to_vec()),
        subject in option::of(any::<[u8; 17]>()),
    ) {
        let ((at, rows), (operator, filter, reason)) = (times, texts);
        let asked = AuditAccess { at, operator, command, subject, filter, rows, reason };
        let body = asked.body();
        is_avro(SchemaName::AuditAccess, &body)?;
        let value = frame(SchemaName::AuditAccess, &body);
        prop_assert_eq!(decode_audit_access(&value, &KnownSchemas::none()), Ok(asked));
    }

    #[test]
    fn audit_batches(batch in batch()) {
        let mut body = Vec::new();
        batch.encode(&mut body);
        is_avro(SchemaName::AuditBatch, &body)?;
        let read = decode_audit_batch(&frame(SchemaName::AuditBatch, &body), &KnownSchemas::none());
        prop_assert_eq!(read.ok(), Some(batch));
    }

    #[test]
    fn dead_letters(
        reason in select(DeadLetterReason::ALL.to_vec()),
        texts in (text(), text()),
        place in (any::<i32>(), any::<i64>()),
        payload_sha256 in option::of(any::<[u8; 32]>()),
        failed_at in time(),
    ) {
        let (topic, detail) = texts;
        let (partition, offset) = place;
        let letter =
            DeadLetter { reason, topic, partition, offset, payload_sha256, failed_at, detail };
        let mut body = Vec::new();
        letter.encode(&mut body);
        is_avro(SchemaName::DeadLetter, &body)?;
        prop_assert_eq!(decode_dead_letter(&frame(SchemaName::DeadLetter, &body), &KnownSchemas::none()).ok(), Some(letter));
    }

    #[test]
    fn assignments(
        texts in (text(), text(), text()),
        segments in vec(text(), 0..4),
        basis in select(Basis::ALL.to_vec()),
        times in (time(), time()),
    ) {
        let borrowed: Vec<&str> = segments.iter().map(String::as_str).collect();
        let mut body = Vec::new();
        AssignmentBody {
            pseudonym: &texts.0,
            purpose: &texts.1,
            segments: &borrowed,
            basis,
            decided_at: times.0,
            expires_at: times.1,
            rulebook: &texts.2,
        }
        .encode(&mut body);
        is_avro(SchemaName::SegmentAssignment, &body)?;
        let read = decode_assignment(&frame(SchemaName::SegmentAssignment, &body), &KnownSchemas::none()).ok();
        let (pseudonym, purpose, rulebook) = texts;
        let (decided_at, expires_at) = times;
        prop_assert_eq!(read, Some(SegmentAssignment {
            pseudonym, purpose, segments, basis, decided_at, expires_at, rulebook,
        }));
    }

    #[test]
    fn contextual_segments(texts in (text(), text()), segments in vec(text(), 0..4), at in time()) {
        let borrowed: Vec<&str> = segments.iter().map(String::as_str).collect();
        let mut body = Vec::new();
        encode_contextual(&texts.0, &borrowed, at, &texts.1, &mut body);
        is_avro(SchemaName::ContextualSegment, &body)?;
        let read = decode_contextual(&frame(SchemaName::ContextualSegment, &body), &KnownSchemas::none()).ok();
        let read = read.expect("is read");
        prop_assert_eq!((read.session_token, read.segments), (texts.0, segments));
        prop_assert_eq!((read.occurred_at, read.rulebook), (at, texts.1));
    }
}
