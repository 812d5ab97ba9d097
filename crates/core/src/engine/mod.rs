//! What happens to a partition's state: `step(state, input) → effects`, with undo.
//!
//! Deterministic (INV-10): knows no clock, randomness, I/O, Kafka or metrics. `now` is an input.

pub mod absence;
mod accept;
mod arena;
mod at_hand;
pub mod audience;
mod batch;
mod batch_log;
mod check;
mod claim;
mod dead;
mod decided;
mod edition;
pub mod held;
pub mod input;
mod judged_purposes;
mod layout;
mod lease;
mod ledger;
pub mod loss;
pub mod output;
mod pack;
mod partition;
mod policy;
mod refusal;
mod restore;
mod revise;
mod seal;
mod setup;
mod signals;
mod state;
pub mod stats;
mod step;
pub mod store;
mod subject;
mod subjects;
#[cfg(test)]
mod tests;
mod timers;
mod token;
mod undo;
pub mod window;

pub use accept::{Accepted, Doubt, Doubted, ORPHANS_PER_BATCH_MAX, Orphan};
pub use batch::OpenBatch;
pub use claim::Claim;
pub use decided::Decided;
pub use partition::{Partition, Positions};
pub use refusal::{Refusal, is_of_group, refusal};
pub use restore::{Restore, Salvage};
pub use setup::Setup;
pub use stats::{Stats, SubjectKind};
pub use step::{EVENT_TIME_AHEAD_MAX, TIMERS_PER_BATCH_MAX, UPKEEP_PER_BATCH_MAX};
