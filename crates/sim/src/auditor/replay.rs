//! INV-10: the engine, run again in one go over the inputs at the `now` that the audit records, gives
//! every record byte for byte, the state's too: whatever crashed in between.
//!
//! Raw ids that a rotation re-read stand in no audit, and a new rulebook comes with a restart, so the
//! replay ends at the first of either, and where a person went on after a loss; `story` goes on.

use std::sync::Arc;

use super::Findings;
use super::inputs::{Inputs, click};
use super::parts::{Part, Written};
use crate::instance::{first_setup, record_of};
use crate::log::{Record, Topic, dead_clicks};
use crate::stage::{PARTITIONER, PARTITIONS, Stage};
use crate::world::World;
use assent_contract::domain::invariants::Invariant;
use assent_contract::wire::ClickReader;
use assent_core::engine::input::Coverage;
use assent_core::engine::output::BatchOutput;
use assent_core::engine::{Partition, Restore, Setup};

pub fn check(
    world: &World<'_>,
    partition: i32,
    parts: &[Part<'_>],
    inputs: &Inputs<'_>,
    stage: &Stage,
    findings: &mut Findings,
) {
    let setup = first_setup(stage, &world.terms);
    let Ok(mut engine) = Restore::new(partition).finish(Arc::clone(&setup)) else { return };
    engine.start_at(0, 0);
    for part in parts {
        if is_beyond(part, &setup) || world.witness.losses.contains_key(&part.transaction) {
            return;
        }
        let (again, differs) = run_again(engine, (&setup, stage), world, partition, part, inputs);
        engine = again;
        if let Some(detail) = differs {
            let sequence = part.batch.sequence;
            let detail = format!("sequence {sequence}, run again: {detail}");
            return findings.add(Invariant::Deterministic, partition, detail);
        }
    }
}

/// Was it decided under other keys or another rulebook than the first? Only those are replayed.
fn is_beyond(part: &Part<'_>, first: &Setup) -> bool {
    part.batch.key_version != first.keys.active()
        || part.batch.rulebook_sha256 != first.rulebook.sha256
}

/// What differs, and the partition for the next one.
fn run_again(
    mut engine: Partition,
    (setup, stage): (&Setup, &Stage),
    world: &World<'_>,
    partition: i32,
    part: &Part<'_>,
    inputs: &Inputs<'_>,
) -> (Partition, Option<String>) {
    let (batch, known) = (&part.batch, world.known(stage));
    let reader = ClickReader::new(setup.rulebook.fields, PARTITIONER, PARTITIONS);
    engine.hear(world.witness.heard.get(&(part.transaction, partition)));
    let mut open = engine.begin(batch.decided_at, batch.gate_open);
    let held = world.witness.consents.get(&(part.transaction, partition));
    for offset in held.into_iter().flatten() {
        if let Some(input) = inputs.consent_input(*offset) {
            open.consent(&input);
        }
    }
    open.timers();
    for (&offset, (stored, _)) in inputs.clicks.range(batch.click_from..batch.click_to) {
        match stored.damaged {
            Some(batch) if batch.0 == offset => open.dead_clicks(&dead_clicks(batch)),
            Some(_) => {}
            None => open.click(&click((&reader, known), partition, offset, stored)),
        }
    }
    let (decided, output) = open.finish(Coverage {
        click_to: batch.click_to,
        consent_to: batch.consent_to,
        barrier: batch.barrier,
        synced: world.witness.synced.get(&(part.transaction, partition)).copied().flatten(),
    });
    (decided.confirm(), difference(&output, partition, part))
}

fn difference(output: &BatchOutput, partition: i32, part: &Part<'_>) -> Option<String> {
    let again: Vec<_> =
        output.outputs.iter().map(|it| record_of(partition, &output.purposes, it)).collect();
    if again.len() != part.records.len() {
        return Some(format!("{} records instead of {}", again.len(), part.records.len()));
    }
    let other = again.iter().zip(&part.records).position(|(it, was)| !is_same(it, was));
    other.map(|place| format!("record {place} differs ({:?})", part.records[place].topic))
}

fn is_same(((topic, partition), again): &((Topic, i32), Record), was: &Written<'_>) -> bool {
    let record = &was.stored.record;
    (*topic, *partition) == (was.topic, was.partition)
        && again.key == record.key
        && again.value == record.value
        && again.headers == record.headers
}
