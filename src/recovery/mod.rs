//! `state accept-loss`: going on after a stop, which a person decides.
//!
//! Whoever goes on is the only member of the group, looks at every partition, says what it gives up, and
//! writes it by the same commit protocol as a worker.

mod accept;
mod orphans;
mod sole_member;
mod words;

pub use accept::{Finding, Recovery};
pub use words::gives_up;
