//! Outputs whose form is closed: nothing but tokens, the rulebook's own names and numbers may stand in
//! them, so a raw identifier has nowhere to hide (INV-6).

use super::Rulebooks;
use super::finding::{Findings, Unchecked};
use super::inputs::Record;
use super::letters;
use assent_contract::domain::invariants::Invariant;
use assent_contract::domain::pseudonym::Pseudonym;
use assent_contract::wire::decode_contextual;

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
        let detail = "the key is not a session token: it may be a raw identifier";
        return findings.violation(Invariant::Pseudonymous, place, detail);
    };
    let value = record.value.as_deref().map(|value| decode_contextual(value, &record.known));
    let Some(Ok(value)) = value else {
        let detail = "not a ContextualSegment, so Assent did not write it";
        return findings.violation(Invariant::Atomic, place, detail);
    };
    if value.session_token != token.text() {
        let detail = "session_token differs from the key: it may be a raw identifier";
        findings.violation(Invariant::Pseudonymous, place, detail);
    }
    if !rulebooks.has_version(&value.rulebook) {
        // It may have come after the state was read, or the state was lost.
        findings.unchecked(Unchecked::RulebookUnknown, 1);
    } else if !value.segments.iter().all(|segment| rulebooks.has_contextual(segment)) {
        let detail = "names a segment that is in no rulebook: it may be a raw identifier";
        findings.violation(Invariant::Pseudonymous, place, detail);
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
        let detail = "not a DeadLetter, so Assent did not write it";
        return findings.violation(Invariant::Atomic, place, detail);
    };
    let names_an_input = inputs.contains(&letter.topic.as_str());
    let key = record.key.as_deref().unwrap_or_default();
    let names_one = key == letter.key().as_bytes() || letter.last_offset(key).is_some();
    if !names_an_input || !names_one {
        let detail = "key and value don't name the same record or batch of an input: they may contain a \
                      raw identifier";
        findings.violation(Invariant::Pseudonymous, place, detail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assent_contract::domain::segment::encode_contextual;
    use assent_contract::domain::time::Timestamp;
    use assent_contract::wire::{SchemaName, frame};

    fn found(rulebook: &str, segment: &str) -> Findings {
        let text = include_str!("../../../rules/children-retail.yaml");
        let mut rulebooks = Rulebooks::default();
        rulebooks.add(assent_contract::rulebook::compile(text.as_bytes()).unwrap());
        let (key, mut body) = (Pseudonym([1; 17]).text(), Vec::new());
        encode_contextual(&key, &[segment], Timestamp(0), rulebook, &mut body);
        let value = Some(frame(SchemaName::ContextualSegment, &body));
        let record = Record { key: Some(key.into()), value, ..Record::default() };
        let mut findings = Findings::default();
        check_contextual(&record, ("contextual", 0), &rulebooks, &mut findings);
        findings
    }

    #[test]
    fn segments_are_judged_by_the_rulebooks_that_are_known() {
        let strange = found("2026-11-22", "family-000042");
        assert_eq!(strange.violations().len(), 1);
        assert!(strange.notes().is_empty());
        let later = found("later", "of-a-later-rulebook");
        assert!(later.is_clean(), "{later:?}");
        assert_eq!(later.notes().len(), 1);
    }
}
