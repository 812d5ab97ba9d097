//! INV-1, 3, 4, 5, 13: what was decided is what the reference model says, entry by entry, and what is
//! live is what the gate allows.

mod audience;
mod seen;

use super::Findings;
use super::inputs::Inputs;
use super::parts::Part;
use crate::faults::Fault;
use crate::log::Topic;
use crate::model::{Change, Entry, Model, What};
use crate::stage::{PARTITIONS, PURPOSES, Stage};
use crate::steps::Step;
use crate::world::World;
use assent_contract::domain::invariants::{self, Invariant};
use assent_contract::domain::outcome::{InputKind, Outcome, TombstoneReason, Verdict};
use assent_contract::domain::pseudonym::SessionKeys;
use assent_contract::domain::segment::SegmentAssignment;
use assent_contract::domain::time::Span;
use assent_contract::rulebook::Rulebook;
use assent_core::engine::input::{ClickInput, ConsentInput};
use seen::{Eye, Live};

/// A reader drops a value past its end; Assent removes it within a minute where it runs.
const REMOVED_WITHIN: Span = Span::MINUTE;

/// The farthest that a run sets a clock back.
const SET_BACK_MAX: Span = Span(290_000);

pub fn check(
    world: &World<'_>,
    partition: i32,
    parts: &[Part<'_>],
    inputs: &Inputs<'_>,
    stage: &Stage,
    findings: &mut Findings,
) {
    let mut eye = Eye::new(stage);
    let mut model = Model::new(&stage.rulebooks[0].0, world.terms.lease);
    model.signals_max = world.terms.signals_max;
    let mut is_exact = true;
    for part in parts {
        let batch = &part.batch;
        let step = world.witness.losses.get(&part.transaction);
        let first = &stage.rulebooks[0].0;
        // A loss on record names no rulebook.
        if step != Some(&Step::OnRecord) {
            let mut all = stage.rulebooks.iter().map(|(rulebook, _)| rulebook);
            model.rulebook = all.find(|it| it.sha256 == batch.rulebook_sha256).unwrap_or(first);
            is_exact &= batch.rulebook_sha256 == first.sha256 && batch.key_version == 1;
        }
        let held = world.witness.consents.get(&(part.transaction, partition));
        let consent: Vec<ConsentInput<'_>> =
            held.into_iter().flatten().filter_map(|it| inputs.consent_input(*it)).collect();
        let clicks: Vec<ClickInput<'_>> =
            inputs.clicks.range(batch.click_from..batch.click_to).map(|it| copy(&it.1.1)).collect();
        let heard = world.witness.heard.get(&(part.transaction, partition));
        let others = (0..PARTITIONS).filter(|it| *it != partition).collect();
        model.hear(heard.map(AsRef::as_ref), others);
        let expected = match step {
            None => model.step((batch.decided_at, batch.gate_open), &consent, &clicks),
            Some(Step::Withheld) => model.withhold(batch.decided_at),
            Some(Step::OnRecord) => model.lose(batch.decided_at),
        };
        let seen = match eye.see(part) {
            Ok(seen) => without_gone(seen, partition, &model, findings),
            Err((invariant, detail)) => return findings.add(invariant, partition, detail),
        };
        let broken = is_exact.then(|| audience::differs(part, &model, step)).flatten();
        if let Some(detail) = broken {
            let detail = format!("sequence {}: {detail}", batch.sequence);
            return findings.add(Invariant::Closed, partition, detail);
        }
        let view = if is_exact { whole } else { judged };
        if let Some(detail) = differs(view, stage, part, inputs, (&expected, &seen)) {
            let detail = format!("sequence {}: {detail}", batch.sequence);
            return findings.add(Invariant::Consent, partition, detail);
        }
        check_moved(world, partition, part, &model, &seen, findings);
        check_live(world, partition, part, stage, &eye, &model, findings);
    }
    check_end(world, partition, stage, &eye, findings);
}

/// A purpose that the rulebook no longer has is judged until the sweep is through: never allowed. The model
/// does not know it.
fn without_gone(
    mut seen: seen::Seen,
    partition: i32,
    model: &Model<'_>,
    findings: &mut Findings,
) -> seen::Seen {
    let count = model.rulebook.purposes.len();
    for entry in &mut seen.entries {
        let gone = entry.verdicts.split_off(count.min(entry.verdicts.len()));
        if gone.into_iter().any(Verdict::allows) {
            let detail = "a purpose that the rulebook no longer has is allowed";
            findings.add(Invariant::Consent, partition, detail);
        }
    }
    seen
}

fn copy<'a>(input: &ClickInput<'a>) -> ClickInput<'a> {
    ClickInput { offset: input.offset, payload: input.payload, click: input.click.clone() }
}

/// All that the audit says of an entry.
#[allow(clippy::unnecessary_wraps)] // one of two views, of which the other leaves entries out
fn whole(entry: &Entry) -> Option<Entry> {
    let mut entry = Entry { contextual: vec![], dead_letter: None, ..entry.clone() };
    // That a segment opened or closed is upkeep; the model does not tell it from a timer.
    if entry.input == InputKind::Upkeep {
        (entry.input, entry.outcome) = (InputKind::Timer, Outcome::Elapsed);
    }
    Some(entry)
}

/// Once keys or rules have changed, the sweep, which the model does not know, says when a key is
/// written; what becomes of an input, and how it is judged, stays exact.
fn judged(entry: &Entry) -> Option<Entry> {
    let is_input = matches!(entry.input, InputKind::Click | InputKind::Consent);
    let bare = Entry { effects: vec![], subject: None, ..whole(entry)? };
    is_input.then_some(bare)
}

/// The first difference between what the model says and what the audit does.
fn differs(
    view: fn(&Entry) -> Option<Entry>,
    stage: &Stage,
    part: &Part<'_>,
    inputs: &Inputs<'_>,
    (expected, seen): (&[Entry], &seen::Seen),
) -> Option<String> {
    let wanted = ordered(expected.iter().filter_map(view).collect());
    let found = ordered(seen.entries.iter().filter_map(view).collect());
    let count = wanted.len().max(found.len());
    if let Some(at) = (0..count).find(|&at| wanted.get(at) != found.get(at)) {
        let (wanted, found) = (wanted.get(at), found.get(at));
        return Some(format!("the model says {wanted:?}, the audit {found:?}"));
    }
    let dead = |entry: &Entry| Some((entry.dead_letter?, entry.offset?));
    let is_lone = |entry: &&Entry| {
        entry.input != InputKind::Click || entry.offset.is_none_or(|it| inputs.has_letter(it))
    };
    let dead: Vec<_> = expected.iter().filter(is_lone).filter_map(dead).collect();
    if dead != seen.dead_letters {
        return Some(format!("dead letters {:?} instead of {dead:?}", seen.dead_letters));
    }
    let keys = &stage.keys[usize::from(part.batch.key_version) - 1];
    let mut sessions = SessionKeys::default();
    let contextual = expected.iter().filter(|entry| !entry.contextual.is_empty());
    let contextual: Vec<_> = contextual
        .filter_map(|entry| {
            let click = inputs.clicks.get(&entry.offset?)?.1.click.as_ref().ok()?;
            let token =
                keys.session_token(&mut sessions, click.session_id, click.occurred_at).text();
            Some((token, entry.contextual.clone(), click.occurred_at))
        })
        .collect();
    (contextual != seen.contextual).then(|| "contextual segments differ".to_owned())
}

/// What no input asked for in the order of its subjects, an entry's effects in that of their purposes: the
/// contract leaves both open.
fn ordered(mut entries: Vec<Entry>) -> Vec<Entry> {
    for entry in &mut entries {
        entry.effects.sort_by_key(|effect| effect.0);
    }
    let both_unasked = |one: &Entry, other: &Entry| {
        [one, other].iter().all(|it| matches!(it.input, InputKind::Timer | InputKind::Upkeep))
    };
    for run in entries.chunk_by_mut(both_unasked) {
        run.sort_by(|one, other| one.subject.cmp(&other.subject));
    }
    entries
}

/// A rotation moves whom the changelog names: an old key goes alone only where nothing is to be live, or
/// where no record that was read names its subject any more.
fn check_moved(
    world: &World<'_>,
    partition: i32,
    part: &Part<'_>,
    model: &Model<'_>,
    seen: &seen::Seen,
    findings: &mut Findings,
) {
    let is_live_anew = |subject: &str, place: usize| {
        let of_it = seen.entries.iter().filter(|it| it.subject.as_deref() == Some(subject));
        of_it.flat_map(|it| &it.effects).any(|effect| effect.0 == place && effect.1.is_ok())
    };
    let is_retired = |change: &Change| matches!(change, Err(TombstoneReason::KeyRetired));
    for entry in &seen.entries {
        let Some(subject) = &entry.subject else { continue };
        for (place, _) in entry.effects.iter().filter(|it| is_retired(&it.1)) {
            if !is_live_anew(subject, *place)
                && model.live(subject, *place).is_some()
                && is_named(world, partition, part, subject)
            {
                let detail = format!("a key was not moved at sequence {}", part.batch.sequence);
                findings.add(Invariant::Alive, partition, detail);
            }
        }
    }
}

/// Did the changelog hold a record of the subject when the transaction was written, and was it read?
fn is_named(world: &World<'_>, partition: i32, part: &Part<'_>, subject: &str) -> bool {
    let log = &world.broker.log;
    let at = part.records.first().map_or(0, |first| first.stored.order);
    let read = log.get(Topic::Consent, partition).iter().take(part.batch.consent_to as usize);
    read.filter(|it| log.is_committed(it) && it.removed.is_none_or(|removed| removed > at))
        .any(|it| it.record.key.as_deref() == Some(subject.as_bytes()) && it.record.value.is_some())
}

/// After each transaction: nothing is live that the gate withholds, nothing outlives its lease, nor,
/// where the gate was open, the grant that stands. What only a new rulebook withholds may be live until
/// the sweep comes to it; `check_end` asks whether it came.
fn check_live(
    world: &World<'_>,
    partition: i32,
    part: &Part<'_>,
    stage: &Stage,
    eye: &Eye,
    model: &Model<'_>,
    findings: &mut Findings,
) {
    let batch = &part.batch;
    let now = batch.decided_at;
    for ((place, pseudonym), Live { subject, assignment }) in &eye.live {
        let purpose = model.rulebook.purposes.iter().find(|it| it.id == PURPOSES[*place]);
        let Some(purpose) = purpose else { continue };
        let mut view = model.consent_view(subject);
        view.apply(&model.rulebook.purposes, &(now, What::Looked));
        let verdict = view.verdict(purpose, None, now);
        let mut on_all = model.view_with_all_signals(subject);
        on_all.apply(&model.rulebook.purposes, &(now, What::Looked));
        let on_all = on_all.verdict(purpose, None, now);
        if on_all == Verdict::OptOutSignal && verdict != on_all {
            let detail = format!("a signal that gave way is forgotten: {verdict:?}");
            findings.add(Invariant::OptOut, partition, detail);
        }
        let was = rulebook_of(stage, assignment).purposes.iter().find(|it| it.id == purpose.id);
        let was_allowed = was.is_some_and(|was| view.verdict(was, None, now).allows());
        let is_new = assignment.rulebook != model.rulebook.version && was_allowed;
        let (decided_at, expires_at) = (assignment.decided_at, assignment.expires_at);
        let violations = [
            invariants::kept_only_while_allowed(verdict, true, false).filter(|_| !is_new),
            invariants::leased(decided_at, expires_at, world.terms.lease),
            invariants::within_grant(expires_at, view.grant_ends_at(purpose)).filter(|_| {
                batch.gate_open && eye.version_of(pseudonym) == Some(batch.key_version)
            }),
        ];
        for violation in violations.into_iter().flatten() {
            let sequence = batch.sequence;
            let detail = format!("{} after sequence {sequence}: {verdict:?}", violation.detail);
            findings.add(violation.invariant, partition, detail);
        }
    }
}

/// The one under which it was decided.
fn rulebook_of<'s>(stage: &'s Stage, assignment: &SegmentAssignment) -> &'s Rulebook {
    let mut all = stage.rulebooks.iter().map(|(rulebook, _)| rulebook.as_ref());
    all.find(|it| it.version == assignment.rulebook).unwrap_or(&stage.rulebooks[0].0)
}

/// At rest: nothing live is past its end, of an earlier rulebook, or under a key that is no longer
/// emitted.
fn check_end(world: &World<'_>, partition: i32, stage: &Stage, eye: &Eye, findings: &mut Findings) {
    let rulebook = &stage.rulebooks[world.terms.rulebook].0.version;
    let set_back = world.faults.struck.contains_key(&Fault::ClockBack);
    let behind = if set_back { SET_BACK_MAX } else { Span(0) };
    let until = world.broker.now - REMOVED_WITHIN - behind;
    let active = world.terms.keys as u8 + 1;
    for ((_, pseudonym), live) in &eye.live {
        if live.assignment.expires_at < until {
            findings.add(Invariant::Leased, partition, "a live value long past its end");
        }
        if live.assignment.rulebook != *rulebook {
            findings.add(Invariant::OptOut, partition, "a live key of an earlier rulebook");
        }
        if eye.version_of(pseudonym) != Some(active) {
            findings.add(Invariant::Alive, partition, "a live key that a rotation left behind");
        }
    }
}
