//! What a partition is told: decoded inputs, each ending in exactly one outcome (INV-8).

pub use assent_contract::domain::intake::{ConsentBody, Rejection, payload_hash};

use assent_contract::domain::event::Click;
use assent_contract::domain::time::Timestamp;

/// A record of the clickstream.
pub struct ClickInput<'a> {
    pub offset: i64,
    /// The raw value, hashed for a dead letter; `None`: there was none.
    pub payload: Option<&'a [u8]>,
    pub click: Result<Click<'a>, Rejection>,
}

/// Clicks that were not read, and never will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadClicks {
    pub first: i64,
    pub last: i64,
    /// All that a batch covers, or a part of it; else one record.
    pub is_batch: bool,
    pub rejection: Rejection,
}

impl DeadClicks {
    /// How many offsets it covers.
    pub fn count(&self) -> usize {
        usize::try_from(self.last - self.first + 1).unwrap_or(0)
    }
}

/// A record of the consent changelog.
pub struct ConsentInput<'a> {
    pub offset: i64,
    /// The broker's append time.
    pub append_time: Timestamp,
    /// The record's key: the subject as bytes. Raw identifier.
    pub key: &'a [u8],
    pub payload: Option<&'a [u8]>,
    pub body: ConsentBody<'a>,
}

/// Which offsets a batch covers, once its last input was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// One past the last click, also where the tail is control records.
    pub click_to: i64,
    pub consent_to: i64,
    /// End of the consent partition, as the broker answered after the last click was received.
    pub barrier: i64,
    /// `None`: consent was not in sync since the partition was taken up.
    pub synced: Option<Synced>,
}

/// With a batch's consent, all is applied that was appended up to a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synced {
    /// By the wall clock.
    pub at: Timestamp,
    /// It is to be written although nothing else is.
    pub asks_for_batch: bool,
}
