//! The contract's vectors of merging.

use serde::Deserialize;

use super::*;
use crate::domain::consent::Decision;

#[derive(Deserialize)]
struct Vectors {
    merge: Cases,
}

#[derive(Deserialize)]
struct Cases {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    facts: Vec<Fact>,
    outcomes: Vec<Option<Outcome>>,
    state: State,
}

#[derive(Deserialize)]
struct Fact {
    kind: String,
    record: Option<ConsentRecord>,
    append_time: Option<Timestamp>,
    occurred_at: Option<Timestamp>,
    now: Option<Timestamp>,
}

#[derive(Deserialize)]
struct State {
    consent: String,
    version: Option<i64>,
    status: Option<ConsentStatus>,
    signal_at: Option<Timestamp>,
    erased_at: Option<Timestamp>,
}

#[test]
fn the_contracts_vectors() {
    let vectors: Vectors =
        serde_json::from_str(include_str!("../../../../../tests/vectors/vectors.json")).unwrap();
    assert!(vectors.merge.cases.len() >= 15);
    for case in vectors.merge.cases {
        check(&case);
    }
}

fn check(case: &Case) {
    let mut names = PurposeNames::default();
    let declared = [names.declare("p", &|_| 0).unwrap()];
    let mut consent = SubjectConsent::default();
    for (fact, expected) in case.facts.iter().zip(&case.outcomes) {
        let outcome = take_in(&mut consent, fact, &names, &declared);
        assert_eq!(outcome, *expected, "case {}", case.id);
    }
    let kind = match (consent.is_unreadable(), &consent.record, consent.erased_at) {
        (true, _, _) => "unreadable",
        (false, Some(_), _) => "record",
        (false, None, Some(_)) => "erased",
        (false, None, None) => "none",
    };
    assert_eq!(kind, case.state.consent, "case {}", case.id);
    assert_eq!(consent.version(), case.state.version, "case {}", case.id);
    assert_eq!(consent.signal_at, case.state.signal_at, "case {}", case.id);
    assert_eq!(consent.erased_at, case.state.erased_at, "case {}", case.id);
    if let Some(status) = case.state.status {
        let record = consent.record.as_ref().unwrap();
        assert_eq!(record.decision(declared[0]).unwrap().status, status, "case {}", case.id);
    }
}

fn take_in(
    consent: &mut SubjectConsent,
    fact: &Fact,
    names: &PurposeNames,
    declared: &[NameId],
) -> Option<Outcome> {
    match fact.kind.as_str() {
        "record" => {
            let record = fact.record.as_ref().unwrap();
            Some(consent.apply(record, fact.append_time.unwrap(), names, &|_| 0, declared))
        }
        "erasure" => {
            consent.erase(fact.append_time.unwrap());
            Some(Outcome::Erased)
        }
        "value that can't be decoded" => {
            consent.mark_undecodable();
            Some(Outcome::Unreadable)
        }
        "click with an opt-out signal" => {
            consent.bind(fact.occurred_at.unwrap().min(fact.now.unwrap()));
            None
        }
        other => panic!("unknown kind of fact: {other}"),
    }
}

#[test]
fn an_undeclared_purpose_is_veiled_until_a_rulebook_declares_it() {
    let undeclared_token = |name: &str| (name.len() as u128) << 64;
    let decision = |status| Decision {
        status,
        since: Timestamp(1),
        expires_at: Some(Timestamp(9)),
        notice_version: None,
    };
    let said = |statuses: &[(&str, ConsentStatus)]| ConsentRecord {
        decisions: statuses.iter().map(|(id, it)| ((*id).to_owned(), decision(*it))).collect(),
        ..record_of_nobody()
    };
    let mut names = PurposeNames::default();
    let mut consent = SubjectConsent::default();
    let statuses = [
        ("abc", ConsentStatus::Denied),
        ("abcd", ConsentStatus::Granted),
        ("ab", ConsentStatus::NotAsked),
    ];
    consent.apply(&said(&statuses), Timestamp(5), &names, &undeclared_token, &[]);
    let record = consent.record.as_mut().unwrap();
    assert_eq!((record.decisions.len(), record.undeclared.len()), (0, 2));
    assert_eq!(names, PurposeNames::default(), "nothing grows but the record");

    let id = names.declare("abcd", &undeclared_token).unwrap();
    assert!(record.recognize(&names, &[(short_token(undeclared_token("abcd")), id)]));
    let current = *record.decision(id).unwrap();
    assert_eq!((current.since, current.expires_at), (Timestamp(1), Some(Timestamp(9))));
    let denied = names.declare("abc", &undeclared_token).unwrap();
    assert!(record.recognize(&names, &[(short_token(undeclared_token("abc")), denied)]));
    assert_eq!(record.decision(denied).unwrap().status, ConsentStatus::Denied);
    assert!(record.undeclared.is_empty() && !record.recognize(&names, &[]));
}

fn record_of_nobody() -> ConsentRecord {
    ConsentRecord {
        subject_id: "ann".to_owned(),
        version: 1,
        recorded_at: Timestamp(5),
        age_band: AgeBand::From18,
        decisions: std::collections::BTreeMap::new(),
        guardian: None,
        double_opt_in_at: None,
        opt_out_signal_at: None,
        source: "test".to_owned(),
        receipt_id: None,
    }
}

/// 11 CCR 7101: 24 months, which can be 731 days.
#[test]
fn what_is_kept_after_an_erasure_ends_after_731_days() {
    let (names, mut consent) = (PurposeNames::default(), SubjectConsent::default());
    let erased_at = Timestamp(1_795_305_600_000);
    let ends_at = erased_at + Span(731 * Span::DAY.0);
    consent.erase(erased_at);
    assert_eq!(consent.retention_ends_at(), Some(ends_at));
    consent.expire(ends_at - Span(1));
    let late_copy = ConsentRecord { recorded_at: erased_at, ..record_of_nobody() };
    let apply =
        |consent: &mut SubjectConsent| consent.apply(&late_copy, ends_at, &names, &|_| 0, &[]);
    assert_eq!(apply(&mut consent), Outcome::Superseded);
    consent.expire(ends_at);
    assert!(consent.is_blank());
    assert_eq!(apply(&mut consent), Outcome::Applied);
}
