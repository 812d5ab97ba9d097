//! Taking partitions up: the order of section 7, which makes sure that what is restored is all that
//! was ever committed, and that nothing is skipped or decided twice.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::error::KafkaError;

use super::Shared;
use super::crash::crash_point;
use crate::domain::binary::Malformed;
use crate::domain::time::Timestamp;
use crate::engine::{Partition, Positions, Refusal, Restore};
use crate::failure::{Exit, Failure};
use crate::kafka::consumer::{ClickConsumer, Committed};
use crate::kafka::probe::Probe;
use crate::kafka::restore::{self, Interrupted};
use crate::kafka::topics;
use crate::task::{Offsets, Task};

const ASKED_FOR: Duration = Duration::from_secs(10);

/// Why partitions could not be taken up.
pub enum Trouble {
    /// Going on would lose or double something: a person decides.
    Stop(Failure),
    /// A broker did not answer.
    Again(KafkaError),
    /// A person has to bring something first; until then this instance is not ready.
    Wait(String),
    /// The group changed its mind, or the process ends.
    Unwanted,
}

impl From<KafkaError> for Trouble {
    fn from(error: KafkaError) -> Self {
        Self::Again(error)
    }
}

impl From<Interrupted> for Trouble {
    fn from(interrupted: Interrupted) -> Self {
        match interrupted {
            Interrupted::Unwanted => Self::Unwanted,
            Interrupted::Again(error) => Self::Again(error),
        }
    }
}

/// Restores these partitions. The producer is initialized before, so nothing of a predecessor with
/// this transactional.id is open any more.
pub fn take_up(
    shared: &Shared,
    clicks: &ClickConsumer,
    probe: &Probe,
    partitions: &[i32],
    wanted: impl FnMut() -> bool,
) -> Result<BTreeMap<i32, Task>, Trouble> {
    if let Some(change) = topics::find_change(probe, &shared.config, &shared.counts) {
        return Err(Trouble::Stop(change));
    }
    let committed = clicks.committed(partitions, ASKED_FOR)?;
    let engines = restore(shared, probe, partitions, wanted)?;
    let ranges = Ranges::ask(shared, probe, partitions)?;
    let now = shared.clock.now();
    let mut tasks = BTreeMap::new();
    for (partition, engine) in engines {
        let task = position(shared, partition, engine, committed.get(&partition), &ranges, now);
        tasks.insert(partition, task.map_err(Trouble::Stop)?);
    }
    Ok(tasks)
}

/// Reads the state of these partitions back.
pub fn restore(
    shared: &Shared,
    probe: &Probe,
    partitions: &[i32],
    wanted: impl FnMut() -> bool,
) -> Result<BTreeMap<i32, Partition>, Trouble> {
    let mut gathered: BTreeMap<i32, Restore> =
        partitions.iter().map(|&partition| (partition, Restore::new(partition))).collect();
    let mut malformed: Option<(i32, Malformed)> = None;
    let take = |partition: i32, key: &[u8], value: Option<&[u8]>| {
        if let Some(restore) = gathered.get_mut(&partition)
            && let Err(error) = restore.apply(key, value)
        {
            malformed.get_or_insert((partition, error));
        }
        crash_point("during_restore");
    };
    restore::read_state(&shared.config, probe, partitions, take, wanted)?;
    if let Some((partition, error)) = malformed {
        return Err(Trouble::Stop(unreadable(shared, partition, error)));
    }
    let finish = |(partition, restore): (i32, Restore)| {
        let engine = restore.finish(shared.setup()).map_err(|refusal| refused(&refusal))?;
        for (purpose, &partitions) in engine.segment_partitions() {
            shared.destinations.learn(purpose, partitions);
        }
        Ok((partition, engine))
    };
    gathered.into_iter().map(finish).collect()
}

/// A key that the file lacks may still come: the instance waits, not ready (design, section 4).
fn refused(refusal: &Refusal) -> Trouble {
    match refusal {
        Refusal::KeyMissing { .. } => Trouble::Wait(refusal.to_string()),
        _ if refusal.exit_code() == 78 => {
            Trouble::Stop(Failure::new(Exit::Config, refusal.to_string()))
        }
        _ => Trouble::Stop(Failure::failed(refusal.to_string())),
    }
}

fn unreadable(shared: &Shared, partition: i32, error: Malformed) -> Failure {
    Failure::failed(format!(
        "topic {}, partition {partition}: the state can't be read ({error}); nothing was decided. \
         Was it written by another program, or by a newer assent? Run that version, or start a \
         new group with new output topics",
        shared.config.topics.state
    ))
}

/// What the two inputs still hold.
struct Ranges {
    clicks: Range,
    consent: Range,
}

struct Range {
    starts: BTreeMap<i32, i64>,
    ends: BTreeMap<i32, i64>,
}

impl Ranges {
    fn ask(shared: &Shared, probe: &Probe, partitions: &[i32]) -> Result<Self, KafkaError> {
        let topics = &shared.config.topics;
        let range = |topic: &str| {
            Ok::<Range, KafkaError>(Range {
                starts: probe.starts(topic, partitions, ASKED_FOR)?,
                ends: probe.ends(topic, partitions, ASKED_FOR)?,
            })
        };
        Ok(Self { clicks: range(&topics.clickstream)?, consent: range(&topics.consent)? })
    }
}

/// Where the inputs of a partition go on.
fn position(
    shared: &Shared,
    partition: i32,
    mut engine: Partition,
    committed: Option<&Committed>,
    ranges: &Ranges,
    now: Timestamp,
) -> Result<Task, Failure> {
    let topics = &shared.config.topics;
    if let Some(positions) = engine.positions() {
        agree(shared, partition, positions, committed)?;
        let start = Offsets { click: positions.next_click, consent: positions.next_consent };
        within(&topics.clickstream, partition, start.click, &ranges.clicks)?;
        within(&topics.consent, partition, start.consent, &ranges.consent)?;
        return Ok(Task::new(partition, engine, start, now));
    }
    if let Some(committed) = committed {
        return Err(state_missing(shared, partition, committed));
    }
    let first = |range: &Range| range.starts.get(&partition).copied().unwrap_or(0);
    let start = Offsets { click: first(&ranges.clicks), consent: first(&ranges.consent) };
    engine.start_at(start.click, start.consent);
    Ok(Task::new(partition, engine, start, now))
}

/// The group and the state were written in one transaction, so they say the same. A group without
/// offsets is one whose offsets expired: the state's are used.
fn agree(
    shared: &Shared,
    partition: i32,
    state: Positions,
    group: Option<&Committed>,
) -> Result<(), Failure> {
    let Some(group) = group else { return Ok(()) };
    let same =
        group.offset == state.next_click && group.metadata == state.next_sequence.to_string();
    if same {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "partition {partition}: the state topic {} says click offset {} and audit sequence {}, the \
         group {} says click offset {} and sequence \"{}\"; they are written together, so one was \
         changed by something else. Nothing was decided. To go on from the state, delete the \
         group's offsets of {} (kafka-consumer-groups.sh --delete-offsets) while no assent runs",
        shared.config.topics.state,
        state.next_click,
        state.next_sequence,
        shared.config.kafka.group_id,
        group.offset,
        group.metadata,
        shared.config.topics.clickstream,
    )))
}

fn state_missing(shared: &Shared, partition: i32, group: &Committed) -> Failure {
    Failure::failed(format!(
        "partition {partition}: the group {} is at click offset {} and audit sequence \"{}\", but \
         the state topic {} holds nothing of it: without the state, opt-outs would be forgotten. \
         Nothing was decided. Restore the topic, or start a new group with new output topics",
        shared.config.kafka.group_id, group.offset, group.metadata, shared.config.topics.state,
    ))
}

fn within(topic: &str, partition: i32, next: i64, range: &Range) -> Result<(), Failure> {
    let (start, end) = (range.starts.get(&partition), range.ends.get(&partition));
    if let Some(&start) = start
        && next < start
    {
        return Err(Failure::failed(format!(
            "topic {topic}, partition {partition}: offsets {next} to {} were removed before they \
             were decided (the topic begins at {start}); nothing was skipped. Bring them back, or \
             start a new group with new output topics; a longer retention.ms keeps it from \
             happening again",
            start - 1
        )));
    }
    if let Some(&end) = end
        && next > end
    {
        return Err(Failure::failed(format!(
            "topic {topic}, partition {partition}: offset {next} was decided up to, but the topic \
             ends at {end}: it lost records, or was made anew. Nothing was decided. Restore it, or \
             start a new group with new output topics"
        )));
    }
    Ok(())
}

/// The first input that no longer holds what a task needs next, as a message; `None`: all do.
pub fn find_loss(
    shared: &Shared,
    probe: &Probe,
    tasks: &BTreeMap<i32, Task>,
) -> Result<Option<Failure>, KafkaError> {
    let partitions: Vec<i32> = tasks.keys().copied().collect();
    let ranges = Ranges::ask(shared, probe, &partitions)?;
    let topics = &shared.config.topics;
    for (&partition, task) in tasks {
        let next = task.received();
        let checked = within(&topics.clickstream, partition, next.click, &ranges.clicks)
            .and_then(|()| within(&topics.consent, partition, next.consent, &ranges.consent));
        if let Err(failure) = checked {
            return Ok(Some(failure));
        }
    }
    Ok(None)
}
