//! The contract's vectors of the gate.

use serde::Deserialize;

use super::*;
use crate::domain::consent::ConsentRecord;
use crate::domain::merge::PurposeNames;

#[derive(Deserialize)]
struct Vectors {
    gate: Cases,
}

#[derive(Deserialize)]
struct Cases {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    purpose: Switches,
    record: Option<ConsentRecord>,
    unreadable: bool,
    signal_at: Option<Timestamp>,
    erased_at: Option<Timestamp>,
    line_1_holds: bool,
    event_time: Option<Timestamp>,
    now: Timestamp,
    verdict: Verdict,
}

#[derive(Deserialize)]
#[allow(clippy::struct_excessive_bools)]
struct Switches {
    sale_or_share: bool,
    requires_opt_in: bool,
    suspended: bool,
}

#[test]
fn the_contracts_vectors() {
    let vectors: Vectors =
        serde_json::from_str(include_str!("../../../../../tests/vectors/vectors.json")).unwrap();
    assert!(vectors.gate.cases.len() >= 41);
    for case in vectors.gate.cases {
        assert_eq!(answer(&case), case.verdict, "case {}", case.id);
    }
}

fn answer(case: &Case) -> Verdict {
    let mut names = PurposeNames::default();
    let name = names.declare("p", &|_| 0).unwrap();
    let mut consent = SubjectConsent::default();
    if let Some(record) = &case.record {
        consent.apply(record, record.recorded_at, &names, &|_| 0, &[name]);
    }
    consent.undecodable = case.unreadable;
    consent.signal_at = case.signal_at;
    consent.erased_at = case.erased_at;
    let purpose = PurposeTerms {
        name,
        sale_or_share: case.purpose.sale_or_share,
        requires_opt_in: case.purpose.requires_opt_in,
        suspended: case.purpose.suspended,
    };
    match case.event_time {
        Some(t) => decide_click(case.line_1_holds, Some(&consent), purpose, t, case.now),
        None => decide_standing(&consent, purpose, case.now),
    }
}
