//! A worker: the partitions that the group gave it, and what is to be done next of all that they need.
//!
//! A machine without I/O, for the pipeline and the simulator: the rim asks for the next [`Request`], executes
//! it, and tells the worker the facts that came of it. It must not know Kafka, a clock, threads or metrics.
//!
//! A turn, in this order: what the schema registry said, consent, misrouted consent, clicks, the group,
//! partitions to restore, keys, audiences, questions to the broker, a batch. The commit protocol's actions come one
//! after the other, with nothing between them but clicks that the rim may take in meanwhile
//! ([`Worker::during_commit`]).

mod batches;
mod facts;
mod forwarding;
mod intake;
mod questions;
mod request;
mod room;
mod settings;
mod standstill;
mod sweep;
mod turn;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::commit::Batch;
use crate::commit::{Action, Commit};
use crate::task::Task;
use assent_contract::domain::time::Span;
use assent_contract::wire::KnownSchemas;
use batches::Batches;
use forwarding::Forwarding;
pub use intake::{Ended, Intake};
use questions::Questions;
pub use request::Request;
pub use room::{Fit, Room};
pub use settings::{Limits, Settings};
pub use standstill::STANDS_MAX;
use standstill::Standstill;
use sweep::Sweep;
pub use sweep::Swept;
use turn::Turn;

/// Partitions that the group gave, and that are not restored yet.
struct Taking {
    partitions: Vec<i32>,
    /// Uptime: not tried before.
    not_before: Span,
}

/// Partitions are to be given back.
#[derive(Clone, Copy)]
struct Giving {
    /// Uptime: what is in hand is committed by then.
    until: Span,
    /// A batch was asked for, and none came.
    is_empty: bool,
}

pub struct Worker {
    settings: Settings,
    turn: Turn,
    /// The partitions, and what comes in for them.
    intake: Intake,
    taking: Option<Taking>,
    giving: Option<Giving>,
    batches: Batches,
    questions: Questions,
    standstill: Standstill,
    forwarding: Forwarding,
    sweep: Sweep,
    /// Of the schema registry, as of this turn.
    known: Arc<KnownSchemas>,
    /// Partitions whose clicks wait for the schema registry, and of which no more are fetched.
    paused: BTreeSet<i32>,
}

impl Worker {
    pub fn new(settings: Settings) -> Self {
        Self {
            turn: Turn::default(),
            intake: Intake::new(settings.limits),
            settings,
            taking: None,
            giving: None,
            batches: Batches::default(),
            questions: Questions::default(),
            standstill: Standstill::default(),
            forwarding: Forwarding::default(),
            sweep: Sweep::default(),
            known: Arc::default(),
            paused: BTreeSet::new(),
        }
    }

    pub fn tasks(&self) -> &BTreeMap<i32, Task> {
        &self.intake.tasks
    }

    pub fn tasks_mut(&mut self) -> &mut BTreeMap<i32, Task> {
        &mut self.intake.tasks
    }

    /// Decided, and not known to be committed or not.
    pub fn in_hand(&self) -> Option<&Batch> {
        self.batches.in_hand()
    }

    /// The batch that is being committed, and what receives clicks meanwhile.
    pub fn during_commit(&mut self) -> (Option<&Batch>, &mut Intake) {
        (self.batches.in_hand(), &mut self.intake)
    }

    /// What the commit protocol asks for, until it was done.
    pub fn action(&self) -> Option<Action> {
        self.batches.action()
    }

    pub fn protocol(&self) -> &Commit {
        self.batches.protocol()
    }

    /// As of this turn.
    pub fn known(&self) -> &Arc<KnownSchemas> {
        &self.known
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Are there partitions that are not restored yet?
    pub fn is_taking_up(&self) -> bool {
        self.taking.is_some()
    }

    pub fn is_giving_back(&self) -> bool {
        self.giving.is_some()
    }
}

#[cfg(test)]
mod tests;
