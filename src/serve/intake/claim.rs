//! Taking a partition up: what the group has committed, and which commands still wait for their effect.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};

use super::kept::{Kept, open_kept};
use super::{COMMAND, group_of, seal};
use crate::config::Config;
use crate::kafka::bounded_read::{BoundedRead, PAUSE, Step};
use crate::kafka::consumer::Follower;
use crate::kafka::events::Received;
use crate::kafka::group_offsets::committed_of;
use crate::kafka::probe::Probe;
use crate::pace;
use crate::serve::keys::KeysInUse;
use assent_intake::Command;

const ASKED_FOR: Duration = Duration::from_secs(5);

/// What there is of a partition when it is taken up.
#[derive(Default)]
pub struct Claimed {
    /// The next command that is to be merged.
    pub next: i64,
    /// Merged, and not yet known to be honored, by request.
    pub merged: BTreeMap<String, Command>,
    /// What is held or noted, by the key of its record.
    pub kept: BTreeMap<String, Kept>,
}

/// Of these partitions. Fails where a broker does not answer: then it is tried again.
pub fn claim(
    config: &Config,
    probe: &Probe,
    keys: &KeysInUse,
    partitions: &[i32],
) -> KafkaResult<BTreeMap<i32, Claimed>> {
    let topic = &config.topics.intake_state;
    let group = group_of(&config.kafka.group_id);
    let committed = committed_of(config, &group, topic, partitions, ASKED_FOR)?;
    let starts = probe.starts(topic, partitions, ASKED_FOR)?;
    let mut claimed: BTreeMap<i32, Claimed> = BTreeMap::new();
    for &partition in partitions {
        let start = starts.get(&partition).copied().unwrap_or_default();
        let next = committed.get(&partition).map_or(start, |found| found.offset.max(start));
        claimed.insert(partition, Claimed { next, ..Claimed::default() });
    }
    read_merged(config, keys, &starts, &mut claimed)?;
    Ok(claimed)
}

/// From the first record to the next command: what has no tombstone is merged and not honored.
fn read_merged(
    config: &Config,
    keys: &KeysInUse,
    starts: &BTreeMap<i32, i64>,
    claimed: &mut BTreeMap<i32, Claimed>,
) -> KafkaResult<()> {
    let to_read: Vec<(i32, i64, i64)> = claimed
        .iter()
        .map(|(p, claimed)| (*p, starts.get(p).copied().unwrap_or_default(), claimed.next))
        .filter(|(_, start, next)| start < next)
        .collect();
    if to_read.is_empty() {
        return Ok(());
    }
    let follower = Follower::new(config, "intake-claim", &config.topics.intake_state)?;
    let mut reading = BoundedRead::begin(follower, to_read)?;
    let failed = |code| Err(KafkaError::MessageConsumption(code));
    loop {
        match reading.step(|record| take(keys, claimed, record))? {
            Step::Record(()) => {}
            Step::Nothing => std::thread::sleep(PAUSE),
            Step::Over => return Ok(()),
            Step::Stalled => return failed(RDKafkaErrorCode::OperationTimedOut),
            Step::OutOfRange { .. } | Step::Unreadable { .. } => {
                return failed(RDKafkaErrorCode::AutoOffsetReset);
            }
            Step::Fatal(error) => return Err(error),
        }
    }
}

fn take(keys: &KeysInUse, claimed: &mut BTreeMap<i32, Claimed>, message: &Received<'_>) {
    let Some(claimed) = claimed.get_mut(&message.partition()) else { return };
    let Some(key) = message.key().and_then(|key| std::str::from_utf8(key).ok()) else { return };
    let request = request_of(message.key());
    match (message.payload(), request) {
        (None, Some(request)) => drop(claimed.merged.remove(request)),
        (None, None) => drop(claimed.kept.remove(key)),
        // What follows comes again, from the group's consumer.
        (Some(_), _) if message.offset() >= claimed.next => {}
        (Some(value), Some(request)) => {
            if let Some(command) = open(keys, request, value) {
                claimed.merged.insert(request.to_owned(), command);
            }
        }
        (Some(value), None) => {
            if let Some(kept) = open_kept(keys, key, value) {
                claimed.kept.insert(key.to_owned(), kept);
            }
        }
    }
}

/// The request that a record's key is of; `None`: it is no command's.
pub fn request_of(key: Option<&[u8]>) -> Option<&str> {
    key.and_then(|key| std::str::from_utf8(key).ok())?.strip_prefix(COMMAND)
}

/// `None`: nobody can read it; said, and passed over, since whatever waits behind it must not wait for it.
pub fn open(keys: &KeysInUse, request: &str, value: &[u8]) -> Option<Command> {
    let key = format!("{COMMAND}{request}");
    let opened = seal::open(&keys.ring, key.as_bytes(), value);
    let command = opened.as_deref().ok().and_then(Command::decode);
    let command = command.filter(|command| command.request_id == request);
    if command.is_none()
        && let Some(repeated) = pace::may_say("intake command")
    {
        let why = opened.err();
        tracing::error!(request, ?why, repeated, "a change can't be read, and is not merged");
    }
    command
}
