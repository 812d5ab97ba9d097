//! A purpose that breaks an invariant, as a defect would leave it, loses its live key; the rest of the
//! batch goes on, and the purpose is decided again.

use super::*;
use crate::engine::subject::Subject;
use assent_contract::domain::invariants::Invariant;

/// What the next batch writes of Anna, whose state a defect changed while the batch was decided.
fn next_batch(change: impl FnOnce(&mut Subject)) -> (Driver, BatchOutput) {
    let setup = setup();
    let mut partition = fresh(&setup);
    let first = first_batch(&mut partition);
    assert_eq!((assignments(&first), &first.violations.repaired), (1, &vec![]));
    batch_after(partition, &setup, change)
}

fn batch_after(
    mut partition: Driver,
    setup: &Setup,
    change: impl FnOnce(&mut Subject),
) -> (Driver, BatchOutput) {
    partition.confirm();
    partition.begin(START + Span::MINUTE, true);
    partition.timers();
    look(&mut partition, 2, START + Span::MINUTE);
    let token = setup.keys.state_token(b"anna");
    change(partition.subject(token));
    let output = end(&mut partition, 3, 1);
    (partition, output)
}

#[test]
fn a_sound_subject_is_left_alone() {
    let (_, output) = next_batch(|_| ());
    assert_eq!((output.violations.clone(), tombstones(&output)), Default::default());
}

#[test]
fn a_live_key_that_the_gate_withholds_is_removed() {
    let (mut partition, output) = next_batch(|subject| {
        let record = subject.consent.record.as_mut().unwrap();
        record.decisions[0].status = ConsentStatus::Denied;
    });
    let found: Vec<_> = output.violations.repaired.iter().map(|it| it.invariant).collect();
    assert_eq!(found, [Invariant::OptOut]);
    assert_eq!(tombstones(&output), [TombstoneReason::Withheld(Verdict::OptedOut)]);
    assert!(!output.is_broken(), "the others' opt-outs do not wait");
    partition.confirm();
    assert_eq!(partition.stats().live_keys.values().sum::<i64>(), 0);
    let subject = partition.state.subjects.get(setup().keys.state_token(b"anna")).unwrap().unpack();
    assert!(subject.purposes.iter().all(|state| state.counters.is_empty()));
}

fn outlives_its_lease(subject: &mut Subject) {
    let live = subject.purposes[0].live.as_mut().unwrap();
    live.decided_at = START + Span::MINUTE;
    live.expires_at = START + Span::MINUTE + LEASE + Span(1);
}

#[test]
fn an_assignment_that_outlives_its_lease_is_removed_and_comes_back_by_itself() {
    let (mut partition, output) = next_batch(outlives_its_lease);
    assert_eq!(output.violations.repaired[0].invariant, Invariant::Leased);
    assert_eq!(tombstones(&output), [TombstoneReason::SegmentsLeft]);
    partition.confirm();
    let again = START + Span(2 * Span::MINUTE.0);
    assert_eq!(partition.next_due(), Some(again));
    partition.begin(again, true);
    partition.timers();
    let output = end(&mut partition, 3, 1);
    assert_eq!((assignments(&output), tombstones(&output)), (1, vec![]), "it was only its lease");
    assert!(output.violations.repaired.is_empty());
}

#[test]
fn another_purpose_of_the_subject_keeps_its_key() {
    let two = RULES.replace(
        "segments:\n",
        "  - {id: news, title: News, sale_or_share: false, requires_opt_in: false, retention: 30d}\n\
         segments:\n  - id: once\n    title: Looked\n    why: To greet\n    owner: m@shop.example\n    \
         approach: behavioral\n    purpose: news\n    when: {count: {of: PRODUCT_VIEW, within: 1h, at_least: 1}}\n",
    );
    let setup = setup_of(&two, &Keyset::first([7; 32]));
    let mut partition = fresh(&setup);
    let first = first_batch(&mut partition);
    assert!(assignments(&first) >= 2);
    let (mut partition, output) = batch_after(partition, &setup, outlives_its_lease);
    assert_eq!((output.violations.repaired.len(), tombstones(&output).len()), (1, 1));
    partition.confirm();
    assert_eq!(partition.stats().live_keys.values().sum::<i64>(), 1);
}
