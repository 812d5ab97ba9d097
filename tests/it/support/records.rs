//! Topics and records of a test, through plain rdkafka: create, produce with acks=all, read a whole
//! topic under either isolation.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::{Client, DefaultClientContext};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};

use super::{Kafka, wait_until};

/// A broker that was killed is back by then, also where others load the machine.
const BROKER_ANSWERS: Duration = Duration::from_mins(2);

/// A record to produce.
#[derive(Clone, Debug, Default)]
pub struct Message {
    pub topic: String,
    /// `None`: by murmur2 of the key.
    pub partition: Option<i32>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
    /// Epoch ms; `None`: now.
    pub timestamp: Option<i64>,
}

impl Message {
    pub fn new(topic: impl Into<String>) -> Self {
        Self { topic: topic.into(), ..Self::default() }
    }

    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    pub fn key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.key = Some(key.into());
        self
    }

    pub fn value(mut self, value: impl Into<Vec<u8>>) -> Self {
        self.value = Some(value.into());
        self
    }

    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub fn timestamp(mut self, epoch_ms: i64) -> Self {
        self.timestamp = Some(epoch_ms);
        self
    }
}

/// A record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub partition: i32,
    pub offset: i64,
    /// Epoch ms.
    pub timestamp: i64,
    pub key: Option<Vec<u8>>,
    /// `None`: a tombstone.
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Record {
    pub fn key_text(&self) -> &str {
        std::str::from_utf8(self.key.as_deref().expect("a key")).expect("a UTF-8 key")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(header, _)| header == name)?;
        Some(std::str::from_utf8(value).expect("a UTF-8 header"))
    }

    fn of(message: &BorrowedMessage<'_>) -> Self {
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        Self {
            partition: message.partition(),
            offset: message.offset(),
            timestamp: message.timestamp().to_millis().expect("a timestamp"),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers
                .map(|h| (h.key.to_owned(), h.value.unwrap_or_default().to_vec()))
                .collect(),
        }
    }
}

/// What compaction leaves: the last record of each key, those with a null value gone.
pub fn latest(records: &[Record]) -> BTreeMap<Vec<u8>, Record> {
    let mut last: BTreeMap<_, _> =
        records.iter().map(|record| (record.key.clone().expect("a key"), record.clone())).collect();
    last.retain(|_, record| record.value.is_some());
    last
}

#[derive(Clone, Copy, Debug)]
pub enum Isolation {
    Committed,
    Uncommitted,
}

/// A topic to create.
pub struct TopicPlan {
    pub name: String,
    pub partitions: i32,
    pub config: Vec<(&'static str, String)>,
}

/// An idempotent producer whose `send` waits for the broker's acknowledgement.
pub struct Producer(ThreadedProducer<Receipts>);

struct Receipts;

type Receipt = Result<(i32, i64), KafkaError>;

impl ClientContext for Receipts {}

impl ProducerContext for Receipts {
    type DeliveryOpaque = Box<(usize, mpsc::Sender<(usize, Receipt)>)>;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: Self::DeliveryOpaque) {
        let receipt = match result {
            Ok(message) => Ok((message.partition(), message.offset())),
            Err((error, _)) => Err(error.clone()),
        };
        let (place, receipts) = *opaque;
        let _ = receipts.send((place, receipt)); // nobody waits any more: the test has failed
    }
}

impl Producer {
    /// Partition and offset of each, in the order given. Panics where one was not acknowledged.
    pub fn send(&self, messages: impl IntoIterator<Item = Message>) -> Vec<(i32, i64)> {
        let (sender, receipts) = mpsc::channel();
        let mut count = 0;
        for message in messages {
            self.enqueue(&message, Box::new((count, sender.clone())));
            count += 1;
        }
        let mut places = vec![(-1, -1); count];
        for _ in 0..count {
            let (place, receipt) = receipts.recv_timeout(BROKER_ANSWERS).expect("acknowledged");
            places[place] = receipt.expect("delivered");
        }
        places
    }

    fn enqueue(&self, message: &Message, opaque: <Receipts as ProducerContext>::DeliveryOpaque) {
        let mut record = BaseRecord::<[u8], [u8], _>::with_opaque_to(&message.topic, opaque);
        record.partition = message.partition;
        record.key = message.key.as_deref();
        record.payload = message.value.as_deref();
        record.timestamp = message.timestamp;
        record.headers = (!message.headers.is_empty()).then(|| {
            message.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
                headers.insert(Header { key, value: Some(value) })
            })
        });
        while let Err((error, returned)) = self.0.send(record) {
            let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
            assert!(full, "not taken: {error}");
            std::thread::sleep(Duration::from_millis(5));
            record = returned;
        }
    }
}

impl Kafka {
    /// The least that a client of this broker needs.
    pub fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", self.bootstrap());
        client.set("broker.address.family", "v4");
        // What a test measures is not its own client's patience.
        client.set("reconnect.backoff.max.ms", "200");
        client
    }

    pub fn producer(&self) -> Producer {
        self.producer_with(&[])
    }

    /// With these properties besides: one that compresses, or takes larger records.
    pub fn producer_with(&self, properties: &[(&str, &str)]) -> Producer {
        let mut client = self.client();
        client.set("enable.idempotence", "true").set("linger.ms", "0");
        client.set("partitioner", "murmur2");
        // A request that is lost while a broker dies is sent again soon.
        client.set("request.timeout.ms", "10000").set("socket.timeout.ms", "15000");
        for (name, value) in properties {
            client.set(*name, *value);
        }
        Producer(client.create_with_context(Receipts).expect("a producer"))
    }

    /// Through one producer of this broker's; see [`Producer::send`].
    pub fn produce(&self, messages: impl IntoIterator<Item = Message>) -> Vec<(i32, i64)> {
        self.producer.get_or_init(|| self.producer()).send(messages)
    }

    pub fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().expect("an admin client")
    }

    /// Returns when every partition has its leader.
    pub fn create_topics(&self, plans: &[TopicPlan]) {
        let topics: Vec<NewTopic<'_>> = plans
            .iter()
            .map(|plan| {
                let replication = TopicReplication::Fixed(self.replication);
                let topic = NewTopic::new(&plan.name, plan.partitions, replication);
                plan.config.iter().fold(topic, |topic, (key, value)| topic.set(key, value))
            })
            .collect();
        let admin = self.admin();
        let options = AdminOptions::new().operation_timeout(Some(BROKER_ANSWERS));
        for created in block_on(admin.create_topics(&topics, &options)).expect("CreateTopics") {
            created.unwrap_or_else(|(topic, code)| panic!("topic {topic}: {code}"));
        }
        for plan in plans {
            self.await_topic(plan);
        }
    }

    /// Returns when every partition has its leader.
    pub fn await_topic(&self, plan: &TopicPlan) {
        await_leaders(self.admin().inner(), &plan.name, plan.partitions);
    }

    /// Every record of a topic up to its end as it is now (committed: up to the last stable offset),
    /// by partition, then offset.
    pub fn read(&self, topic: &str, isolation: Isolation) -> Vec<Record> {
        let consumer = self.reader(isolation);
        let ends = assign_from_start(&consumer, topic);
        let mut records = Vec::new();
        let reached = || {
            let position = consumer.position().expect("positions");
            ends.iter().all(|(partition, end)| {
                matches!(position.find_partition(topic, *partition).map(|p| p.offset()),
                    Some(Offset::Offset(next)) if next >= *end)
            })
        };
        wait_until(BROKER_ANSWERS, &format!("the end of {topic}"), || {
            while let Some(message) = consumer.poll(Duration::from_millis(10)) {
                match message {
                    Ok(message) => records.push(Record::of(&message)),
                    Err(error) => assert!(passes(&error), "{topic}: {error}"),
                }
            }
            reached().then_some(())
        });
        records.sort_by_key(|record| (record.partition, record.offset));
        records.retain(|record| record.offset < ends[&record.partition]);
        records
    }

    pub fn read_committed(&self, topic: &str) -> Vec<Record> {
        self.read(topic, Isolation::Committed)
    }

    /// Waits until the broker has removed every record below these offsets.
    pub fn delete_records(&self, topic: &str, below: &BTreeMap<i32, i64>) {
        let mut offsets = TopicPartitionList::new();
        for (&partition, &offset) in below {
            offsets.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("valid");
        }
        let options = AdminOptions::new().operation_timeout(Some(BROKER_ANSWERS));
        block_on(self.admin().delete_records(&offsets, &options)).expect("DeleteRecords");
    }

    /// Sets what a topic is set to, anew and whole.
    pub fn configure(&self, plan: &TopicPlan) {
        let topic = AlterConfig::new(ResourceSpecifier::Topic(&plan.name));
        let topic = plan.config.iter().fold(topic, |topic, (key, value)| topic.set(key, value));
        let done = block_on(self.admin().alter_configs(&[topic], &AdminOptions::new()));
        done.expect("AlterConfigs")[0].as_ref().expect("configured");
    }

    /// The next offset of each partition that a group has committed; partitions without are absent.
    pub fn committed_offsets(
        &self,
        group: &str,
        topic: &str,
        partitions: i32,
    ) -> BTreeMap<i32, i64> {
        let mut client = self.client();
        let reader: BaseConsumer = client.set("group.id", group).create().expect("a consumer");
        let mut asked = TopicPartitionList::new();
        for partition in 0..partitions {
            asked.add_partition(topic, partition);
        }
        let Ok(found) = reader.committed_offsets(asked, BROKER_ANSWERS) else {
            return BTreeMap::new(); // the coordinator is on its way
        };
        let offsets = found.elements().into_iter().filter_map(|it| match it.offset() {
            Offset::Offset(offset) => Some((it.partition(), offset)),
            _ => None,
        });
        offsets.collect()
    }

    /// End offset of each partition as read_uncommitted sees it (the high watermark).
    pub fn ends(&self, topic: &str) -> BTreeMap<i32, i64> {
        let reader = self.reader(Isolation::Uncommitted);
        watermarks(&reader, topic)
            .into_iter()
            .map(|(partition, (_, end))| (partition, end))
            .collect()
    }

    fn reader(&self, isolation: Isolation) -> BaseConsumer {
        let mut client = self.client();
        client.set("group.id", "test-reader").set("enable.auto.commit", "false");
        client.set(
            "isolation.level",
            match isolation {
                Isolation::Committed => "read_committed",
                Isolation::Uncommitted => "read_uncommitted",
            },
        );
        client.set("fetch.wait.max.ms", "10").set("fetch.queue.backoff.ms", "10");
        client.create().expect("a consumer")
    }
}

/// A leader that metadata names may for a moment not know it yet: each is asked for its offsets.
fn await_leaders(client: &Client, topic: &str, count: i32) {
    wait_until(BROKER_ANSWERS, &format!("leaders of {topic}"), || {
        (0..count)
            .all(|partition| client.fetch_watermarks(topic, partition, BROKER_ANSWERS).is_ok())
            .then_some(())
    });
}

/// Assigns every partition that holds something; returns where each ends.
fn assign_from_start(consumer: &BaseConsumer, topic: &str) -> BTreeMap<i32, i64> {
    let mut assignment = TopicPartitionList::new();
    let mut ends = BTreeMap::new();
    for (partition, (start, end)) in watermarks(consumer, topic) {
        if start < end {
            assignment
                .add_partition_offset(topic, partition, Offset::Offset(start))
                .expect("valid");
            ends.insert(partition, end);
        }
    }
    consumer.assign(&assignment).expect("assigned");
    ends
}

fn watermarks(consumer: &BaseConsumer, topic: &str) -> BTreeMap<i32, (i64, i64)> {
    let metadata = consumer.fetch_metadata(Some(topic), BROKER_ANSWERS).expect("metadata");
    let partitions = metadata.topics()[0].partitions();
    assert!(!partitions.is_empty(), "there is no topic {topic}");
    // On a busy machine a client that just came does not know the partition for a moment.
    let range = |partition| {
        wait_until(BROKER_ANSWERS, "watermarks", || {
            consumer.fetch_watermarks(topic, partition, BROKER_ANSWERS).ok()
        })
    };
    partitions.iter().map(|p| (p.id(), range(p.id()))).collect()
}

/// rdkafka's admin calls are futures that its own thread completes.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(future)
}

/// A broker that can't be reached for a moment: librdkafka connects again, and the wait has its bound.
fn passes(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(Code::AllBrokersDown | Code::BrokerTransportFailure | Code::OperationTimedOut)
    )
}
