//! What only the simulator knows: the true order of all appends, and the true time of a decision.

use super::Findings;
use super::inputs::Inputs;
use super::parts::Part;
use crate::faults::Fault;
use crate::log::Topic;
use crate::world::World;
use assent_contract::domain::invariants::Invariant;
use assent_contract::domain::outcome::{InputKind, Outcome};
use assent_contract::domain::time::Span;

/// Lag is 0 while the last question that was reached is at most this old.
const SYNCED_FOR: Span = Span::SECOND;

pub fn check(
    world: &World<'_>,
    partition: i32,
    parts: &[Part<'_>],
    inputs: &Inputs<'_>,
    findings: &mut Findings,
) {
    for part in parts.iter().filter(|part| part.batch.gate_open) {
        check_barrier(world, partition, part, inputs, findings);
        check_sync(world, partition, part, findings);
    }
}

/// INV-2: all consent that was appended before a click was is applied before it.
fn check_barrier(
    world: &World<'_>,
    partition: i32,
    part: &Part<'_>,
    inputs: &Inputs<'_>,
    findings: &mut Findings,
) {
    let consent = world.broker.log.get(Topic::Consent, partition);
    let beyond = &consent[(part.batch.consent_to as usize).min(consent.len())..];
    let Some(first) = beyond.iter().find(|it| !it.is_control) else { return };
    for entry in &part.batch.entries {
        let decided = entry.input == InputKind::Click && entry.outcome == Outcome::Decided;
        let click = entry.offset.filter(|_| decided).and_then(|it| inputs.clicks.get(&it));
        if click.is_some_and(|(click, _)| click.order > first.order) {
            let detail = format!(
                "click {:?} was decided on consent up to {}, what follows was there before it",
                entry.offset, part.batch.consent_to
            );
            findings.add(Invariant::Barrier, partition, detail);
        }
    }
}

/// INV-3: with the gate open, nothing is missing that is older than the bound. A wall clock that was
/// set back takes a record for younger than it is, by as much: known, so those runs are not asked.
fn check_sync(world: &World<'_>, partition: i32, part: &Part<'_>, findings: &mut Findings) {
    let Some(decided_at) = world.witness.decided_at.get(&part.transaction) else { return };
    if world.faults.struck.contains_key(&Fault::ClockBack) {
        return;
    }
    let since = *decided_at - world.terms.bounds.max_sync_lag - SYNCED_FOR;
    let consent = world.broker.log.get(Topic::Consent, partition);
    let beyond = &consent[(part.batch.consent_to as usize).min(consent.len())..];
    if beyond.iter().any(|it| !it.is_control && it.appended_at < since) {
        let detail =
            format!("the gate was open at sequence {}, consent was behind", part.batch.sequence);
        findings.add(Invariant::Closed, partition, detail);
    }
}
