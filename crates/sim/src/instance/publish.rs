//! What a batch wants written, as records of the simulated log: as `pipeline::publish` makes them.

use crate::log::{Record, Topic};
use crate::stage::{GROUP, PURPOSES};
use crate::workload::partition_of;
use assent_contract::domain::audit::chain;
use assent_contract::domain::dead_letter::DeadLetter;
use assent_contract::wire::{SchemaName, frame};
use assent_core::engine::output::{DeadLetterNote, InputTopic, Output};

/// Names of the two inputs, in dead letters.
pub const CLICKSTREAM: &str = "clickstream";
pub const CONSENT: &str = "consent-changelog";

pub fn record(partition: i32, purposes: &[String], output: &Output) -> ((Topic, i32), Record) {
    let of_purpose = |purpose: u16| {
        let name = &purposes[usize::from(purpose)];
        let place = PURPOSES.iter().position(|it| it == name).expect("a purpose of the stage");
        Topic::Segments(place as u8)
    };
    match output {
        Output::Assignment { purpose, pseudonym, body } => {
            let value = frame(SchemaName::SegmentAssignment, body);
            keyed(of_purpose(*purpose), pseudonym, Some(value))
        }
        Output::Tombstone { purpose, pseudonym, reason, decided_at } => {
            let (place, mut record) = keyed(of_purpose(*purpose), pseudonym, None);
            record.headers.push(("reason", reason.label().to_owned()));
            record.headers.push(("decided_at", decided_at.to_string()));
            (place, record)
        }
        Output::Contextual { session_token, body } => {
            let value = frame(SchemaName::ContextualSegment, body);
            keyed(Topic::Contextual, session_token, Some(value))
        }
        Output::DeadLetter(note) => {
            let letter = letter(partition, note);
            let mut body = Vec::new();
            letter.encode(&mut body);
            let key = note.last.map_or_else(|| letter.key(), |last| letter.range_key(last));
            keyed(Topic::DeadLetters, &key, Some(frame(SchemaName::DeadLetter, &body)))
        }
        Output::Audit { body } => {
            let key = chain::name(GROUP, partition).into_bytes();
            let value = Some(frame(SchemaName::AuditBatch, body));
            ((Topic::Audit, partition), Record { key: Some(key), value, headers: Vec::new() })
        }
        Output::State { key, value } => {
            let record =
                Record { key: Some(key.clone()), value: value.clone(), headers: Vec::new() };
            ((Topic::State, partition), record)
        }
    }
}

fn keyed(topic: Topic, key: &str, value: Option<Vec<u8>>) -> ((Topic, i32), Record) {
    let key = key.as_bytes().to_vec();
    ((topic, partition_of(&key)), Record { key: Some(key), value, headers: Vec::new() })
}

fn letter(partition: i32, note: &DeadLetterNote) -> DeadLetter {
    let topic = match note.topic {
        InputTopic::Clickstream => CLICKSTREAM,
        InputTopic::Consent => CONSENT,
    };
    DeadLetter {
        reason: note.reason,
        topic: topic.to_owned(),
        partition,
        offset: note.offset,
        payload_sha256: note.payload_sha256,
        failed_at: note.failed_at,
        detail: note.detail.clone(),
    }
}
