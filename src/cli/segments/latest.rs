//! The last value of each key of some segment topics, in little memory: its end, and which set of segments it
//! is of. The sets are few and shared.
//!
//! What expired, was removed or can't be read counts as nothing (docs/readers.md).

use std::collections::HashMap;
use std::sync::Arc;

use super::super::stderr;
use super::each_change;
use crate::config::Config;
use crate::failure::Result;
use crate::kafka::assignments::{Change, SegmentTopics};
use crate::kafka::read::{Start, TopicReader};
use crate::registry::Reading;
use assent_contract::domain::outcome::Basis;
use assent_contract::domain::pseudonym::Pseudonym;
use assent_contract::domain::segment::SegmentAssignment;
use assent_contract::domain::time::Timestamp;

/// What many keys share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Assigned {
    pub segments: Vec<String>,
    pub basis: Basis,
}

#[derive(Clone)]
pub struct Held {
    pub assigned: Arc<Assigned>,
    pub expires_at: Timestamp,
}

pub struct Latest {
    /// By the purpose's place among those that were read.
    purposes: Vec<(String, HashMap<Pseudonym, Held>)>,
    sets: HashMap<Assigned, Arc<Assigned>>,
    unreadable: u64,
}

impl Latest {
    /// Reads the topics of these purposes to their ends. Warns where something could not be read.
    pub fn read(config: &Config, purposes: &[String]) -> Result<Self> {
        let topics = SegmentTopics::new(config, purposes);
        let reader = TopicReader::topics(config, topics.names(), Start::Beginning)?;
        let mut latest = Self::of(purposes);
        each_change(&topics, &reader, &mut Reading::open(config)?, |change| latest.apply(change))?;
        if latest.unreadable > 0 {
            let count = latest.unreadable;
            stderr::warning(&format!("{count} values in the segment topics can't be read"));
        }
        Ok(latest)
    }

    fn of(purposes: &[String]) -> Self {
        let purposes = purposes.iter().map(|id| (id.clone(), HashMap::new())).collect();
        Self { purposes, sets: HashMap::new(), unreadable: 0 }
    }

    /// What may be used now.
    pub fn find(&self, purpose: usize, pseudonym: &Pseudonym, now: Timestamp) -> Option<&Held> {
        self.purposes[purpose].1.get(pseudonym).filter(|held| held.expires_at > now)
    }

    /// How many keys each set of segments has now.
    pub fn counts(&self, purpose: usize, now: Timestamp) -> HashMap<&Assigned, u64> {
        let mut counts = HashMap::new();
        let live = self.purposes[purpose].1.values().filter(|held| held.expires_at > now);
        for held in live {
            *counts.entry(held.assigned.as_ref()).or_default() += 1;
        }
        counts
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Assigned(assignment) => self.set(assignment),
            Change::Removed(removal) => self.remove(&removal.purpose, &removal.pseudonym),
            Change::Unreadable(value) => {
                self.unreadable += 1;
                self.remove(&value.purpose, &value.pseudonym);
            }
        }
    }

    fn set(&mut self, assignment: SegmentAssignment) {
        let SegmentAssignment { pseudonym, purpose, segments, basis, expires_at, .. } = assignment;
        let Some(pseudonym) = Pseudonym::parse(&pseudonym) else { return };
        let assigned = Assigned { segments, basis };
        let assigned = self.sets.entry(assigned).or_insert_with_key(|set| Arc::new(set.clone()));
        let held = Held { assigned: Arc::clone(assigned), expires_at };
        if let Some(keys) = self.keys_of(&purpose) {
            keys.insert(pseudonym, held);
        }
    }

    fn remove(&mut self, purpose: &str, pseudonym: &str) {
        if let (Some(keys), Some(pseudonym)) = (self.keys_of(purpose), Pseudonym::parse(pseudonym))
        {
            keys.remove(&pseudonym);
        }
    }

    fn keys_of(&mut self, purpose: &str) -> Option<&mut HashMap<Pseudonym, Held>> {
        self.purposes.iter_mut().find(|(id, _)| id == purpose).map(|(_, keys)| keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::assignments::{Removal, Unreadable};

    const NOW: Timestamp = Timestamp(1_000);

    fn assignment(key: u8, segments: &[&str], expires_at: i64) -> Change {
        Change::Assigned(SegmentAssignment {
            pseudonym: Pseudonym([key; 17]).text(),
            purpose: "offers".to_owned(),
            segments: segments.iter().map(|&id| id.to_owned()).collect(),
            basis: Basis::OptIn,
            decided_at: Timestamp(0),
            expires_at: Timestamp(expires_at),
            rulebook: "test".to_owned(),
        })
    }

    fn removal(key: u8) -> Change {
        Change::Removed(Removal {
            purpose: "offers".to_owned(),
            pseudonym: Pseudonym([key; 17]).text(),
            reason: "opted_out".to_owned(),
            decided_at: None,
        })
    }

    fn unreadable(key: u8) -> Change {
        Change::Unreadable(Unreadable {
            purpose: "offers".to_owned(),
            pseudonym: Pseudonym([key; 17]).text(),
            why: "test".to_owned(),
        })
    }

    fn read(changes: Vec<Change>) -> Latest {
        let mut latest = Latest::of(&["offers".to_owned()]);
        for change in changes {
            latest.apply(change);
        }
        latest
    }

    #[test]
    fn only_what_may_be_used_now_is_found_and_counted() {
        let latest = read(vec![
            assignment(1, &["a", "b"], 2_000),
            assignment(2, &["a"], 2_000),
            removal(2),
            assignment(3, &["a"], 1_000),
            assignment(4, &["a"], 2_000),
            unreadable(4),
            assignment(5, &["a"], 2_000),
            assignment(5, &["b"], 3_000),
        ]);
        let segments = |key| {
            let held = latest.find(0, &Pseudonym([key; 17]), NOW);
            held.map(|held| held.assigned.segments.join(" "))
        };
        assert_eq!(
            [1, 2, 3, 4, 5].map(segments),
            [Some("a b"), None, None, None, Some("b")].map(|it| it.map(str::to_owned))
        );
        let counts = latest.counts(0, NOW);
        let mut counts: Vec<_> =
            counts.iter().map(|(set, n)| (set.segments.join(" "), *n)).collect();
        counts.sort();
        assert_eq!(counts, [("a b".to_owned(), 1), ("b".to_owned(), 1)]);
    }
}
