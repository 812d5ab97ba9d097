//! The last record that each partition's state has of itself (`meta`), read before the group is joined.
//!
//! Bounded: a transaction ends with that record, so the last few offsets hold it. Where they don't, it
//! is left to the take-up, which reads the state whole. An open transaction is not waited for.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::bounded_read::Bounds;
use super::calls::{Call, Calls};
use super::client::{LoggedIn, committed_reader_config, reader_config};
use super::consumer::is_of_data;
use super::context::Logged;
use super::handle::Handle;
use super::probe::{Isolation, Probe};
use crate::clock::Clock;
use crate::config::Config;
use assent_core::engine::loss::GroupMark;

const ASKED_FOR: Duration = Duration::from_secs(10);

/// All reading of one look, whatever the number of partitions.
const READ_WITHIN: Duration = Duration::from_secs(10);

/// How many offsets are looked at, from each partition's end, of what is known to be the state.
pub const WHOLE: &[i64] = &[8, 128, 2_048];

/// And of what may be it.
pub const GLANCE: &[i64] = &[8];

const QUEUED_KBYTES: &str = "16384";
const PAUSE: Duration = Duration::from_millis(2);

/// What the last offsets of the state hold.
#[derive(Default)]
pub struct Heads {
    /// By partition; absent where there is none, or none was found.
    pub of: BTreeMap<i32, Vec<u8>>,
    /// A batch among them can't be read, and nothing was read behind it.
    pub is_unreadable: bool,
}

pub fn read_heads(
    config: &Config,
    topic: &str,
    partitions: i32,
    steps: &[i64],
    clock: &dyn Clock,
) -> KafkaResult<Heads> {
    let probe = Probe::with(config, "preflight", Isolation::Committed)?;
    let all: Vec<i32> = (0..partitions).collect();
    let starts = probe.starts(topic, &all, ASKED_FOR)?;
    let ends = probe.ends(topic, &all, ASKED_FOR)?;
    let consumer: LoggedIn<BaseConsumer<Logged>> = committed_reader_config(config)
        .set("auto.offset.reset", "earliest")
        .set("queued.max.messages.kbytes", QUEUED_KBYTES)
        .create_with_context(Logged("preflight"))?;
    let consumer = Handle::new(consumer);
    let deadline = clock.instant() + READ_WITHIN;
    let mut heads = Heads::default();
    for step in steps {
        let open = ends.iter().filter(|(partition, _)| !heads.of.contains_key(*partition));
        let from: BTreeMap<i32, i64> = open
            .map(|(&partition, &end)| {
                (partition, (end - step).max(starts.get(&partition).copied().unwrap_or_default()))
            })
            .filter(|(partition, from)| from < &ends[partition])
            .collect();
        if from.is_empty() {
            break;
        }
        consumer.assign(&list(topic, &from)?)?;
        let mut bounds = Bounds::new(from.iter().map(|(&p, &from)| (p, from, ends[&p])));
        while clock.instant() < deadline {
            bounds.look(&consumer.position()?);
            if bounds.is_over() {
                break;
            }
            match consumer.poll(Duration::ZERO) {
                Some(Err(error)) if error.rdkafka_error_code().is_some_and(is_of_data) => {
                    return Ok(Heads { is_unreadable: true, ..heads });
                }
                Some(message) => {
                    let message = message?;
                    if let (Some(b"meta"), Some(value)) = (message.key(), message.payload()) {
                        heads.of.insert(message.partition(), value.to_vec());
                    }
                }
                None => std::thread::sleep(PAUSE),
            }
        }
    }
    Ok(heads)
}

/// What the group has for the clickstream, by partition. Offsets of an open transaction are not waited
/// for: it may be a dead predecessor's.
pub fn group_marks(config: &Config, partitions: i32) -> KafkaResult<BTreeMap<i32, GroupMark>> {
    let consumer: LoggedIn<BaseConsumer<Logged>> = reader_config(config)
        .set("group.id", &config.kafka.group_id)
        .set("isolation.level", "read_uncommitted")
        .set("enable.auto.commit", "false")
        .create_with_context(Logged("preflight"))?;
    let consumer = Handle::new(consumer);
    let mut question = TopicPartitionList::new();
    question.add_partition_range(&config.topics.clickstream, 0, partitions - 1);
    let answer = Calls::default()
        .make(Call::CommittedOffsets, ASKED_FOR, move || {
            consumer.committed_offsets(question, ASKED_FOR)
        })
        .unwrap_or(Err(KafkaError::OffsetFetch(RDKafkaErrorCode::OperationTimedOut)))?;
    let mut marks = BTreeMap::new();
    for element in answer.elements() {
        element.error()?;
        if let Offset::Offset(offset) = element.offset() {
            let metadata = element.metadata().to_owned();
            marks.insert(element.partition(), GroupMark { offset, metadata });
        }
    }
    Ok(marks)
}

fn list(topic: &str, offsets: &BTreeMap<i32, i64>) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (&partition, &offset) in offsets {
        list.add_partition_offset(topic, partition, Offset::Offset(offset))?;
    }
    Ok(list)
}
