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
mod person;
mod random;
mod restored;
mod stage;
mod steps;
mod summary;
mod workload;
mod world;

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use assent_contract::domain::time::Span;
pub use auditor::Finding;
pub use broker::LateRequests;
pub use faults::{Fault, Met};
pub use random::SplitMix64;
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
    pub late: LateRequests,
    /// From the end of the last fault on; `None`: it did not come to rest.
    pub rested_in: Option<Span>,
    pub struck: BTreeMap<Fault, u64>,
    pub crashes: BTreeMap<&'static str, u64>,
    pub met: Met,
}

/// One history, from its seed to its audit.
pub fn run(seed: u64, stage: &Stage) -> Run {
    let mut world = World::new(seed, stage);
    let rested_in = world.run();
    let unrest = rested_in.is_none().then(|| world.describe());
    let findings = auditor::audit(&world, unrest, stage);
    Run {
        seed,
        trace: world.broker.log.trace.0,
        findings,
        inputs: world.workload.inputs,
        committed: world.witness.committed,
        rolled_back: world.witness.rolled_back,
        surrendered: world.witness.surrendered,
        late: world.broker.late_requests,
        rested_in,
        struck: world.faults.struck,
        crashes: world.faults.crashes,
        met: world.faults.met,
    }
}

/// The same; `Err`: the engine, or the simulator, panicked. That ends this history, and no other.
pub fn attempt(seed: u64, stage: &Stage) -> Result<Run, String> {
    catch_unwind(AssertUnwindSafe(|| run(seed, stage))).map_err(|cause| message_of(&*cause))
}

fn message_of(cause: &(dyn Any + Send)) -> String {
    let text = cause.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| cause.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a panic without a message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_breaks_its_seed_and_no_other() {
        let stage = Stage::new();
        let mut summary = Summary::default();
        summary.add(1, attempt(1, &stage));
        summary.add(2, catch_unwind(|| panic!("no {}", "way")).map_err(|it| message_of(&*it)));
        assert_eq!((summary.seeds, summary.broken), (2, 1));
        assert_eq!(summary.panics, [(2, "no way".to_owned())].into());
    }
}
