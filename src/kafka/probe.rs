//! Asks the broker where partitions begin and end, on a client that never fetches.
//!
//! A question on a fetching client would wait behind its long poll (trap 4); one that reads
//! committed records would be told the last stable offset, which an open transaction holds back,
//! and INV-2 would rest on less than was written.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::groups::GroupInfo;
use rdkafka::metadata::Metadata;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::client::reader_config;
use super::context::Logged;
use super::topic_ids::topic_ids;
use crate::config::{Config, Topics};
use crate::engine::loss::TopicIds;

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

    /// The cluster's ids of the two inputs. A cluster that has none, or does not say, leaves them
    /// unknown; one that does not answer is an error.
    pub fn input_ids(&self, topics: &Topics, timeout: Duration) -> KafkaResult<TopicIds> {
        self.serve();
        let names = [topics.clickstream.as_str(), topics.consent.as_str()];
        let ids = match topic_ids(self.consumer.client(), &names, timeout) {
            Err(KafkaError::AdminOp(
                RDKafkaErrorCode::UnsupportedFeature | RDKafkaErrorCode::UnsupportedVersion,
            )) => return Ok(TopicIds::default()),
            answer => answer?,
        };
        let id = |name: &str| ids.get(name).copied().unwrap_or_default();
        Ok(TopicIds { clicks: id(&topics.clickstream), consent: id(&topics.consent) })
    }

    /// Who is in the group now: each member's client and host.
    pub fn members(&self, group: &str, timeout: Duration) -> KafkaResult<Vec<String>> {
        self.serve();
        let groups = self.consumer.client().fetch_group_list(Some(group), timeout)?;
        let members = groups.groups().iter().flat_map(GroupInfo::members);
        Ok(members.map(|member| format!("{} at {}", member.id(), member.client_host())).collect())
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
