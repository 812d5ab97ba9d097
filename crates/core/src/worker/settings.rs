//! What a worker is told once: bounds on consent, its pace, and how much it may hold.
//!
//! The pipeline takes [`Limits::default`]. The simulator takes smaller ones, so that a history of a minute
//! meets every one of them.

use crate::task::{Bounds, CONSENTS_PER_BATCH};
use assent_contract::domain::intake::RECORD_BYTES_MAX;
use assent_contract::domain::time::Span;

#[derive(Clone, Debug)]
pub struct Settings {
    pub bounds: Bounds,
    /// Between two regular commits.
    pub commit_interval: Span,
    pub limits: Limits,
}

/// How much a worker takes, and holds, at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Clicks of all partitions in one transaction.
    pub clicks_per_transaction: usize,
    /// Clicks that go along with an opt-out.
    pub clicks_with_urgent: usize,
    /// Bytes that the clicks held take, of all partitions.
    pub click_bytes: usize,
    /// The same of consent.
    pub consent_bytes: usize,
    /// Consent records held, for each partition.
    pub consents: usize,
    /// Records of one input that are taken before something else has its turn.
    pub burst: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // 100 ms of deciding at 1.6 µs each. What has piled up is caught up with in steps of that,
            // since whoever opts out meanwhile waits for a whole one.
            clicks_per_transaction: 60_000,
            // A third of it.
            clicks_with_urgent: 20_000,
            // docs/contract/batch.md#when-it-commits
            click_bytes: RECORD_BYTES_MAX,
            // 40,000 of the largest records that a broker takes by default would be 40 GB.
            consent_bytes: RECORD_BYTES_MAX,
            consents: 2 * CONSENTS_PER_BATCH,
            burst: 2_000,
        }
    }
}

impl Limits {
    /// What the clicks of one partition that wait may take, of so many partitions, and what one burst
    /// takes at most: so those that wait leave half of the memory to the others.
    pub fn share(&self, partitions: usize) -> usize {
        self.click_bytes / (2 * partitions.max(1))
    }
}
