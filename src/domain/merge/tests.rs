//! The contract's vectors of merging.

use serde::Deserialize;

use super::*;

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
        serde_json::from_str(include_str!("../../../tests/vectors/vectors.json")).unwrap();
    assert!(vectors.merge.cases.len() >= 15);
    for case in vectors.merge.cases {
        check(&case);
    }
}

fn check(case: &Case) {
    let mut names = PurposeNames::default();
    let declared = [names.intern("p").unwrap()];
    let mut consent = SubjectConsent::default();
    for (fact, expected) in case.facts.iter().zip(&case.outcomes) {
        let outcome = take_in(&mut consent, fact, &mut names, &declared);
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
    names: &mut PurposeNames,
    declared: &[NameId],
) -> Option<Outcome> {
    match fact.kind.as_str() {
        "record" => {
            let record = fact.record.as_ref().unwrap();
            Some(consent.apply(record, fact.append_time.unwrap(), names, &str::to_owned, declared))
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
    let veil = |name: &str| format!("#{}", name.len());
    let mut names = PurposeNames::default();
    let id = names.decide("customer-7", &veil).unwrap();
    assert_eq!(names.name(id), "#10");
    assert_eq!(names.decide("customer-7", &veil), Some(id));
    assert_eq!(names.declare("customer-7", &veil), Some(id));
    assert_eq!((names.name(id), names.len()), ("customer-7", 1));
}
