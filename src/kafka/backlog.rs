//! How many clicks that were there at one moment the group has not decided yet: its committed offsets
//! against where the partitions ended then. Joins no group, commits nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;

use super::group_offsets::committed;
use super::probe::{Isolation, Probe};
use super::read::partition_count;
use super::rights::{Need, Resource, Right, is_refusal};
use super::scan::{Ends, Scan};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::failure::{Failure, Result};

const ANSWER: Duration = Duration::from_secs(5);

/// Offsets that stay where they are for this long may wait for nothing: what follows is no record.
const AT_REST: Duration = Duration::from_secs(2);

pub struct Backlog<'a> {
    config: &'a Config,
    /// Of each partition that is not decided yet: the first offset that it holds, and one past the last.
    ranges: BTreeMap<i32, (i64, i64)>,
    last: (u64, Instant),
}

impl<'a> Backlog<'a> {
    /// What is there now.
    pub fn measure(config: &'a Config) -> Result<Self> {
        let ends = Ends::new(config)?;
        let probe = Probe::with(config, "backlog", Isolation::Committed)
            .map_err(|error| Failure::config(format!("kafka.properties: {error}")))?;
        let topic = &config.topics.clickstream;
        let mut ranges = BTreeMap::new();
        for partition in 0..partition_count(&probe, config, topic)? {
            let low = ends.low(topic, partition)?;
            ranges.insert(partition, (low, ends.committed(topic, partition)?));
        }
        Ok(Self { config, ranges, last: (u64::MAX, SystemClock.instant()) })
    }

    /// How many offsets lie between what the group committed and the ends.
    pub fn left(&mut self) -> Result<u64> {
        let partitions: Vec<i32> = self.ranges.keys().copied().collect();
        if partitions.is_empty() {
            return Ok(0);
        }
        let committed = committed(self.config, &partitions, ANSWER)
            .map_err(|error| failed(self.config, &error))?;
        self.ranges.retain(|partition, (low, end)| {
            *low = committed.get(partition).map_or(*low, |group| group.offset.max(*low));
            low < end
        });
        let left = self.ranges.values().map(|(from, end)| (end - from) as u64).sum();
        if left != self.last.0 {
            self.last = (left, SystemClock.instant());
        } else if left > 0 && self.last.1.elapsed() > AT_REST {
            self.pass_what_is_no_record()?;
        }
        Ok(left)
    }

    /// Control records and what was aborted take offsets that nobody commits.
    fn pass_what_is_no_record(&mut self) -> Result<()> {
        let topic = &self.config.topics.clickstream;
        let mut undecided = BTreeMap::new();
        for (&partition, &(from, end)) in &self.ranges {
            if Scan::open(self.config, topic, partition, from, end)?.next_record()?.is_some() {
                undecided.insert(partition, (from, end));
            }
        }
        self.ranges = undecided;
        self.last.1 = SystemClock.instant();
        Ok(())
    }
}

fn failed(config: &Config, error: &KafkaError) -> Failure {
    if is_refusal(error) {
        let resource = Resource::Group(config.kafka.group_id.clone());
        let need = Need { key: "kafka.group_id", resource, rights: vec![Right::Describe] };
        return need.failure(config);
    }
    Failure::unavailable(format!(
        "the offsets of the group can't be read: {error}; check that the broker runs"
    ))
}
