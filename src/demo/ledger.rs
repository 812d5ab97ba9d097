//! What a reader of the segment topics knows, and how long each opt-out took to reach them.
//!
//! Measures from just before an opt-out is sent until its tombstone is read, read_committed: what a
//! person's change of mind takes from end to end.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use crate::kafka::assignments::{Change, Removal};
use assent_contract::domain::segment::SegmentAssignment;

/// A purpose and a pseudonym.
pub type Key = (String, String);

/// Live assignments, and opt-outs on their way.
#[derive(Default)]
pub struct Ledger {
    live: HashMap<Key, SegmentAssignment>,
    leaving: HashMap<Key, Instant>,
    opt_outs: Vec<Duration>,
    reasons: BTreeMap<String, u64>,
    pub assigned: u64,
    pub unreadable: u64,
}

/// Something worth showing.
pub enum News {
    Assigned(SegmentAssignment),
    /// With how long it took, where it was an opt-out that the demo sent.
    Removed(Removal, Option<Duration>),
}

impl Ledger {
    pub fn apply(&mut self, change: Change, now: Instant) -> Option<News> {
        match change {
            Change::Assigned(assignment) => {
                self.assigned += 1;
                let key = (assignment.purpose.clone(), assignment.pseudonym.clone());
                self.live.insert(key, assignment.clone());
                Some(News::Assigned(assignment))
            }
            Change::Removed(removal) => {
                let took = self.remove(&removal, now);
                Some(News::Removed(removal, took))
            }
            Change::Unreadable(_) => {
                self.unreadable += 1;
                None
            }
        }
    }

    fn remove(&mut self, removal: &Removal, now: Instant) -> Option<Duration> {
        let key = (removal.purpose.clone(), removal.pseudonym.clone());
        self.live.remove(&key);
        *self.reasons.entry(removal.reason.clone()).or_default() += 1;
        let took = now - self.leaving.remove(&key)?;
        self.opt_outs.push(took);
        Some(took)
    }

    /// An opt-out is about to be sent: those of the keys that are live are awaited to end.
    pub fn expect_end(&mut self, keys: impl IntoIterator<Item = Key>, sent: Instant) {
        for key in keys.into_iter().filter(|key| self.live.contains_key(key)) {
            self.leaving.entry(key).or_insert(sent);
        }
    }

    #[cfg(test)]
    pub fn with_opt_outs(count: usize) -> Self {
        Self { opt_outs: vec![Duration::from_millis(20); count], ..Self::default() }
    }

    pub fn is_live(&self, key: &Key) -> bool {
        self.live.contains_key(key)
    }

    pub fn live(&self) -> usize {
        self.live.len()
    }

    /// Tombstones read, by reason.
    pub fn reasons(&self) -> &BTreeMap<String, u64> {
        &self.reasons
    }

    /// Opt-outs whose tombstone is not there yet.
    pub fn pending(&self) -> usize {
        self.leaving.len()
    }

    /// Live assignments by purpose and segment.
    pub fn members(&self) -> BTreeMap<(&str, &str), u64> {
        let mut members = BTreeMap::new();
        for ((purpose, _), assignment) in &self.live {
            for segment in &assignment.segments {
                *members.entry((purpose.as_str(), segment.as_str())).or_default() += 1;
            }
        }
        members
    }

    /// The latest opt-outs, the last of them last.
    pub fn recent_opt_outs(&self, count: usize) -> &[Duration] {
        &self.opt_outs[self.opt_outs.len().saturating_sub(count)..]
    }

    /// How long the opt-outs took: how many, the median and the longest.
    pub fn opt_outs(&self) -> (usize, Duration, Duration) {
        let mut sorted = self.opt_outs.clone();
        sorted.sort_unstable();
        let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
        (sorted.len(), at(sorted.len() / 2), at(sorted.len().saturating_sub(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, SystemClock};
    use assent_contract::domain::outcome::Basis;
    use assent_contract::domain::time::Timestamp;

    fn assigned(pseudonym: &str) -> Change {
        Change::Assigned(SegmentAssignment {
            pseudonym: pseudonym.to_owned(),
            purpose: "p".to_owned(),
            segments: vec!["s".to_owned()],
            basis: Basis::OptIn,
            decided_at: Timestamp(0),
            expires_at: Timestamp(1),
            rulebook: "1".to_owned(),
        })
    }

    fn removed(pseudonym: &str) -> Change {
        Change::Removed(Removal {
            purpose: "p".to_owned(),
            pseudonym: pseudonym.to_owned(),
            reason: "opted_out".to_owned(),
            decided_at: None,
        })
    }

    #[test]
    fn an_opt_out_is_timed_only_where_something_was_live() {
        let start = SystemClock.instant();
        let after = |ms| start + Duration::from_millis(ms);
        let key = |name: &str| ("p".to_owned(), name.to_owned());
        let mut ledger = Ledger::default();
        for name in ["a", "b"] {
            ledger.apply(assigned(name), start);
        }
        ledger.expect_end(["a", "b", "absent"].map(key), start);
        assert_eq!(ledger.pending(), 2);
        ledger.apply(removed("a"), after(5));
        ledger.apply(removed("b"), after(9));
        assert_eq!((ledger.pending(), ledger.live()), (0, 0));
        let (count, median, longest) = ledger.opt_outs();
        assert_eq!((count, median.as_millis(), longest.as_millis()), (2, 9, 9));
        assert_eq!(ledger.reasons()["opted_out"], 2);
        assert_eq!(ledger.recent_opt_outs(1), [Duration::from_millis(9)]);
        assert_eq!(ledger.recent_opt_outs(9).len(), 2);
        ledger.apply(assigned("c"), after(10));
        assert_eq!(ledger.members(), BTreeMap::from([(("p", "s"), 1)]));
    }
}
