//! After a run: is every invariant kept, as far as the topics and the simulator's own knowledge of
//! the truth can say?
//!
//! | invariant | held to by |
//! |---|---|
//! | INV-3, minimum audience | how segments stand and what is published of them, by the reference model; every assignment, by what the audit states |
//! | INV-1, 3, 4, 13 | the reference model, entry by entry (`story`); the live keys at the end |
//! | INV-2, 3 | the true order of appends, which no clock or offset can hide (`truth`) |
//! | INV-5, 8 | every record with its audit entry, every input with its outcome (`parts`, `story`) |
//! | INV-6, 7 | raw identifiers, and tokens of two purposes or days, in what was written, aborted or not (`secrecy`) |
//! | INV-9 | chain, sequence and coverage (`parts`) |
//! | INV-10 | the engine run again without any fault: the same bytes, state included (`replay`) |
//! | INV-12 | the run came to rest (`world`) |
//!
//! INV-11 (minimal) is not asked here: what the state keeps is not compared with what it may keep.

mod inputs;
mod parts;
mod replay;
mod secrecy;
mod story;
mod truth;

use super::stage::{PARTITIONS, Stage};
use super::world::World;
use assent_contract::domain::invariants::Invariant;
use inputs::Inputs;

/// An invariant that a run broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub invariant: Invariant,
    /// Of the inputs, where one is concerned.
    pub partition: Option<i32>,
    pub detail: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.invariant.id())?;
        if let Some(partition) = self.partition {
            write!(f, ", partition {partition}")?;
        }
        write!(f, ": {}", self.detail)
    }
}

pub struct Findings(pub Vec<Finding>);

impl Findings {
    pub fn add(&mut self, invariant: Invariant, partition: i32, detail: impl Into<String>) {
        let (partition, detail) = (Some(partition), detail.into());
        self.0.push(Finding { invariant, partition, detail });
    }

    fn of_run(&mut self, invariant: Invariant, detail: impl Into<String>) {
        self.0.push(Finding { invariant, partition: None, detail: detail.into() });
    }
}

/// Everything that a run broke; nothing, if all is well. `unrest`: how it stood at its end, if it did not
/// come to rest.
pub fn audit(world: &World<'_>, unrest: Option<String>, stage: &Stage) -> Vec<Finding> {
    let mut findings = Findings(Vec::new());
    for stop in &world.witness.stops {
        findings.of_run(Invariant::Atomic, format!("a process refused to go on: {stop}"));
    }
    for (partition, violation) in &world.witness.violations {
        findings.add(violation.invariant, *partition, violation.to_string());
    }
    for excess in &world.witness.excesses {
        findings.of_run(Invariant::Alive, excess.clone());
    }
    let others = world.broker.late_requests.other;
    if others > 0 {
        let detail =
            format!("late requests reached {others} transactions that they were not meant for");
        findings.of_run(Invariant::Atomic, detail);
    }
    let came_to_rest = unrest.is_none();
    if let Some(state) = unrest {
        let detail = format!("did not come to rest after the last fault\n{state}");
        findings.of_run(Invariant::Alive, detail);
    }
    let parts = parts::of(&world.broker.log, &mut findings);
    for partition in 0..PARTITIONS {
        let inputs = Inputs::of(&world.broker.log, partition, world.known(stage));
        let parts = parts.get(&partition).map_or(&[][..], Vec::as_slice);
        parts::check_chain(partition, parts, &mut findings);
        inputs.check_accounted(partition, parts, came_to_rest, &mut findings);
        inputs.check_lost(&world.broker.log, partition, parts, &mut findings);
        inputs::check_forwarded(&world.broker.log, partition, parts, &mut findings);
        truth::check(world, partition, parts, &inputs, &mut findings);
        story::check(world, partition, parts, &inputs, stage, &mut findings);
        replay::check(world, partition, parts, &inputs, stage, &mut findings);
    }
    secrecy::check(&world.broker.log, &mut findings);
    findings.0
}
