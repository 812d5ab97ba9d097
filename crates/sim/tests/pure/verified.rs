//! `verify`'s model on random histories of the engine, through the real codecs: it finds nothing in what
//! the engine wrote, whatever compaction and retention take, and finds what is forged.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use assent_contract::domain::audit::AuditBatch;
use assent_contract::domain::dead_letter::DeadLetter;
use assent_contract::domain::event::ClickEvent;
use assent_contract::domain::outcome::InputKind;
use assent_contract::domain::partitioner::Partitioner;
use assent_contract::domain::pseudonym::{KeyHistory, KeyRing, Keyset, Pseudonym};
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::wire::{
    ClickReader, ConsentReader, SchemaName, encode_click, encode_consent, frame,
};
use assent_core::engine::input::{ClickInput, ConsentInput, Coverage};
use assent_core::engine::output::{InputTopic, Output};
use assent_core::engine::{Partition as Engine, Restore, Setup as EngineSetup};
use assent_verify::{
    Findings, Letters, Partition, Readers, Record, Row, Rulebooks, SegmentPartition, SegmentScope,
    Setup, UNPLACED, Violation,
};
use proptest::prelude::*;

use crate::histories::{Body, Consent, History};
use crate::plans;

pub const SECRET: [u8; 32] = [7; 32];

/// What lies in the topics of one partition.
#[derive(Clone, Default)]
pub struct Logs {
    pub consent: Vec<Record>,
    pub clicks: Vec<Record>,
    pub audit: Vec<Record>,
    /// By purpose.
    segments: BTreeMap<usize, Vec<Record>>,
    letters: Vec<Record>,
    /// The first offset that the clickstream still holds.
    pub first_click: i64,
}

pub fn readers(history: &History) -> Readers {
    Readers {
        clicks: ClickReader::new(history.rulebook.fields, Partitioner::Murmur2, 1),
        consent: ConsentReader::new(Partitioner::Murmur2, 1),
    }
}

fn purposes(history: &History) -> Vec<String> {
    history.rulebook.purposes.iter().map(|it| it.id.clone()).collect()
}

fn engine(history: &History) -> Engine {
    let ids = purposes(history);
    let setup = Arc::new(EngineSetup {
        rulebook: Arc::new(history.rulebook.clone()),
        rulebook_yaml: history.text.as_bytes().into(),
        keys: Arc::new(KeyRing::new(&Keyset::first(SECRET), &ids)),
        group_id: "assent".to_owned(),
        lease: history.lease,
        partitioner: Partitioner::Murmur2,
        input_partitions: 1,
        segment_partitions: ids.into_iter().map(|id| (id, 1)).collect(),
        sources: vec!["cmp".to_owned()],
        made_with: BTreeMap::new(),
        signals_max: history.signals_max,
    });
    let mut engine = Restore::new(0).finish(setup).expect("a fresh partition");
    engine.start_at(7, 3);
    engine
}

fn consent_record(consent: &Consent) -> Record {
    let key = match consent.body {
        Body::Heartbeat => "__assent_heartbeat_0",
        Body::DeadLettered => "",
        _ => consent.subject,
    };
    let value = match &consent.body {
        Body::Record(record) => Some(encode_consent(record)),
        Body::Unreadable | Body::DeadLettered => Some(b"no record".to_vec()),
        Body::Erasure | Body::Heartbeat => None,
    };
    let (offset, timestamp) = (consent.offset, consent.append_time);
    Record { offset, timestamp, key: Some(key.into()), value, ..Record::default() }
}

fn click_record(
    offset: i64,
    click: Option<assent_contract::domain::event::Click<'static>>,
) -> Record {
    let event = click.map(|it| ClickEvent {
        event_id: "e".to_owned(),
        subject_id: it.subject_id.map(str::to_owned),
        session_id: it.session_id.to_owned(),
        occurred_at: it.occurred_at,
        kind: it.kind,
        category: it.category.map(str::to_owned),
        product_id: it.product_id.map(str::to_owned),
        product_age_range: it.product_age_range.map(str::to_owned),
        value_cents: it.value_cents,
        region: it.region.map(str::to_owned),
        gpc: it.gpc,
        gpp: None,
    });
    let key = event.as_ref().map_or("?", ClickEvent::key).as_bytes().to_vec();
    let value = event.as_ref().map_or(b"no click".to_vec(), encode_click);
    Record { offset, key: Some(key), value: Some(value), ..Record::default() }
}

/// What the engine leaves of a history.
pub fn lived(history: &History) -> Logs {
    let (readers, mut engine, mut logs) = (readers(history), engine(history), Logs::default());
    for batch in &history.batches {
        let consent: Vec<Record> = batch.consent.iter().map(consent_record).collect();
        let clicks = batch.clicks.iter().map(|(offset, it)| click_record(*offset, *it));
        let clicks: Vec<Record> = clicks.collect();
        let mut open = engine.begin(batch.wall, batch.gate_open);
        for record in &consent {
            let reading = readers.read_consent(0, record, &record.known);
            open.consent(&ConsentInput {
                offset: record.offset,
                append_time: record.timestamp,
                key: record.key.as_deref().expect("a key"),
                payload: record.value.as_deref(),
                body: reading.body(),
            });
        }
        open.timers();
        for record in &clicks {
            let click = readers.clicks.read(&record.inbound(0));
            let (offset, payload) = (record.offset, record.value.as_deref());
            open.click(&ClickInput { offset, payload, click });
        }
        let (click_to, consent_to) = (batch.click_to, batch.consent_to);
        let (decided, output) =
            open.finish(Coverage { click_to, consent_to, barrier: consent_to, synced: None });
        engine = decided.confirm();
        logs.consent.extend(consent);
        logs.clicks.extend(clicks);
        output.outputs.iter().for_each(|output| logs.write(output));
    }
    logs
}

impl Logs {
    fn write(&mut self, output: &Output) {
        match output {
            Output::Assignment { purpose, pseudonym, body } => {
                let value = Some(frame(SchemaName::SegmentAssignment, body));
                self.append(*purpose, pseudonym, value, Vec::new());
            }
            Output::Tombstone { purpose, pseudonym, reason, decided_at } => {
                let text = |name: &str, it: String| (name.to_owned(), Some(it.into_bytes()));
                let headers = vec![
                    text("reason", reason.label().to_owned()),
                    text("decided_at", decided_at.to_string()),
                ];
                self.append(*purpose, pseudonym, None, headers);
            }
            Output::Audit { body } => self.audit.push(Record {
                offset: self.audit.len() as i64,
                key: Some(b"assent/0".to_vec()),
                value: Some(frame(SchemaName::AuditBatch, body)),
                ..Record::default()
            }),
            Output::DeadLetter(note) => {
                let letter = DeadLetter {
                    reason: note.reason,
                    topic: match note.topic {
                        InputTopic::Clickstream => "clicks".to_owned(),
                        InputTopic::Consent => "consent".to_owned(),
                    },
                    partition: 0,
                    offset: note.offset,
                    payload_sha256: note.payload_sha256,
                    failed_at: note.failed_at,
                    detail: note.detail.clone(),
                };
                let mut body = Vec::new();
                letter.encode(&mut body);
                let value = Some(frame(SchemaName::DeadLetter, &body));
                let offset = self.letters.len() as i64;
                self.letters.push(Record { offset, value, ..Record::default() });
            }
            Output::Contextual { .. } | Output::State { .. } => {}
        }
    }

    fn append(
        &mut self,
        purpose: u16,
        pseudonym: &str,
        value: Option<Vec<u8>>,
        headers: Vec<(String, Option<Vec<u8>>)>,
    ) {
        let records = self.segments.entry(usize::from(purpose)).or_default();
        let offset = records.len() as i64;
        let key = Some(pseudonym.as_bytes().to_vec());
        records.push(Record { offset, key, value, headers, ..Record::default() });
    }

    pub fn batches(&self) -> Vec<AuditBatch> {
        let batch =
            |it: &Record| assent_contract::wire::read_back_audit_batch(it.value.as_ref().unwrap());
        self.audit.iter().map(|it| batch(it).expect("a batch")).collect()
    }

    /// Compaction up to a part of each compacted log, retention of the others.
    pub fn age(&mut self, taken: &Taken) {
        compact(&mut self.consent, taken.consent);
        for records in self.segments.values_mut() {
            compact(records, taken.segments);
        }
        let part = |length: usize, percent: usize| length * percent / 100;
        let clicks = part(self.clicks.len(), taken.clicks);
        self.first_click = self.clicks.get(clicks).map_or(i64::MAX, |it| it.offset);
        self.clicks.drain(..clicks);
        let batches = part(self.audit.len().saturating_sub(1), taken.audit);
        self.audit.drain(..batches);
    }
}

/// The last record of each key stays, of those before the cut.
fn compact(records: &mut Vec<Record>, percent: usize) {
    let cut = records.len() * percent / 100;
    let mut later = BTreeSet::new();
    let mut stays = vec![true; cut];
    for at in (0..cut).rev() {
        stays[at] = later.insert(records[at].key.clone());
    }
    let mut stays = stays.into_iter();
    records.retain(|_| stays.next().unwrap_or(true));
}

/// Percent of each log that is cleaned or gone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Taken {
    consent: usize,
    segments: usize,
    clicks: usize,
    audit: usize,
}

/// What `verify` finds.
fn verify(history: &History, logs: &Logs) -> Vec<Violation> {
    let mut rulebooks = Rulebooks::default();
    rulebooks.add(history.rulebook.clone());
    verify_by(history, logs, &rulebooks, (None, None))
}

/// What the state tells of the chain: its head, and the last loss.
type Told = (Option<(i64, [u8; 32])>, Option<i64>);

fn verify_by(history: &History, logs: &Logs, rulebooks: &Rulebooks, told: Told) -> Vec<Violation> {
    let (readers, purposes) = (readers(history), purposes(history));
    let keys = KeyHistory::new(&Keyset::first(SECRET), &purposes);
    let setup = Setup {
        clickstream: "clicks",
        consent: "consent",
        audit: "audit",
        dead_letters: "letters",
        group_id: "assent",
        purposes: &purposes,
        rulebooks,
        keys: &keys,
        readers: &readers,
    };
    let mut letters = Letters::of("clicks", "consent", 0);
    logs.letters.iter().for_each(|record| letters.take(0, record, false));
    let mut findings = Findings::default();
    let mut rows: Vec<(usize, Pseudonym, Row)> = Vec::new();
    let mut sink =
        |purpose: usize, pseudonym: Pseudonym, row: Row| rows.push((purpose, pseudonym, row));
    let mut partition = Partition::new(&setup, 0, letters, told.0, told.1);
    if logs.audit.first().is_none_or(|it| it.offset == 0) {
        partition.audit_from_start();
    }
    follow(&mut partition, logs, &mut sink, &mut findings);
    let horizons =
        BTreeMap::from([(0, partition.finish(logs.first_click, &mut sink, &mut findings))]);
    let now = logs.batches().last().map_or(Timestamp(0), |batch| batch.decided_at);
    for (at, purpose) in purposes.iter().enumerate() {
        let mut segment = SegmentPartition::new(SegmentScope {
            topic: purpose,
            partition: 0,
            purpose,
            audit: "audit",
            rulebooks,
            keys: &keys,
            horizons: &horizons,
            all: true,
            named_to: i64::MAX,
            now,
            tombstones_kept: Span(30 * Span::DAY.0),
        });
        let records = logs.segments.get(&at).map_or(&[][..], Vec::as_slice);
        for record in records {
            segment.record(record, &mut findings);
        }
        let of_it = rows.iter().filter(|row| row.0 == at);
        for (_, pseudonym, row) in of_it.filter(|row| row.1 != UNPLACED) {
            segment.row(*pseudonym, *row, &mut findings);
        }
        let unplaced = rows.iter().filter(|row| row.0 == at && row.1 == UNPLACED);
        let named: Result<(), ()> = segment.unplaced(|each| {
            unplaced.for_each(|row| each(row.2));
            Ok(())
        });
        assert_eq!(named, Ok(()));
        segment.finish(&mut findings);
    }
    findings.violations().to_vec()
}

fn follow(
    partition: &mut Partition<'_>,
    logs: &Logs,
    sink: &mut dyn FnMut(usize, Pseudonym, Row),
    findings: &mut Findings,
) {
    logs.consent.iter().for_each(|record| partition.register(record));
    let mut consent: VecDeque<Record> = logs.consent.iter().cloned().collect();
    let mut clicks: VecDeque<Record> = logs.clicks.iter().cloned().collect();
    let mut is_first = true;
    for record in &logs.audit {
        let Some(batch) = partition.open(record, findings) else { continue };
        if partition.is_before_loss(&batch) {
            partition.unjudged(record.offset, &batch, sink, findings);
            continue;
        }
        partition.begin(record.offset, &batch, findings);
        for record in below(&mut consent, batch.consent_from) {
            partition.uncovered(InputKind::Consent, record, &batch, findings);
        }
        for record in below(&mut clicks, batch.click_from) {
            if !is_first {
                partition.uncovered(InputKind::Click, record, &batch, findings);
            }
        }
        is_first = false;
        let inputs = (below(&mut consent, batch.consent_to), below(&mut clicks, batch.click_to));
        partition.batch(record.offset, &batch, inputs.0, inputs.1, sink, findings);
    }
}

fn below(records: &mut VecDeque<Record>, offset: i64) -> VecDeque<Record> {
    let count = records.iter().take_while(|it| it.offset < offset).count();
    records.drain(..count).collect()
}

pub fn taken() -> impl Strategy<Value = Taken> {
    let part = || prop_oneof![Just(0usize), 0..101usize, Just(100)];
    (part(), part(), part(), part()).prop_map(|(consent, segments, clicks, audit)| Taken {
        consent,
        segments,
        clicks,
        audit,
    })
}

/// A case runs the codecs, the engine and both passes: a quarter as many as the engine alone has.
pub fn config() -> ProptestConfig {
    let config = crate::engine_against_model::config();
    ProptestConfig { cases: (config.cases / 4).max(1), ..config }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn nothing_is_found_in_what_the_engine_wrote(history in plans::history()) {
        let found = verify(&history, &lived(&history));
        prop_assert!(found.is_empty(), "{found:#?}");
    }

    #[test]
    fn nor_once_compaction_and_retention_took_their_part(
        history in plans::history(),
        taken in taken(),
    ) {
        let mut logs = lived(&history);
        logs.age(&taken);
        let found = verify(&history, &logs);
        prop_assert!(found.is_empty(), "{taken:?}\n{found:#?}");
    }

    #[test]
    fn a_rulebook_that_nobody_kept_is_found(history in plans::history()) {
        let logs = lived(&history);
        prop_assume!(!logs.audit.is_empty());
        let unproven = |rulebooks: &Rulebooks, told: Told| {
            let found = verify_by(&history, &logs, rulebooks, told);
            let of = found.into_iter().filter(|it| it.detail.contains("neither configured nor kept"));
            of.map(|it| (it.invariant, it.offset)).collect::<Vec<_>>()
        };
        let (none, mut uncompiled) = (Rulebooks::default(), Rulebooks::default());
        uncompiled.add_uncompiled(history.rulebook.sha256);
        let (count, first) = (logs.audit.len() as i64, ("INV-9".to_owned(), 0));
        prop_assert_eq!(unproven(&none, (Some((count, [0; 32])), None)), [first.clone()]);
        prop_assert_eq!(unproven(&none, (None, None)), [first], "a state that is gone");
        prop_assert_eq!(unproven(&none, (Some((0, [0; 32])), None)), [], "decided since it was read");
        prop_assert_eq!(unproven(&none, (None, Some(count - 1))), [], "a loss was accepted");
        prop_assert_eq!(unproven(&uncompiled, (None, None)), []);
    }

    #[test]
    fn the_first_batches_that_are_missing_are_found(history in plans::history(), pick in 0..1000usize) {
        let mut logs = lived(&history);
        prop_assume!(logs.audit.len() > 1);
        logs.audit.drain(..=pick % (logs.audit.len() - 1));
        let missing = |logs: &Logs| {
            let found = verify(&history, logs);
            found.iter().any(|it| it.detail == "assent/0: batch 0 is missing")
        };
        prop_assert!(!missing(&logs), "retention took them");
        logs.audit.iter_mut().zip(0..).for_each(|(it, offset)| it.offset = offset);
        prop_assert!(missing(&logs));
    }

    #[test]
    fn a_lost_tombstone_or_assignment_is_found(history in plans::history(), pick in 0..1000usize) {
        let mut logs = lived(&history);
        let last = logs.segments.iter().flat_map(|(purpose, records)| {
            let last: BTreeMap<_, _> = records.iter().map(|it| (&it.key, it.offset)).collect();
            last.into_values().map(|offset| (*purpose, offset)).collect::<Vec<_>>()
        });
        let last: Vec<(usize, i64)> = last.collect();
        prop_assume!(!last.is_empty());
        let (purpose, offset) = last[pick % last.len()];
        let now = logs.batches().last().expect("a batch").decided_at;
        let records = logs.segments.get_mut(&purpose).expect("records");
        let lost = records.remove(offset as usize);
        let found = verify(&history, &logs);
        let old = |header: Option<&str>| header.and_then(|it| it.parse().ok()).map(Timestamp);
        let may_be_gone = lost.value.is_none()
            && old(lost.header_text("decided_at")).is_some_and(|at| at + Span(30 * Span::DAY.0) <= now);
        let is_named = found.iter().any(|it| it.invariant == "INV-5" && it.topic == "audit");
        prop_assert!(is_named != may_be_gone, "{found:#?}");
    }

    #[test]
    fn an_input_that_was_passed_over_is_found(history in plans::history(), pick in 0..1000usize) {
        let mut logs = lived(&history);
        let batches = logs.batches();
        let taken = batches.iter().enumerate().flat_map(|(at, batch)| {
            let plain = |entry: &assent_contract::domain::audit::AuditEntry| {
                entry.offset.is_some() && entry.effects.is_empty()
            };
            let places = batch.entries.iter().enumerate().filter(move |it| plain(it.1));
            places.map(move |(place, _)| (at, place))
        });
        let taken: Vec<(usize, usize)> = taken.collect();
        prop_assume!(!taken.is_empty());
        let (at, place) = taken[pick % taken.len()];
        let mut forged = batches[at].clone();
        let entry = forged.entries.remove(place);
        let mut body = Vec::new();
        forged.encode(&mut body);
        logs.audit[at].value = Some(frame(SchemaName::AuditBatch, &body));
        let topic = if entry.input == InputKind::Click { "clicks" } else { "consent" };
        let found = verify(&history, &logs);
        let is_found = found.iter().any(|it| {
            (it.invariant.as_str(), it.topic.as_str()) == ("INV-8", topic)
                && Some(it.offset) == entry.offset
        });
        prop_assert!(is_found, "{found:#?}");
        let is_last = at + 1 == batches.len();
        prop_assert!(is_last || found.iter().any(|it| it.invariant == "INV-9"), "{found:#?}");
    }
}
