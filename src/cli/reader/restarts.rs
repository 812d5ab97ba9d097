//! Rules that show when a reader comes back: from an absence, from a crash, or to another topic.

use super::answer::Answer;
use super::trial::{LONG, Step, Stop, Trial, assignment, broken, tombstone};
use crate::clock::{Clock, SystemClock};
use crate::kafka::scratch_topic::Written;
use assent_contract::domain::time::{Span, Timestamp};

const A: &str = "check-a";

/// So short that an absence of more than half of it is a matter of seconds.
pub const SHORT_RETENTION: Span = Span(6_000);

/// Longer than half of [`SHORT_RETENTION`].
const ABSENCE: Span = Span(4_500);

/// After each burst the reader is ended so many milliseconds later: in the middle of it, with some luck.
const KILLED_AFTER_MS: [i64; 4] = [0, 60, 200, 600];

/// Keys of a burst: more than a client hands over at a time.
const BURST: usize = 600;

/// More than what the check writes into the topic that follows.
const RECORDS_BEFORE_RESET: usize = 400;

fn far() -> Timestamp {
    SystemClock.now() + LONG
}

/// R4. The tombstone of the key has come and gone; what is left of it is that the value is gone, too.
pub fn absence(trial: &mut Trial<'_>) -> Step {
    trial.begin()?;
    let key = trial.key(0);
    trial.assign(&key, &[A], far())?;
    trial.settle("after an assignment")?;
    trial.expect(&key, &Answer::yes(&[A]), "for an assignment")?;
    trial.stop();
    trial.topic.remove_records(0)?;
    trial.await_time(SystemClock.now() + ABSENCE)?;
    trial.start()?;
    trial.settle("after an absence")?;
    trial.expect(
        &key,
        &Answer::No,
        "for a key whose tombstone came and went during an absence of more than half of \
         delete.retention.ms",
    )
}

/// R6.
pub fn together(trial: &mut Trial<'_>) -> Step {
    trial.start()?;
    let mut live: Vec<String> = Vec::new();
    let mut removed: Vec<String> = Vec::new();
    for after in KILLED_AFTER_MS {
        trial.settle("after a restart")?;
        let leave: Vec<String> = live.drain(..live.len() / 2).collect();
        let come: Vec<String> = (0..BURST).map(|_| trial.key(0)).collect();
        let assigned = come.iter().map(|key| assignment(key, &[A], far()));
        let burst: Vec<Written> =
            leave.iter().map(|key| tombstone(key, "opted_out")).chain(assigned).collect();
        trial.topic.put(&burst)?;
        removed.extend(leave);
        live.extend(come);
        trial.await_time(Timestamp(SystemClock.now().0 + after))?;
        trial.kill();
        trial.start()?;
    }
    trial.settle("after a restart")?;
    let missing = count_not(trial, &live, &Answer::yes(&[A]))?;
    let left = count_not(trial, &removed, &Answer::No)?;
    if missing + left == 0 {
        return Ok(());
    }
    Err(broken(format!(
        "after it was killed in the middle and restarted, {missing} of {} live keys are missing, and {left} \
         of {} removed keys are used",
        live.len(),
        removed.len()
    )))
}

fn count_not(trial: &mut Trial<'_>, keys: &[String], expected: &Answer) -> Result<usize, Stop> {
    let mut count = 0;
    for key in keys {
        if trial.ask(key, "after a restart")? != *expected {
            count += 1;
        }
    }
    Ok(count)
}

/// R12.
pub fn reset(trial: &mut Trial<'_>) -> Step {
    trial.begin()?;
    let old = trial.key(0);
    trial.assign(&old, &[A], far())?;
    let keys: Vec<String> = (0..RECORDS_BEFORE_RESET).map(|_| trial.key(0)).collect();
    let records: Vec<Written> = keys.iter().map(|key| assignment(key, &[A], far())).collect();
    trial.topic.put(&records)?;
    trial.settle_one(0, "after assignments")?;
    trial.expect(&old, &Answer::yes(&[A]), "for an assignment")?;
    trial.stop();
    trial.topic.recreate()?;
    let new = trial.key(0);
    trial.assign(&new, &[A], far())?;
    trial.start()?;
    trial.settle_one(0, "after the topic was deleted and created anew")?;
    trial.expect(&old, &Answer::No, "for a key of the topic that was deleted")?;
    trial.expect(&new, &Answer::yes(&[A]), "for the first key of the new topic")
}
