//! What the group has committed, asked by a client of its own that is made for the question: it has seen no
//! coordinator before, so it asks who it is now, and nobody else waits where it gets no answer.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::calls::{Call, Calls};
use super::client::{LoggedIn, committed_reader_config};
use super::context::Logged;
use super::handle::Handle;
use crate::config::Config;

/// What the group has for a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Of the next record.
    pub offset: i64,
    /// The audit sequence that was written with it, as decimal text.
    pub metadata: String,
}

/// The group's offsets and metadata of these partitions of the clickstream; waits for those of open
/// transactions.
pub fn committed(
    config: &Config,
    partitions: &[i32],
    timeout: Duration,
) -> KafkaResult<BTreeMap<i32, Committed>> {
    let (group, topic) = (&config.kafka.group_id, &config.topics.clickstream);
    committed_of(config, group, topic, partitions, timeout)
}

/// The same of any group and topic.
pub fn committed_of(
    config: &Config,
    group_id: &str,
    topic: &str,
    partitions: &[i32],
    timeout: Duration,
) -> KafkaResult<BTreeMap<i32, Committed>> {
    let mut client = committed_reader_config(config);
    client.set("group.id", group_id);
    let mut asked = TopicPartitionList::with_capacity(partitions.len());
    for &partition in partitions {
        asked.add_partition(topic, partition);
    }
    let answer = Calls::default().make(Call::CommittedOffsets, timeout, move || {
        let consumer: LoggedIn<BaseConsumer<Logged>> =
            client.create_with_context(Logged("offsets"))?;
        Handle::new(consumer).committed_offsets(asked, timeout)
    });
    let timed_out = KafkaError::OffsetFetch(RDKafkaErrorCode::OperationTimedOut);
    let answer = answer.unwrap_or(Err(timed_out))?;
    let mut committed = BTreeMap::new();
    for element in answer.elements() {
        element.error()?;
        if let Offset::Offset(offset) = element.offset() {
            let metadata = element.metadata().to_owned();
            committed.insert(element.partition(), Committed { offset, metadata });
        }
    }
    Ok(committed)
}
