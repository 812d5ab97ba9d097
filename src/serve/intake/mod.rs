//! The intake: the one writer of `consent-changelog` for everything that comes through this service.
//!
//! A change takes two transactions. [`acceptor`] writes the sealed command to `consent-intake-state` and the
//! request to the register: what was answered 202 is there, what was answered 503 is not. The owner of the
//! command's partition ([`owner`]), one instance of all by the group `{group_id}-intake`, merges it with what
//! the changelog holds and writes the record, with its own offset in the same transaction: once, whatever
//! crashed. The command stays until the audit shows the record applied, so whoever owns the partition next
//! knows what is still to be honored (docs/decisions/0020-the-intake.md).
//!
//! ```text
//! consent-intake-state   c/<request>              a change, sealed           claim, merging, honor
//!                        h/<identity>/<request>   held for a mapping         held
//!                        d/<random>               what a comparison found    drift
//! ```

mod acceptor;
mod audit;
mod claim;
mod drift;
mod held;
mod honor;
pub mod kept;
mod merging;
mod owner;
mod requests;
pub mod seal;
mod transaction;
mod unchanged;

pub use acceptor::{Acceptor, Counts, Offer};
pub use owner::{Owner, OwnerContext, OwnerStatus};
pub use requests::{delivery_id, new_request_id, received};

/// Commands of `consent-intake-state` have this before their request's id.
pub const COMMAND: &str = "c/";

/// Sources that this service makes itself, and those of consent platforms.
pub const SOURCES: [&str; 6] = ["api", "browser", "onetrust", "trustarc", "zigpoll", "ketch"];

/// How what a platform has differs from what stands.
pub const DRIFT_KINDS: [&str; 3] = ["stricter", "looser", "unmapped"];

/// A source as a metric's label: a known one, or `other`.
pub fn source_label(source: &str) -> &'static str {
    SOURCES.into_iter().find(|known| *known == source).unwrap_or("other")
}

fn drift_label(kind: &str) -> &'static str {
    DRIFT_KINDS.into_iter().find(|known| *known == kind).unwrap_or("other")
}

/// The group in which instances share the partitions of `consent-intake-state`.
pub fn group_of(group_id: &str) -> String {
    format!("{group_id}-intake")
}

/// A name for one producer of this process: nobody else ever has it.
pub fn producer_name(group_id: &str, role: &str) -> Result<String, getrandom::Error> {
    let mut random = [0; 8];
    getrandom::fill(&mut random)?;
    let random = assent_contract::domain::hex::hex(&random);
    Ok(format!("{group_id}-intake-{role}-{random}"))
}
