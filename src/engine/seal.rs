//! The end of a batch: the audit batches that cover it, and the state that it leaves. Keeps INV-8,
//! INV-9: coverage and sequence have no gap and no overlap.

use super::at_hand::{After, Handled, Left};
use super::check::{self, Covered};
use super::input::Coverage;
use super::lease;
use super::output::{BatchOutput, Output, Violations};
use super::pack::pack_subject;
use super::partition::Partition;
use super::revise::Reviser;
use super::signals;
use super::store::{self, Store};
use super::subject::StateToken;
use super::subjects::{Kept, Resting};
use super::work::{Mark, Work};
use crate::domain::audit::{AuditBatch, chain};
use crate::domain::binary::Write;
use crate::domain::outcome::InputKind;
use crate::domain::time::{Span, Timestamp};

/// Room for a batch's fields before its entries: names and purposes of the rulebook.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// A subject that broke an invariant is decided again after this: a defect that stays then costs no
/// more than two records a minute.
const MENDED_AGAIN: Span = Span::MINUTE;

impl Partition {
    /// Ends the batch. Without anything to say, the output is empty and needs no transaction.
    pub fn finish(&mut self, coverage: Coverage) -> BatchOutput {
        let mut changed = self.settle_open();
        self.recount_signals();
        if !self.has_something_to_say(coverage, &changed) {
            return self.output();
        }
        self.let_oldest_signals_give_way(&mut changed);
        self.write_audit(coverage);
        self.note_rulebook();
        self.ledger.next_click = coverage.click_to;
        self.ledger.next_consent = coverage.consent_to;
        self.write_state(&changed);
        self.written_at = self.ledger.now;
        self.fresh = false;
        self.output()
    }

    pub(super) fn output(&mut self) -> BatchOutput {
        let work = self.work.as_deref_mut().expect("a batch was begun");
        if cfg!(all(debug_assertions, not(test))) {
            assert_eq!(work.violations, Violations::default(), "a defect of the engine");
        }
        BatchOutput {
            purposes: std::sync::Arc::clone(&self.mandate.roster.ids),
            outputs: std::mem::take(&mut work.outputs),
            tally: work.take_tally(),
            opt_outs: std::mem::take(&mut work.opt_outs),
            next_click: self.ledger.next_click,
            next_sequence: self.ledger.next_sequence,
            violations: std::mem::take(&mut work.violations),
        }
    }

    /// Forgets who left nothing, looks ahead for the others; returns, sorted, whom the batch changed.
    fn settle_open(&mut self) -> Vec<StateToken> {
        let now = self.ledger.now;
        let (mut changed, mut members, mut packed) = (Vec::new(), 0, Vec::new());
        for handled in self.at_hand.open_mut() {
            let (token, before) = (handled.token, self.subjects.find(handled.token));
            let resting = before.and_then(Kept::resting);
            members -= i64::from(resting.is_some());
            let subject = &mut handled.subject;
            if subject.is_residue() {
                subject.audit_token = None;
            }
            let signal = subject.signal_only();
            if subject.is_blank() || signal.is_some_and(|it| !self.subjects.signals.keeps(it)) {
                handled.left = Left::Nothing;
                changed.extend(before.map(|_| token));
                continue;
            }
            if let Some(minute) = signal {
                if before.and_then(Kept::signal) != signal {
                    handled.left = Left::Signal(minute);
                    changed.push(token);
                }
                continue;
            }
            members += 1;
            let mut decided_again = Timestamp::MAX;
            let as_found = || resting.map(Resting::unpack);
            while let Some((index, found)) =
                check::of_subject(as_found, subject, &self.mandate, now)
            {
                let work = self.work.as_deref_mut().expect("a batch was begun");
                Reviser { mandate: &self.mandate, work }.mend(subject, index, found);
                decided_again = now + MENDED_AGAIN;
            }
            let due = lease::next_due(subject, &self.mandate, now).min(decided_again);
            subject.agenda.look_again(due, now);
            self.timers.schedule(token, &mut subject.agenda);
            if subject.agenda.deferred {
                self.deferred.insert(token);
            }
            packed.clear();
            pack_subject(subject, &mut packed);
            if resting.is_none_or(|resting| *resting.packed != *packed) {
                handled.left = Left::Packed(packed.as_slice().into());
                changed.push(token);
            }
        }
        self.ledger.subjects += members;
        changed.sort_unstable();
        changed
    }

    fn recount_signals(&mut self) {
        let undo = self.undo.as_deref_mut().expect("a batch was begun");
        let signals = &mut self.subjects.signals;
        for Handled { token, left, .. } in self.at_hand.open_mut() {
            let before = signals.get(*token);
            let after = match left {
                Left::AsItWas => before,
                Left::Signal(minute) => Some(*minute),
                Left::Packed(_) | Left::Nothing => None,
            };
            signals.recount(before, after, &mut undo.signals);
        }
    }

    /// Where more signals are kept of subjects of whom nothing else is than may be, the oldest give way:
    /// whoever first appears from now on counts as bound as of the last of them.
    fn let_oldest_signals_give_way(&mut self, changed: &mut Vec<StateToken>) {
        let most = self.mandate.setup.signals_max;
        let Some(floor) = self.subjects.signals.giving_way(most) else { return };
        for handled in self.at_hand.open_mut() {
            if let Left::Signal(minute) = handled.left
                && signals::time_of(minute) <= floor
            {
                handled.left = Left::Nothing;
            }
        }
        let is_gone = |token: StateToken| {
            self.at_hand.get(token).is_some_and(|handled| handled.left == Left::Nothing)
        };
        changed.retain(|&token| !is_gone(token) || self.subjects.find(token).is_some());
        let before = self.ledger.signals_gave_way_at.replace(floor);
        self.desk().note_gave_way(before, floor);
    }

    fn has_something_to_say(&self, coverage: Coverage, changed: &[StateToken]) -> bool {
        let work = self.work.as_deref().expect("a batch was begun");
        !work.marks.is_empty()
            || !changed.is_empty()
            || work.signs_changed
            || self.subjects.signals.have_ended()
            || coverage.click_to != self.ledger.next_click
            || coverage.consent_to != self.ledger.next_consent
            || self.housekeeping_is_due(work.now)
    }

    fn housekeeping_is_due(&self, now: Timestamp) -> bool {
        self.ledger.cycle.due(self.written_at).is_some_and(|due| due <= now)
    }

    fn write_audit(&mut self, coverage: Coverage) {
        let mut work = self.work.take().expect("a batch was begun");
        let (click, consent) = (self.ledger.next_click, self.ledger.next_consent);
        let (mut covered, mut broken) = (Covered { click, consent }, None);
        let mut audits = Vec::new();
        let mut rest = work.marks.as_slice();
        for part in split(&work, click, consent, coverage) {
            let (marks, later) = rest.split_at(part.entries);
            rest = later;
            broken = broken.or_else(|| covered.take(&part, marks, work.gate_open));
            let body = self.encode_part(&work, &part);
            self.ledger.head = chain::body_hash(&body);
            self.ledger.next_sequence += 1;
            audits.push(Output::Audit { body });
        }
        work.violations.broken = broken.or_else(|| covered.end(coverage));
        work.outputs.append(&mut audits);
        self.work = Some(work);
    }

    fn encode_part(&self, work: &Work, part: &Part) -> Vec<u8> {
        let rulebook = &self.mandate.setup.rulebook;
        let head = AuditBatch {
            chain: self.chain.clone(),
            sequence: self.ledger.next_sequence,
            previous: self.ledger.head,
            decided_at: work.now,
            rulebook: rulebook.version.clone(),
            rulebook_sha256: rulebook.sha256,
            key_version: self.mandate.setup.keys.active(),
            click_from: part.click.0,
            click_to: part.click.1,
            consent_from: part.consent.0,
            consent_to: part.consent.1,
            barrier: part.barrier,
            gate_open: work.gate_open,
            purposes: self.mandate.roster.ids.to_vec(),
            entries: Vec::new(),
        };
        let mut body = Vec::with_capacity(part.bytes.len() + 512);
        head.encode_head(&mut body);
        if part.entries > 0 {
            body.put_long(part.entries as i64);
            body.extend_from_slice(&work.entries[part.bytes.clone()]);
        }
        body.put_long(0);
        body
    }

    /// Every rulebook that ever decided is kept by its hash, as evidence.
    fn note_rulebook(&mut self) {
        let rulebook = &self.mandate.setup.rulebook;
        if self.ledger.rulebooks.last().is_some_and(|(_, hash)| *hash == rulebook.sha256) {
            return;
        }
        self.ledger.rulebooks.push((rulebook.version.clone(), rulebook.sha256));
        let key = store::rulebook_key(&rulebook.sha256);
        let value = Some(self.mandate.setup.rulebook_yaml.to_vec());
        self.desk().outputs.push(Output::State { key, value });
    }

    pub(super) fn write_state(&mut self, changed: &[StateToken]) {
        self.let_signals_go();
        self.ledger.signals = Some(self.subjects.signals.len() as i64);
        let work = self.work.as_deref_mut().expect("a batch was begun");
        Store {
            after: After { subjects: &self.subjects, at_hand: &self.at_hand, changed },
            names: &self.names,
            layout: &self.mandate.setup.rulebook.sha256,
            chunks: &mut self.chunks,
            outputs: &mut work.outputs,
        }
        .write(&mut self.ledger);
    }
}

/// What one audit batch of several covers.
pub(super) struct Part {
    pub bytes: std::ops::Range<usize>,
    pub entries: usize,
    pub click: (i64, i64),
    pub consent: (i64, i64),
    pub barrier: i64,
}

/// Cuts the entries where a batch would pass [`AuditBatch::BYTES_MAX`]. A part that covers clicks
/// covers all of the batch's consent, so that its barrier is at most its `consent_to`.
fn split(work: &Work, next_click: i64, next_consent: i64, coverage: Coverage) -> Vec<Part> {
    let mut parts = Vec::new();
    let (mut click, mut consent, mut from, mut begin) = (next_click, next_consent, 0, 0);
    loop {
        let end = cut(&work.marks, begin, from);
        let last = end == work.marks.len();
        let marks = &work.marks[begin..end];
        let to = marks.last().map_or(from, |mark| mark.end);
        let click_to = past(marks, InputKind::Click);
        let consent_to = past(marks, InputKind::Consent);
        let covers_clicks = last || click_to.is_some();
        let click_to = if last { coverage.click_to } else { click_to.unwrap_or(click) };
        let consent_to =
            if covers_clicks { coverage.consent_to } else { consent_to.unwrap_or(consent) };
        let barrier = if click_to > click { coverage.barrier } else { consent_to };
        parts.push(Part {
            bytes: from..to,
            entries: marks.len(),
            click: (click, click_to),
            consent: (consent, consent_to),
            barrier,
        });
        (click, consent, from, begin) = (click_to, consent_to, to, end);
        if last {
            return parts;
        }
    }
}

/// The first mark that no longer fits.
fn cut(marks: &[Mark], begin: usize, from: usize) -> usize {
    let room = AuditBatch::BYTES_MAX - HEAD_BYTES_MAX;
    begin + marks[begin..].partition_point(|mark| mark.end - from <= room)
}

/// One past the last offset of this kind.
fn past(marks: &[Mark], input: InputKind) -> Option<i64> {
    let last = marks.iter().rev().find(|mark| mark.input == input)?;
    last.offset.map(|offset| offset + 1)
}
