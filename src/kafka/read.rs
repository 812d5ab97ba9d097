//! Reads whole topics as a reader is meant to: read_committed, to the end, with no group to join.
//!
//! Knows nothing of what the bytes mean, and commits no offset anywhere: a command that reads
//! leaves no trace in the cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;

use super::bounded_read::{Bounds, Progress, STALL_MAX};
use super::client::{LoggedIn, committed_reader_config};
use super::consumer::{is_of_data, known};
use super::handle::Handle;
use super::missing::demand;
use super::probe::{Isolation, Probe};
use super::reach::reach;
use super::rights::{Right, is_refusal};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::failure::{Failure, Result};

/// How long a command waits for the first answer of a broker.
pub const REACH_TIMEOUT: Duration = Duration::from_secs(10);

const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Long enough to sleep, short enough that a person sees no pause.
const POLL: Duration = Duration::from_millis(10);

/// Where a reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Beginning,
    /// Only what is committed from now on.
    End,
}

/// A partition of the read, from its first offset to its last stable one.
#[derive(Clone, Copy)]
struct Range {
    low: i64,
    end: i64,
}

/// Reads chosen partitions.
pub struct TopicReader {
    consumer: Handle<LoggedIn<BaseConsumer>>,
    ranges: BTreeMap<(String, i32), Range>,
    /// Of the last topic, which is the only one for [`TopicReader::key_partition`].
    partition_count: i32,
}

impl TopicReader {
    /// All partitions of these topics.
    pub fn topics(config: &Config, topics: &[String], start: Start) -> Result<Self> {
        reach(config, REACH_TIMEOUT, &SystemClock)?;
        let (probe, consumer) = (probe(config)?, consumer(config)?);
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        demand(&probe, config, &names, Right::Read)?;
        let (mut partitions, mut count) = (BTreeMap::new(), 0);
        for topic in topics {
            count = partition_count(&probe, config, topic)?;
            partitions.insert(topic.clone(), (0..count).collect());
        }
        let ranges = ranges(&probe, config, &partitions, start)?;
        assign(&consumer, &ranges)?;
        Ok(Self { consumer, ranges, partition_count: count })
    }

    /// The one partition that records with this key are in.
    pub fn key_partition(config: &Config, topic: &str, key: &[u8]) -> Result<Self> {
        reach(config, REACH_TIMEOUT, &SystemClock)?;
        let (probe, consumer) = (probe(config)?, consumer(config)?);
        demand(&probe, config, &[topic], Right::Read)?;
        let count = partition_count(&probe, config, topic)?;
        let partition = config.kafka.partitioner.partition(key, count);
        let partitions = BTreeMap::from([(topic.to_owned(), vec![partition])]);
        let ranges = ranges(&probe, config, &partitions, Start::Beginning)?;
        assign(&consumer, &ranges)?;
        Ok(Self { consumer, ranges, partition_count: count })
    }

    fn names(&self) -> String {
        let names: BTreeSet<&str> = self.ranges.keys().map(|(topic, _)| topic.as_str()).collect();
        names.into_iter().collect::<Vec<_>>().join(", ")
    }

    /// Of the topic that holds the key.
    pub fn partition_count(&self) -> i32 {
        self.partition_count
    }

    /// As [`Self::try_read_to_end`], for what can't fail.
    pub fn read_to_end(
        &self,
        mut each: impl FnMut(&BorrowedMessage<'_>),
        progress: impl FnMut(Progress),
    ) -> Result<()> {
        self.try_read_to_end(
            |message| {
                each(message);
                Ok(())
            },
            progress,
        )
    }

    /// Hands over every record up to the end as it was when the reader was opened, until one fails.
    pub fn try_read_to_end(
        &self,
        mut each: impl FnMut(&BorrowedMessage<'_>) -> Result<()>,
        mut progress: impl FnMut(Progress),
    ) -> Result<()> {
        let bounds = self.ranges.iter().map(|(at, range)| (at.clone(), range.low, range.end));
        let mut bounds = Bounds::new(bounds);
        let mut last_error = None;
        loop {
            match self.consumer.poll(POLL) {
                Some(Ok(message)) => {
                    each(&message)?;
                    if message.offset() % 1024 != 0 {
                        continue;
                    }
                }
                // Read on, it would begin anew for ever.
                Some(Err(error)) if error.rdkafka_error_code().is_some_and(is_of_data) => {
                    return Err(Failure::failed(format!(
                        "a batch of {} can't be read ({})",
                        self.names(),
                        cause(&error)
                    )));
                }
                // The group is not joined: whether this user may is nobody's concern here.
                Some(Err(error))
                    if error.rdkafka_error_code()
                        == Some(RDKafkaErrorCode::TopicAuthorizationFailed) =>
                {
                    return Err(refused(&error));
                }
                Some(Err(error)) => last_error = Some(error),
                None => {}
            }
            // Positions pass control records and aborted tails, so they reach the last stable offset where the
            // last message may not.
            let positions = self.consumer.position().map_err(|error| read_failed(&error))?;
            for (topic, partition, next) in known(&positions) {
                bounds.reach(&(topic, partition), next);
            }
            progress(bounds.progress());
            if bounds.is_over() {
                return Ok(());
            }
            if bounds.has_stalled() {
                return Err(stalled(last_error.as_ref()));
            }
        }
    }

    /// The next record, waiting at most this long. Errors that librdkafka recovers from by itself are
    /// passed over.
    pub fn next(&self, wait: Duration) -> Option<BorrowedMessage<'_>> {
        self.consumer.poll(wait).and_then(std::result::Result::ok)
    }
}

/// What there is to read.
fn ranges(
    probe: &Probe,
    config: &Config,
    partitions: &BTreeMap<String, Vec<i32>>,
    start: Start,
) -> Result<BTreeMap<(String, i32), Range>> {
    let mut ranges = BTreeMap::new();
    for (topic, partitions) in partitions {
        let unreachable = |error: KafkaError| unreachable_broker(config, &error);
        let ends =
            patiently(|| probe.ends(topic, partitions, REACH_TIMEOUT)).map_err(unreachable)?;
        let lows =
            patiently(|| probe.starts(topic, partitions, REACH_TIMEOUT)).map_err(unreachable)?;
        for (partition, end) in ends {
            let low = lows.get(&partition).copied().unwrap_or(end);
            let from = if start == Start::Beginning { low } else { end };
            ranges.insert((topic.clone(), partition), Range { low: from, end });
        }
    }
    Ok(ranges)
}

/// Without a group.
fn assign(consumer: &BaseConsumer, ranges: &BTreeMap<(String, i32), Range>) -> Result<()> {
    let mut assignment = TopicPartitionList::new();
    for ((topic, partition), range) in ranges {
        assignment
            .add_partition_offset(topic, *partition, Offset::Offset(range.low))
            .map_err(|error| read_failed(&error))?;
    }
    consumer.assign(&assignment).map_err(|error| read_failed(&error))
}

fn consumer(config: &Config) -> Result<Handle<LoggedIn<BaseConsumer>>> {
    committed_reader_config(config)
        .set("auto.offset.reset", "earliest")
        .create()
        .map(Handle::new)
        .map_err(|error| Failure::config(format!("kafka.properties: {error}")))
}

fn probe(config: &Config) -> Result<Probe> {
    Probe::with(config, "reader", Isolation::Committed)
        .map_err(|error| Failure::config(format!("kafka.properties: {error}")))
}

/// How many partitions a topic has. A topic that isn't there is a failure that says what to do.
pub fn partition_count(probe: &Probe, config: &Config, topic: &str) -> Result<i32> {
    reach(config, REACH_TIMEOUT, &SystemClock)?;
    let started = SystemClock.instant();
    loop {
        let metadata = patiently(|| probe.metadata(Some(topic), REACH_TIMEOUT))
            .map_err(|error| unreachable_broker(config, &error))?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        match found {
            Some(found) if found.error().is_none() && !found.partitions().is_empty() => {
                return Ok(found.partitions().len() as i32);
            }
            // One that was made a second ago may not be known to every broker yet.
            _ if started.elapsed() < REACH_TIMEOUT => std::thread::sleep(ASK_AGAIN),
            _ => {
                return Err(Failure::failed(format!(
                    "topic {topic} does not exist at {}, or this user may not read it; create the \
                     topics with `assent topics create`",
                    config.kafka.bootstrap_servers
                )));
            }
        }
    }
}

/// Asks again until [`REACH_TIMEOUT`] is over: a new topic has no leader for a moment.
fn patiently<T>(mut ask: impl FnMut() -> KafkaResult<T>) -> KafkaResult<T> {
    let started = SystemClock.instant();
    loop {
        match ask() {
            Err(error) if !is_refusal(&error) && started.elapsed() < REACH_TIMEOUT => {
                std::thread::sleep(ASK_AGAIN);
            }
            answer => return answer,
        }
    }
}

fn unreachable_broker(config: &Config, error: &KafkaError) -> Failure {
    if is_refusal(error) {
        return refused(error);
    }
    Failure::unavailable(format!(
        "kafka.bootstrap_servers {}: no answer within {} s ({}); check that the broker runs and \
         that the address is right",
        config.kafka.bootstrap_servers,
        REACH_TIMEOUT.as_secs(),
        cause(error)
    ))
}

fn read_failed(error: &KafkaError) -> Failure {
    Failure::failed(format!("reading from Kafka failed: {}", cause(error)))
}

/// A right was taken away in between.
fn refused(error: &KafkaError) -> Failure {
    Failure::config(format!(
        "the brokers refuse this user what it reads ({}); grant what `assent check --print-acls`          prints",
        cause(error)
    ))
}

fn stalled(last_error: Option<&KafkaError>) -> Failure {
    let why = last_error.map_or_else(|| "no answer".to_owned(), cause);
    Failure::unavailable(format!(
        "the broker stopped answering for {} s: {why}",
        STALL_MAX.as_secs()
    ))
}

fn cause(error: &KafkaError) -> String {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::BrokerTransportFailure) => "connection failed".to_owned(),
        Some(code) => code.to_string(),
        None => error.to_string(),
    }
}
