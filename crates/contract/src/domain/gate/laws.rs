//! Laws of the gate that hold for every record: which line decides, and that taking a consent away
//! never allows more (INV-1).

use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::domain::merge::GuardianTerms;

const NOW: i64 = 1_000_000;

/// A subject's consent, a purpose, and when a click of theirs happened.
#[derive(Clone, Debug)]
struct Case {
    consent: SubjectConsent,
    purpose: PurposeTerms,
    t: Timestamp,
}

impl Case {
    fn verdict(&self) -> Verdict {
        decide_click(false, Some(&self.consent), self.purpose, self.t, Timestamp(NOW))
    }

    fn record(&mut self) -> Option<&mut RecordInForce> {
        self.consent.record.as_mut()
    }

    fn decision(&mut self) -> Option<&mut DecisionInForce> {
        let purpose = self.purpose.name;
        self.record()?.decisions.iter_mut().find(|decision| decision.purpose == purpose)
    }
}

/// Crowded around now, so that every order of two times occurs.
fn time() -> impl Strategy<Value = Timestamp> {
    (-3..4i64).prop_map(|step| Timestamp(NOW + step))
}

/// Mostly the past.
fn begun() -> impl Strategy<Value = Timestamp> {
    prop_oneof![3 => Just(Timestamp(NOW - 100)), 1 => time()]
}

fn status() -> impl Strategy<Value = ConsentStatus> {
    prop_oneof![
        5 => Just(ConsentStatus::Granted),
        2 => Just(ConsentStatus::NotAsked),
        1 => Just(ConsentStatus::Denied),
        1 => Just(ConsentStatus::Withdrawn),
    ]
}

fn guardian() -> impl Strategy<Value = GuardianTerms> {
    let yes = || prop::bool::weighted(0.8);
    (begun(), yes(), yes(), yes()).prop_map(|(verified_at, consent, disclosure, authorization)| {
        GuardianTerms {
            verified_at,
            coppa_consent: consent,
            coppa_disclosure: disclosure,
            ccpa_authorization: authorization,
        }
    })
}

fn record() -> impl Strategy<Value = RecordInForce> {
    let bands = [
        AgeBand::Unknown,
        AgeBand::Under13,
        AgeBand::From13To15,
        AgeBand::From16To17,
        AgeBand::From18,
    ];
    let decision = (status(), begun(), option::weighted(0.3, time()));
    let guardian = option::weighted(0.7, guardian());
    let second_step = option::weighted(0.6, begun());
    (select(bands.to_vec()), option::weighted(0.9, decision), guardian, second_step).prop_map(
        |(age_band, decision, guardian, double_opt_in_at)| RecordInForce {
            version: 1,
            age_band,
            guardian,
            double_opt_in_at,
            undeclared: Vec::new(),
            decisions: decision
                .map(|(status, since, expires_at)| DecisionInForce {
                    purpose: 0,
                    status,
                    since,
                    expires_at,
                })
                .into_iter()
                .collect(),
        },
    )
}

fn case() -> impl Strategy<Value = Case> {
    let rarely = || prop::bool::weighted(0.05);
    let signal = prop_oneof![1 => Just(Timestamp(NOW - 200)), 1 => time()];
    let consent = (
        option::weighted(0.95, record()),
        rarely(),
        rarely(),
        option::weighted(0.3, signal),
        option::weighted(0.2, time()),
    );
    let switches = (any::<bool>(), any::<bool>(), prop::bool::weighted(0.1));
    (consent, switches, time()).prop_map(|(consent, switches, t)| Case {
        consent: SubjectConsent {
            record: consent.0,
            contradicted: consent.1,
            undecodable: consent.2,
            signal_at: consent.3,
            erased_at: consent.4,
        },
        purpose: PurposeTerms {
            name: 0,
            sale_or_share: switches.0,
            requires_opt_in: switches.1,
            suspended: switches.2,
        },
        t,
    })
}

/// A name, and what it does.
type Taking = (&'static str, fn(&mut Case));

/// What takes something of a consent away, or asks more of it.
const TAKINGS: &[Taking] = &[
    ("the record is gone", |case| case.consent.record = None),
    ("another record contradicts it", |case| case.consent.contradicted = true),
    ("a value can't be read", |case| case.consent.undecodable = true),
    ("the decision is gone and opt-in is asked", |case| {
        case.purpose.requires_opt_in = true;
        let _ = case.record().map(|record| record.decisions = Vec::new());
    }),
    ("it is denied", |case| {
        let _ = case.decision().map(|decision| decision.status = ConsentStatus::Denied);
    }),
    ("it is withdrawn", |case| {
        let _ = case.decision().map(|decision| decision.status = ConsentStatus::Withdrawn);
    }),
    ("the grant begins later", |case| {
        let _ = case.decision().map(|decision| decision.since = decision.since + SECOND);
    }),
    ("a grant ends earlier", |case| {
        let _ = case.decision().map(|decision| {
            decision.expires_at =
                Some(decision.expires_at.map_or(Timestamp(NOW), |end| end - SECOND));
        });
    }),
    ("the guardian is gone", |case| {
        let _ = case.record().map(|record| record.guardian = None);
    }),
    ("the guardian was verified later", |case| {
        let guardian = case.record().and_then(|record| record.guardian.as_mut());
        let _ = guardian.map(|guardian| guardian.verified_at = guardian.verified_at + SECOND);
    }),
    ("COPPA's consent is gone", |case| {
        let guardian = case.record().and_then(|record| record.guardian.as_mut());
        let _ = guardian.map(|guardian| guardian.coppa_consent = false);
    }),
    ("COPPA's disclosure is gone", |case| {
        let guardian = case.record().and_then(|record| record.guardian.as_mut());
        let _ = guardian.map(|guardian| guardian.coppa_disclosure = false);
    }),
    ("CCPA's authorization is gone", |case| {
        let guardian = case.record().and_then(|record| record.guardian.as_mut());
        let _ = guardian.map(|guardian| guardian.ccpa_authorization = false);
    }),
    ("the second step is gone", |case| {
        let _ = case.record().map(|record| record.double_opt_in_at = None);
    }),
    ("a signal binds", |case| {
        case.consent.signal_at = case.consent.signal_at.max(Some(Timestamp(NOW)));
    }),
    ("an erasure comes", |case| {
        case.consent.erased_at = case.consent.erased_at.max(Some(Timestamp(NOW)));
    }),
    ("the purpose is suspended", |case| case.purpose.suspended = true),
    ("it becomes a sale", |case| case.purpose.sale_or_share = true),
    ("it asks for opt-in", |case| case.purpose.requires_opt_in = true),
    ("the click is older", |case| case.t = case.t - SECOND),
    ("the band becomes unknown, without a guardian", |case| {
        let _ = case.record().map(|record| {
            record.age_band = AgeBand::Unknown;
            record.guardian = None;
        });
    }),
];

/// The times of a case are as many milliseconds apart.
const SECOND: crate::domain::time::Span = crate::domain::time::Span(1);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn taking_a_consent_away_never_allows_more(case in case(), taking in 0..TAKINGS.len()) {
        let (name, take) = TAKINGS[taking];
        let before = case.verdict();
        let mut less = case.clone();
        take(&mut less);
        prop_assert!(before.allows() || !less.verdict().allows(), "{name}: {before:?}, {less:?}");
    }

    #[test]
    fn line_1_beats_all_others(case in case()) {
        let stale = decide_click(true, Some(&case.consent), case.purpose, case.t, Timestamp(NOW));
        prop_assert_eq!(stale, Verdict::ConsentStale);
    }

    #[test]
    fn a_click_is_allowed_only_where_the_purpose_is(case in case()) {
        let standing = decide_standing(&case.consent, case.purpose, Timestamp(NOW));
        prop_assert!(standing.allows() || !case.verdict().allows(), "{standing:?}");
    }

    #[test]
    fn a_click_from_the_future_is_judged_as_of_now(case in case()) {
        let standing = decide_standing(&case.consent, case.purpose, Timestamp(NOW));
        let ahead = Case { t: Timestamp(NOW + 7), ..case };
        prop_assert_eq!(ahead.verdict(), standing);
    }

    /// What a timer is set by: between two turns nothing changes.
    #[test]
    fn between_two_turns_the_standing_verdict_stays(case in case(), later in 0..8i64) {
        let now = Timestamp(NOW - 4);
        let turn = next_turn(&case.consent, case.purpose, now);
        let then = Timestamp(now.0 + later);
        if turn.is_none_or(|turn| then < turn) {
            let at = |time| decide_standing(&case.consent, case.purpose, time);
            prop_assert_eq!(at(now), at(then));
        }
    }
}

/// Every line is met, so none of the laws above holds for want of cases.
#[test]
fn every_line_is_reachable() {
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut met = std::collections::BTreeSet::from([Verdict::ConsentStale]); // line 1 is not asked
    for _ in 0..5_000 {
        met.insert(case().new_tree(&mut runner).expect("a case").current().verdict());
    }
    let all: std::collections::BTreeSet<Verdict> = Verdict::ALL.iter().copied().collect();
    let missing: Vec<_> = all.difference(&met).collect();
    assert!(missing.is_empty(), "never met: {missing:?}");
}
