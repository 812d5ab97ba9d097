//! What an accepted loss does to people: signals that may be gone with clicks, consent or state end
//! sale and sharing, whoever is met and however, until a new opt-in in two steps.

use super::*;
use crate::engine::absence::AbsenceBound;
use crate::engine::loss::{Resume, TopicIds};

pub const TWO: &str = r#"
rulebook: "1"
default_segment: all-visitors
purposes:
  - {id: ads, title: Ads, sale_or_share: true, requires_opt_in: true, retention: 30d}
  - {id: offers, title: Offers, sale_or_share: false, requires_opt_in: true, retention: 30d}
segments:
  - {id: shown, title: Shown, why: Ads, owner: o@shop.example, approach: behavioral, purpose: ads,
     when: {count: {of: PRODUCT_VIEW, within: 7d, at_least: 2}}}
  - {id: twice, title: Twice, why: Offers, owner: o@shop.example, approach: behavioral, purpose: offers,
     when: {count: {of: PRODUCT_VIEW, within: 7d, at_least: 2}}}
"#;

const LOST_AT: Timestamp = Timestamp(START.0 + Span::HOUR.0);
const LATER: Timestamp = Timestamp(LOST_AT.0 + Span::HOUR.0);

/// Half an hour more than the day in which what was accepted has to be read.
fn bound() -> AbsenceBound {
    AbsenceBound::of_retention(Span(2 * Span::DAY.0 + 30 * Span::MINUTE.0))
}

/// Anna, once she granted both purposes and looked twice.
fn anna() -> Driver {
    let mut partition = fresh(&setup_of(TWO, &Keyset::first([7; 32])));
    partition.begin(START, true);
    give(&mut partition, 0, &both(1, START - Span::DAY));
    look(&mut partition, 0, START);
    look(&mut partition, 1, START);
    end(&mut partition, 2, 1);
    partition.confirm();
    assert_eq!(live(&partition), ["ads", "offers"]);
    partition
}

/// Granted in two steps at this time.
pub(super) fn both(version: i64, since: Timestamp) -> ConsentRecord {
    let mut record = record(version, ConsentStatus::Granted);
    let grant = Decision { since, ..record.decisions["offers"].clone() };
    record.decisions = ["ads", "offers"].map(|of| (of.to_owned(), grant.clone())).into();
    (record.recorded_at, record.double_opt_in_at) = (since, Some(since));
    record
}

pub(super) fn live(partition: &Driver) -> Vec<&str> {
    let mut live: Vec<&str> = partition.live_keys().map(|(purpose, _)| purpose).collect();
    live.sort_unstable();
    live
}

/// The loss goes on record; `doubt`: after what is in doubt was withheld.
fn accept(partition: &mut Driver, doubt: Option<Doubt>) -> Vec<BatchOutput> {
    let mut outputs = Vec::new();
    if let Some(mut doubted) = doubt.map(|doubt| partition.doubted(doubt)) {
        while !doubted.is_empty() {
            outputs.push(partition.withhold_doubted(LOST_AT, &mut doubted));
            partition.confirm();
        }
    }
    let accepted = Accepted {
        resume: Resume { next_click: 2, next_consent: 1 },
        topics: TopicIds::default(),
        statement: "lost",
        signals_lost_at: Some(LOST_AT),
        consent_is_withheld: doubt.is_some_and(|doubt| doubt.consent),
        absence: Some(bound()),
    };
    partition.accept_loss(LOST_AT, &accepted);
    partition.confirm();
    outputs
}

/// Who has read nothing for long, and was withheld for it, has a day to read it; a loss of clicks alone says nothing
/// of consent.
#[test]
fn an_absence_counts_no_more_once_consent_is_withheld() {
    let doubt = |consent| Some(Doubt { consent, signals_lost_at: Some(LOST_AT) });
    let synced_after = |doubt| {
        let mut partition = anna();
        assert_eq!(partition.consent_synced_at(), Some(START), "its first batch");
        accept(&mut partition, doubt);
        partition.consent_synced_at()
    };
    assert_eq!(synced_after(doubt(true)), Some(LOST_AT - Span(30 * Span::MINUTE.0)));
    assert_eq!(synced_after(doubt(false)), Some(START));
}

fn body(append_time: Timestamp, body: ConsentBody<'_>) -> ConsentInput<'_> {
    ConsentInput { offset: 1, append_time, key: b"anna", payload: Some(b"-"), body }
}

/// One batch later: these inputs of Anna's consent, then two views.
fn later(partition: &mut Driver, inputs: &[ConsentInput<'_>]) -> Vec<String> {
    partition.begin(LATER, true);
    for input in inputs {
        partition.consent(input);
    }
    look(partition, 2, LATER);
    look(partition, 3, LATER);
    end(partition, 4, 1 + inputs.len() as i64);
    partition.confirm();
    live(partition).into_iter().map(str::to_owned).collect()
}

#[test]
fn lost_clicks_end_sale_and_sharing_until_a_new_opt_in_in_two_steps() {
    let mut partition = anna();
    let doubt = Doubt { consent: false, signals_lost_at: Some(LOST_AT) };
    assert_eq!(partition.in_doubt(doubt), (1, 1));
    let outputs = accept(&mut partition, Some(doubt));
    let signal = TombstoneReason::Withheld(Verdict::OptOutSignal);
    let is_signal = |o: &Output| matches!(o, Output::Tombstone { reason, .. } if *reason == signal);
    assert_eq!(outputs.iter().flat_map(|it| &it.outputs).filter(|o| is_signal(o)).count(), 1);
    assert_eq!(live(&partition), ["offers"]);
    let again = both(2, LOST_AT - Span::MINUTE);
    assert_eq!(later(&mut partition, &[body(LATER, ConsentBody::Record(&again))]), ["offers"]);
    let anew = both(3, LATER - Span::MINUTE);
    let lifted = later(&mut partition, &[body(LATER, ConsentBody::Record(&anew))]);
    assert_eq!(lifted, ["ads", "offers"]);
}

#[test]
fn consent_read_again_after_a_loss_brings_no_sale_back() {
    let mut partition = anna();
    let doubt = Doubt { consent: true, signals_lost_at: Some(LOST_AT) };
    assert_eq!(partition.in_doubt(doubt), (1, 2));
    accept(&mut partition, Some(doubt));
    assert_eq!((live(&partition).len(), partition.in_doubt(doubt)), (0, (0, 0)));
    let again = both(1, START - Span::DAY);
    assert_eq!(later(&mut partition, &[body(START, ConsentBody::Record(&again))]), ["offers"]);
}

#[test]
fn a_subject_that_a_click_or_the_clock_meets_first_is_bound_too() {
    let mut partition = anna();
    accept(&mut partition, None);
    assert_eq!(later(&mut partition, &[]), ["offers"]);
    let mut partition = anna();
    accept(&mut partition, None);
    partition.begin(START + Span(40 * Span::HOUR.0), true);
    partition.timers();
    end(&mut partition, 2, 1);
    partition.confirm();
    assert_eq!(live(&partition), ["offers"]);
}

#[test]
fn a_signal_or_an_erasure_from_before_a_loss_does_not_stand_for_what_was_lost() {
    let of = |inputs: &[ConsentInput<'_>]| {
        let mut partition = fresh(&setup_of(TWO, &Keyset::first([7; 32])));
        accept(&mut partition, None);
        later(&mut partition, inputs)
    };
    let granted = both(1, START);
    let record = || body(START, ConsentBody::Record(&granted));
    assert_eq!(of(&[record()]), ["offers"]);
    let mut signaled = both(1, START);
    signaled.opt_out_signal_at = Some(START - Span::HOUR);
    assert_eq!(of(&[body(START, ConsentBody::Record(&signaled))]), ["offers"]);
    // Erased before the loss, and granted after that: a signal between the two and the loss is gone.
    let after = both(2, START + Span::MINUTE);
    let erased = |at| body(at, ConsentBody::Erasure);
    let anew = || body(LATER, ConsentBody::Record(&after));
    assert_eq!(of(&[record(), erased(START), anew()]), ["offers"]);
    // Erased after it: whatever was lost was to be erased.
    let after = both(2, LOST_AT + Span(2 * Span::MINUTE.0));
    let anew = || body(LATER, ConsentBody::Record(&after));
    assert_eq!(of(&[record(), erased(LOST_AT + Span::MINUTE), anew()]), ["ads", "offers"]);
}

#[test]
fn a_loss_that_is_accepted_first_of_all_is_read_under_the_next_rulebook() {
    let keyset = Keyset::first([7; 32]);
    let mut partition = fresh(&setup_of(TWO, &keyset));
    let accepted = Accepted {
        resume: Resume { next_click: 0, next_consent: 3 },
        topics: TopicIds::default(),
        statement: "lost",
        signals_lost_at: Some(LOST_AT),
        consent_is_withheld: true,
        absence: None,
    };
    let output = partition.accept_loss(LOST_AT, &accepted);
    partition.confirm();
    let kept =
        |output: &Output| matches!(output, Output::State { key, .. } if key.starts_with(b"r/"));
    assert!(output.outputs.iter().any(kept), "the rulebook that it was written under");
    let next = setup_of(&TWO.replace(r#"rulebook: "1""#, r#"rulebook: "2""#), &keyset);
    let restored = recover(&next, &[&output]);
    assert_eq!(restored.positions().map(|at| at.next_consent), Some(3));
}

#[test]
fn an_erasure_that_is_over_does_not_outlive_its_own_batch() {
    let mut partition = fresh(&setup_of(TWO, &Keyset::first([7; 32])));
    let long_ago = START - Span::MONTHS_24 - Span::DAY;
    let granted = both(1, long_ago - Span::DAY);
    let inputs = [body(long_ago, ConsentBody::Erasure), body(START, ConsentBody::Record(&granted))];
    assert_eq!(later(&mut partition, &inputs), ["ads", "offers"]);
}
