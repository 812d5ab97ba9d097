//! After an incident: when was a subject live although the consent, as it should have been, withheld?
//!
//! Consent as it should have been: every record in force from its `recorded_at` on, whenever it came; a
//! corrected record in the place of the one of its version. What was live: the audit's effects, each until it was
//! removed or its lease ended. Judged by the gate, at every moment between two at which either changes.

use std::collections::BTreeSet;

use assent_contract::domain::consent::{AgeBand, ConsentRecord};
use assent_contract::domain::gate::{PurposeTerms, decide_standing, next_turn};
use assent_contract::domain::merge::{NameId, PurposeNames, SubjectConsent};
use assent_contract::domain::outcome::Verdict;
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::rulebook::Rulebook;
use serde::Serialize;

use crate::follow::Rulebooks;
use crate::live::{Interval, intervals};
use crate::row::Found;
use crate::story::Switches;

/// A grant begins or ends, a second step lies ahead: a subject has a few such turns.
const TURNS_MAX: usize = 1_000;

/// The time of the incident.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub from: Timestamp,
    /// Exclusive.
    pub to: Timestamp,
    /// `pipeline.lease`.
    pub lease: Span,
}

/// What should have stood of one subject.
#[derive(Default)]
pub struct Should<'a> {
    pub records: Vec<&'a ConsentRecord>,
    /// Append times.
    pub erasures: Vec<Timestamp>,
}

/// A subject that was live for a purpose although consent withheld it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Affected {
    /// The audit token, in hex.
    pub subject: String,
    pub purpose: String,
    /// Of the record that should have stood; `None`: there was none.
    pub age_band: Option<AgeBand>,
    /// The first moment of it.
    pub first: Timestamp,
    /// The moment at which it ended: removed, lapsed, allowed, or the end of the time that was asked about.
    pub last: Timestamp,
    /// What the gate says at the first moment.
    pub verdict: Verdict,
}

/// `subject`: the token, in hex. `entries`: all of the subject's, in the order of the audit.
pub fn affected(
    subject: &str,
    entries: &[Found],
    should: &Should<'_>,
    window: Window,
    rulebooks: Rulebooks<'_>,
) -> Vec<Affected> {
    let named = entries.iter().flat_map(Found::effects).map(|(purpose, ..)| purpose);
    let purposes: BTreeSet<String> = named.collect();
    let of_purpose = |purpose: &String| {
        let live = intervals(entries, purpose, window.lease);
        let within = live.into_iter().filter_map(|it| it.within(window));
        let rulebook = |at| rulebook_at(entries, at, rulebooks);
        of_one(subject, purpose, within.collect(), should, &rulebook)
    };
    purposes.iter().filter_map(of_purpose).collect()
}

impl Interval {
    fn within(self, window: Window) -> Option<Self> {
        let (from, to) = (self.from.max(window.from), self.to.min(window.to));
        (from < to).then_some(Self { from, to })
    }
}

/// The rulebook that the subject was judged by last.
fn rulebook_at<'a>(
    entries: &[Found],
    at: Timestamp,
    rulebooks: Rulebooks<'a>,
) -> Option<&'a Rulebook> {
    let before = entries.iter().rev().find(|it| it.head.decided_at <= at);
    before.and_then(|it| rulebooks(&it.head.rulebook_sha256))
}

fn of_one<'r>(
    subject: &str,
    purpose: &str,
    live: Vec<Interval>,
    should: &Should<'_>,
    rulebook: &dyn Fn(Timestamp) -> Option<&'r Rulebook>,
) -> Option<Affected> {
    let mut found: Option<Affected> = None;
    for interval in live {
        for part in parts(purpose, interval, should, rulebook) {
            let (consent, terms) = in_force(purpose, part.from, should, rulebook)?;
            // Nothing is said of a time before the first record that is known.
            if consent.is_blank() {
                continue;
            }
            let verdict = decide_standing(&consent, terms, part.from);
            if verdict.allows() {
                continue;
            }
            match &mut found {
                Some(found) => found.last = part.to,
                None => {
                    found = Some(Affected {
                        subject: subject.to_owned(),
                        purpose: purpose.to_owned(),
                        age_band: consent.record.as_ref().map(|record| record.age_band),
                        first: part.from,
                        last: part.to,
                        verdict,
                    });
                }
            }
        }
    }
    found
}

/// The interval, cut where consent changes: by a record, an erasure, or time alone.
fn parts<'r>(
    purpose: &str,
    interval: Interval,
    should: &Should<'_>,
    rulebook: &dyn Fn(Timestamp) -> Option<&'r Rulebook>,
) -> Vec<Interval> {
    let is_inside = |at: &Timestamp| interval.from < *at && *at < interval.to;
    let records = should.records.iter().map(|it| it.recorded_at);
    let mut cuts: BTreeSet<Timestamp> =
        records.chain(should.erasures.iter().copied()).filter(is_inside).collect();
    cuts.insert(interval.from);
    for start in cuts.clone() {
        let Some((consent, terms)) = in_force(purpose, start, should, rulebook) else { continue };
        let mut at = start;
        for _ in 0..TURNS_MAX {
            let Some(turn) = next_turn(&consent, terms, at).filter(|it| *it < interval.to) else {
                break;
            };
            cuts.insert(turn);
            at = turn;
        }
    }
    let ends = cuts.iter().skip(1).copied().chain([interval.to]);
    cuts.iter().zip(ends).map(|(&from, to)| Interval { from, to }).collect()
}

/// What should have been in force at a moment, and what of the purpose is asked then; `None`: the rulebook is not at
/// hand.
fn in_force<'r>(
    purpose: &str,
    at: Timestamp,
    should: &Should<'_>,
    rulebook: &dyn Fn(Timestamp) -> Option<&'r Rulebook>,
) -> Option<(SubjectConsent, PurposeTerms)> {
    let rulebook = rulebook(at)?;
    let mut names = PurposeNames::default();
    let declared = rulebook.purposes.iter().map(|it| it.id.as_str()).chain([purpose]);
    let declared: Vec<NameId> = declared.filter_map(|id| names.declare(id, &|_| 0)).collect();
    let mut consent = SubjectConsent::default();
    let mut records: Vec<&ConsentRecord> =
        should.records.iter().copied().filter(|it| it.recorded_at <= at).collect();
    records.sort_by_key(|it| (it.recorded_at, it.version));
    if let Some(erased_at) = should.erasures.iter().copied().filter(|it| *it <= at).max() {
        consent.erase(erased_at);
    }
    for record in records {
        consent.apply(record, record.recorded_at, &names, &|_| 0, &declared);
    }
    let Switches { sale_or_share, requires_opt_in, suspended } = Switches::of(rulebook, purpose);
    let terms =
        PurposeTerms { name: names.find(purpose)?, sale_or_share, requires_opt_in, suspended };
    Some((consent, terms))
}

/// The records of a subject as they should have been: a corrected one in the place of the one of its version.
pub fn should_have<'a>(
    actual: impl IntoIterator<Item = &'a ConsentRecord>,
    corrected: &[&'a ConsentRecord],
) -> Vec<&'a ConsentRecord> {
    let is_replaced = |it: &&ConsentRecord| corrected.iter().any(|by| by.version == it.version);
    let kept = actual.into_iter().filter(|it| !is_replaced(it));
    kept.chain(corrected.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use assent_contract::domain::audit::{AuditBatch, AuditEntry, Change, Effect};
    use assent_contract::domain::consent::{ConsentStatus, Decision};
    use assent_contract::domain::outcome::{InputKind, Outcome, TombstoneReason};
    use assent_contract::rulebook::compile;

    use super::*;

    const DAY: i64 = Span::DAY.0;
    const RULES: &str = r#"
rulebook: "1"
default_segment: all
purposes: [{id: mail, title: Mail, sale_or_share: false, requires_opt_in: true, retention: 1d}]
segments:
  - {id: grown, title: Grown, why: to test, owner: tests, approach: demographic, purpose: mail,
     when: {age_band: {in: [FROM_18]}}}
"#;

    fn found(at: i64, change: Change) -> Found {
        let head = AuditBatch {
            chain: "a/0".to_owned(),
            sequence: at,
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
            purposes: vec!["mail".to_owned()],
            entries: Vec::new(),
        };
        let entry = AuditEntry {
            input: InputKind::Timer,
            offset: None,
            outcome: Outcome::Elapsed,
            subject: Some([1; 17]),
            consent_version: None,
            verdicts: Vec::new(),
            effects: vec![Effect { purpose: 0, key_version: 1, change }],
        };
        Found { partition: 0, at, place: 0, head: Arc::new(head), entry }
    }

    fn removed() -> Change {
        Effect::removed(0, 1, TombstoneReason::Withheld(Verdict::OptedOut)).change
    }

    fn record(version: i64, recorded_at: i64, status: ConsentStatus) -> ConsentRecord {
        let since = Timestamp(recorded_at);
        let decision = Decision { status, since, expires_at: None, notice_version: None };
        ConsentRecord {
            subject_id: "s".to_owned(),
            version,
            recorded_at: since,
            age_band: AgeBand::From18,
            decisions: BTreeMap::from([("mail".to_owned(), decision)]),
            guardian: None,
            double_opt_in_at: None,
            opt_out_signal_at: None,
            source: "cmp".to_owned(),
            receipt_id: None,
        }
    }

    fn judge(entries: &[Found], records: Vec<&ConsentRecord>, window: (i64, i64)) -> Vec<Affected> {
        let rulebook = compile(RULES.as_bytes()).unwrap();
        let (from, to) = (Timestamp(window.0), Timestamp(window.1));
        let window = Window { from, to, lease: Span(2 * DAY) };
        let should = Should { records, erasures: Vec::new() };
        affected("01", entries, &should, window, &|_| Some(&rulebook))
    }

    /// Renewed daily until the opt-out came, 40 days after it was said.
    fn renewed(days: std::ops::RangeInclusive<i64>) -> Vec<Found> {
        let mut entries: Vec<Found> =
            days.clone().map(|day| found(day * DAY, Change::Assigned([1; 32]))).collect();
        entries.push(found(days.end() * DAY + 5, removed()));
        entries
    }

    #[test]
    fn an_opt_out_that_came_40_days_late_names_those_days() {
        let entries = renewed(1..=50);
        let (grant, denial) = (
            record(1, 0, ConsentStatus::Granted),
            record(2, 10 * DAY + 3, ConsentStatus::Withdrawn),
        );
        let found = judge(&entries, vec![&grant, &denial], (0, 100 * DAY));
        let expect = Affected {
            subject: "01".to_owned(),
            purpose: "mail".to_owned(),
            age_band: Some(AgeBand::From18),
            first: Timestamp(10 * DAY + 3),
            last: Timestamp(50 * DAY + 5),
            verdict: Verdict::OptedOut,
        };
        assert_eq!(found, [expect]);
        assert_eq!(judge(&entries, vec![&grant], (0, 100 * DAY)), []);
        assert_eq!(judge(&entries, vec![&grant, &denial], (0, 10 * DAY)), []);
        let part = judge(&entries, vec![&grant, &denial], (20 * DAY, 30 * DAY));
        assert_eq!((part[0].first, part[0].last), (Timestamp(20 * DAY), Timestamp(30 * DAY)));
    }

    #[test]
    fn a_corrected_record_stands_for_the_one_of_its_version() {
        let entries = renewed(1..=9);
        let wrong = record(1, 0, ConsentStatus::Granted);
        let right = record(1, 4 * DAY, ConsentStatus::Denied);
        let records = should_have([&wrong], &[&right]);
        assert_eq!(records.len(), 1);
        let found = judge(&entries, records, (0, 100 * DAY));
        assert_eq!((found[0].first, found[0].verdict), (Timestamp(4 * DAY), Verdict::OptedOut));
    }

    #[test]
    fn a_grant_that_ended_by_itself_cuts_too() {
        let entries = renewed(1..=9);
        let mut grant = record(1, 0, ConsentStatus::Granted);
        grant.decisions.get_mut("mail").unwrap().expires_at = Some(Timestamp(5 * DAY));
        let found = judge(&entries, vec![&grant], (0, 100 * DAY));
        assert_eq!(
            (found[0].first, found[0].verdict),
            (Timestamp(5 * DAY), Verdict::ConsentExpired)
        );
    }

    #[test]
    fn a_copy_that_lapsed_is_nobodys() {
        let entries = [found(DAY, Change::Assigned([1; 32]))];
        let (grant, denial) =
            (record(1, 0, ConsentStatus::Granted), record(2, 4 * DAY, ConsentStatus::Denied));
        assert_eq!(judge(&entries, vec![&grant, &denial], (0, 100 * DAY)), []);
    }
}
