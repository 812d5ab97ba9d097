//! What the consent changelog says of a partition's subjects: who was asked and who agreed at the end of a month, and
//! which of their records may be opt-outs. Takes some 100 bytes for each subject.
//!
//! Of two records the higher version counts, and none from before an erasure: as the gate has it.

use std::collections::BTreeMap;

use crate::period::Period;
use crate::signals::Purposes;
use assent_contract::domain::audit::chain::body_hash;
use assent_contract::domain::consent::{AgeBand, ConsentRecord, ConsentStatus};
use assent_contract::domain::time::Timestamp;

/// A record of the month that may be an opt-out, for some purposes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Candidate {
    pub recorded_at: Timestamp,
    /// The record before said otherwise.
    pub sure: Purposes,
    /// Withdrawn, and nobody knows the record before: if the audit shows no opt-out of them before.
    pub if_new: Purposes,
    /// Denied, likewise: if the audit shows that they had agreed.
    pub if_granted: Purposes,
}

/// Who was asked, and who agreed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    pub asked: u64,
    pub granted: u64,
    pub never_asked: u64,
}

pub struct People<'p> {
    purposes: &'p [String],
    month: Period,
    known: BTreeMap<[u8; 16], Person>,
    pub candidates: BTreeMap<i64, Candidate>,
    seen: Offsets,
}

#[derive(Default)]
struct Person {
    version: i64,
    erased_at: Option<Timestamp>,
    /// `None`: the record before is not there any more, or there never was one.
    last: Option<Box<[ConsentStatus]>>,
    at_end: Option<(AgeBand, Box<[ConsentStatus]>)>,
}

impl<'p> People<'p> {
    pub fn of(purposes: &'p [String], month: Period) -> Self {
        let (known, candidates) = (BTreeMap::new(), BTreeMap::new());
        Self { purposes, month, known, candidates, seen: Offsets::default() }
    }

    /// The next record; they come in the order of their offsets.
    pub fn record(&mut self, offset: i64, record: &ConsentRecord) {
        self.seen.add(offset);
        let person = self.known.entry(key(record.subject_id.as_bytes())).or_default();
        let is_old = person.erased_at.is_some_and(|at| record.recorded_at <= at)
            || person.last.is_some() && record.version <= person.version;
        if is_old {
            return;
        }
        let now: Box<[ConsentStatus]> = self.purposes.iter().map(|id| status(record, id)).collect();
        // After an erasure nothing had been decided.
        let before = |at: usize| match &person.last {
            Some(last) => Some(last[at]),
            None => person.erased_at.map(|_| ConsentStatus::NotAsked),
        };
        if self.month.contains(record.recorded_at) {
            let candidate = candidate(record.recorded_at, &now, before);
            self.candidates.insert(offset, candidate);
        }
        if record.recorded_at < self.month.to {
            person.at_end = Some((record.age_band, now.clone()));
        }
        person.version = record.version;
        person.last = Some(now);
    }

    pub fn erasure(&mut self, offset: i64, subject: &[u8], append_time: Timestamp) {
        self.seen.add(offset);
        let person = self.known.entry(key(subject)).or_default();
        person.last = None;
        person.erased_at = person.erased_at.max(Some(append_time));
        if append_time < self.month.to {
            person.at_end = None;
        }
    }

    /// One that can't be read.
    pub fn unreadable(&mut self, offset: i64) {
        self.seen.add(offset);
    }

    /// Is this record still there?
    pub fn has(&self, offset: i64) -> bool {
        self.seen.has(offset)
    }

    /// At the month's end, by purpose and age band.
    pub fn captured(&self, into: &mut [BTreeMap<AgeBand, Captured>]) {
        for (band, statuses) in self.known.values().filter_map(|it| it.at_end.as_ref()) {
            for (of_purpose, status) in into.iter_mut().zip(statuses) {
                let of_band = of_purpose.entry(*band).or_default();
                match status {
                    ConsentStatus::NotAsked => of_band.never_asked += 1,
                    ConsentStatus::Granted => {
                        of_band.asked += 1;
                        of_band.granted += 1;
                    }
                    ConsentStatus::Denied | ConsentStatus::Withdrawn => of_band.asked += 1,
                }
            }
        }
    }

    /// Subjects who have a record, and none that is of before the month's end.
    pub fn came_later(&self) -> u64 {
        self.known.values().filter(|it| it.last.is_some() && it.at_end.is_none()).count() as u64
    }
}

fn candidate(
    recorded_at: Timestamp,
    now: &[ConsentStatus],
    before: impl Fn(usize) -> Option<ConsentStatus>,
) -> Candidate {
    use ConsentStatus::{Denied, Granted, Withdrawn};
    let mut candidate = Candidate { recorded_at, ..Candidate::default() };
    for (at, status) in now.iter().enumerate() {
        let purpose: Purposes = 1 << at;
        match (before(at), status) {
            (None, Withdrawn) => candidate.if_new |= purpose,
            (None, Denied) => candidate.if_granted |= purpose,
            (Some(before), Withdrawn) if before != Withdrawn => candidate.sure |= purpose,
            (Some(Granted), Denied) => candidate.sure |= purpose,
            _ => {}
        }
    }
    candidate
}

fn status(record: &ConsentRecord, purpose: &str) -> ConsentStatus {
    record.decisions.get(purpose).map_or(ConsentStatus::NotAsked, |decision| decision.status)
}

/// So that no id is kept, and each takes as much.
fn key(subject: &[u8]) -> [u8; 16] {
    let hash = body_hash(subject);
    let mut key = [0; 16];
    key.copy_from_slice(&hash[..16]);
    key
}

/// Some offsets of a partition: a bit for each from the first on.
#[derive(Default)]
struct Offsets {
    first: i64,
    bits: Vec<u64>,
}

impl Offsets {
    /// Never one before the first.
    fn add(&mut self, offset: i64) {
        if self.bits.is_empty() {
            self.first = offset;
        }
        let at = (offset - self.first) as usize;
        if self.bits.len() <= at / 64 {
            self.bits.resize(at / 64 + 1, 0);
        }
        self.bits[at / 64] |= 1 << (at % 64);
    }

    fn has(&self, offset: i64) -> bool {
        let at = usize::try_from(offset - self.first).ok();
        at.and_then(|at| Some(self.bits.get(at / 64)? >> (at % 64) & 1 == 1)).unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assent_contract::domain::consent::Decision;

    const MONTH: Period = Period { from: Timestamp(1_000), to: Timestamp(2_000) };

    fn record(subject: &str, version: i64, at: i64, statuses: &[ConsentStatus]) -> ConsentRecord {
        let since = Timestamp(at);
        let decision = |status| Decision { status, since, expires_at: None, notice_version: None };
        let decisions = ["ads", "offers"].iter().zip(statuses);
        ConsentRecord {
            subject_id: subject.to_owned(),
            version,
            recorded_at: since,
            age_band: AgeBand::From18,
            decisions: decisions
                .map(|(id, status)| ((*id).to_owned(), decision(*status)))
                .collect(),
            guardian: None,
            double_opt_in_at: None,
            opt_out_signal_at: None,
            source: "test".to_owned(),
            receipt_id: None,
        }
    }

    fn purposes() -> Vec<String> {
        vec!["ads".to_owned(), "offers".to_owned()]
    }

    fn captured(people: &People<'_>, purpose: usize) -> Captured {
        let mut into = vec![BTreeMap::new(); 2];
        people.captured(&mut into);
        into[purpose].get(&AgeBand::From18).copied().unwrap_or_default()
    }

    #[test]
    fn who_decided_by_the_months_end_was_asked() {
        use ConsentStatus::{Denied, Granted, NotAsked, Withdrawn};
        let purposes = purposes();
        let mut people = People::of(&purposes, MONTH);
        let records = [
            record("kim", 1, 500, &[Granted, NotAsked]),
            record("lee", 1, 1_500, &[Denied]),
            record("lee", 2, 1_999, &[Granted]),
            record("lee", 3, 2_000, &[Withdrawn]),
            record("max", 2, 1_100, &[Granted]),
            record("max", 1, 1_200, &[Denied]),
            record("new", 1, 2_500, &[Granted]),
            record("out", 1, 1_100, &[Withdrawn, Granted]),
        ];
        for (offset, record) in (0..).zip(&records) {
            people.record(offset, record);
        }
        assert_eq!(captured(&people, 0), Captured { asked: 4, granted: 3, never_asked: 0 });
        assert_eq!(captured(&people, 1), Captured { asked: 1, granted: 1, never_asked: 3 });
        assert_eq!(people.came_later(), 1);
        people.erasure(20, b"kim", Timestamp(1_700));
        people.erasure(21, b"max", Timestamp(2_700));
        people.record(22, &record("kim", 9, 1_600, &[Granted]));
        assert_eq!(captured(&people, 0), Captured { asked: 3, granted: 2, never_asked: 0 });
    }

    #[test]
    fn a_record_is_an_opt_out_by_what_was_before_it() {
        use ConsentStatus::{Denied, Granted, NotAsked, Withdrawn};
        for (before, now, expected) in [
            (Some(Granted), Withdrawn, (1, 0, 0)),
            (Some(Granted), Denied, (1, 0, 0)),
            (Some(NotAsked), Withdrawn, (1, 0, 0)),
            (Some(NotAsked), Denied, (0, 0, 0)),
            (Some(Denied), Denied, (0, 0, 0)),
            (Some(Withdrawn), Withdrawn, (0, 0, 0)),
            (Some(Withdrawn), Granted, (0, 0, 0)),
            (None, Withdrawn, (0, 1, 0)),
            (None, Denied, (0, 0, 1)),
            (None, Granted, (0, 0, 0)),
        ] {
            let purposes = purposes();
            let mut people = People::of(&purposes, MONTH);
            if let Some(before) = before {
                people.record(6, &record("kim", 1, 900, &[before]));
            }
            people.record(7, &record("kim", 2, 1_500, &[now]));
            let Candidate { sure, if_new, if_granted, .. } = people.candidates[&7];
            assert_eq!((sure, if_new, if_granted), expected, "{before:?} {now:?}");
        }
    }

    #[test]
    fn only_records_of_the_month_are_candidates_and_all_are_known_to_be_there() {
        use ConsentStatus::{Granted, Withdrawn};
        let purposes = purposes();
        let mut people = People::of(&purposes, MONTH);
        people.record(100, &record("kim", 1, 999, &[Withdrawn]));
        people.record(300, &record("lee", 1, 2_000, &[Withdrawn]));
        people.unreadable(301);
        people.erasure(302, b"lee", Timestamp(1_500));
        people.record(400, &record("lee", 1, 1_600, &[Granted]));
        assert_eq!(people.candidates.keys().copied().collect::<Vec<_>>(), [400]);
        let there: Vec<i64> = (0..500).filter(|offset| people.has(*offset)).collect();
        assert_eq!(there, [100, 300, 301, 302, 400]);
    }
}
