//! The two consumers of a worker: clicks, whose subscription decides ownership, and consent, which
//! is assigned to follow.
//!
//! A rebalance callback only notes what happened; the worker takes it up after its poll and does
//! the assigning itself. librdkafka waits for that, and goes on with heartbeats meanwhile.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList, TopicPartitionListElem};
use rdkafka::types::RDKafkaRespErr;

use super::client::{ClientSettings, LoggedIn, committed_reader_config, set_default};
use super::context::{self, Logged};
use super::events::{Aside, Event, Queue, ReadError, Received, last_known_end};
use super::handle::{Handle, await_closed};
use super::member_id::member_id;
use super::refusals;
use crate::config::Config;

/// What one consumer prefetches at most, in KiB (docs/librdkafka.md#queues).
const QUEUED_KBYTES: &str = "16384";

/// A broker answers a fetch of clicks once it has so many bytes, or after the 10 ms that a fetch waits: else
/// a stream that is kept up with costs it thousands of small answers a second. Compared with the commit interval
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
    Message(Received<'a>),
    /// Nothing now, or something that librdkafka handled.
    Nothing,
    /// The log does not hold the offset that was asked for. After [`Self::Unreadable`] that says nothing:
    /// librdkafka may have taken a damaged batch's bytes for an offset.
    OutOfRange {
        partition: Option<i32>,
    },
    /// What comes next in this partition can't be read. What comes of it afterwards may be anything, until it
    /// is fetched anew.
    Unreadable {
        partition: i32,
        error: ReadError,
    },
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
        let assigns = cause == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let numbers =
            || partitions.elements().iter().map(TopicPartitionListElem::partition).collect();
        self.note(consumer, assigns.then(numbers));
    }
}

impl Membership {
    fn note(&self, consumer: &BaseConsumer<Self>, assigned: Option<Vec<i32>>) {
        let revoked = || Rebalance::Revoked { lost: consumer.assignment_lost() };
        let change = assigned.map_or_else(revoked, Rebalance::Assigned);
        self.noted.lock().unwrap_or_else(PoisonError::into_inner).push_back(change);
    }
}

/// A member's client. It gives up its partitions before it is closed, since nobody answers a rebalance then.
struct Member {
    queue: Queue,
    consumer: LoggedIn<BaseConsumer<Membership>>,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.consumer.context().closing.store(true, Ordering::Relaxed);
        let _ = self.consumer.unassign();
    }
}

/// A member of a group: the click consumer of a worker, or the intake's.
pub struct ClickConsumer {
    aside: RefCell<Option<Aside>>,
    member: Handle<Member>,
    topic: String,
}

impl ClickConsumer {
    /// Not a member yet. `instance_id` is the static member's name.
    pub fn new(config: &Config, instance_id: &str, answers: Answers) -> KafkaResult<Self> {
        let mut client = following_input(config, answers);
        client
            .set("group.instance.id", instance_id)
            .set("group.protocol", "classic")
            .set("partition.assignment.strategy", "range")
            .set("heartbeat.interval.ms", "3000");
        set_default(&mut client, config, "fetch.min.bytes", FETCH_BYTES_MIN);
        Self::of(&client, &config.topics.clickstream)
    }

    /// Of another group, on another topic, and no static member: what the intake shares out.
    pub fn of_group(config: &Config, group_id: &str, topic: &str) -> KafkaResult<Self> {
        let mut client = following_input(config, Answers::Usual);
        client
            .set("group.id", group_id)
            .set("group.protocol", "classic")
            .set("partition.assignment.strategy", "range")
            .set("heartbeat.interval.ms", "3000");
        Self::of(&client, topic)
    }

    fn of(client: &ClientSettings, topic: &str) -> KafkaResult<Self> {
        let membership = Membership { noted: Mutex::default(), closing: AtomicBool::new(false) };
        let consumer: LoggedIn<BaseConsumer<Membership>> =
            client.create_with_context(membership)?;
        let queue = queue_of(&consumer)?;
        let member = Handle::new(Member { queue, consumer });
        Ok(Self { aside: RefCell::default(), member, topic: topic.to_owned() })
    }

    /// Joins the group.
    pub fn join(&self) -> KafkaResult<()> {
        self.consumer().subscribe(&[&self.topic])
    }

    fn consumer(&self) -> &BaseConsumer<Membership> {
        &self.member.consumer
    }

    /// Never blocks.
    pub fn poll(&self) -> Polled<'_> {
        let queue = &self.member.queue;
        if let Some(aside) = self.aside.take() {
            return Polled::Message(queue.take_up(aside));
        }
        polled(queue.poll(&**self.consumer().context()), |assigned| {
            self.consumer().context().note(self.consumer(), assigned);
        })
    }

    /// The next poll brings it again.
    pub fn put_back(&self, received: Received<'_>) {
        self.aside.replace(Some(received.put_aside()));
    }

    /// Where a partition ends, as far as the broker has said.
    pub fn last_known_end(&self, partition: i32) -> Option<i64> {
        last_known_end(self.consumer(), &self.topic, partition)
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
        self.aside.take();
        self.consumer().assign(&TopicPartitionList::new())
    }

    /// Fetches from these offsets on. Nothing that was fetched before comes any more.
    pub fn fetch_from(&self, offsets: &BTreeMap<i32, i64>) -> KafkaResult<()> {
        self.aside.take();
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
        self.aside.take();
        self.consumer().unassign()
    }

    /// The next offset of each partition: beyond what was polled, control records included.
    pub fn positions(&self) -> KafkaResult<BTreeMap<i32, i64>> {
        positions(self.consumer(), &self.aside, &self.member.queue)
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
    aside: RefCell<Option<Aside>>,
    reader: Handle<Reader>,
    topic: String,
}

/// The queue goes first.
struct Reader {
    queue: Queue,
    consumer: LoggedIn<BaseConsumer<Logged>>,
}

impl Follower {
    /// Of a topic of Assent's own.
    pub fn new(config: &Config, role: &'static str, topic: &str) -> KafkaResult<Self> {
        Self::of(&following(config), role, topic)
    }

    /// Of an input.
    pub fn of_input(
        config: &Config,
        role: &'static str,
        topic: &str,
        answers: Answers,
    ) -> KafkaResult<Self> {
        Self::of(&following_input(config, answers), role, topic)
    }

    /// Of a client that is configured already.
    pub fn of(client: &ClientSettings, role: &'static str, topic: &str) -> KafkaResult<Self> {
        let consumer: LoggedIn<BaseConsumer<Logged>> = client.create_with_context(Logged(role))?;
        let queue = queue_of(&consumer)?;
        let reader = Handle::new(Reader { queue, consumer });
        Ok(Self { aside: RefCell::default(), reader, topic: topic.to_owned() })
    }

    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Reads these partitions from these offsets, and no others.
    pub fn fetch_from(&self, offsets: &BTreeMap<i32, i64>) -> KafkaResult<()> {
        self.aside.take();
        self.reader.consumer.assign(&list(&self.topic, offsets)?)
    }

    pub fn unassign(&self) -> KafkaResult<()> {
        self.aside.take();
        self.reader.consumer.unassign()
    }

    /// Never blocks.
    pub fn poll(&self) -> Polled<'_> {
        let Reader { queue, consumer } = &*self.reader;
        if let Some(aside) = self.aside.take() {
            return Polled::Message(queue.take_up(aside));
        }
        polled(queue.poll(&**consumer.context()), |_| {})
    }

    /// The next poll brings it again.
    pub fn put_back(&self, received: Received<'_>) {
        self.aside.replace(Some(received.put_aside()));
    }

    /// Where a partition ends, as far as the broker has said.
    pub fn last_known_end(&self, partition: i32) -> Option<i64> {
        last_known_end(&self.reader.consumer, &self.topic, partition)
    }

    /// The next offset of each partition: beyond what was polled, control records included. Absent
    /// before the first fetch.
    pub fn positions(&self) -> KafkaResult<BTreeMap<i32, i64>> {
        positions(&self.reader.consumer, &self.aside, &self.reader.queue)
    }
}

/// How large an answer of a broker may be, and with it what a batch in zstd may grow to: librdkafka bounds no
/// other codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// librdkafka's own 100 MB.
    Usual,
    /// [`LARGER_BYTES`]: for a batch that is larger, although each of its records is small enough.
    Larger,
}

/// Four times the largest record that is taken.
const LARGER_BYTES: &str = "268435456";

/// What one answer to a fetch of an input brings at most, but for its first batch, which always comes whole.
/// librdkafka decompresses an answer as it comes, whatever waits already; so an answer can take this, times
/// what its codec can grow by (gzip 1,032, lz4 255, snappy 21).
const FETCH_BYTES_MAX: &str = "1048576";

impl Answers {
    pub fn set(self, client: &mut ClientSettings) {
        if self == Self::Larger {
            client.set("receive.message.max.bytes", LARGER_BYTES);
        }
    }
}

/// A consumer of an input: what comes is bounded.
pub fn following_input(config: &Config, answers: Answers) -> ClientSettings {
    let mut client = following(config);
    client.set("fetch.max.bytes", FETCH_BYTES_MAX);
    answers.set(&mut client);
    client
}

/// What a worker's consumers share: they never jump.
fn following(config: &Config) -> ClientSettings {
    let mut client = committed_reader_config(config);
    client
        .set("auto.offset.reset", "error")
        .set("enable.partition.eof", "false")
        .set("queued.max.messages.kbytes", QUEUED_KBYTES);
    client
}

fn queue_of<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> KafkaResult<Queue> {
    let missing = || KafkaError::ClientCreation("the consumer has no queue".to_owned());
    Queue::of(consumer).ok_or_else(missing)
}

fn list(topic: &str, offsets: &BTreeMap<i32, i64>) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (&partition, &offset) in offsets {
        list.add_partition_offset(topic, partition, Offset::Offset(offset))?;
    }
    Ok(list)
}

/// The positions that a client has, of those that it fetched from: topic, partition and next offset.
pub fn known(positions: &TopicPartitionList) -> Vec<(String, i32, i64)> {
    let known = |element: TopicPartitionListElem<'_>| match element.offset() {
        Offset::Offset(at) => Some((element.topic().to_owned(), element.partition(), at)),
        _ => None,
    };
    positions.elements().into_iter().filter_map(known).collect()
}

/// What was put back counts as not polled.
fn positions<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    aside: &RefCell<Option<Aside>>,
    queue: &Queue,
) -> KafkaResult<BTreeMap<i32, i64>> {
    let of_each = known(&consumer.position()?).into_iter();
    let mut known: BTreeMap<i32, i64> = of_each.map(|(_, partition, at)| (partition, at)).collect();
    if let Some(put_back) = aside.take() {
        let received = queue.take_up(put_back);
        if let Some(at) = known.get_mut(&received.partition()) {
            *at = received.offset().min(*at);
        }
        aside.replace(Some(received.put_aside()));
    }
    Ok(known)
}

fn polled(event: Option<Event<'_>>, rebalance: impl FnOnce(Option<Vec<i32>>)) -> Polled<'_> {
    match event {
        Some(Event::Record(received)) => Polled::Message(received),
        Some(Event::Error(error)) => failed(error),
        Some(Event::Rebalance(assigned)) => {
            rebalance(assigned);
            Polled::Nothing
        }
        Some(Event::Other) | None => Polled::Nothing,
    }
}

fn failed<'a>(error: ReadError) -> Polled<'a> {
    match error.partition {
        _ if error.is_fatal => Polled::Fatal(KafkaError::MessageConsumptionFatal(error.code)),
        partition if error.code == RDKafkaErrorCode::AutoOffsetReset => {
            Polled::OutOfRange { partition }
        }
        Some(partition) if is_of_data(error.code) => Polled::Unreadable { partition, error },
        // librdkafka retries; what lasts shows as lag.
        _ => {
            refusals::note(error.code, &error.reason);
            tracing::debug!(code = %error.code, "a fetch failed");
            Polled::Nothing
        }
    }
}

/// Is it about the bytes themselves, which come again however often they are asked for?
pub fn is_of_data(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        // A checksum, or no way to read on.
        RDKafkaErrorCode::BadMessage
            | RDKafkaErrorCode::BadCompression
            // A codec or a format that this build has not.
            | RDKafkaErrorCode::NotImplemented
            // The broker's own word for a damaged batch.
            | RDKafkaErrorCode::InvalidMessage
            | RDKafkaErrorCode::InvalidMessageSize
            | RDKafkaErrorCode::MessageSizeTooLarge
    )
}
