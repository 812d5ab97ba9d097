//! What came of a round, partition by partition. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::step::Step;

/// How long each opt-out took until a reader saw it, or where the round failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Round {
    pub of: BTreeMap<i32, Result<Duration, Step>>,
}

impl Round {
    pub fn is_ok(&self) -> bool {
        self.of.values().all(Result::is_ok)
    }

    /// These don't go on.
    pub fn fail(&mut self, partitions: impl IntoIterator<Item = i32>, step: Step) {
        for partition in partitions {
            self.of.entry(partition).or_insert(Err(step));
        }
    }

    /// Those of them that have not failed.
    pub fn left(&self, partitions: &BTreeSet<i32>) -> BTreeSet<i32> {
        partitions.iter().copied().filter(|it| !self.of.contains_key(it)).collect()
    }
}

/// What a reader of the segment topic has seen in this round.
#[derive(Default)]
pub struct Sightings {
    /// Every pseudonym that a canary may have now, under each key that is in use.
    names: BTreeMap<String, i32>,
    /// The pseudonym that is live, by partition.
    live: BTreeMap<i32, String>,
    /// When the live one was seen to go.
    gone_at: BTreeMap<i32, Instant>,
}

impl Sightings {
    pub fn of(names: BTreeMap<String, i32>) -> Self {
        Self { names, ..Self::default() }
    }

    /// A record of the topic. A key that is no canary's is nobody that concerns us.
    pub fn see(&mut self, key: &[u8], is_tombstone: bool, now: Instant) {
        let Ok(name) = std::str::from_utf8(key) else { return };
        let Some(&partition) = self.names.get(name) else { return };
        if !is_tombstone {
            self.live.insert(partition, name.to_owned());
            self.gone_at.remove(&partition);
        } else if self.live.get(&partition).is_some_and(|live| live == name) {
            self.live.remove(&partition);
            self.gone_at.insert(partition, now);
        }
    }

    pub fn is_live(&self, partition: i32) -> bool {
        self.live.contains_key(&partition)
    }

    pub fn gone_at(&self, partition: i32) -> Option<Instant> {
        self.gone_at.get(&partition).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, SystemClock};

    #[test]
    fn a_key_that_moves_to_another_version_is_live_until_that_one_ends() {
        let names = BTreeMap::from([("old".to_owned(), 3), ("new".to_owned(), 3)]);
        let (mut seen, now) = (Sightings::of(names), SystemClock.instant());
        seen.see(b"old", true, now);
        seen.see(b"somebody", false, now);
        assert!(!seen.is_live(3) && seen.gone_at(3).is_none());
        seen.see(b"old", false, now);
        seen.see(b"new", false, now);
        seen.see(b"old", true, now);
        assert!(seen.is_live(3) && seen.gone_at(3).is_none());
        seen.see(b"new", true, now);
        assert!(!seen.is_live(3) && seen.gone_at(3) == Some(now));
    }

    #[test]
    fn who_failed_does_not_go_on_and_keeps_the_first_step_at_which() {
        let mut round = Round::default();
        round.fail([1], Step::Click);
        round.fail([1, 2], Step::Assignment);
        assert_eq!(round.of[&1], Err(Step::Click));
        assert_eq!(round.left(&BTreeSet::from([1, 2, 3])), BTreeSet::from([3]));
        assert!(!round.is_ok());
    }
}
