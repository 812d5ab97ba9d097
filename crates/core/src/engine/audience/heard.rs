//! What the partitions of a group say of their audiences: read from the state topic at one time.

use std::collections::BTreeMap;

use super::record::AudienceRecord;
use crate::engine::store::audience_key;
use assent_contract::domain::audit::Sha256Hash;
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::rulebook::Rulebook;

/// What was read counts for so long: many times the second between two readings.
const COUNTS_FOR: Span = Span(30 * Span::SECOND.0);

/// A partition that said nothing for so long has no owner: who is in it may have opted out unread. One that
/// has an owner says something at least hourly (docs/contract/batch.md#absence).
const SAID_WITHIN: Span = Span(2 * Span::HOUR.0);

/// What one partition says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub rulebook: Sha256Hash,
    /// The clock of its batch.
    pub at: Timestamp,
    /// Of the segments of purposes with a minimum audience, in the order of that rulebook.
    pub counts: Vec<u64>,
}

/// What all partitions say, as far as they were heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The wall clock when it was asked where the state ends: everything committed before is in it.
    pub as_of: Timestamp,
    pub said: BTreeMap<i32, Said>,
}

impl Said {
    /// A record of the state topic; `None`: it is another one, or can't be read.
    pub fn read(key: &[u8], value: Option<&[u8]>) -> Option<Self> {
        let value = value.filter(|_| key == audience_key())?;
        AudienceRecord::unpack(value).ok().map(|record| record.said)
    }
}

impl Heard {
    /// From then on it is no longer known.
    pub fn ends_at(&self) -> Timestamp {
        self.as_of + COUNTS_FOR
    }

    /// What this partition says; `None`: nobody knows now.
    pub fn of(&self, partition: i32, rulebook: &Rulebook, now: Timestamp) -> Option<&Said> {
        let said = self.said.get(&partition)?;
        let is_known =
            now < self.ends_at() && said.rulebook == rulebook.sha256 && now - said.at < SAID_WITHIN;
        is_known.then_some(said)
    }
}
