//! How far somebody else's consumer group is with a topic of segments: what it has committed, and what it
//! has not read yet. Joins no group, and commits nothing.
//!
//! Each question has a client of its own that can be left behind (`calls`). Must not know what a record
//! says: a null value is a tombstone, and its time is the broker's or the producer's.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::calls::{Call, Calls};
use super::client::{LoggedIn, committed_reader_config};
use super::context::Logged;
use super::handle::Handle;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use assent_contract::domain::time::Timestamp;

/// An answer that holds a transaction's end back waits for nobody here.
const POLL: Duration = Duration::from_millis(100);

/// The next offset of each partition that the group has committed. Absent: it has committed none there.
pub fn committed_by(
    config: &Config,
    group: &str,
    topic: &str,
    partitions: i32,
    within: Duration,
) -> KafkaResult<BTreeMap<i32, i64>> {
    let mut client = committed_reader_config(config);
    // Offsets of an open transaction are not the reader's yet; those before it are.
    client.set("group.id", group).set("isolation.level", "read_uncommitted");
    let mut asked = TopicPartitionList::with_capacity(partitions as usize);
    for partition in 0..partitions {
        asked.add_partition(topic, partition);
    }
    let answer = Calls::default().make(Call::CommittedOffsets, within, move || {
        let consumer: LoggedIn<BaseConsumer<Logged>> =
            client.create_with_context(Logged("readers"))?;
        Handle::new(consumer).committed_offsets(asked, within)
    });
    let answer = answer.unwrap_or_else(|_| Err(timed_out()))?;
    let mut committed = BTreeMap::new();
    for element in answer.elements() {
        element.error()?;
        if let Offset::Offset(offset) = element.offset() {
            committed.insert(element.partition(), offset);
        }
    }
    Ok(committed)
}

/// What a look at a partition is to find, and how far it may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub partition: i32,
    /// The first offset to look at.
    pub from: i64,
    /// One past the last; before the first open transaction.
    pub to: i64,
}

/// What lies in a range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Time of its first record.
    pub first: Option<Timestamp>,
    /// Offset and time of its first tombstone.
    pub tombstone: Option<(i64, Timestamp)>,
    /// Up to here, all was looked at.
    pub looked_to: i64,
    /// Time of the last record that was looked at.
    pub last: Option<Timestamp>,
}

/// Looks at committed records until the first tombstone, the range's end, or so many of them.
pub fn look(
    config: &Config,
    topic: &str,
    range: Range,
    records_max: usize,
    within: Duration,
) -> KafkaResult<Found> {
    let mut client = committed_reader_config(config);
    client.set("auto.offset.reset", "earliest");
    let topic = topic.to_owned();
    let answer = Calls::default().make(Call::ReaderLag, within, move || {
        let consumer: LoggedIn<BaseConsumer<Logged>> =
            client.create_with_context(Logged("readers"))?;
        let consumer = Handle::new(consumer);
        let mut assigned = TopicPartitionList::new();
        assigned.add_partition_offset(&topic, range.partition, Offset::Offset(range.from))?;
        consumer.assign(&assigned)?;
        read(&consumer, &range, records_max, SystemClock.instant() + within)
    });
    answer.unwrap_or_else(|_| Err(timed_out()))
}

fn read(
    consumer: &BaseConsumer<Logged>,
    range: &Range,
    records_max: usize,
    deadline: Instant,
) -> KafkaResult<Found> {
    let mut found = Found { looked_to: range.from, ..Found::default() };
    let mut records = 0;
    while found.looked_to < range.to && records < records_max {
        if SystemClock.instant() >= deadline {
            // What was looked at counts; where nothing was, nobody knows.
            return if records > 0 { Ok(found) } else { Err(timed_out()) };
        }
        match consumer.poll(POLL) {
            Some(Err(error)) if is_fatal(&error) => return Err(error),
            Some(Err(_)) => {}
            // Control records and what was aborted are passed without a word.
            None => {
                let positions = consumer.position()?;
                if let Some(element) = positions.elements().first()
                    && let Offset::Offset(at) = element.offset()
                {
                    found.looked_to = found.looked_to.max(at);
                }
            }
            Some(Ok(message)) if message.offset() >= range.to => {
                found.looked_to = range.to;
            }
            Some(Ok(message)) => {
                records += 1;
                let at = Timestamp(message.timestamp().to_millis().unwrap_or_default());
                found.first.get_or_insert(at);
                found.last = Some(at);
                if message.payload().is_none() {
                    found.tombstone = Some((message.offset(), at));
                    return Ok(found);
                }
                found.looked_to = message.offset() + 1;
            }
        }
    }
    Ok(found)
}

/// A right that is missing does not come by waiting.
fn is_fatal(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    matches!(
        code,
        Some(
            RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::UnknownTopicOrPartition
        )
    )
}

fn timed_out() -> KafkaError {
    KafkaError::OffsetFetch(RDKafkaErrorCode::OperationTimedOut)
}
