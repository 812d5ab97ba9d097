//! Clicks that were never read: each has its outcome, a batch of them one letter.

use super::*;
use crate::engine::input::DeadClicks;
use crate::engine::output::InputTopic;
use assent_contract::domain::intake::Rejection;
use assent_contract::domain::outcome::{DeadLetterReason, Outcome};

fn dead(first: i64, last: i64, is_batch: bool) -> DeadClicks {
    DeadClicks { first, last, is_batch, rejection: Rejection::unreadable("damaged") }
}

#[test]
fn a_batch_that_nobody_can_read_has_one_letter_and_an_outcome_for_each_click() {
    let mut partition = fresh(&setup());
    partition.begin(START, true);
    give(&mut partition, 0, &record(1, ConsentStatus::Granted));
    look(&mut partition, 0, START);
    partition.dead_clicks(&dead(1, 4, true));
    partition.dead_clicks(&dead(5, 5, false));
    look(&mut partition, 6, START);
    let mut output = end(&mut partition, 7, 1);
    output.hold_to_account(7, 1);
    assert!(!output.is_broken(), "{:?}", output.violations);
    let letters: Vec<_> = output
        .outputs
        .iter()
        .filter_map(|it| match it {
            Output::DeadLetter(note) => Some((note.offset, note.last, note.payload_sha256)),
            _ => None,
        })
        .collect();
    assert_eq!(letters, [(1, Some(4), None), (5, None, None)]);
    let tally = &output.tally;
    let outcome = |outcome| tally.outcomes[&(InputTopic::Clickstream, outcome)];
    assert_eq!((outcome(Outcome::DeadLettered), outcome(Outcome::Decided)), (5, 2));
    let reason = (InputTopic::Clickstream, DeadLetterReason::Undecodable);
    assert_eq!(tally.dead_letters[&reason], 2);
}
