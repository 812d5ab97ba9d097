//! Rules that show in what a reader makes of records: each writes some, and asks.

use std::time::Duration;

use super::answer::Answer;
use super::trial::{LONG, Step, Trial, assignment, broken, datum, tombstone as removal, value};
use crate::clock::{Clock, SystemClock};
use crate::kafka::scratch_topic::End;
use assent_contract::domain::time::{Span, Timestamp};

const A: &str = "check-a";
const B: &str = "check-b";

/// A lease that ends during the check: time enough to see it live.
const SHORT: Span = Span(3_000);

/// Past an end, so that two clocks that differ by a little agree.
const PAST: Span = Span(200);

fn far() -> Timestamp {
    SystemClock.now() + LONG
}

fn yes() -> Answer {
    Answer::yes(&[A])
}

/// R1.
pub fn committed(trial: &mut Trial<'_>) -> Step {
    trial.begin()?;
    let (kept, ghost) = (trial.key(0), trial.key(0));
    trial.assign(&kept, &[A], far())?;
    trial.settle("after an assignment")?;
    trial.abort(&[assignment(&ghost, &[A], far()), removal(&kept, "opted_out")])?;
    trial.settle("after an aborted transaction")?;
    trial.expect(&ghost, &Answer::No, "for an assignment of an aborted transaction")?;
    trial.expect(&kept, &yes(), "for a key that an aborted transaction removed")
}

/// R2.
pub fn tombstone(trial: &mut Trial<'_>) -> Step {
    trial.begin()?;
    let key = trial.key(0);
    trial.assign(&key, &[A], far())?;
    trial.settle("after an assignment")?;
    trial.expect(&key, &yes(), "for an assignment")?;
    trial.remove(&key)?;
    let at_once = trial.at_once();
    let deadline = SystemClock.instant() + at_once;
    while trial.ask(&key, "after a tombstone")? != Answer::No {
        if SystemClock.instant() >= deadline {
            let seconds = at_once.as_secs();
            return Err(broken(format!("{seconds} s after its tombstone a key is still used")));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// R3.
pub fn expiry(trial: &mut Trial<'_>) -> Step {
    trial.begin()?;
    let (past, soon) = (trial.key(0), trial.key(1));
    let ends = SystemClock.now() + SHORT;
    trial.assign(&past, &[A], Timestamp(SystemClock.now().0 - 1))?;
    trial.assign(&soon, &[A], ends)?;
    trial.settle("after an assignment that ends soon")?;
    trial.expect(&past, &Answer::No, "for a value that was past its expires_at when it came")?;
    trial.await_time(ends + PAST)?;
    trial.expect(&soon, &Answer::No, "for a value that is past its expires_at now")
}

/// R5.
pub fn beginning(trial: &mut Trial<'_>) -> Step {
    let early = [trial.key(0), trial.key(1)];
    for key in &early {
        trial.assign(key, &[A], far())?;
    }
    trial.begin()?;
    let when = "for what was in the topic before the reader first came";
    early.iter().try_for_each(|key| trial.expect(key, &yes(), when))
}

/// R7.
pub fn unreadable(trial: &mut Trial<'_>) -> Step {
    trial.begin()?;
    let keys = [trial.key(0), trial.key(0), trial.key(0)];
    for key in &keys {
        trial.assign(key, &[A], far())?;
    }
    trial.settle("after an assignment")?;
    for key in &keys {
        trial.expect(key, &yes(), "for an assignment")?;
    }
    let whole = datum(&keys[1], &[B], far());
    let mut unknown = datum(&keys[0], &[B], far());
    unknown[2] ^= 0xff; // the fingerprint's first byte
    let written = [
        (&keys[0], unknown, "for a value of an unknown schema"),
        (&keys[1], whole[..whole.len() / 2].to_vec(), "for a value that is cut off"),
        (&keys[2], b"no Avro".to_vec(), "for a value that is no Avro"),
    ];
    for (key, bytes, _) in &written {
        trial.topic.put(&[value(key, bytes.clone())])?;
    }
    trial.settle("after values that can't be read")?;
    written.iter().try_for_each(|(key, _, when)| trial.expect(key, &Answer::No, when))
}

/// R8.
pub fn default(trial: &mut Trial<'_>) -> Step {
    trial.start()?;
    let never = trial.key(0);
    trial.expect(&never, &Answer::No, "for an unknown key, before anything was read")?;
    trial.settle("at the start")?;
    trial.expect(&never, &Answer::No, "for a key that was never in the topic")
}

/// R10.
pub fn renewal(trial: &mut Trial<'_>) -> Step {
    trial.begin()?;
    let key = trial.key(0);
    let ends = SystemClock.now() + SHORT;
    trial.assign(&key, &[A], ends)?;
    trial.settle("after an assignment")?;
    trial.assign(&key, &["check-c", B], far())?;
    trial.settle("after its renewal")?;
    let renewed = Answer::yes(&[B, "check-c"]);
    trial.expect(&key, &renewed, "for a key whose value was replaced")?;
    trial.await_time(ends + PAST)?;
    trial.expect(&key, &renewed, "for a renewed key, past the end of its earlier value")
}

/// R11.
pub fn gap(trial: &mut Trial<'_>) -> Step {
    trial.begin()?;
    let (before, after) = (trial.key(0), trial.key(0));
    trial.assign(&before, &[A], far())?;
    trial.settle("after an assignment")?;
    let ghosts: Vec<_> =
        (0..5).map(|_| trial.key(0)).map(|key| assignment(&key, &[A], far())).collect();
    trial.abort(&ghosts)?;
    trial.topic.transact(&[assignment(&after, &[A], far())], End::Commit)?;
    trial.abort(&ghosts)?;
    trial.settle("after offsets that are missing")?;
    trial.expect(&before, &yes(), "for a key before missing offsets")?;
    trial.expect(&after, &yes(), "for a key behind missing offsets")
}

/// R13.
pub fn rotation(trial: &mut Trial<'_>) -> Step {
    trial.begin()?;
    let (old, new) = (trial.key_under(1, 0), trial.key_under(2, 1));
    trial.assign(&old, &[A], far())?;
    trial.settle("after an assignment")?;
    trial.expect(&old, &yes(), "for an assignment")?;
    trial
        .topic
        .transact(&[removal(&old, "key_retired"), assignment(&new, &[A], far())], End::Commit)?;
    trial.settle("after a key rotation")?;
    trial.expect(&old, &Answer::No, "for a pseudonym of the old key version")?;
    trial.expect(&new, &yes(), "for a pseudonym of the new key version")
}
