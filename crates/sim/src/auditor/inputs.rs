//! What was on the input topics, decoded, whether it is still there or not.

use std::collections::BTreeMap;

use super::Findings;
use super::parts::{Part, is_loss};
use crate::log::{Log, Stored, Topic, dead_clicks};
use crate::stage::{PARTITIONER, PARTITIONS};
use assent_contract::domain::event::ClickFields;
use assent_contract::domain::invariants::Invariant;
use assent_contract::domain::outcome::{InputKind, Outcome};
use assent_contract::wire::{
    ClickReader, ConsentReader, ConsentReading, Inbound, KnownSchemas, Unread,
};
use assent_core::engine::input::{ClickInput, ConsentInput};

pub struct Inputs<'a> {
    pub consent: BTreeMap<i64, (&'a Stored, ConsentReading)>,
    /// Every field decoded, whatever a rule reads.
    pub clicks: BTreeMap<i64, (&'a Stored, ClickInput<'a>)>,
}

impl<'a> Inputs<'a> {
    pub fn of(log: &'a Log, partition: i32, known: &KnownSchemas) -> Self {
        let clicks = ClickReader::new(ClickFields::ALL, PARTITIONER, PARTITIONS);
        let consent = ConsentReader::new(PARTITIONER, PARTITIONS);
        let of = |topic| {
            let all = log.get(topic, partition).iter().enumerate();
            all.filter(|(_, stored)| log.is_committed(stored))
        };
        // Consent of a damaged batch is no input: a person accepted its loss, or nobody got past it.
        let readable = of(Topic::Consent).filter(|(_, stored)| stored.damaged.is_none());
        Self {
            consent: readable
                .map(|(offset, stored)| {
                    (offset as i64, (stored, read_consent((&consent, known), partition, stored)))
                })
                .collect(),
            clicks: of(Topic::Clicks)
                .map(|(offset, stored)| {
                    let input = click((&clicks, known), partition, offset as i64, stored);
                    (offset as i64, (stored, input))
                })
                .collect(),
        }
    }

    pub fn consent_input(&self, offset: i64) -> Option<ConsentInput<'_>> {
        let (stored, reading) = self.consent.get(&offset)?;
        Some(ConsentInput {
            offset,
            append_time: stored.appended_at,
            key: stored.record.key.as_deref().unwrap_or_default(),
            payload: stored.record.value.as_deref(),
            body: reading.body(),
        })
    }

    /// INV-8: a loss that was accepted covers what nobody could read, and nothing else; no other batch does.
    pub fn check_lost(
        &self,
        log: &Log,
        partition: i32,
        parts: &[Part<'_>],
        findings: &mut Findings,
    ) {
        for part in parts {
            let batch = &part.batch;
            let was_there =
                |stored: &Stored| stored.removed.is_none_or(|it| Some(it) > written(part));
            let ever_there = log.get(Topic::Consent, partition).iter().enumerate();
            let lay_there = ever_there.filter(|(_, stored)| was_there(stored));
            let mut damaged = lay_there.filter(|(_, stored)| stored.damaged.is_some());
            let covered = batch.consent_from..batch.consent_to;
            let passed = damaged.find(|(offset, _)| covered.contains(&(*offset as i64)));
            if let Some((offset, _)) = passed.filter(|_| !is_loss(batch)) {
                let detail = format!("consent {offset} can't be read, and was passed over");
                findings.add(Invariant::Accounted, partition, detail);
            }
            if !is_loss(batch) {
                continue;
            }
            // Where it is read again from its beginning, nothing is passed over.
            let to = batch.consent_to.max(batch.consent_from);
            let mut passed_over = self.consent.range(batch.consent_from..to);
            if let Some((offset, _)) = passed_over.find(|(_, (stored, _))| was_there(stored)) {
                let detail = format!("consent {offset} counts as lost, and can be read");
                findings.add(Invariant::Accounted, partition, detail);
            }
            if batch.click_from != batch.click_to {
                findings.add(Invariant::Accounted, partition, "clicks went with lost consent");
            }
        }
    }

    /// One letter stands for all clicks of a damaged batch.
    pub fn has_letter(&self, offset: i64) -> bool {
        let damaged = self.clicks.get(&offset).and_then(|(stored, _)| stored.damaged);
        damaged.is_none_or(|(first, _)| first == offset)
    }

    /// INV-8: every input has one outcome, in the order of the offsets; nothing else has any. Only consent
    /// that a later record of its key superseded may have gone before anyone read it, and an erasure before
    /// anything was decided. Behind a loss that was accepted consent goes on, or is read again: each reading
    /// is held to it, the last one to the end.
    pub fn check_accounted(
        &self,
        partition: i32,
        parts: &[Part<'_>],
        came_to_rest: bool,
        findings: &mut Findings,
    ) {
        let mut losses = parts.iter().filter(|part| is_loss(&part.batch));
        let readings: Vec<&[Part<'_>]> = parts.split(|part| is_loss(&part.batch)).collect();
        // Whoever was erased before anything was decided was nobody.
        let (mut from, mut gone_by) = (0, parts.first().and_then(written));
        for (place, reading) in readings.iter().enumerate() {
            let is_whole = place + 1 == readings.len() && came_to_rest;
            self.check_reading(partition, reading, (from, gone_by, is_whole), findings);
            let Some(loss) = losses.next() else { break };
            let is_read_again = loss.batch.consent_to <= loss.batch.consent_from;
            from = loss.batch.consent_to;
            gone_by = gone_by.max(written(loss).filter(|_| is_read_again));
        }
        let decided = decided(parts, InputKind::Click);
        let clicks = self.clicks.keys().map(|&offset| (offset, false)).collect();
        check_all(("click", partition), &decided, clicks, came_to_rest, findings);
    }

    /// `gone_by`: what was gone by then is accepted as lost.
    fn check_reading(
        &self,
        partition: i32,
        parts: &[Part<'_>],
        (from, gone_by, is_whole): (i64, Option<u64>, bool),
        findings: &mut Findings,
    ) {
        let consent = self.consent.range(from..).map(|(&offset, (stored, reading))| {
            let is_heartbeat = matches!(reading, ConsentReading::Heartbeat { .. });
            let was_gone = stored.removed.is_some_and(|at| {
                Some(at) < gone_by
                    || (self.was_superseded(offset, stored, at) && was_gone(parts, offset, at))
            });
            (offset, is_heartbeat || was_gone)
        });
        let consent = consent.collect();
        let decided = decided(parts, InputKind::Consent);
        check_all(("consent", partition), &decided, consent, is_whole, findings);
    }

    /// Did a later record of its key lie there when it was taken?
    fn was_superseded(&self, offset: i64, stored: &Stored, removed: u64) -> bool {
        let mut later = self.consent.range(offset + 1..).map(|(_, (later, _))| *later);
        later.any(|it| it.record.key == stored.record.key && it.order < removed)
    }
}

/// When its first record was appended.
fn written(part: &Part<'_>) -> Option<u64> {
    part.records.first().map(|it| it.stored.order)
}

fn decided(parts: &[Part<'_>], kind: InputKind) -> Vec<i64> {
    let entries = parts.iter().flat_map(|part| &part.batch.entries);
    entries.filter(|it| it.input == kind).filter_map(|it| it.offset).collect()
}

/// `expected`: with each, whether it may have gone unread.
fn check_all(
    (name, partition): (&str, i32),
    decided: &[i64],
    expected: Vec<(i64, bool)>,
    is_whole: bool,
    findings: &mut Findings,
) {
    let mut add = |detail| findings.add(Invariant::Accounted, partition, detail);
    if !decided.is_sorted_by(|one, other| one < other) {
        add(format!("{name}: outcomes out of order or twice: {decided:?}"));
    }
    for offset in decided {
        if !expected.iter().any(|(it, _)| it == offset) {
            add(format!("{name} {offset}: an outcome of what is no input"));
        }
    }
    let end = if is_whole { i64::MAX } else { decided.last().copied().unwrap_or(-1) };
    for (offset, may_be_missed) in expected {
        if !may_be_missed && offset <= end && !decided.contains(&offset) {
            add(format!("{name} {offset}: no outcome"));
        }
    }
}

/// Had it been taken before what covers it was committed?
fn was_gone(parts: &[Part<'_>], offset: i64, removed: u64) -> bool {
    let covers =
        |part: &&Part<'_>| (part.batch.consent_from..part.batch.consent_to).contains(&offset);
    let last = parts.iter().find(covers).and_then(|part| part.records.last());
    last.is_none_or(|last| removed < last.stored.order)
}

/// INV-8: what was sent on to its right partition has come there.
pub fn check_forwarded(log: &Log, partition: i32, parts: &[Part<'_>], findings: &mut Findings) {
    let entries = parts.iter().flat_map(|part| &part.batch.entries);
    let forwarded = entries.filter(|it| it.outcome == Outcome::Forwarded);
    for offset in forwarded.filter_map(|it| it.offset) {
        let source = format!("consent-changelog/{partition}/{offset}");
        let is_it = |it: &Stored| it.record.headers.iter().any(|header| header.1 == source);
        let partitions = 0..PARTITIONS;
        if !partitions.flat_map(|it| log.get(Topic::Consent, it)).any(is_it) {
            let detail = format!("consent {offset} was not sent on");
            findings.add(Invariant::Accounted, partition, detail);
        }
    }
}

fn read_consent(
    (reader, known): (&ConsentReader, &KnownSchemas),
    partition: i32,
    stored: &Stored,
) -> ConsentReading {
    let record = &stored.record;
    let (key, payload) = (record.key.as_deref(), record.value.as_deref());
    let header = |name: &str| record.headers.iter().find(|header| header.0 == name);
    let is_forwarded = header("assent-forwarded").is_some();
    let source = header("source").map(|header| header.1.as_str());
    reader.read_with(&Inbound { partition, key, payload }, is_forwarded, source, known)
}

pub fn click<'a>(
    (reader, known): (&ClickReader, &KnownSchemas),
    partition: i32,
    offset: i64,
    stored: &'a Stored,
) -> ClickInput<'a> {
    if let Some(batch) = stored.damaged {
        return ClickInput { offset, payload: None, click: Err(dead_clicks(batch).rejection) };
    }
    let (key, payload) = (stored.record.key.as_deref(), stored.record.value.as_deref());
    let read = reader.read_with(&Inbound { partition, key, payload }, known);
    ClickInput { offset, payload, click: read.map_err(Unread::into_rejection) }
}
