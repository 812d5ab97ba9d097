//! Outputs whose form is closed: nothing but tokens, the rulebook's own names and numbers may stand in
//! them, so a raw identifier has nowhere to hide (INV-6).

use super::Rulebooks;
use super::finding::Findings;
use super::inputs::Record;
use super::letters;
use crate::domain::invariants::Invariant;
use crate::domain::pseudonym::Pseudonym;
use crate::wire::decode_contextual;

/// The token that a key is; anything else may be somebody's identifier.
pub fn token_of(key: Option<&[u8]>) -> Option<Pseudonym> {
    Pseudonym::parse(std::str::from_utf8(key?).ok()?)
}

/// A record of `contextual-segments`.
pub fn check_contextual(
    record: &Record,
    (topic, partition): (&str, i32),
    rulebooks: &Rulebooks,
    findings: &mut Findings,
) {
    let place = (topic, partition, record.offset);
    let Some(token) = token_of(record.key.as_deref()) else {
        let detail = "the key is no session token: it may be a raw identifier";
        return findings.violation(Invariant::Pseudonymous, place, detail);
    };
    let value = record.value.as_deref().map(|value| decode_contextual(value, &record.known));
    let Some(Ok(value)) = value else {
        let detail = "no ContextualSegment, so nothing that Assent wrote";
        return findings.violation(Invariant::Atomic, place, detail);
    };
    if value.session_token != token.text() {
        let detail = "session_token is not the key: it may be a raw identifier";
        findings.violation(Invariant::Pseudonymous, place, detail);
    }
    if !value.segments.iter().all(|segment| rulebooks.has_contextual(segment)) {
        let detail = "names a segment that no rulebook has: it may be a raw identifier";
        findings.violation(Invariant::Pseudonymous, place, detail);
    }
    if !rulebooks.has_version(&value.rulebook) {
        let detail = "names a rulebook that never decided";
        findings.violation(Invariant::Atomic, place, detail);
    }
}

/// A record of `segmentation-dead-letters`; `inputs`: the topics that a letter may name.
pub fn check_letter(
    record: &Record,
    (topic, partition): (&str, i32),
    inputs: &[&str],
    findings: &mut Findings,
) {
    let place = (topic, partition, record.offset);
    let Some(letter) = letters::read(record) else {
        let detail = "no DeadLetter, so nothing that Assent wrote";
        return findings.violation(Invariant::Atomic, place, detail);
    };
    let names_an_input = inputs.contains(&letter.topic.as_str());
    if !names_an_input || record.key.as_deref() != Some(letter.key().as_bytes()) {
        let detail =
            "key and value don't name one record of an input: they may hold a raw identifier";
        findings.violation(Invariant::Pseudonymous, place, detail);
    }
}
