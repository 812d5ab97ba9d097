//! What happens to a partition's state: `step(state, input) → effects`, with undo.
//!
//! Deterministic (INV-10): knows no clock, randomness, I/O, Kafka or metrics. `now` is an input.

mod accept;
mod at_hand;
mod check;
mod claim;
pub mod commit;
mod dead;
pub mod input;
mod layout;
mod lease;
mod ledger;
pub mod loss;
mod mandate;
pub mod output;
mod pack;
mod page;
mod partition;
mod refusal;
mod restore;
mod revise;
mod roster;
mod seal;
mod signals;
pub mod stats;
mod step;
pub mod store;
mod subject;
mod subjects;
#[cfg(test)]
mod tests;
mod timers;
mod undo;
mod unnamed;
pub mod window;
mod work;

pub use accept::{Accepted, Doubt, ORPHANS_PER_BATCH_MAX, Orphan};
pub use claim::Claim;
pub use partition::{Partition, Positions, Setup};
pub use refusal::{Refusal, is_of_group, refusal};
pub use restore::{Restore, Salvage};
pub use stats::{Stats, SubjectKind};
pub use step::{EVENT_TIME_AHEAD_MAX, TIMERS_PER_BATCH_MAX, UPKEEP_PER_BATCH_MAX};
