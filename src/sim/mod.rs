//! The simulator: production engine, tasks and commit protocol on a simulated log, in virtual time,
//! with faults; a seed is a history, and every invariant is held to after it.
//!
//! Pure: knows no clock, randomness, I/O or thread. Whoever runs it (`assent sim`, tests) gives the
//! seeds. What it can't show, real Kafka must: the client library, sockets, disks.

mod auditor;
mod broker;
mod faults;
mod group;
mod instance;
mod log;
pub mod model;
mod random;
mod stage;
mod summary;
mod workload;
mod world;

use std::collections::BTreeMap;

pub use auditor::Finding;
pub use faults::{Fault, Met};
pub use stage::Stage;
pub use summary::Summary;
use world::World;

/// What a seed gave.
pub struct Run {
    pub seed: u64,
    /// Of everything that was written, and how it ended: the same seed has the same.
    pub trace: u64,
    pub findings: Vec<Finding>,
    pub inputs: u64,
    pub committed: u64,
    pub rolled_back: u64,
    pub surrendered: u64,
    /// Late requests that met another transaction, and that were fenced.
    pub late_met: u64,
    pub late_fenced: u64,
    pub struck: BTreeMap<Fault, u64>,
    pub crashes: BTreeMap<&'static str, u64>,
    pub met: Met,
}

/// One history, from its seed to its audit.
pub fn run(seed: u64, stage: &Stage) -> Run {
    let mut world = World::new(seed, stage);
    let came_to_rest = world.run();
    let unrest = (!came_to_rest).then(|| world.describe());
    let findings = auditor::audit(&world, unrest, stage);
    Run {
        seed,
        trace: world.broker.log.trace.0,
        findings,
        inputs: world.workload.inputs,
        committed: world.witness.committed,
        rolled_back: world.witness.rolled_back,
        surrendered: world.witness.surrendered,
        late_met: world.broker.late_met,
        late_fenced: world.broker.late_fenced,
        struck: world.faults.struck,
        crashes: world.faults.crashes,
        met: world.faults.met,
    }
}
