//! The end of a batch: the audit batches that cover it, and the state that it leaves. Keeps INV-8,
//! INV-9: coverage and sequence have no gap and no overlap.

use super::at_hand::{After, AtHand, Handled, Left};
use super::audience::Audiences;
use super::batch::OpenBatch;
use super::batch_log::{BatchLog, Mark};
use super::check::{self, Covered};
use super::decided::Decided;
use super::input::Coverage;
use super::lease;
use super::ledger::Ledger;
use super::output::{BatchOutput, Output, Violations};
use super::pack::pack_subject;
use super::partition::Partition;
use super::policy::Policy;
use super::revise::Reviser;
use super::signals::{self, Signals};
use super::state::Schedule;
use super::stats::qualified;
use super::store::{self, Store};
use super::subject::Subject;
use super::subjects::{Kept, Resting};
use super::token::StateToken;
use super::undo::Undo;
use assent_contract::domain::audit::{AuditBatch, chain};
use assent_contract::domain::binary::Write;
use assent_contract::domain::outcome::InputKind;
use assent_contract::domain::time::{Span, Timestamp};

/// Room for a batch's fields before its entries: names and purposes of the rulebook.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// A subject that broke an invariant is decided again after this time. A lasting defect then costs at
/// most two records a minute.
const RECHECK_AFTER_REPAIR: Span = Span::MINUTE;

impl OpenBatch {
    /// Ends the batch. Without anything to say, the output is empty and needs no transaction.
    pub fn finish(mut self, coverage: Coverage) -> (Decided, BatchOutput) {
        let mut changed = self.settle_open();
        recount_signals(
            &mut self.at_hand,
            &mut self.partition.state.subjects.signals,
            &mut self.undo,
        );
        if !self.has_something_to_say(coverage, &changed) {
            return self.close();
        }
        self.let_oldest_signals_give_way(&mut changed);
        let Partition { chain, policy, state, .. } = &mut self.partition;
        write_audit(&mut self.log, chain, policy, &mut state.ledger, coverage);
        note_rulebook(&mut self.log, policy, &mut state.ledger);
        state.ledger.next_click = coverage.click_to;
        state.ledger.next_consent = coverage.consent_to;
        if let Some(synced) = coverage.synced {
            state.ledger.note_synced(synced.at);
        }
        self.write_state(&changed);
        self.close()
    }

    /// Gives the batch up, however far it has come: everything is as `begin` found it.
    pub fn rollback(self) -> Partition {
        let Self { partition, at_hand, log, undo } = self;
        Decided { partition, at_hand, undo, buffers: log.clear() }.rollback()
    }

    /// Nothing is added to the batch any more.
    pub(super) fn close(mut self) -> (Decided, BatchOutput) {
        let Self { partition, log, .. } = &mut self;
        if cfg!(all(debug_assertions, not(test))) {
            assert_eq!(log.violations, Violations::default(), "a defect of the engine");
        }
        let output = BatchOutput {
            purposes: std::sync::Arc::clone(&partition.policy.judged.ids),
            outputs: std::mem::take(&mut log.outputs),
            tally: log.take_tally(),
            opt_outs: std::mem::take(&mut log.opt_outs),
            next_click: partition.state.ledger.next_click,
            next_sequence: partition.state.ledger.next_sequence,
            violations: std::mem::take(&mut log.violations),
        };
        let Self { partition, at_hand, log, undo } = self;
        (Decided { partition, at_hand, undo, buffers: log.clear() }, output)
    }

    /// Drops empty subjects and schedules the rest. Returns the sorted tokens of those that changed.
    fn settle_open(&mut self) -> Vec<StateToken> {
        let Partition { policy, state, schedule, .. } = &mut self.partition;
        let (now, subjects) = (state.ledger.now, &state.subjects);
        let (mut changed, mut members, mut packed) = (Vec::new(), 0, Vec::new());
        for handled in self.at_hand.open_mut() {
            let before = subjects.find(handled.token);
            let resting = before.and_then(Kept::resting);
            members -= i64::from(resting.is_some());
            if handled.subject.is_residue() {
                handled.subject.audit_token = None;
            }
            if let Some(left) = left_without_record(handled, before, &subjects.signals) {
                handled.left = left;
            } else {
                members += 1;
                let mut reviser = Reviser { policy, log: &mut self.log };
                let recheck_at =
                    remove_all_violating(&mut reviser, &mut handled.subject, resting, now);
                look_ahead(handled, policy, schedule, recheck_at, now);
                packed.clear();
                pack_subject(&handled.subject, &mut packed);
                if resting.is_none_or(|resting| resting.packed != packed) {
                    handled.left = Left::Packed(packed.as_slice().into());
                }
            }
            if !state.audiences.is_empty() {
                recount(&mut state.audiences, handled, policy.is_canary(handled.token));
            }
            let was_nothing = before.is_none() && handled.left == Left::Nothing;
            if handled.left != Left::AsItWas && !was_nothing {
                changed.push(handled.token);
            }
        }
        state.ledger.subjects += members;
        changed.sort_unstable();
        changed
    }

    /// Bounds the signals of subjects without any other record: beyond the limit, the oldest are dropped.
    /// From then on, a new subject counts as bound since the latest dropped signal.
    fn let_oldest_signals_give_way(&mut self, changed: &mut Vec<StateToken>) {
        let Partition { policy, state, .. } = &mut self.partition;
        let Some(floor) = state.subjects.signals.giving_way(policy.setup.signals_max) else {
            return;
        };
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
        changed.retain(|&token| !is_gone(token) || state.subjects.find(token).is_some());
        let before = state.ledger.signals_gave_way_at.replace(floor);
        self.log.note_gave_way(before, floor);
    }

    fn has_something_to_say(&self, coverage: Coverage, changed: &[StateToken]) -> bool {
        let (state, log) = (&self.partition.state, &self.log);
        !log.marks.is_empty()
            || !changed.is_empty()
            || log.signs_changed
            || log.statement.is_some()
            || state.audiences.sweep != self.undo.audiences().sweep
            || state.subjects.signals.have_ended()
            || coverage.click_to != state.ledger.next_click
            || coverage.consent_to != state.ledger.next_consent
            || state.housekeeping_is_due(log.now)
            || coverage.synced.is_some_and(|synced| synced.asks_for_batch)
    }

    /// Writes the state as the batch leaves it.
    pub(super) fn write_state(&mut self, changed: &[StateToken]) {
        let Partition { policy, state, .. } = &mut self.partition;
        // What is written under a rulebook can be read under the next one by its text alone.
        note_rulebook(&mut self.log, policy, &mut state.ledger);
        state.let_signals_go();
        state.ledger.signals = Some(state.subjects.signals.len() as i64);
        if state.fresh {
            state.ledger.note_synced(state.ledger.now);
        }
        let audiences = &mut state.audiences;
        let audience = if audiences.is_empty() {
            std::mem::take(&mut audiences.is_left_over).then_some(None)
        } else {
            let rulebook = &policy.setup.rulebook;
            Some(Some(audiences.record(rulebook, state.ledger.now).pack()))
        };
        Store {
            audience,
            after: After { subjects: &state.subjects, at_hand: &self.at_hand, changed },
            names: &state.names,
            layout: &policy.setup.rulebook.sha256,
            chunks: &mut state.chunks,
            outputs: &mut self.log.outputs,
        }
        .write(&mut state.ledger);
        state.written_at = state.ledger.now;
        state.fresh = false;
    }
}

/// What the batch leaves of a subject that has no record: a signal or nothing. `None`: it has more.
fn left_without_record(
    handled: &Handled,
    before: Option<Kept<'_>>,
    signals: &Signals,
) -> Option<Left> {
    let signal = handled.subject.signal_only();
    if handled.subject.is_blank() || signal.is_some_and(|it| !signals.keeps(it)) {
        return Some(Left::Nothing);
    }
    let minute = signal?;
    let is_as_it_was = before.and_then(Kept::signal) == signal;
    Some(if is_as_it_was { Left::AsItWas } else { Left::Signal(minute) })
}

/// Removes every purpose that breaks an invariant; returns when the subject is to be decided again.
fn remove_all_violating(
    reviser: &mut Reviser<'_>,
    subject: &mut Subject,
    resting: Option<Resting<'_>>,
    now: Timestamp,
) -> Timestamp {
    let mut recheck_at = Timestamp::MAX;
    let as_found = || resting.map(Resting::unpack);
    while let Some((index, found)) = check::of_subject(as_found, subject, reviser.policy, now) {
        reviser.remove_violating(subject, index, found);
        recheck_at = now + RECHECK_AFTER_REPAIR;
    }
    recheck_at
}

fn look_ahead(
    handled: &mut Handled,
    policy: &Policy,
    schedule: &mut Schedule,
    at_the_latest: Timestamp,
    now: Timestamp,
) {
    let Handled { token, subject, .. } = handled;
    let due = lease::next_due(subject, policy, now).min(at_the_latest);
    subject.agenda.look_again(due, now);
    schedule.timers.schedule(*token, &mut subject.agenda);
    if subject.agenda.deferred {
        schedule.deferred.insert(*token);
    }
}

/// Where the subject counted before the batch, and where it does now.
fn recount(audiences: &mut Audiences, handled: &Handled, is_canary: bool) {
    audiences.count(handled.before.as_ref().map_or(&[], |it| &it.qualified), -1);
    if matches!(handled.left, Left::AsItWas | Left::Packed(_)) {
        audiences.count(&qualified(&handled.subject, is_canary), 1);
    }
}

fn recount_signals(at_hand: &mut AtHand, signals: &mut Signals, undo: &mut Undo) {
    for Handled { token, left, .. } in at_hand.open_mut() {
        let before = signals.get(*token);
        let after = match left {
            Left::AsItWas => before,
            Left::Signal(minute) => Some(*minute),
            Left::Packed(_) | Left::Nothing => None,
        };
        signals.recount(before, after, &mut undo.signals);
    }
}

fn write_audit(
    log: &mut BatchLog,
    chain_name: &str,
    policy: &Policy,
    ledger: &mut Ledger,
    coverage: Coverage,
) {
    let (click, consent) = (ledger.next_click, ledger.next_consent);
    let (mut covered, mut broken) = (Covered { click, consent }, None);
    let mut audits = Vec::new();
    if let Some(statement) = log.statement.take() {
        audits.push(state_audiences(log, chain_name, policy, ledger, statement));
    }
    let mut rest = log.marks.as_slice();
    for part in split(log, click, consent, coverage) {
        let (marks, later) = rest.split_at(part.entries);
        rest = later;
        broken = broken.or_else(|| covered.take(&part, marks, log.gate_open));
        let body = encode_part(log, chain_name, policy, ledger, &part);
        audits.push(chained(ledger, body));
    }
    log.violations.broken = broken.or_else(|| covered.end(coverage));
    log.outputs.append(&mut audits);
}

/// A batch of its own, before those that are decided by it.
fn state_audiences(
    log: &BatchLog,
    chain: &str,
    policy: &Policy,
    ledger: &mut Ledger,
    statement: String,
) -> Output {
    let (clicks, consent) = (ledger.next_click, ledger.next_consent);
    let mut body = Vec::new();
    AuditBatch {
        rulebook_sha256: chain::body_hash(statement.as_bytes()),
        rulebook: statement,
        purposes: Vec::new(),
        ..head(log, chain, policy, ledger, (clicks, clicks), (consent, consent), consent)
    }
    .encode(&mut body);
    chained(ledger, body)
}

/// The next batch of the chain.
fn chained(ledger: &mut Ledger, body: Vec<u8>) -> Output {
    ledger.head = chain::body_hash(&body);
    ledger.next_sequence += 1;
    Output::Audit { body }
}

fn encode_part(
    log: &BatchLog,
    chain: &str,
    policy: &Policy,
    ledger: &Ledger,
    part: &Part,
) -> Vec<u8> {
    let head = head(log, chain, policy, ledger, part.click, part.consent, part.barrier);
    let mut body = Vec::with_capacity(part.bytes.len() + 512);
    head.encode_head(&mut body);
    if part.entries > 0 {
        body.put_long(part.entries as i64);
        body.extend_from_slice(&log.entries[part.bytes.clone()]);
    }
    body.put_long(0);
    body
}

/// A batch without entries that covers these inputs.
fn head(
    log: &BatchLog,
    chain: &str,
    policy: &Policy,
    ledger: &Ledger,
    (click_from, click_to): (i64, i64),
    (consent_from, consent_to): (i64, i64),
    barrier: i64,
) -> AuditBatch {
    let rulebook = &policy.setup.rulebook;
    AuditBatch {
        chain: chain.to_owned(),
        sequence: ledger.next_sequence,
        previous: ledger.head,
        decided_at: log.now,
        rulebook: rulebook.version.clone(),
        rulebook_sha256: rulebook.sha256,
        key_version: policy.setup.keys.active(),
        click_from,
        click_to,
        consent_from,
        consent_to,
        barrier,
        gate_open: log.gate_open,
        purposes: policy.judged.ids.to_vec(),
        entries: Vec::new(),
    }
}

/// Every rulebook that ever decided is kept by its hash, as evidence.
fn note_rulebook(log: &mut BatchLog, policy: &Policy, ledger: &mut Ledger) {
    let rulebook = &policy.setup.rulebook;
    if ledger.rulebooks.last().is_some_and(|(_, hash)| *hash == rulebook.sha256) {
        return;
    }
    ledger.rulebooks.push((rulebook.version.clone(), rulebook.sha256));
    let key = store::rulebook_key(&rulebook.sha256);
    let value = Some(policy.setup.rulebook_yaml.to_vec());
    log.outputs.push(Output::State { key, value });
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
fn split(log: &BatchLog, next_click: i64, next_consent: i64, coverage: Coverage) -> Vec<Part> {
    let mut parts = Vec::new();
    let (mut click, mut consent, mut from, mut begin) = (next_click, next_consent, 0, 0);
    loop {
        let end = cut(&log.marks, begin, from);
        let last = end == log.marks.len();
        let marks = &log.marks[begin..end];
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
