//! Asks the broker where partitions begin and end, on a client that never fetches.
//!
//! A question on a fetching client would wait behind its long poll (trap 4); one that reads
//! committed records would be told the last stable offset, which an open transaction holds back,
//! and INV-2 would rest on less than was written.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::metadata::Metadata;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::client::reader_config;
use super::context::Logged;
use crate::config::Config;

pub struct Probe {
    consumer: BaseConsumer<Logged>,
}

impl Probe {
    pub fn new(config: &Config) -> KafkaResult<Self> {
        let mut client = reader_config(config);
        client.set("isolation.level", "read_uncommitted").set("allow.auto.create.topics", "false");
        Ok(Self { consumer: client.create_with_context(Logged("probe"))? })
    }

    /// The high watermarks: one past the last record, of open transactions too.
    pub fn ends(
        &self,
        topic: &str,
        partitions: &[i32],
        timeout: Duration,
    ) -> KafkaResult<BTreeMap<i32, i64>> {
        self.ask(topic, partitions, Offset::End, timeout)
    }

    /// The low watermarks: the first offset that a topic still holds.
    pub fn starts(
        &self,
        topic: &str,
        partitions: &[i32],
        timeout: Duration,
    ) -> KafkaResult<BTreeMap<i32, i64>> {
        self.ask(topic, partitions, Offset::Beginning, timeout)
    }

    /// What is known of one topic, or of all.
    pub fn metadata(&self, topic: Option<&str>, timeout: Duration) -> KafkaResult<Metadata> {
        self.serve();
        self.consumer.fetch_metadata(topic, timeout)
    }

    fn ask(
        &self,
        topic: &str,
        partitions: &[i32],
        which: Offset,
        timeout: Duration,
    ) -> KafkaResult<BTreeMap<i32, i64>> {
        self.serve();
        let mut question = TopicPartitionList::with_capacity(partitions.len());
        for &partition in partitions {
            question.add_partition_offset(topic, partition, which)?;
        }
        if partitions.is_empty() {
            return Ok(BTreeMap::new());
        }
        let answer = self.consumer.offsets_for_times(question, timeout)?;
        let mut offsets = BTreeMap::new();
        for element in answer.elements() {
            element.error()?;
            if let Offset::Offset(offset) = element.offset() {
                offsets.insert(element.partition(), offset);
            }
        }
        Ok(offsets)
    }

    /// Lets librdkafka say what it has to log: a poll takes up one thing.
    fn serve(&self) {
        for _ in 0..16 {
            self.consumer.poll(Duration::ZERO);
        }
    }
}
