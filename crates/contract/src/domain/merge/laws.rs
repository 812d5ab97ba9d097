//! Laws of merging: in which order records, repeats and signals come does not matter, where nothing
//! was erased between; and what is unclear is read as the strictest (docs/contract/merging.md).

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::domain::consent::{Decision, Guardian};

/// Raw ids have no `Debug` (INV-6); a test's may be shown.
#[derive(Clone)]
struct Shown(ConsentRecord);

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&serde_json::to_string(&self.0).unwrap_or_default())
    }
}

#[derive(Clone, Debug)]
enum Fact {
    Record(Box<Shown>),
    Signal(Timestamp),
    Erasure(Timestamp),
    Undecodable,
}

const PURPOSES: [&str; 2] = ["ads", "offers"];

fn time() -> impl Strategy<Value = Timestamp> {
    (1..6i64).prop_map(|minute| Timestamp(minute * 60_000))
}

fn decision() -> impl Strategy<Value = Decision> {
    let status = prop_oneof![
        Just(ConsentStatus::Granted),
        Just(ConsentStatus::Denied),
        Just(ConsentStatus::NotAsked),
        Just(ConsentStatus::Withdrawn),
    ];
    (status, time(), prop::option::of(time())).prop_map(|(status, since, expires_at)| Decision {
        status,
        since,
        expires_at,
        notice_version: None,
    })
}

/// Few versions and few contents, so that versions repeat and contradict each other.
fn record() -> impl Strategy<Value = Shown> {
    let decisions = prop::array::uniform2(prop::option::weighted(0.8, decision()));
    let guardian = prop::option::of((time(), any::<bool>()));
    let band = prop_oneof![Just(AgeBand::From18), Just(AgeBand::Under13)];
    (1..4i64, band, decisions, guardian, prop::option::weighted(0.2, time())).prop_map(
        |(version, age_band, decisions, guardian, opt_out_signal_at)| {
            Shown(ConsentRecord {
                subject_id: "ann".to_owned(),
                version,
                recorded_at: Timestamp(9_000_000),
                age_band,
                decisions: PURPOSES
                    .iter()
                    .zip(decisions)
                    .filter_map(|(purpose, decision)| Some(((*purpose).to_owned(), decision?)))
                    .collect::<BTreeMap<_, _>>(),
                guardian: guardian.map(|(verified_at, coppa_consent)| Guardian {
                    verified_at,
                    method: None,
                    coppa_consent,
                    coppa_disclosure: false,
                    ccpa_authorization: false,
                }),
                double_opt_in_at: None,
                opt_out_signal_at,
                source: "test".to_owned(),
                receipt_id: None,
            })
        },
    )
}

fn records() -> impl Strategy<Value = Vec<Fact>> {
    let one = || record().prop_map(|record| Fact::Record(Box::new(record)));
    // A pool, from which histories draw with repeats.
    (vec(one(), 1..4), vec(0..4usize, 1..7)).prop_map(|(pool, picks)| {
        picks.into_iter().map(|pick| pool[pick % pool.len()].clone()).collect()
    })
}

fn facts() -> impl Strategy<Value = Vec<Fact>> {
    let one = prop_oneof![
        6 => record().prop_map(|record| Fact::Record(Box::new(record))),
        1 => time().prop_map(Fact::Signal),
        1 => time().prop_map(Fact::Erasure),
        1 => Just(Fact::Undecodable),
    ];
    vec(one, 0..6)
}

fn take(consent: &mut SubjectConsent, fact: &Fact) -> Option<Outcome> {
    let mut names = PurposeNames::default();
    let declared = PURPOSES.map(|purpose| names.declare(purpose, &|_| 0).expect("room"));
    match fact {
        Fact::Record(record) => {
            let appended = Timestamp(9_000_000);
            Some(consent.apply(&record.0, appended, &names, &|_| 0, &declared))
        }
        Fact::Signal(at) => {
            consent.bind(*at);
            None
        }
        Fact::Erasure(at) => {
            consent.erase(*at);
            None
        }
        Fact::Undecodable => {
            consent.mark_undecodable();
            None
        }
    }
}

fn after<'a>(facts: impl IntoIterator<Item = &'a Fact>) -> SubjectConsent {
    let mut consent = SubjectConsent::default();
    for fact in facts {
        take(&mut consent, fact);
    }
    consent
}

/// What the gate may rest on: nothing of a record while it is unreadable.
fn in_force(
    consent: &SubjectConsent,
) -> (bool, Option<i64>, Option<DecisionsInForce>, Option<Timestamp>) {
    let record = consent.record.as_ref().filter(|_| !consent.is_unreadable());
    let said = record.map(|record| {
        // `since` and `expires_at` count of a grant alone, and "not asked" is no decision.
        let said = record.decisions.iter().filter(|it| it.status != ConsentStatus::NotAsked);
        let grant = |it: &DecisionInForce| it.status == ConsentStatus::Granted;
        let terms =
            said.map(|it| (it.purpose, it.status, grant(it).then_some((it.since, it.expires_at))));
        (record.age_band, record.guardian, terms.collect())
    });
    (consent.is_unreadable(), consent.version(), said, consent.signal_at)
}

type Grant = Option<(Timestamp, Option<Timestamp>)>;
type DecisionsInForce = (AgeBand, Option<GuardianTerms>, Vec<(NameId, ConsentStatus, Grant)>);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn a_repeat_changes_nothing(facts in facts(), record in record()) {
        let mut consent = after(&facts);
        let record = Fact::Record(Box::new(record));
        take(&mut consent, &record);
        let once = consent.clone();
        let outcome = take(&mut consent, &record);
        prop_assert_eq!(&consent, &once);
        let expected = if once.contradicted && once.version() == Some(version(&record)) {
            Outcome::Unreadable
        } else {
            Outcome::Superseded
        };
        prop_assert_eq!(outcome, Some(expected));
    }

    #[test]
    fn the_order_of_records_does_not_matter(
        (facts, shuffled) in records().prop_flat_map(|f| (Just(f.clone()), Just(f).prop_shuffle()))
    ) {
        prop_assert_eq!(in_force(&after(&facts)), in_force(&after(&shuffled)));
    }

    /// Two changelogs read one after the other, either way: associative, for a fold over a log.
    #[test]
    fn it_does_not_matter_where_a_log_is_cut(one in records(), other in records()) {
        let there = after(one.iter().chain(&other));
        let back = after(other.iter().chain(&one));
        prop_assert_eq!(in_force(&there), in_force(&back));
    }

    #[test]
    fn a_lower_version_is_never_read(facts in facts(), record in record()) {
        let before = after(&facts);
        let lower = ConsentRecord { version: before.version().unwrap_or(9) - 1, ..record.0 };
        if before.record.is_some() {
            let mut consent = before.clone();
            let signal = lower.opt_out_signal_at;
            take(&mut consent, &Fact::Record(Box::new(Shown(lower))));
            prop_assert_eq!(&consent.record, &before.record);
            prop_assert_eq!(consent.is_unreadable(), before.is_unreadable());
            // Only its signal counts (INV-4): it binds whoever wrote it.
            let bound = before.signal_at.max(signal.map(Timestamp::ceil_minute));
            prop_assert_eq!(consent.signal_at, bound);
        }
    }

    #[test]
    fn a_contradiction_stays_until_a_higher_version(facts in facts(), record in record()) {
        let mut consent = after(&facts);
        if consent.contradicted {
            let current = consent.version().expect("contradicted, so there is one");
            let same = ConsentRecord { version: current, ..record.0.clone() };
            take(&mut consent, &Fact::Record(Box::new(Shown(same))));
            prop_assert!(consent.is_unreadable());
            let higher = ConsentRecord { version: current + 1, ..record.0 };
            take(&mut consent, &Fact::Record(Box::new(Shown(higher))));
            prop_assert!(!consent.is_unreadable());
        }
    }

    #[test]
    fn a_signal_is_never_lifted_nor_moved_back(facts in facts(), at in time()) {
        let mut consent = after(&facts);
        consent.bind(at);
        let bound = consent.signal_at;
        let rest = [Fact::Undecodable, Fact::Signal(Timestamp(1))];
        for fact in &rest {
            take(&mut consent, fact);
        }
        prop_assert_eq!(consent.signal_at, bound);
        prop_assert!(bound >= Some(at), "rounded up, so that it is never earlier");
    }

    #[test]
    fn an_erasure_leaves_its_residue_alone(facts in facts(), at in time()) {
        let before = after(&facts);
        let mut consent = before.clone();
        consent.erase(at);
        let residue = SubjectConsent {
            erased_at: before.erased_at.max(Some(at)),
            ..SubjectConsent::default()
        };
        prop_assert_eq!(consent, residue);
    }

    #[test]
    fn what_an_erasure_outdates_is_ignored(record in record()) {
        let mut consent = SubjectConsent::default();
        consent.erase(record.0.recorded_at);
        let residue = consent.clone();
        let outcome = take(&mut consent, &Fact::Record(Box::new(record)));
        prop_assert_eq!((outcome, consent), (Some(Outcome::Superseded), residue));
    }
}

fn version(fact: &Fact) -> i64 {
    match fact {
        Fact::Record(record) => record.0.version,
        _ => unreachable!("only of records"),
    }
}
