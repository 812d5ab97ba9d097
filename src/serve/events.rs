//! Writes clicks: keyed and partitioned as docs/producers.md asks, acknowledged by all in-sync replicas.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use tokio::sync::oneshot;

use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::kafka::client::{LoggedIn, client_config, set_default};
use crate::kafka::context::Logged;
use crate::kafka::probe::Probe;
use crate::kafka::read::partition_count;
use assent_contract::domain::event::ClickEvent;
use assent_contract::domain::partitioner::Partitioner;
use assent_contract::wire::{Framing, click_body};

/// A record that no broker took by then is given up, and its request answered 503.
const DELIVERED_WITHIN: Duration = Duration::from_secs(5);

/// Records that wait for a broker, some 300 bytes each; beyond, the answer is 503.
const QUEUED_MAX: &str = "100000";

/// Who asked for a delivery: all records of one request.
struct Delivery {
    missing: AtomicUsize,
    failed: AtomicBool,
    answer: std::sync::Mutex<Option<oneshot::Sender<bool>>>,
}

impl Delivery {
    fn one_done(&self, is_delivered: bool) {
        if !is_delivered {
            self.failed.store(true, Ordering::Release);
        }
        if self.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            let answer =
                self.answer.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
            if let Some(answer) = answer {
                let _ = answer.send(!self.failed.load(Ordering::Acquire)); // who hung up needs none
            }
        }
    }
}

struct Deliveries;

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        Logged("events").log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        Logged("events").error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Arc<Delivery>;

    fn delivery(&self, result: &DeliveryResult<'_>, delivery: Self::DeliveryOpaque) {
        delivery.one_done(result.is_ok());
    }
}

/// Not every record was acknowledged in time. Some may have been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undelivered;

pub struct EventWriter {
    producer: LoggedIn<ThreadedProducer<Deliveries>>,
    topic: String,
    partitioner: Partitioner,
    partitions: i32,
    framing: Framing,
}

impl EventWriter {
    /// Learns the topic's partitions (69 where nobody answers).
    pub fn start(config: &Config, framing: Framing) -> Result<Self> {
        let refused = |error: KafkaError| Failure::config(format!("kafka.properties: {error}"));
        let mut client = client_config(config);
        set_default(&mut client, config, "linger.ms", "2");
        set_default(&mut client, config, "compression.type", "lz4");
        set_default(&mut client, config, "queue.buffering.max.messages", QUEUED_MAX);
        let producer: LoggedIn<ThreadedProducer<Deliveries>> = client
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("allow.auto.create.topics", "false")
            .set("delivery.timeout.ms", DELIVERED_WITHIN.as_millis().to_string())
            .create_with_context(Deliveries)
            .map_err(refused)?;
        let topic = config.topics.clickstream.clone();
        let partitions = partition_count(&Probe::new(config).map_err(refused)?, config, &topic)?;
        Ok(Self { producer, topic, partitioner: config.kafka.partitioner, partitions, framing })
    }

    /// Waits until every click is acknowledged.
    pub async fn write(&self, clicks: &[ClickEvent]) -> std::result::Result<(), Undelivered> {
        if clicks.is_empty() {
            return Ok(());
        }
        let (answer, answered) = oneshot::channel();
        let delivery = Arc::new(Delivery {
            missing: AtomicUsize::new(clicks.len()),
            failed: AtomicBool::new(false),
            answer: std::sync::Mutex::new(Some(answer)),
        });
        for click in clicks {
            let key = click.key().as_bytes();
            let value = self.framing.frame(&click_body(click));
            let record = BaseRecord::with_opaque_to(&self.topic, Arc::clone(&delivery))
                .partition(self.partitioner.partition(key, self.partitions))
                .key(key)
                .payload(&value);
            if self.producer.send(record).is_err() {
                delivery.one_done(false);
            }
        }
        match answered.await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(Undelivered),
        }
    }

    /// What was handed over is acknowledged or given up.
    pub fn drain(&self) {
        let _ = self.producer.flush(DELIVERED_WITHIN); // each record has said so to its request
    }
}
