//! The first pass: one input partition, in the order that its audit records.
//!
//! Keeps INV-8 and INV-9 to the letter, and asks of every entry what the gate would have said.

use std::collections::VecDeque;

use super::audiences::Statements;
use super::consent_view::{ConsentView, Kept, Mark, Terms};
use super::finding::{Findings, Unchecked};
use super::grants;
use super::inputs::{Readers, Record};
use super::letters::Letters;
use super::rows::{FinalVerdict, Row};
use super::subjects::{Place, Subject, Subjects};
use super::unproven::Unproven;
use super::{Horizon, Rulebooks};
use assent_contract::domain::audit::verify::{ChainVerifier, FaultKind, Link};
use assent_contract::domain::audit::{AuditBatch, AuditEntry, Sha256Hash, audiences, chain};
use assent_contract::domain::intake::ConsentBody;
use assent_contract::domain::invariants::{self, Invariant};
use assent_contract::domain::outcome::InputKind;
use assent_contract::domain::pseudonym::{KeyHistory, Pseudonym};
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::rulebook::Rulebook;
use assent_contract::wire::decode_audit_batch;
use assent_contract::wire::framing::Framed;

/// What every partition is judged under.
pub struct Setup<'a> {
    pub clickstream: &'a str,
    pub consent: &'a str,
    pub audit: &'a str,
    pub dead_letters: &'a str,
    pub group_id: &'a str,
    /// All that there are: the rulebooks' and the segment topics'. Sorted.
    pub purposes: &'a [String],
    pub rulebooks: &'a Rulebooks,
    pub keys: &'a KeyHistory,
    pub readers: &'a Readers,
}

/// Takes a row of this purpose.
pub type Sink<'a> = &'a mut dyn FnMut(usize, Pseudonym, Row);

/// What the audit says of how far the partition is.
pub(super) struct Progress {
    pub next_click: i64,
    pub next_consent: i64,
    pub first_click: i64,
    pub first_consent: i64,
    pub decided_at: Timestamp,
    pub rulebook: (String, Sha256Hash),
    pub key_version: u8,
    /// Since when batches are decided with an open gate.
    pub open_since: Option<Timestamp>,
    /// When the last change of rulebook came.
    pub changed_at: Option<Timestamp>,
}

/// One input partition.
pub struct Partition<'a> {
    pub(super) setup: &'a Setup<'a>,
    pub(super) number: i32,
    pub(super) subjects: Subjects,
    pub(super) letters: Letters,
    pub(super) chain: ChainVerifier,
    pub(super) progress: Option<Progress>,
    /// The sequence of the last batch that records an accepted loss.
    pub(super) loss: Option<i64>,
    pub(super) unproven: Unproven,
    /// The topic still holds what was written to it first, and is read from there.
    from_start: bool,
    /// When the first batch that is read was decided.
    audited_from: Option<Timestamp>,
    /// Does the audit that is read begin with the first batch there was, without a gap so far?
    pub(super) whole: bool,
    /// Audit entries of consent that the changelog no longer holds were met.
    pub(super) compacted: bool,
    /// Outcomes of clicks that are not in the clickstream, with the audit's offset.
    pub(super) absent: Vec<i64>,
    pub(super) absent_left_off: u64,
    /// Batches of clicks that nobody can read now, as far as clicks were read.
    pub(super) unreadable: Vec<(i64, i64)>,
    /// Of the minimum audience.
    pub(super) statements: Statements,
}

/// The batch that is being checked, and the rules it was decided under.
pub(super) struct BatchUnderReview<'b> {
    pub batch: &'b AuditBatch,
    /// Where it lies.
    pub offset: i64,
    pub rulebook: Option<&'b Rulebook>,
    /// The rulebook's purposes, by index into all that there are.
    pub declared: Vec<usize>,
    /// Of every purpose that the batch judges; `None`: nobody knows the purpose or the rulebook.
    pub terms: Vec<Option<Terms>>,
}

impl<'a> Partition<'a> {
    /// `head`, `loss`: what the state says of the chain, read before the audit's end was asked for: its
    /// next sequence and last hash; the sequence of the last batch that records an accepted loss.
    pub fn new(
        setup: &'a Setup<'a>,
        number: i32,
        letters: Letters,
        head: Option<(i64, Sha256Hash)>,
        loss: Option<i64>,
    ) -> Self {
        Self {
            setup,
            number,
            subjects: Subjects::new(setup.keys),
            letters,
            chain: ChainVerifier::new(head),
            progress: None,
            loss,
            unproven: Unproven::default(),
            from_start: false,
            audited_from: None,
            whole: false,
            compacted: false,
            absent: Vec::new(),
            absent_left_off: 0,
            unreadable: Vec::new(),
            statements: Statements::default(),
        }
    }

    /// Retention took nothing of the audit, and it is read from its first record on.
    pub fn audit_from_start(&mut self) {
        self.from_start = true;
    }

    /// Every record of the changelog once, before anything else: who there is.
    pub fn register(&mut self, record: &Record) {
        let reading = self.setup.readers.read_consent(self.number, record, &record.known);
        let of_somebody = matches!(
            reading.body(),
            ConsentBody::Erasure | ConsentBody::Record(_) | ConsentBody::Unreadable(_)
        );
        if of_somebody && let Some(key) = &record.key {
            self.subjects.register(key, self.setup.keys, &ConsentView::LOST);
        }
    }

    /// A value of the audit, as it lies. `None`: nothing to go on with.
    pub fn open(&mut self, record: &Record, findings: &mut Findings) -> Option<AuditBatch> {
        let place = (self.setup.audit, self.number, record.offset);
        let value = record.value.as_deref().unwrap_or_default();
        let hash = chain::body_hash(Framed::split(value).body().unwrap_or_default());
        let Ok(batch) = decode_audit_batch(value, &record.known) else {
            self.chain.push_unreadable(hash, record.offset);
            return None;
        };
        let name = chain::name(self.setup.group_id, self.number);
        if batch.chain != name || record.key.as_deref() != Some(name.as_bytes()) {
            let detail = format!("a batch of another chain lies in the chain of {name}");
            findings.violation(Invariant::Provable, place, detail);
            return None;
        }
        let is_first = self.chain.first_sequence().is_none();
        self.audited_from.get_or_insert(batch.decided_at);
        let AuditBatch { sequence, previous, .. } = batch;
        let continues = self.chain.push(Link { sequence, previous, hash, offset: record.offset });
        if is_first && sequence == 0 {
            self.whole = true;
            if self.loss.is_none() {
                self.subjects.iter_mut().for_each(|it| it.consent = ConsentView::NOTHING);
            }
        }
        continues.then_some(batch)
    }

    /// Consent that the audit does not cover: nobody tells any more what became of it.
    fn consent_unaudited(&mut self, record: &Record, batch: &AuditBatch) {
        let declared = self.declared(self.setup.rulebooks.get(&batch.rulebook_sha256));
        let reading = self.setup.readers.read_consent(self.number, record, &record.known);
        let Some(place) = record.key.as_deref().and_then(|key| self.subjects.by_key(key)) else {
            return;
        };
        let view = &mut self.subjects.at(place).consent;
        match reading.body() {
            ConsentBody::Erasure => view.erase(record.timestamp),
            ConsentBody::Unreadable(_) => view.withhold(Mark::Undecodable),
            ConsentBody::Record(it) => {
                let kept = Kept::of(it, self.setup.purposes);
                view.take_unsure(&declared, kept, record.timestamp);
            }
            _ => {}
        }
    }

    /// A batch that was begun, and the inputs that it covers.
    pub fn batch(
        &mut self,
        offset: i64,
        batch: &AuditBatch,
        mut consent: VecDeque<Record>,
        mut clicks: VecDeque<Record>,
        sink: Sink<'_>,
        findings: &mut Findings,
    ) {
        if audiences::is_statement(&batch.rulebook) {
            return self.state_audiences(offset, batch, findings);
        }
        let rulebook = self.setup.rulebooks.get(&batch.rulebook_sha256);
        if let Some(rulebook) = rulebook {
            self.check_stated(rulebook, findings);
        }
        self.note_rulebook(offset, batch, findings);
        let declared = self.declared(rulebook);
        let terms = batch.purposes.iter().map(|id| {
            let at = self.setup.purposes.binary_search(id).ok()?;
            rulebook.map(|rulebook| Terms::of(rulebook, self.setup.purposes, at))
        });
        let review = BatchUnderReview { batch, offset, rulebook, declared, terms: terms.collect() };
        let mut ends = (batch.consent_from, batch.click_from);
        for entry in &batch.entries {
            let record = match entry.input {
                InputKind::Consent => {
                    self.pair(entry, &review, (&mut consent, &mut ends.0), findings)
                }
                InputKind::Click => self.pair(entry, &review, (&mut clicks, &mut ends.1), findings),
                InputKind::Timer | InputKind::Upkeep => None,
            };
            match entry.input {
                InputKind::Consent => self.consent(entry, record.as_ref(), &review, findings),
                InputKind::Click => self.click(entry, record.as_ref(), &review, findings),
                InputKind::Timer | InputKind::Upkeep => {}
            }
            self.effects(entry, &review, sink, findings);
        }
        self.without_outcome(InputKind::Consent, consent, findings);
        self.without_outcome(InputKind::Click, clicks, findings);
        self.note_progress(batch);
    }

    /// Before the inputs of the batch. INV-9 and INV-2: where it begins, when it was decided, and behind which barrier.
    pub fn begin(&mut self, offset: i64, batch: &AuditBatch, findings: &mut Findings) {
        let place = (self.setup.audit, self.number, offset);
        let covers = [
            (self.progress.as_ref().map(|it| it.next_click), batch.click_from, batch.click_to),
            (
                self.progress.as_ref().map(|it| it.next_consent),
                batch.consent_from,
                batch.consent_to,
            ),
        ];
        let behind_gap = self.chain.jumped();
        for (next, from, to) in covers {
            let next = if behind_gap { from } else { next.unwrap_or(from) };
            if let Some(violation) = invariants::covers_without_gap(next, from, to) {
                findings.violation(violation.invariant, place, violation.detail);
            }
        }
        let barrier = invariants::barrier_reached(batch.gate_open, batch.barrier, batch.consent_to);
        if let Some(violation) = barrier {
            findings.violation(violation.invariant, place, violation.detail);
        }
        if self.progress.as_ref().is_some_and(|it| batch.decided_at < it.decided_at) {
            let detail = "decided_at is earlier than the previous batch's";
            findings.violation(Invariant::Provable, place, detail);
        }
        if behind_gap {
            self.whole = false;
            self.subjects.iter_mut().for_each(Subject::doubt);
        }
    }

    /// An input from before what the batch covers, and not covered by the one before: the audit that is
    /// read begins later, or a batch is missing.
    pub fn uncovered(
        &mut self,
        input: InputKind,
        record: Record,
        batch: &AuditBatch,
        findings: &mut Findings,
    ) {
        if input == InputKind::Consent {
            self.consent_unaudited(&record, batch);
        }
        if self.progress.is_some() && !self.chain.jumped() {
            self.without_outcome(input, [record], findings);
        } else if self.progress.is_some() {
            findings.unchecked(Unchecked::BehindGap, 1);
        }
    }

    /// The record that an entry is the outcome of; those before it have none. `end`: one past the
    /// last entry of this input.
    fn pair(
        &mut self,
        entry: &AuditEntry,
        review: &BatchUnderReview<'_>,
        (records, end): (&mut VecDeque<Record>, &mut i64),
        findings: &mut Findings,
    ) -> Option<Record> {
        let batch = review.batch;
        let to = if entry.input == InputKind::Click { batch.click_to } else { batch.consent_to };
        let topic = self.topic(entry.input);
        let Some(offset) = entry.offset.filter(|offset| (*end..to).contains(offset)) else {
            let place =
                entry.offset.map_or((self.setup.audit, self.number, review.offset), |offset| {
                    (topic, self.number, offset)
                });
            let detail = "an outcome that is out of order, is a second one, or is not covered by \
                its batch";
            findings.violation(Invariant::Accounted, place, detail);
            return None;
        };
        *end = offset + 1;
        let before = records.iter().take_while(|record| record.offset < offset).count();
        let before: Vec<Record> = records.drain(..before).collect();
        self.without_outcome(entry.input, before, findings);
        if records.front().is_some_and(|record| record.offset == offset) {
            let record = records.pop_front();
            return if self.is_given_up(entry, true, review, findings) { None } else { record };
        }
        if self.is_given_up(entry, false, review, findings) {
            return None;
        }
        self.note_absent(entry, offset, findings);
        None
    }

    /// An outcome of a record that is not there.
    fn note_absent(&mut self, entry: &AuditEntry, offset: i64, findings: &mut Findings) {
        const KEPT_MAX: usize = 100_000;
        self.letters.claim(entry.input, offset);
        match entry.input {
            InputKind::Click if self.absent.len() < KEPT_MAX => self.absent.push(offset),
            InputKind::Click => self.absent_left_off += 1,
            _ => {
                self.compacted = true;
                findings.unchecked(Unchecked::ConsentCompacted, 1);
            }
        }
    }

    /// INV-8: heartbeats aside, these have no outcome.
    fn without_outcome(
        &self,
        input: InputKind,
        records: impl IntoIterator<Item = Record>,
        findings: &mut Findings,
    ) {
        for record in records {
            let is_heartbeat = input == InputKind::Consent
                && matches!(
                    self.setup.readers.read_consent(self.number, &record, &record.known).body(),
                    ConsentBody::Heartbeat { .. }
                );
            if !is_heartbeat {
                let place = (self.topic(input), self.number, record.offset);
                findings.violation(Invariant::Accounted, place, "an input without an outcome");
            }
        }
    }

    fn note_progress(&mut self, batch: &AuditBatch) {
        let rulebook = (batch.rulebook.clone(), batch.rulebook_sha256);
        let progress = self.progress.get_or_insert_with(|| Progress {
            next_click: batch.click_from,
            next_consent: batch.consent_from,
            first_click: batch.click_from,
            first_consent: batch.consent_from,
            decided_at: batch.decided_at,
            rulebook: rulebook.clone(),
            key_version: batch.key_version,
            open_since: None,
            changed_at: None,
        });
        if progress.rulebook != rulebook {
            progress.changed_at = Some(batch.decided_at);
            progress.rulebook = rulebook;
        }
        progress.next_click = batch.click_to;
        progress.next_consent = batch.consent_to;
        progress.decided_at = batch.decided_at;
        progress.key_version = batch.key_version;
        progress.open_since = grants::open_since(progress.open_since, batch);
    }

    /// The end: what the gate says now of every pseudonym, and what the chain says of itself.
    /// `first_click`: the first offset that the clickstream still holds.
    pub fn finish(mut self, first_click: i64, sink: Sink<'_>, findings: &mut Findings) -> Horizon {
        self.report_absent(first_click, findings);
        self.report_batch_letters(first_click, findings);
        self.report_letters(findings);
        self.report_unproven(findings);
        self.say_all(sink);
        let audited_from = if self.whole { Some(Timestamp::MIN) } else { self.audited_from };
        let horizon = Horizon {
            statements: std::mem::take(&mut self.statements),
            audited_from: audited_from.unwrap_or(Timestamp::MAX),
            sweeping_to: self.progress.as_ref().and_then(|it| {
                let changed_at = it.changed_at?;
                (it.decided_at - changed_at < Span::HOUR).then(|| it.rulebook.0.clone())
            }),
        };
        let (name, audit, number) =
            (chain::name(self.setup.group_id, self.number), self.setup.audit, self.number);
        if self.from_start && !self.begins_behind_loss() {
            self.chain.expect_first();
        }
        for fault in self.chain.finish() {
            let (kind, sequence) = (fault.kind.label(), fault.sequence);
            let detail = match fault.kind {
                FaultKind::Missing => format!("{name}: batch {sequence} is missing"),
                _ => format!("{name}: batch {sequence} is {kind}"),
            };
            let place = (audit, number, fault.offset.unwrap_or(-1));
            findings.violation(Invariant::Provable, place, detail);
        }
        horizon
    }

    fn report_absent(&self, first_click: i64, findings: &mut Findings) {
        let (deleted, forged): (Vec<i64>, Vec<i64>) =
            self.absent.iter().partition(|&&offset| offset < first_click);
        findings.unchecked(Unchecked::ClicksDeleted, deleted.len() as u64 + self.absent_left_off);
        for offset in forged {
            let place = (self.setup.clickstream, self.number, offset);
            findings.violation(
                Invariant::Accounted,
                place,
                "an outcome of a click that does not exist",
            );
        }
    }

    fn say_all(&self, sink: Sink<'_>) {
        let Some(progress) = &self.progress else { return };
        let rulebook = self.setup.rulebooks.get(&progress.rulebook.1);
        for subject in self.subjects.iter() {
            for purpose in 0..self.setup.purposes.len() {
                let final_verdict =
                    self.final_verdict(&subject.consent, purpose, rulebook, progress.decided_at);
                for version in self.setup.keys.versions() {
                    let pseudonym = self.setup.keys.pseudonym(version, purpose, &subject.key);
                    if let Some(pseudonym) = pseudonym {
                        let grant_ends_at = self.end_to_keep(subject, purpose, version);
                        let final_verdict = FinalVerdict { grant_ends_at, ..final_verdict };
                        sink(
                            purpose,
                            pseudonym,
                            Row::FinalVerdict { partition: self.number, final_verdict },
                        );
                    }
                }
            }
        }
    }

    /// A moment that only just came may still have its tombstone ahead: timers are settled within
    /// seconds, many of them over several transactions.
    fn final_verdict(
        &self,
        view: &ConsentView,
        purpose: usize,
        rulebook: Option<&Rulebook>,
        now: Timestamp,
    ) -> FinalVerdict {
        const SETTLED_WITHIN: Span = Span::MINUTE;
        let verdict = rulebook.and_then(|rulebook| {
            let terms = Terms::of(rulebook, self.setup.purposes, purpose);
            let before = view.verdict(terms, None, now - SETTLED_WITHIN);
            before.filter(|verdict| verdict.allows()).or(view.verdict(terms, None, now))
        });
        FinalVerdict { verdict, grant_ends_at: None }
    }

    pub(super) fn declared(&self, rulebook: Option<&Rulebook>) -> Vec<usize> {
        let purposes = rulebook.map_or(&[][..], |rulebook| &rulebook.purposes);
        let place = |id: &String| self.setup.purposes.binary_search(id).ok();
        purposes.iter().filter_map(|purpose| place(&purpose.id)).collect()
    }

    pub(super) fn topic(&self, input: InputKind) -> &'a str {
        match input {
            InputKind::Click => self.setup.clickstream,
            InputKind::Consent => self.setup.consent,
            InputKind::Timer | InputKind::Upkeep => self.setup.audit,
        }
    }

    /// Whose entry this is.
    pub(super) fn subject_of(&self, entry: &AuditEntry) -> Option<Place> {
        self.subjects.by_token(entry.subject.as_ref()?)
    }
}
