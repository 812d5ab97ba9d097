//! Reads the state topic's partitions from their beginning to an end that was asked for before.
//!
//! Until the next-fetch offset reaches the high watermark: the last stable offset can be behind
//! while a predecessor's transaction is not settled yet (docs/contract/batch.md#assignment).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::consumer::{Follower, Polled};
use super::damage::Passing;
use super::probe::Probe;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use assent_core::engine::loss::Unreadable;

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

/// A record's place.
pub type Place = (i32, i64);

/// Hands every record of these partitions to `take((partition, offset), key, value)`, in the order of the
/// offsets of each. `wanted` is asked between bursts. Returns what nobody can read, and was passed over.
pub fn read_state(
    config: &Arc<Config>,
    probe: &Probe,
    partitions: &[i32],
    mut take: impl FnMut(Place, &[u8], Option<&[u8]>),
    mut wanted: impl FnMut() -> bool,
) -> Result<BTreeMap<i32, Vec<Unreadable>>, Interrupted> {
    let topic = &config.topics.state;
    let ends = probe.ends(topic, partitions, ASKED_FOR)?;
    let starts = probe.starts(topic, partitions, ASKED_FOR)?;
    let mut reading = Passing::new(config, "state", topic, starts)?;
    let mut patience = Patience::begin();
    loop {
        if !wanted() {
            return Err(Interrupted::Unwanted);
        }
        let burst = read_burst(reading.follower(), &mut take)?;
        if let Burst::Unreadable(partition) = burst {
            reading.pass(partition, &mut wanted)?;
        }
        let positions = reading.positions()?;
        let reached =
            |partition: &i32, end: &i64| positions.get(partition).is_some_and(|at| at >= end);
        if ends.iter().all(|(partition, end)| reached(partition, end)) {
            return Ok(reading.into_found());
        }
        patience.look(&positions)?;
        if burst == Burst::Nothing {
            std::thread::sleep(PAUSE);
        }
    }
}

/// What a burst brought.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Burst {
    Nothing,
    Some,
    /// What comes next of this partition can't be read.
    Unreadable(i32),
}

fn read_burst(
    follower: &Follower,
    take: &mut impl FnMut(Place, &[u8], Option<&[u8]>),
) -> Result<Burst, Interrupted> {
    let mut burst = Burst::Nothing;
    for _ in 0..BURST {
        match follower.poll() {
            Polled::Message(message) => {
                burst = Burst::Some;
                let place = (message.partition(), message.offset());
                take(place, message.key().unwrap_or_default(), message.payload());
            }
            Polled::Nothing => return Ok(burst),
            Polled::Unreadable { partition, .. } => return Ok(Burst::Unreadable(partition)),
            Polled::OutOfRange { .. } => {
                return Err(Interrupted::Again(KafkaError::MessageConsumption(
                    RDKafkaErrorCode::AutoOffsetReset,
                )));
            }
            Polled::Fatal(error) => return Err(Interrupted::Again(error)),
        }
    }
    Ok(burst)
}
