//! The two consumers of a worker: clicks, whose subscription decides ownership, and consent, which
//! is assigned to follow.
//!
//! A rebalance callback only notes what happened; the worker takes it up after its poll and does
//! the assigning itself. librdkafka waits for that, and goes on with heartbeats meanwhile.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList, TopicPartitionListElem};
use rdkafka::types::RDKafkaRespErr;

use super::client::{committed_reader_config, set_default};
use super::context::{self, Logged};
use super::handle::{Handle, await_closed};
use super::member_id::member_id;
use crate::config::Config;

/// What one consumer holds back at most in prefetched records, in KiB (docs/librdkafka.md#queues).
const QUEUED_KBYTES: &str = "16384";

/// A broker answers a fetch of clicks once it has so many bytes, or after the 10 ms that a fetch waits: else
/// a stream that is kept up with costs it thousands of small answers a second. Beside the commit interval
/// nobody notices; consent is answered at once.
const FETCH_BYTES_MIN: &str = "131072";

/// How long a member that leaves waits for its client to have said so.
const CLOSED_WITHIN: Duration = Duration::from_secs(2);

/// A change of the partitions that the group gives this member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rebalance {
    Assigned(Vec<i32>),
    /// `lost`: others may have them already.
    Revoked {
        lost: bool,
    },
}

/// What a poll of a consumer brought.
pub enum Polled<'a> {
    Message(BorrowedMessage<'a>),
    /// Nothing now, or something that librdkafka handled.
    Nothing,
    /// The log does not hold the offset that was asked for.
    OutOfRange,
    /// The consumer can't go on.
    Fatal(KafkaError),
}

/// Notes rebalances for the worker.
struct Membership {
    noted: Mutex<VecDeque<Rebalance>>,
    /// The consumer is being dropped and nobody will answer a rebalance any more.
    closing: AtomicBool,
}

impl ClientContext for Membership {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        context::log("clicks", level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        context::error_event("clicks", &error, reason);
    }
}

impl ConsumerContext for Membership {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        cause: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        if self.closing.load(Ordering::Relaxed) {
            let _ = consumer.unassign();
            return;
        }
        let change = match cause {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Rebalance::Assigned(
                partitions.elements().iter().map(TopicPartitionListElem::partition).collect(),
            ),
            _ => Rebalance::Revoked { lost: consumer.assignment_lost() },
        };
        self.noted.lock().unwrap_or_else(PoisonError::into_inner).push_back(change);
    }
}

/// A member's client. It gives up its partitions before it is closed, since nobody answers a rebalance then.
struct Member(BaseConsumer<Membership>);

impl Drop for Member {
    fn drop(&mut self) {
        self.0.context().closing.store(true, Ordering::Relaxed);
        let _ = self.0.unassign();
    }
}

/// The click consumer of a worker.
pub struct ClickConsumer {
    member: Handle<Member>,
    topic: String,
}

impl ClickConsumer {
    /// Not a member yet. `instance_id` is the static member's name.
    pub fn new(config: &Config, instance_id: &str) -> KafkaResult<Self> {
        let mut client = following(config);
        client
            .set("group.instance.id", instance_id)
            .set("group.protocol", "classic")
            .set("partition.assignment.strategy", "range")
            .set("heartbeat.interval.ms", "3000");
        set_default(&mut client, config, "fetch.min.bytes", FETCH_BYTES_MIN);
        let membership = Membership { noted: Mutex::default(), closing: AtomicBool::new(false) };
        let consumer: BaseConsumer<Membership> = client.create_with_context(membership)?;
        let topic = config.topics.clickstream.clone();
        Ok(Self { member: Handle::new(Member(consumer)), topic })
    }

    /// Joins the group.
    pub fn join(&self) -> KafkaResult<()> {
        self.consumer().subscribe(&[&self.topic])
    }

    fn consumer(&self) -> &BaseConsumer<Membership> {
        &self.member.0
    }

    /// Never blocks.
    pub fn poll(&self) -> Polled<'_> {
        polled(self.consumer().poll(Duration::ZERO))
    }

    /// What the group decided since the last call.
    pub fn rebalance(&self) -> Option<Rebalance> {
        self.consumer().context().noted.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Has the group decided something that was not taken up yet, or taken the partitions away?
    pub fn is_disturbed(&self) -> bool {
        let noted = self.consumer().context().noted.lock().unwrap_or_else(PoisonError::into_inner);
        !noted.is_empty() || self.consumer().assignment_lost()
    }

    /// Others may have the partitions already.
    pub fn is_lost(&self) -> bool {
        self.consumer().assignment_lost()
    }

    /// Who this member is, in this generation: what fences a zombie. `None`: it is nobody.
    pub fn group_metadata(&self) -> Option<ConsumerGroupMetadata> {
        self.consumer().group_metadata()
    }

    /// What the group calls this member: its static name, and an id that each joining gets anew.
    pub fn member_id(&self) -> Option<String> {
        member_id(self.consumer().client())
    }

    /// Accepts an assignment without fetching from it yet.
    pub fn accept(&self) -> KafkaResult<()> {
        self.consumer().assign(&TopicPartitionList::new())
    }

    /// Fetches from these offsets on.
    pub fn fetch_from(&self, offsets: &BTreeMap<i32, i64>) -> KafkaResult<()> {
        self.consumer().assign(&list(&self.topic, offsets)?)
    }

    /// Fetches nothing more of a partition. What was fetched and not polled comes again afterwards.
    pub fn pause(&self, partition: i32) -> KafkaResult<()> {
        self.consumer().pause(&self.only(partition))
    }

    /// Goes on after what was polled last.
    pub fn resume(&self, partition: i32) -> KafkaResult<()> {
        self.consumer().resume(&self.only(partition))
    }

    fn only(&self, partition: i32) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, partition);
        list
    }

    /// Gives the partitions back.
    pub fn unassign(&self) -> KafkaResult<()> {
        self.consumer().unassign()
    }

    /// The next offset of each partition: beyond what was polled, control records included.
    pub fn positions(&self) -> KafkaResult<BTreeMap<i32, i64>> {
        positions(self.consumer())
    }

    /// Leaves the group, so that others have the partitions at once. Blocks for 3 s at most.
    pub fn leave(self, sleep: impl Fn(Duration)) {
        self.consumer().unsubscribe();
        for _ in 0..100 {
            self.poll();
            // An assignment that nobody took up waits to be answered, too.
            if self.rebalance().is_some() {
                let _ = self.consumer().unassign();
                // The request to leave goes out once the assignment is gone.
                sleep(Duration::from_millis(100));
                break;
            }
            sleep(Duration::from_millis(10));
        }
        self.close();
    }

    /// Without a word to the group. A member that is left alone joins again by itself, under the same name;
    /// one that is closed doesn't. Blocks for 2 s at most.
    pub fn close(self) {
        drop(self);
        await_closed(CLOSED_WITHIN);
    }
}

/// A consumer that is told what to read: consent, or the state.
pub struct Follower {
    consumer: Handle<BaseConsumer<Logged>>,
    topic: String,
}

impl Follower {
    pub fn new(config: &Config, role: &'static str, topic: &str) -> KafkaResult<Self> {
        let consumer = Handle::new(following(config).create_with_context(Logged(role))?);
        Ok(Self { consumer, topic: topic.to_owned() })
    }

    /// Reads these partitions from these offsets, and no others.
    pub fn fetch_from(&self, offsets: &BTreeMap<i32, i64>) -> KafkaResult<()> {
        self.consumer.assign(&list(&self.topic, offsets)?)
    }

    pub fn unassign(&self) -> KafkaResult<()> {
        self.consumer.unassign()
    }

    /// Never blocks.
    pub fn poll(&self) -> Polled<'_> {
        polled(self.consumer.poll(Duration::ZERO))
    }

    /// The next offset of each partition: beyond what was polled, control records included. Absent
    /// before the first fetch.
    pub fn positions(&self) -> KafkaResult<BTreeMap<i32, i64>> {
        positions(&self.consumer)
    }
}

/// What a worker's consumers share: they never jump.
fn following(config: &Config) -> ClientConfig {
    let mut client = committed_reader_config(config);
    client
        .set("auto.offset.reset", "error")
        .set("enable.partition.eof", "false")
        .set("queued.max.messages.kbytes", QUEUED_KBYTES);
    client
}

fn list(topic: &str, offsets: &BTreeMap<i32, i64>) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (&partition, &offset) in offsets {
        list.add_partition_offset(topic, partition, Offset::Offset(offset))?;
    }
    Ok(list)
}

fn positions<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> KafkaResult<BTreeMap<i32, i64>> {
    let positions = consumer.position()?;
    let known = positions.elements().into_iter().filter_map(|element| match element.offset() {
        Offset::Offset(offset) => Some((element.partition(), offset)),
        _ => None,
    });
    Ok(known.collect())
}

fn polled(result: Option<KafkaResult<BorrowedMessage<'_>>>) -> Polled<'_> {
    match result {
        None => Polled::Nothing,
        Some(Ok(message)) => Polled::Message(message),
        Some(Err(KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset))) => {
            Polled::OutOfRange
        }
        Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => Polled::Fatal(error),
        // librdkafka retries; what lasts shows as lag.
        Some(Err(error)) => {
            tracing::debug!(%error, "a fetch failed");
            Polled::Nothing
        }
    }
}
