//! Each check finds what it is there for; and what follows in the batch.

use super::*;
use crate::engine::output::{BatchOutput, InputTopic};
use assent_contract::domain::invariants::Invariant;

const COVERAGE: Coverage = Coverage { click_to: 9, consent_to: 5, barrier: 4, synced: None };

fn part() -> Part {
    Part { bytes: 0..0, entries: 0, click: (7, 9), consent: (3, 5), barrier: 4 }
}

fn marks(offsets: &[(InputKind, i64)]) -> Vec<Mark> {
    let mark = |&(input, offset)| Mark { end: 0, input, offset: Some(offset) };
    offsets.iter().map(mark).collect()
}

/// Of the one part of a batch that goes on at click 7 and consent 3.
fn found(part: &Part, offsets: &[(InputKind, i64)]) -> Option<Invariant> {
    let mut covered = Covered { click: 7, consent: 3 };
    let broken = covered.take(part, &marks(offsets), true).or_else(|| covered.end(COVERAGE));
    broken.map(|violation| violation.invariant)
}

#[test]
fn a_sound_part_passes() {
    let inputs = [(InputKind::Consent, 3), (InputKind::Click, 7), (InputKind::Click, 8)];
    assert_eq!(found(&part(), &inputs), None);
    assert_eq!(found(&part(), &[]), None, "all that it covers were control records");
}

#[test]
fn a_gap_an_overlap_and_a_part_that_is_missing_break_the_chain() {
    let provable = Some(Invariant::Provable);
    assert_eq!(found(&Part { click: (8, 9), ..part() }, &[]), provable);
    assert_eq!(found(&Part { click: (6, 9), ..part() }, &[]), provable);
    assert_eq!(found(&Part { consent: (3, 2), ..part() }, &[]), provable);
    assert_eq!(found(&Part { click: (7, 8), ..part() }, &[]), provable, "not all is covered");
}

#[test]
fn clicks_before_the_barrier_are_seen_where_the_gate_was_open() {
    let early = Part { barrier: 6, ..part() };
    assert_eq!(found(&early, &[]), Some(Invariant::Barrier));
    let mut covered = Covered { click: 7, consent: 3 };
    assert_eq!(covered.take(&early, &[], false), None, "line 1 held: nothing was used");
}

#[test]
fn an_outcome_twice_out_of_order_or_of_no_input_is_seen() {
    let accounted = Some(Invariant::Accounted);
    let clicks = |offsets: [i64; 2]| offsets.map(|offset| (InputKind::Click, offset));
    assert_eq!(found(&part(), &clicks([7, 7])), accounted);
    assert_eq!(found(&part(), &clicks([8, 7])), accounted);
    assert_eq!(found(&part(), &clicks([7, 9])), accounted);
    assert_eq!(found(&part(), &[(InputKind::Consent, 2)]), accounted);
}

#[test]
fn outcomes_must_come_to_as_many_as_inputs() {
    let check = |clicks, consents| {
        let mut output = BatchOutput::default();
        let outcome = assent_contract::domain::outcome::Outcome::Decided;
        output.tally.outcomes.insert((InputTopic::Clickstream, outcome), 2);
        output.tally.heartbeats = 1;
        output.hold_to_account(clicks, consents);
        output.is_broken()
    };
    assert!(!check(2, 1));
    assert!(check(3, 1), "a click was lost");
    assert!(check(2, 0), "an outcome too many");
}
