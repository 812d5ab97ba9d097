//! INV-6 and INV-7: no raw identifier in anything written, committed or not; no token that two
//! purposes, or two people, share.

use std::collections::BTreeMap;

use super::Findings;
use crate::domain::invariants::Invariant;
use crate::sim::log::{Log, Record, Topic};
use crate::sim::stage::{PURPOSES, SUBJECTS, Stage};

/// Every raw identifier of the stage has it, and nothing else does.
const MARK: u8 = b'~';

pub fn check(log: &Log, stage: &Stage, findings: &mut Findings) {
    let outputs = log.topics().filter(|it| !matches!(it.0, Topic::Clicks | Topic::Consent));
    for (topic, partition, records) in outputs {
        for (offset, stored) in records.iter().enumerate() {
            if holds_identifier(&stored.record) {
                let detail = format!("{topic:?}/{partition}/{offset} holds a raw identifier");
                findings.of_run(Invariant::Pseudonymous, detail);
            }
        }
    }
    let mut owners: BTreeMap<String, (usize, &str)> = BTreeMap::new();
    for keys in &stage.keys {
        for place in 0..PURPOSES.len() {
            for subject in SUBJECTS {
                let pseudonym = keys.pseudonym(place, subject.as_bytes()).text();
                let owner = owners.insert(pseudonym, (place, subject));
                if owner.is_some_and(|owner| owner != (place, subject)) {
                    findings.of_run(Invariant::Unlinkable, "two share a pseudonym");
                }
            }
        }
    }
}

fn holds_identifier(record: &Record) -> bool {
    let marked = |bytes: &[u8]| {
        let mut places = bytes.iter().enumerate().filter(|it| *it.1 == MARK).map(|it| it.0);
        places.any(|at| bytes[..at].ends_with(b"person") || bytes[..at].ends_with(b"visit"))
    };
    let values = [&record.key, &record.value].into_iter().flatten();
    values.map(Vec::as_slice).any(marked)
        || record.headers.iter().any(|header| marked(header.1.as_bytes()))
}
