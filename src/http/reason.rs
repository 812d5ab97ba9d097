//! Why clicks of a partition are not allowed, or it is not ready: a word of /readyz and of a metric.

use std::fmt;

use serde::{Serialize, Serializer};

/// In the order in which they are named where several hold: the first is what to look at first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A batch of records can't be read. Of clicks it is passed over within seconds; of consent, state or
    /// audit a person has to decide about it, and the partition stands still until then.
    UnreadableBatch,
    /// Its state is being read back, or consent was not caught up with yet; or it was lost, and is
    /// to be given to somebody again.
    Restoring,
    /// The wall clock, or the state's own time, is ahead of its witnesses.
    Clock,
    /// Consent sync is past its bound.
    Stale,
    /// This consent source closes the gate where it is silent, and is.
    Source(String),
    /// Something of it has waited for 30 s to be committed, or broke an invariant.
    NotCommitting,
}

impl Reason {
    /// All there are, with one for each source that can close the gate.
    pub fn all<'a>(closing_sources: impl Iterator<Item = &'a str>) -> Vec<Self> {
        let sources = closing_sources.map(|id| Self::Source(id.to_owned()));
        let mut all: Vec<Self> = sources.collect();
        all.extend([
            Self::UnreadableBatch,
            Self::Restoring,
            Self::Clock,
            Self::Stale,
            Self::NotCommitting,
        ]);
        all
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Restoring => f.write_str("restoring"),
            Self::UnreadableBatch => f.write_str("unreadable_batch"),
            Self::Clock => f.write_str("clock"),
            Self::Stale => f.write_str("stale"),
            Self::Source(id) => write!(f, "source:{id}"),
            Self::NotCommitting => f.write_str("not_committing"),
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
