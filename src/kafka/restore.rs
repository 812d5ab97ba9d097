//! Reads the state topic's partitions from their beginning to an end that was asked for before.
//!
//! Until the next-fetch offset reaches the high watermark: the last stable offset can be behind
//! while a predecessor's transaction is not settled yet (docs/contract/batch.md#assignment).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::consumer::{Follower, Polled};
use super::events::ReadError;
use super::probe::Probe;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::pace;

const ASKED_FOR: Duration = Duration::from_secs(10);

/// How long to wait where a poll brought nothing: a blocking poll takes all its time
/// (docs/librdkafka.md#a-poll-takes-its-whole-time).
const PAUSE: Duration = Duration::from_millis(2);

/// Records between two looks at what the caller wants.
const BURST: usize = 1_000;

/// A reader that comes no further for so long is given up, and another one is made: three times what an open
/// transaction may hold it back.
const STALL_MAX: Duration = Duration::from_secs(30);

/// Notices where a reader comes no further.
pub struct Patience {
    at: BTreeMap<i32, i64>,
    moved: Instant,
}

impl Patience {
    pub fn begin() -> Self {
        Self { at: BTreeMap::new(), moved: SystemClock.instant() }
    }

    /// The reader's positions by now. Fails where it has stood still for too long.
    pub fn look(&mut self, positions: &BTreeMap<i32, i64>) -> Result<(), KafkaError> {
        let now = SystemClock.instant();
        if self.at != *positions {
            (self.at, self.moved) = (positions.clone(), now);
        }
        if now.saturating_duration_since(self.moved) > STALL_MAX {
            return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut));
        }
        Ok(())
    }
}

/// Why the state could not be read to its end.
#[derive(Debug)]
pub enum Interrupted {
    /// The caller no longer wants it.
    Unwanted,
    /// A broker did not answer, or the log moved under the reader: to be tried again.
    Again(KafkaError),
}

impl From<KafkaError> for Interrupted {
    fn from(error: KafkaError) -> Self {
        Self::Again(error)
    }
}

/// It is tried again, and named.
pub fn unreadable(topic: &str, partition: i32, error: &ReadError) -> Interrupted {
    if let Some(repeated) = pace::may_say(&format!("unreadable {topic}")) {
        let (offset, reason) = (error.offset, &error.reason);
        tracing::error!(topic, partition, offset, reason, repeated, "a batch can't be read");
    }
    Interrupted::Again(KafkaError::MessageConsumption(error.code))
}

/// Hands every record of these partitions to `take(partition, key, value)`, in the order of the
/// offsets of each. `wanted` is asked between bursts.
pub fn read_state(
    config: &Config,
    probe: &Probe,
    partitions: &[i32],
    mut take: impl FnMut(i32, &[u8], Option<&[u8]>),
    mut wanted: impl FnMut() -> bool,
) -> Result<(), Interrupted> {
    let topic = &config.topics.state;
    let ends = probe.ends(topic, partitions, ASKED_FOR)?;
    let starts = probe.starts(topic, partitions, ASKED_FOR)?;
    let follower = Follower::new(config, "state", topic)?;
    follower.fetch_from(&starts)?;
    let mut patience = Patience::begin();
    loop {
        if !wanted() {
            return Err(Interrupted::Unwanted);
        }
        let progressed = read_burst(&follower, &mut take)?;
        let positions = follower.positions()?;
        let reached = |partition: &i32, end: &i64| {
            positions.get(partition).or_else(|| starts.get(partition)).is_some_and(|at| at >= end)
        };
        if ends.iter().all(|(partition, end)| reached(partition, end)) {
            return Ok(());
        }
        patience.look(&positions)?;
        if !progressed {
            std::thread::sleep(PAUSE);
        }
    }
}

fn read_burst(
    follower: &Follower,
    take: &mut impl FnMut(i32, &[u8], Option<&[u8]>),
) -> Result<bool, Interrupted> {
    for read in 0..BURST {
        match follower.poll() {
            Polled::Message(message) => {
                take(message.partition(), message.key().unwrap_or_default(), message.payload());
            }
            Polled::Nothing => return Ok(read > 0),
            Polled::Unreadable { partition, error } => {
                return Err(unreadable(follower.topic(), partition, &error));
            }
            Polled::OutOfRange { .. } => {
                return Err(Interrupted::Again(KafkaError::MessageConsumption(
                    RDKafkaErrorCode::AutoOffsetReset,
                )));
            }
            Polled::Fatal(error) => return Err(Interrupted::Again(error)),
        }
    }
    Ok(true)
}
