//! A look at the last records of a topic: do their keys lie where the configured partitioner puts
//! them? Names offsets only, never a key (INV-6); joins no group and commits nothing.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use super::bounded_read::Bounds;
use super::client::{LoggedIn, reader_config};
use super::consumer::is_of_data;
use super::handle::Handle;
use super::probe::{Isolation, Probe};
use crate::clock::Clock;
use crate::config::Config;
use crate::failure::{Failure, Result};
use assent_contract::domain::ids::RESERVED_PREFIX;

/// Records looked at, from the end of each partition.
const PER_PARTITION: i64 = 50;

/// A quiet cluster answers in milliseconds; a sample is not worth a longer wait.
const PATIENCE: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(5);

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    pub keyed: usize,
    /// Partition and offset of the first keyed record that lies elsewhere than its key says.
    pub misplaced: Option<(i32, i64)>,
}

/// Reads the tail of every partition of `topic`, which has `count` of them.
pub fn sample_keys(config: &Config, topic: &str, count: i32, clock: &dyn Clock) -> Result<Sample> {
    let failed =
        |error: KafkaError| Failure::failed(format!("reading topic {topic} failed: {error}"));
    let probe = Probe::with(config, "sample", Isolation::Committed).map_err(failed)?;
    let consumer: Handle<LoggedIn<BaseConsumer>> = reader_config(config)
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("group.id", &config.kafka.group_id)
        .set("fetch.wait.max.ms", "10")
        .create()
        .map(Handle::new)
        .map_err(failed)?;
    let mut tail = seek_to_tail(&probe, &consumer, topic, count).map_err(failed)?;
    let mut sample = Sample::default();
    let deadline = clock.instant() + PATIENCE;
    while clock.instant() < deadline {
        tail.look(&consumer.position().map_err(failed)?);
        if tail.is_over() {
            break;
        }
        let Some(message) = consumer.poll(POLL) else { continue };
        let message = match message {
            Ok(message) => message,
            Err(error) if error.rdkafka_error_code().is_some_and(is_of_data) => {
                return Err(failed(error));
            }
            // A broker is away: librdkafka goes on by itself, at another one.
            Err(_) => continue,
        };
        let Some(key) = message.key().filter(|key| !key.starts_with(RESERVED_PREFIX.as_bytes()))
        else {
            continue;
        };
        sample.keyed += 1;
        if config.kafka.partitioner.partition(key, count) != message.partition() {
            sample.misplaced.get_or_insert((message.partition(), message.offset()));
        }
    }
    Ok(sample)
}

/// Empty partitions are left out.
fn seek_to_tail(
    probe: &Probe,
    consumer: &BaseConsumer,
    topic: &str,
    count: i32,
) -> std::result::Result<Bounds<i32>, KafkaError> {
    let mut assignment = TopicPartitionList::new();
    let partitions: Vec<i32> = (0..count).collect();
    let mut ranges = probe.ranges(topic, &partitions, ANSWER)?;
    ranges.retain(|(_, low, high)| low < high);
    for (partition, low, high) in &mut ranges {
        *low = (*low).max(*high - PER_PARTITION);
        assignment.add_partition_offset(topic, *partition, Offset::Offset(*low))?;
    }
    consumer.assign(&assignment)?;
    Ok(Bounds::new(ranges))
}
