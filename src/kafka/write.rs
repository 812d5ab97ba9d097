//! Puts records into the input topics as docs/producers.md asks of every producer:
//! keyed, the configured partitioner, acks=all, idempotent.
//!
//! Knows nothing of what the bytes mean. Keys are raw identifiers: no error names one (INV-6).

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;

use super::client::{LoggedIn, client_config, set_default};
use super::handle::Handle;
use super::missing::demand;
use super::probe::Probe;
use super::reach::reach;
use super::read::{REACH_TIMEOUT, partition_count};
use super::rights::{Right, is_refusal};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::failure::{Failure, Result};
use assent_contract::domain::partitioner::Partitioner;

/// librdkafka gives a record up after this long; so no wait here is longer.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(30);

/// Long enough for batches that a broker takes cheaply, short for who waits for one record.
const LINGER_MS: &str = "20";

/// Records queued between two looks at what was acknowledged: a look costs as much as encoding one.
const LOOK_EVERY: u32 = 128;

/// How long to sleep while the producer's queue is full or records are in flight.
const PAUSE: Duration = Duration::from_millis(1);

const MESSAGE_TIMED_OUT: RDKafkaErrorCode = RDKafkaErrorCode::MessageTimedOut;

/// Where the broker put a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub partition: i32,
    pub offset: i64,
}

/// What came of the records sent so far.
#[derive(Default)]
struct Outcome {
    acknowledged: u64,
    last: Option<Position>,
    /// The first failure: later ones mostly repeat it.
    failed: Option<KafkaError>,
}

#[derive(Default)]
struct Deliveries(Mutex<Outcome>);

impl Deliveries {
    fn outcome(&self) -> std::sync::MutexGuard<'_, Outcome> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let mut outcome = self.outcome();
        match result {
            Ok(message) => {
                outcome.acknowledged += 1;
                outcome.last =
                    Some(Position { partition: message.partition(), offset: message.offset() });
            }
            Err((error, _)) => {
                outcome.failed.get_or_insert_with(|| error.clone());
            }
        }
    }
}

/// A producer for commands. Nothing is sure before [`Writer::flush`] said so.
pub struct Writer {
    producer: Handle<LoggedIn<BaseProducer<Deliveries>>>,
    partitioner: Partitioner,
    partitions: BTreeMap<String, i32>,
    /// Since the last look at what was acknowledged.
    queued: Cell<u32>,
}

impl Writer {
    /// Reaches the broker and learns the topics' partition counts.
    pub fn open(config: &Config, topics: &[&str]) -> Result<Self> {
        let refused = |error: KafkaError| Failure::config(format!("kafka.properties: {error}"));
        reach(config, REACH_TIMEOUT, &SystemClock)?;
        let mut client = client_config(config);
        set_default(&mut client, config, "linger.ms", LINGER_MS);
        set_default(&mut client, config, "compression.type", "lz4");
        let producer: LoggedIn<BaseProducer<Deliveries>> = client
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("allow.auto.create.topics", "false")
            .set("delivery.timeout.ms", DELIVERY_TIMEOUT.as_millis().to_string())
            .create_with_context(Deliveries::default())
            .map_err(refused)?;
        let probe = Probe::new(config).map_err(refused)?;
        demand(&probe, config, topics, Right::Write)?;
        let mut partitions = BTreeMap::new();
        for topic in topics {
            let count = partition_count(&probe, config, topic)?;
            partitions.insert((*topic).to_owned(), count);
        }
        Ok(Self {
            producer: Handle::new(producer),
            partitioner: config.kafka.partitioner,
            partitions,
            queued: Cell::new(0),
        })
    }

    /// The partition of a key in one of the topics given to [`Writer::open`].
    pub fn partition_of(&self, topic: &str, key: &[u8]) -> i32 {
        self.partitioner.partition(key, self.partitions[topic])
    }

    /// How many partitions one of the topics given to [`Writer::open`] has.
    pub fn partitions(&self, topic: &str) -> i32 {
        self.partitions[topic]
    }

    /// Queues a null value for this very partition, with these headers.
    pub fn send_null(
        &self,
        topic: &str,
        partition: i32,
        key: &[u8],
        headers: OwnedHeaders,
    ) -> Result<()> {
        let record = BaseRecord::<[u8], [u8]>::to(topic).key(key).partition(partition);
        self.queue(topic, record.headers(headers))
    }

    /// Queues one record; waits while the queue is full. `None`: a null value.
    pub fn send(&self, topic: &str, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        let mut record =
            BaseRecord::<[u8], [u8]>::to(topic).key(key).partition(self.partition_of(topic, key));
        record.payload = value;
        self.queue(topic, record)
    }

    fn queue(&self, topic: &str, mut record: BaseRecord<'_, [u8], [u8]>) -> Result<()> {
        loop {
            match self.producer.send(record) {
                Ok(()) => {
                    self.queued.set(self.queued.get() + 1);
                    if self.queued.get() >= LOOK_EVERY {
                        self.queued.set(0);
                        self.producer.poll(Duration::ZERO);
                    }
                    return Ok(());
                }
                Err((error, back)) if is_full(&error) => {
                    self.refuse_failed()?;
                    record = back;
                    self.producer.poll(Duration::ZERO);
                    std::thread::sleep(PAUSE);
                }
                Err((error, _)) => return Err(write_failed(topic, &error)),
            }
        }
    }

    /// Sends one record and waits until it is acknowledged.
    pub fn put(&self, topic: &str, key: &[u8], value: Option<&[u8]>) -> Result<Position> {
        self.send(topic, key, value)?;
        self.flush()?;
        let last = self.producer.context().outcome().last;
        last.ok_or_else(|| {
            Failure::failed(format!("topic {topic}: the broker sent no acknowledgement"))
        })
    }

    /// Waits until every record sent is acknowledged by all in-sync replicas.
    pub fn flush(&self) -> Result<()> {
        let deadline = SystemClock.instant() + DELIVERY_TIMEOUT + Duration::from_secs(1);
        while self.producer.in_flight_count() > 0 {
            if SystemClock.instant() > deadline {
                return Err(write_failed("a record", &KafkaError::Flush(MESSAGE_TIMED_OUT)));
            }
            let before = self.producer.in_flight_count();
            self.producer.poll(Duration::ZERO);
            if self.producer.in_flight_count() == before {
                std::thread::sleep(PAUSE);
            }
        }
        self.refuse_failed()
    }

    /// How many records the broker has acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.producer.context().outcome().acknowledged
    }

    fn refuse_failed(&self) -> Result<()> {
        match self.producer.context().outcome().failed.take() {
            None => Ok(()),
            Some(error) => Err(write_failed("a record", &error)),
        }
    }
}

/// A record's headers.
pub fn headers<'h>(pairs: impl IntoIterator<Item = (&'h str, &'h str)>) -> OwnedHeaders {
    let header = |(key, value)| Header { key, value: Some(value) };
    pairs.into_iter().map(header).fold(OwnedHeaders::new(), OwnedHeaders::insert)
}

fn is_full(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull)
}

fn write_failed(what: &str, error: &KafkaError) -> Failure {
    let text = match error.rdkafka_error_code() {
        Some(code) => code.to_string(),
        None => error.to_string(),
    };
    match error.rdkafka_error_code() {
        _ if is_refusal(error) => Failure::config(format!(
            "{what} was not accepted: {text}; grant this user Write on the topic"
        )),
        Some(
            RDKafkaErrorCode::MessageTimedOut
            | RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::AllBrokersDown,
        ) => Failure::unavailable(format!("{what} was not acknowledged: {text}")),
        _ => Failure::failed(format!("{what} was not accepted: {text}")),
    }
}
