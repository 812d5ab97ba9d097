//! The canary's rounds as the audit has them: in each partition an opt-in, and an opt-out that must end what
//! followed.
//!
//! Nobody else can agree to the purpose `canary`, so an entry says by its verdict whose it is, without a key. The
//! versions of the canary's records are the times at which it wrote them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::period::{Day, Period, month_of};
use assent_contract::domain::audit::{AuditBatch, AuditEntry, Change};
use assent_contract::domain::ids::CANARY_PURPOSE;
use assent_contract::domain::outcome::{InputKind, Outcome, Verdict};
use assent_contract::domain::time::{Span, Timestamp};

/// The canary gives a step up after this long (src/canary/stint.rs).
const STEP_WITHIN: Span = Span(10 * Span::SECOND.0);

/// Failures that are listed one by one.
const LISTED_MAX: usize = 100;

/// Why a test did not end well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// It opted out, and there was no assignment to remove: the click had not led to one.
    NoAssignment,
    /// It opted in and never out: it was ended, or could not write.
    NotOptedOut,
    /// The assignment ended, and later than the canary waits for.
    Late,
}

impl Fault {
    pub const ALL: [Self; 3] = [Self::NoAssignment, Self::NotOptedOut, Self::Late];

    pub fn says(self) -> &'static str {
        match self {
            Self::NoAssignment => "there was no assignment to remove",
            Self::NotOptedOut => "no opt-out followed the opt-in",
            Self::Late => "the assignment ended after more than 10 s",
        }
    }
}

#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Failed {
    pub at: Timestamp,
    pub partition: i32,
    pub why: Fault,
}

/// The longest time of a partition between two tests.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Gap {
    pub partition: i32,
    pub from: Timestamp,
    pub to: Timestamp,
}

/// What was seen in a period.
pub struct History {
    period: Period,
    partitions: BTreeMap<i32, Partition>,
    /// How long each opt-out took, by month, in milliseconds.
    pub took_ms: BTreeMap<String, Vec<i64>>,
    pub worst: Option<(i64, Timestamp)>,
    pub faults: BTreeMap<(String, Fault), u64>,
    /// The first of them.
    pub failed: Vec<Failed>,
    pub days: BTreeSet<Day>,
    pub gap: Option<Gap>,
}

#[derive(Default)]
struct Partition {
    opted_in_at: Option<Timestamp>,
    tested_at: Option<Timestamp>,
}

impl History {
    pub fn of(period: Period) -> Self {
        Self {
            period,
            partitions: BTreeMap::new(),
            took_ms: BTreeMap::new(),
            worst: None,
            faults: BTreeMap::new(),
            failed: Vec::new(),
            days: BTreeSet::new(),
            gap: None,
        }
    }

    /// A batch of this partition; they come in their order.
    pub fn see(&mut self, partition: i32, batch: &AuditBatch) {
        let Some(purpose) = batch.purposes.iter().position(|id| id == CANARY_PURPOSE) else {
            return;
        };
        for entry in &batch.entries {
            self.see_entry(partition, batch.decided_at, purpose, entry);
        }
    }

    fn see_entry(&mut self, partition: i32, at: Timestamp, purpose: usize, entry: &AuditEntry) {
        let verdict = entry.verdicts.get(purpose).copied();
        let is_record = entry.input == InputKind::Consent && entry.outcome == Outcome::Applied;
        match verdict.filter(|_| is_record) {
            Some(Verdict::OptIn) => self.opt_in(partition, written_at(entry, at)),
            Some(Verdict::OptedOut) => {
                self.opt_out(partition, written_at(entry, at), at, ended(entry, purpose).is_some());
            }
            _ if ended(entry, purpose) == Some("consent_expired") => self.expire(partition),
            _ => {}
        }
    }

    fn opt_in(&mut self, partition: i32, at: Timestamp) {
        let before = self.partitions.entry(partition).or_default().opted_in_at.replace(at);
        if let Some(before) = before {
            self.fail(partition, before, Fault::NotOptedOut);
        }
    }

    fn opt_out(&mut self, partition: i32, at: Timestamp, decided_at: Timestamp, ended: bool) {
        let opted_in_at = self.partitions.entry(partition).or_default().opted_in_at.take();
        match (opted_in_at, ended) {
            (_, true) => self.end(partition, at, decided_at),
            (Some(_), false) => self.fail(partition, at, Fault::NoAssignment),
            (None, false) => {} // a canary that starts opts out first
        }
    }

    /// The grant ended by itself, since nobody opted out.
    fn expire(&mut self, partition: i32) {
        let opted_in_at = self.partitions.entry(partition).or_default().opted_in_at.take();
        if let Some(at) = opted_in_at {
            self.fail(partition, at, Fault::NotOptedOut);
        }
    }

    fn end(&mut self, partition: i32, at: Timestamp, decided_at: Timestamp) {
        if !self.period.contains(at) {
            return;
        }
        let took = (decided_at - at).0.max(0); // the clocks of two hosts
        self.took_ms.entry(month_of(at)).or_default().push(took);
        if self.worst.is_none_or(|(worst, _)| took > worst) {
            self.worst = Some((took, at));
        }
        self.test(partition, at);
        if Span(took) > STEP_WITHIN {
            self.note(partition, at, Fault::Late);
        }
    }

    fn fail(&mut self, partition: i32, at: Timestamp, why: Fault) {
        if self.period.contains(at) {
            self.test(partition, at);
            self.note(partition, at, why);
        }
    }

    fn note(&mut self, partition: i32, at: Timestamp, why: Fault) {
        *self.faults.entry((month_of(at), why)).or_default() += 1;
        if self.failed.len() < LISTED_MAX {
            self.failed.push(Failed { at, partition, why });
        }
    }

    fn test(&mut self, partition: i32, at: Timestamp) {
        self.days.insert(Day::of(at));
        let before = self.partitions.entry(partition).or_default().tested_at.replace(at);
        let Some(from) = before else { return };
        if self.gap.as_ref().is_none_or(|gap| at - from > gap.to - gap.from) {
            self.gap = Some(Gap { partition, from, to: at });
        }
    }
}

/// Its record's version; a record that is later than its decision was written by a clock that is ahead.
fn written_at(entry: &AuditEntry, decided_at: Timestamp) -> Timestamp {
    entry.consent_version.map_or(decided_at, Timestamp)
}

/// Why the canary's key was removed; `None`: it was not.
fn ended(entry: &AuditEntry, purpose: usize) -> Option<&str> {
    let of_canary = entry.effects.iter().filter(|effect| usize::from(effect.purpose) == purpose);
    of_canary.rev().find_map(|effect| match &effect.change {
        Change::Removed(reason) => Some(reason.as_ref()),
        Change::Assigned(_) => None,
    })
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use assent_contract::domain::audit::Effect;
    use assent_contract::domain::outcome::TombstoneReason;

    pub fn batch(at: i64, entries: Vec<AuditEntry>) -> AuditBatch {
        AuditBatch {
            chain: "g/0".to_owned(),
            sequence: 0,
            previous: [0; 32],
            decided_at: Timestamp(at),
            rulebook: "1".to_owned(),
            rulebook_sha256: [0; 32],
            key_version: 1,
            click_from: 0,
            click_to: 0,
            consent_from: 0,
            consent_to: 0,
            barrier: 0,
            gate_open: true,
            purposes: vec!["ads".to_owned(), "canary".to_owned()],
            entries,
        }
    }

    fn record(version: i64, verdict: Verdict, ended: Option<Verdict>) -> AuditEntry {
        let removed = |why| Effect::removed(1, 1, TombstoneReason::Withheld(why));
        AuditEntry {
            input: InputKind::Consent,
            offset: Some(1),
            outcome: Outcome::Applied,
            subject: Some([1; 17]),
            consent_version: Some(version),
            verdicts: vec![Verdict::OwnOptInMissing, verdict],
            effects: ended.map(removed).into_iter().collect(),
        }
    }

    pub fn opt_in(at: i64) -> AuditBatch {
        batch(at + 3, vec![record(at, Verdict::OptIn, None)])
    }

    pub fn opt_out(at: i64, took: i64, ended: bool) -> AuditBatch {
        let ended = ended.then_some(Verdict::OptedOut);
        batch(at + took, vec![record(at, Verdict::OptedOut, ended)])
    }

    fn expiry(at: i64) -> AuditBatch {
        let entry = record(0, Verdict::OptIn, Some(Verdict::ConsentExpired));
        let entry = AuditEntry {
            input: InputKind::Timer,
            outcome: Outcome::Elapsed,
            verdicts: vec![],
            ..entry
        };
        batch(at, vec![entry])
    }

    fn history(batches: &[AuditBatch]) -> History {
        let mut history = History::of(Period { from: Timestamp(1_000), to: Timestamp(1_000_000) });
        for batch in batches {
            history.see(0, batch);
        }
        history
    }

    #[test]
    fn a_round_is_an_opt_in_and_an_opt_out_that_ends_it() {
        let found = history(&[
            opt_out(1_000, 5, false), // it starts
            opt_in(2_000),
            opt_out(2_500, 40, true),
            opt_in(60_000),
            opt_out(60_100, 10_001, true),
        ]);
        assert_eq!(found.took_ms["1970-01"], [40, 10_001]);
        assert_eq!(found.worst, Some((10_001, Timestamp(60_100))));
        assert_eq!(
            found.failed,
            [Failed { at: Timestamp(60_100), partition: 0, why: Fault::Late }]
        );
        let gap = found.gap.unwrap();
        assert_eq!((gap.from, gap.to), (Timestamp(2_500), Timestamp(60_100)));
    }

    #[test]
    fn what_did_not_end_well_is_told_by_how() {
        let found = history(&[
            opt_in(2_000),
            opt_out(2_500, 5, false),
            opt_in(3_000),
            opt_in(4_000),
            expiry(5_000),
            opt_in(6_000), // under way
        ]);
        let why: Vec<Fault> = found.failed.iter().map(|it| it.why).collect();
        assert_eq!(why, [Fault::NoAssignment, Fault::NotOptedOut, Fault::NotOptedOut]);
        assert!(found.took_ms.is_empty());
    }

    #[test]
    fn what_lies_outside_of_the_period_is_not_counted() {
        let found = history(&[
            opt_in(10),
            opt_out(20, 1, true),
            opt_in(2_000_000),
            opt_out(2_000_001, 1, true),
        ]);
        assert!(found.took_ms.is_empty() && found.failed.is_empty() && found.days.is_empty());
    }
}
