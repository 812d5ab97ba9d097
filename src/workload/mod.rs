//! A family shop's clicks and consent, made from a seed: what `demo` and `generate` send.
//!
//! Pure: times are given, and a seed gives the same people, clicks and changes of mind on every
//! machine. Its identifiers are invented, but are treated as raw ones (INV-6).

pub mod people;
mod random;
pub mod shop;

use std::collections::HashMap;

use people::{Person, Shares, decide_all, has_grant, subject_id};
pub use random::Random;
use shop::Visit;

use assent_contract::domain::consent::{ConsentRecord, ConsentStatus};
use assent_contract::domain::event::ClickEvent;
use assent_contract::domain::event::EventKind;
use assent_contract::domain::time::Timestamp;

/// Clicks of visitors who are not signed in, in thousandths.
const ANONYMOUS: u64 = 100;

/// One click in this many begins a new session of its subject.
const CLICKS_PER_SESSION: u64 = 20;

/// What to make. Shares are in thousandths.
#[derive(Clone, Debug)]
pub struct Spec {
    pub seed: u64,
    /// At least one.
    pub subjects: u64,
    pub purposes: Vec<String>,
    /// Decisions that are granted.
    pub granted: u64,
    /// Subjects whose browser sends Sec-GPC.
    pub gpc: u64,
    /// Clicks of the others that carry it: another browser of theirs does.
    pub gpc_clicks: u64,
    /// Of every subject's first consent record; the next ones count on from there.
    pub first_version: i64,
    /// What was decided before the first click was decided shortly before this.
    pub starts_at: Timestamp,
}

/// The streams of a workload: people, clicks and changes don't disturb one another.
pub struct Workload {
    spec: Spec,
    clicks: Random,
    changes: Random,
    signals: Random,
    /// Sessions that a subject has begun; absent: the first.
    sessions: HashMap<u64, u64>,
    /// What subjects who changed their mind say now.
    changed: HashMap<u64, ConsentRecord>,
}

impl Workload {
    pub fn new(spec: Spec) -> Self {
        let clicks = Random::stream(spec.seed, u64::MAX);
        let changes = Random::stream(spec.seed, u64::MAX - 1);
        let signals = Random::stream(spec.seed, u64::MAX - 2);
        Self { spec, clicks, changes, signals, sessions: HashMap::new(), changed: HashMap::new() }
    }

    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// What every subject decided before the first click.
    pub fn first_records(&self) -> impl Iterator<Item = ConsentRecord> + '_ {
        (0..self.spec.subjects).map(|subject| self.first_record(subject))
    }

    /// The next click, of a subject in Zipf's order or of somebody not signed in.
    pub fn click(&mut self, occurred_at: Timestamp) -> ClickEvent {
        let subject = self.clicks.zipf(self.spec.subjects);
        let person = self.person(subject);
        let is_anonymous = self.clicks.chance(ANONYMOUS);
        let session_id = self.session(subject, is_anonymous);
        let gpc = person.sends_gpc || self.signals.chance(self.spec.gpc_clicks);
        let visit = Visit::draw(&mut self.clicks, person.favorite);
        ClickEvent {
            subject_id: (!is_anonymous).then(|| subject_id(subject)),
            region: Some(person.region.to_owned()),
            gpc: Some(gpc),
            ..click_of(visit, self.clicks.uuid(), session_id, occurred_at)
        }
    }

    /// The next change of mind: who had granted something withdraws it all, who had not grants.
    pub fn change(&mut self, at: Timestamp) -> ConsentRecord {
        let subject = self.changes.zipf(self.spec.subjects);
        let mut record =
            self.changed.remove(&subject).unwrap_or_else(|| self.first_record(subject));
        let status =
            if has_grant(&record) { ConsentStatus::Withdrawn } else { ConsentStatus::Granted };
        let version = record.version + 1;
        decide_all(&mut record, status, version, at);
        self.changed.insert(subject, record.clone());
        record
    }

    fn first_record(&self, subject: u64) -> ConsentRecord {
        let Spec { purposes, first_version, starts_at, .. } = &self.spec;
        let shares = self.shares();
        self.person(subject).first_record(subject, purposes, shares, *first_version, *starts_at)
    }

    fn person(&self, subject: u64) -> Person {
        Person::new(self.spec.seed, subject, self.shares())
    }

    fn shares(&self) -> Shares {
        Shares { granted: self.spec.granted, gpc: self.spec.gpc }
    }

    /// A visit's id: the subject's present one, or a new one for somebody not signed in.
    fn session(&mut self, subject: u64, is_anonymous: bool) -> String {
        if is_anonymous {
            return format!("visit-{:016x}", self.clicks.next_u64());
        }
        let begun = self.sessions.entry(subject).or_default();
        *begun += u64::from(self.clicks.below(CLICKS_PER_SESSION) == 0);
        let mut random = Random::stream(self.spec.seed ^ subject, *begun);
        format!("visit-{:016x}", random.next_u64())
    }
}

/// A click with what the visit says, of nobody yet.
pub fn click_of(
    visit: Visit,
    event_id: String,
    session_id: String,
    occurred_at: Timestamp,
) -> ClickEvent {
    let is_product =
        matches!(visit.kind, EventKind::ProductView | EventKind::AddToCart | EventKind::Purchase);
    ClickEvent {
        event_id,
        subject_id: None,
        session_id,
        occurred_at,
        kind: visit.kind,
        category: visit.category.map(|category| category.id.to_owned()),
        product_id: visit.product_id,
        product_age_range: visit
            .category
            .filter(|_| is_product)
            .map(|category| category.age_range.to_owned()),
        value_cents: visit.value_cents,
        region: None,
        gpc: None,
        gpp: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assent_contract::domain::consent::AgeBand;

    const NOW: Timestamp = Timestamp(1_795_305_600_000);

    fn workload(seed: u64) -> Workload {
        Workload::new(Spec {
            seed,
            subjects: 300,
            purposes: vec!["offers".to_owned(), "partners".to_owned()],
            granted: 800,
            gpc: 50,
            gpc_clicks: 0,
            first_version: 1,
            starts_at: NOW,
        })
    }

    fn text(seed: u64) -> String {
        let mut workload = workload(seed);
        let consent = serde_json::to_string(&workload.first_records().collect::<Vec<_>>());
        let clicks: Vec<_> = (0..500).map(|at| workload.click(Timestamp(at))).collect();
        let changes: Vec<_> = (0..50).map(|at| workload.change(Timestamp(at))).collect();
        let rest = serde_json::to_string(&(clicks, changes));
        consent.unwrap() + &rest.unwrap()
    }

    #[test]
    fn a_seed_gives_the_same_workload_and_another_seed_another() {
        assert_eq!(text(7), text(7));
        assert_ne!(text(7), text(8));
    }

    #[test]
    fn changes_of_mind_leave_the_clicks_alone() {
        let (mut plain, mut disturbed) = (workload(7), workload(7));
        for at in 0..100 {
            disturbed.change(Timestamp(at));
            assert!(plain.click(Timestamp(at)) == disturbed.click(Timestamp(at)));
        }
    }

    #[test]
    fn there_are_all_ages_grants_refusals_guardians_and_signals() {
        let mut workload = workload(7);
        let records: Vec<_> = workload.first_records().collect();
        for band in [AgeBand::Unknown, AgeBand::Under13, AgeBand::From13To15, AgeBand::From18] {
            assert!(records.iter().any(|record| record.age_band == band));
        }
        let granted = records.iter().filter(|record| has_grant(record)).count();
        assert!((200..300).contains(&granted), "{granted}");
        assert!(records.iter().any(|record| record.guardian.is_some()));
        let clicks: Vec<_> = (0..2_000).map(|at| workload.click(Timestamp(at))).collect();
        assert!(clicks.iter().any(|click| click.gpc == Some(true)));
        assert!(clicks.iter().any(|click| click.subject_id.is_none()));
    }

    #[test]
    fn signals_of_single_clicks_leave_everything_else_alone() {
        let (mut plain, mut signaling) = (workload(7), workload(7));
        signaling.spec.gpc_clicks = 500;
        let mut added = 0;
        for at in 0..1_000 {
            let (before, after) = (plain.click(Timestamp(at)), signaling.click(Timestamp(at)));
            added += u32::from(before.gpc != after.gpc);
            assert!(before.gpc == Some(false) || after.gpc == Some(true));
            assert!(before == ClickEvent { gpc: before.gpc, ..after });
        }
        assert!((400..600).contains(&added), "{added}");
    }

    #[test]
    fn a_change_turns_a_grant_into_a_withdrawal_with_the_next_version() {
        let mut workload = workload(7);
        let mut versions = HashMap::new();
        for _ in 0..50 {
            let record = workload.change(NOW);
            let status = record.decisions["offers"].status;
            assert!(record.decisions.values().all(|decision| decision.status == status));
            let before = versions.insert(record.subject_id, record.version).unwrap_or(1);
            assert_eq!(record.version, before + 1);
        }
    }
}
