//! A month's opt-outs: which of the changelog's candidates were applied, which signals ended a use, and how long each
//! took to its commit. From the audit of one partition, in its order.

use std::collections::BTreeMap;

use super::people::People;
use crate::numbers::{Quantiles, quantiles};
use crate::period::{Period, business_days_after};
use crate::signals::{Purposes, Signals};
use assent_contract::domain::audit::{AuditBatch, AuditEntry, AuditToken, Change};
use assent_contract::domain::outcome::{InputKind, Outcome, Verdict};
use assent_contract::domain::time::Timestamp;

/// 11 CCR 7026(f)(1).
const BUSINESS_DAYS: u32 = 15;

/// Of one purpose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OptOuts {
    pub count: u64,
    pub within_15_business_days: u64,
    /// Of those whose beginning is known and that are committed; unsorted.
    pub took_ms: Vec<i64>,
    /// Whose record or click is not there any more.
    pub untimed: u64,
    /// Not committed yet, or in a part of the audit that is gone.
    pub unanswered: u64,
}

impl OptOuts {
    pub fn quantiles(&mut self) -> Option<Quantiles> {
        quantiles(&mut self.took_ms)
    }

    fn note(&mut self, recorded_at: Timestamp, committed_at: Timestamp) {
        self.count += 1;
        self.took_ms.push((committed_at - recorded_at).0.max(0)); // the clocks of two hosts
        let is_in_time = committed_at < business_days_after(recorded_at, BUSINESS_DAYS);
        self.within_15_business_days += u64::from(is_in_time);
    }
}

/// A click whose signal ended a use; when it was made is in the clickstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalClick {
    pub offset: i64,
    purposes: Purposes,
    committed_at: Timestamp,
}

/// One partition's. Takes some 60 bytes for each subject that the audit names.
pub struct Reckoning<'a> {
    purposes: &'a [String],
    month: Period,
    signals: Signals,
    /// Purposes of sale or sharing, by their place among all.
    sold: Vec<usize>,
    said: BTreeMap<AuditToken, Said>,
    answered: Answered,
    pub clicks: Vec<SignalClick>,
}

/// What the gate said last of a subject.
#[derive(Clone, Copy, Default)]
struct Said {
    opted_out: Purposes,
    granted: Purposes,
}

/// Which part of the changelog the audit that is there covers.
#[derive(Default)]
struct Answered {
    from: Option<i64>,
    to: i64,
}

impl<'a> Reckoning<'a> {
    /// `sold`: the places of the purposes that are sale or sharing.
    pub fn of(purposes: &'a [String], sold: Vec<usize>, month: Period) -> Self {
        let signals = Signals::of(sold.iter().map(|&at| purposes[at].clone()).collect());
        let (said, answered, clicks) = (BTreeMap::new(), Answered::default(), Vec::new());
        Self { purposes, month, signals, sold, said, answered, clicks }
    }

    /// The next batch; `into`: of each purpose.
    pub fn see(&mut self, batch: &AuditBatch, people: &mut People<'_>, into: &mut [OptOuts]) {
        self.answered.from.get_or_insert(batch.consent_from);
        self.answered.to = batch.consent_to;
        for entry in &batch.entries {
            let signaled = self.signaled(batch, entry);
            match (entry.input, entry.offset) {
                (InputKind::Consent, Some(offset)) => {
                    self.consent(batch, entry, offset, signaled, people, into);
                }
                (InputKind::Click, Some(offset)) if signaled != 0 => {
                    let committed_at = batch.decided_at;
                    if committed_at >= self.month.from {
                        self.clicks.push(SignalClick { offset, purposes: signaled, committed_at });
                    }
                }
                _ => {}
            }
            self.remember(batch, entry);
        }
    }

    /// By their places among all purposes.
    fn signaled(&mut self, batch: &AuditBatch, entry: &AuditEntry) -> Purposes {
        let found = self.signals.see(batch, entry);
        let places = self.sold.iter().enumerate();
        let of_all: Purposes = places
            .filter(|(at, _)| found >> at & 1 == 1)
            .fold(0, |all, (_, place)| all | 1 << place);
        // Who had opted out has nothing that a signal ends.
        let said = entry.subject.and_then(|token| self.said.get(&token));
        of_all & !said.map_or(0, |said| said.opted_out)
    }

    fn consent(
        &self,
        batch: &AuditBatch,
        entry: &AuditEntry,
        offset: i64,
        signaled: Purposes,
        people: &mut People<'_>,
        into: &mut [OptOuts],
    ) {
        let candidate = people.candidates.remove(&offset);
        if entry.outcome != Outcome::Applied {
            return; // it changed nothing: it was said before, or later
        }
        let said =
            entry.subject.and_then(|token| self.said.get(&token)).copied().unwrap_or_default();
        if let Some(it) = candidate {
            let opted_out = it.sure | it.if_new & !said.opted_out | it.if_granted & said.granted;
            let all = opted_out | signaled;
            each(all, into, |of| of.note(it.recorded_at, batch.decided_at));
        } else if !people.has(offset) && self.month.contains(batch.decided_at) {
            let all = self.ended(batch, entry, said) | signaled;
            each(all, into, |of| {
                of.count += 1;
                of.untimed += 1;
            });
        }
    }

    /// For which purposes a record that is gone was an opt-out: who had agreed, or had a live key, opted out.
    fn ended(&self, batch: &AuditBatch, entry: &AuditEntry, said: Said) -> Purposes {
        let mut ended =
            self.where_verdict(batch, entry, |it| it == Verdict::OptedOut) & said.granted;
        for effect in &entry.effects {
            let id = batch.purposes.get(usize::from(effect.purpose));
            let place = self.purposes.iter().position(|it| Some(it) == id);
            let is_opt_out = matches!(&effect.change, Change::Removed(why) if why == "opted_out");
            if let Some(place) = place.filter(|_| is_opt_out) {
                ended |= 1 << place;
            }
        }
        ended
    }

    fn remember(&mut self, batch: &AuditBatch, entry: &AuditEntry) {
        let Some(token) = entry.subject else { return };
        if entry.outcome == Outcome::Erased {
            self.said.remove(&token);
        }
        if entry.input != InputKind::Consent || entry.outcome != Outcome::Applied {
            return;
        }
        let opted_out = self.where_verdict(batch, entry, |it| it == Verdict::OptedOut);
        let is_grant = |it| matches!(it, Verdict::OptIn | Verdict::GuardianOptIn);
        let granted = self.where_verdict(batch, entry, is_grant);
        self.said.insert(token, Said { opted_out, granted });
    }

    fn where_verdict(
        &self,
        batch: &AuditBatch,
        entry: &AuditEntry,
        is_it: impl Fn(Verdict) -> bool,
    ) -> Purposes {
        let of_entry = batch.purposes.iter().zip(&entry.verdicts);
        let found = of_entry.filter(|(_, verdict)| is_it(**verdict));
        let places = found.filter_map(|(id, _)| self.purposes.iter().position(|it| it == id));
        places.fold(0, |all, place| all | 1 << place)
    }

    /// What is left when the audit is read: the candidates that it does not tell of, and the clicks with a signal.
    /// `made_at`: when those clicks were made that are still there.
    pub fn finish(
        self,
        people: &People<'_>,
        made_at: &BTreeMap<i64, Timestamp>,
        into: &mut [OptOuts],
    ) -> bool {
        let Answered { from, to } = self.answered;
        for (offset, it) in &people.candidates {
            if from.is_some_and(|from| (from..to).contains(offset)) {
                continue; // it was no opt-out: a dead letter
            }
            each(it.sure | it.if_new, into, |of| {
                of.count += 1;
                of.unanswered += 1;
            });
        }
        for click in &self.clicks {
            match made_at.get(&click.offset) {
                Some(at) if self.month.contains(*at) => {
                    each(click.purposes, into, |of| of.note(*at, click.committed_at));
                }
                None if self.month.contains(click.committed_at) => {
                    each(click.purposes, into, |of| {
                        of.count += 1;
                        of.untimed += 1;
                    });
                }
                _ => {}
            }
        }
        self.signals.key_versions.len() > 1
    }
}

fn each(purposes: Purposes, into: &mut [OptOuts], mut note: impl FnMut(&mut OptOuts)) {
    for (at, of_purpose) in into.iter_mut().enumerate() {
        if purposes >> at & 1 == 1 {
            note(of_purpose);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kpi::people::Candidate;
    use crate::opt_out_test::rounds::batch;

    const MONTH: Period = Period { from: Timestamp(1_000), to: Timestamp(2_000_000) };

    fn entry(subject: u8, offset: i64, outcome: Outcome, verdict: Verdict) -> AuditEntry {
        AuditEntry {
            input: InputKind::Consent,
            offset: Some(offset),
            outcome,
            subject: Some([subject; 17]),
            consent_version: Some(1),
            verdicts: vec![verdict, verdict],
            effects: Vec::new(),
        }
    }

    /// Of the purpose `ads`, which is sold.
    fn reckon(
        candidates: &[(i64, Candidate)],
        entries: Vec<(i64, AuditEntry)>,
        made_at: &[(i64, i64)],
    ) -> OptOuts {
        let purposes = vec!["ads".to_owned()];
        let mut people = People::of(&purposes, MONTH);
        people.candidates.extend(candidates.iter().copied());
        for (offset, _) in candidates {
            people.unreadable(*offset);
        }
        let mut reckoning = Reckoning::of(&purposes, vec![0], MONTH);
        let mut into = vec![OptOuts::default()];
        for (at, entry) in entries {
            let of = AuditBatch { consent_to: entry.offset.unwrap() + 1, ..batch(at, vec![entry]) };
            reckoning.see(&of, &mut people, &mut into);
        }
        let made_at = made_at.iter().map(|(offset, at)| (*offset, Timestamp(*at))).collect();
        reckoning.finish(&people, &made_at, &mut into);
        into.remove(0)
    }

    fn sure() -> Candidate {
        Candidate { recorded_at: Timestamp(1_500), sure: 1, ..Candidate::default() }
    }

    #[test]
    fn an_applied_one_counts_with_its_time_and_one_that_changed_nothing_does_not() {
        use Outcome::{Applied, Superseded};
        let candidates = [(5, sure()), (6, sure()), (9, sure())];
        let entries = vec![
            (1_600, entry(1, 5, Applied, Verdict::OptedOut)),
            (1_700, entry(2, 6, Superseded, Verdict::OptedOut)),
        ];
        let found = reckon(&candidates, entries, &[]);
        assert_eq!((found.count, found.took_ms, found.unanswered), (2, vec![100], 1));
        assert_eq!(found.within_15_business_days, 1);
    }

    #[test]
    fn the_audit_knows_what_compaction_removed() {
        use Outcome::Applied;
        let recorded_at = Timestamp(1_500);
        let if_new = Candidate { recorded_at, if_new: 1, ..Candidate::default() };
        let if_granted = Candidate { recorded_at, if_granted: 1, ..Candidate::default() };
        for (candidate, before, counts) in [
            (if_new, None, 1),
            (if_new, Some(Verdict::OptIn), 1),
            (if_new, Some(Verdict::OptedOut), 0),
            (if_granted, None, 0),
            (if_granted, Some(Verdict::OptIn), 1),
            (if_granted, Some(Verdict::OptedOut), 0),
        ] {
            let entries = before.map(|verdict| (10, entry(1, 1, Applied, verdict)));
            let now = (1_600, entry(1, 5, Applied, Verdict::OptedOut));
            let found = reckon(&[(5, candidate)], entries.into_iter().chain([now]).collect(), &[]);
            assert_eq!(found.count, counts, "{candidate:?} {before:?}");
        }
        let gone = vec![
            (10, entry(1, 1, Applied, Verdict::OptIn)),
            (1_600, entry(1, 5, Applied, Verdict::OptedOut)),
        ];
        let found = reckon(&[], gone, &[]);
        assert_eq!((found.count, found.untimed, found.took_ms.len()), (1, 1, 0));
    }

    #[test]
    fn a_signal_counts_once_from_its_click_on() {
        let click = |offset, verdict| AuditEntry {
            input: InputKind::Click,
            ..entry(1, offset, Outcome::Decided, verdict)
        };
        let entries = vec![
            (1_550, click(7, Verdict::OptOutSignal)),
            (1_650, click(8, Verdict::OptOutSignal)),
            (1_700, click(9, Verdict::OptIn)),
            (1_800, click(10, Verdict::OptOutSignal)),
        ];
        let found = reckon(&[], entries, &[(7, 1_500)]);
        assert_eq!((found.count, found.untimed, found.took_ms), (2, 1, vec![50]));
    }

    #[test]
    fn the_sixteenth_business_day_is_too_late() {
        let day = 86_400_000;
        let mut found = OptOuts::default();
        // 1970-01-01 is a Thursday; the 15th business day after it is Thursday, the 22nd.
        found.note(Timestamp(5), Timestamp(22 * day - 1));
        found.note(Timestamp(5), Timestamp(22 * day));
        assert_eq!((found.count, found.within_15_business_days), (2, 1));
    }
}
