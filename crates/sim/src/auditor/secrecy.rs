//! INV-6 and INV-7, in everything that was written, committed or not: no raw identifier; no pseudonym
//! in two purposes, no session token on two days.

use std::collections::BTreeMap;

use super::Findings;
use crate::log::{Log, Record, Topic};
use assent_contract::domain::invariants::Invariant;
use assent_contract::domain::time::Span;
use assent_contract::wire::{KnownSchemas, decode_contextual};

/// Every raw identifier of the stage has it, and nothing else does.
const MARK: u8 = b'~';

/// Where a token may stand, and nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Home {
    /// By the purpose's place.
    Purpose(u8),
    /// By the day since the epoch, in UTC.
    Day(i64),
}

pub fn check(log: &Log, findings: &mut Findings) {
    let mut homes: BTreeMap<&[u8], Home> = BTreeMap::new();
    let outputs = log.topics().filter(|it| !matches!(it.0, Topic::Clicks | Topic::Consent));
    for (topic, partition, records) in outputs {
        for (offset, stored) in records.iter().enumerate().filter(|it| !it.1.is_control) {
            if holds_identifier(&stored.record) {
                let detail = format!("{topic:?}/{partition}/{offset} holds a raw identifier");
                findings.of_run(Invariant::Pseudonymous, detail);
            }
            let key = stored.record.key.as_deref().unwrap_or_default();
            let Some(home) = home(topic, &stored.record) else { continue };
            let first = *homes.entry(key).or_insert(home);
            if first != home {
                let detail =
                    format!("{topic:?}/{partition}/{offset}: a token of {home:?} and of {first:?}");
                findings.of_run(Invariant::Unlinkable, detail);
            }
        }
    }
}

fn home(topic: Topic, record: &Record) -> Option<Home> {
    match topic {
        Topic::Segments(place) => Some(Home::Purpose(place)),
        Topic::Contextual => {
            let value = record.value.as_deref().unwrap_or_default();
            let page = decode_contextual(value, &KnownSchemas::none()).ok()?;
            Some(Home::Day(page.occurred_at.0.div_euclid(Span::DAY.0)))
        }
        _ => None,
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
