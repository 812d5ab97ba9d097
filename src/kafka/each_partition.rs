//! A producer that puts one record into each of several partitions, and tells of each alone whether it was
//! acknowledged: one partition without a leader must not speak for the others.
//!
//! Knows nothing of what the bytes mean.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use super::client::{LoggedIn, client_config};
use super::handle::Handle;
use super::missing::demand;
use super::probe::Probe;
use super::reach::reach;
use super::read::{REACH_TIMEOUT, partition_count};
use super::rights::Right;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::failure::{Failure, Result};

/// What was acknowledged of the last turn.
#[derive(Default)]
struct Acks(Mutex<Acked>);

#[derive(Default)]
struct Acked {
    turn: usize,
    partitions: BTreeSet<i32>,
    /// The first failure of the turn: later ones mostly repeat it.
    failed: Option<KafkaError>,
}

impl Acks {
    fn lock(&self) -> MutexGuard<'_, Acked> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Acks {}

impl ProducerContext for Acks {
    /// The turn in which it was sent.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, turn: usize) {
        let mut acked = self.lock();
        if acked.turn != turn {
            return; // it came too late
        }
        match result {
            Ok(message) => {
                acked.partitions.insert(message.partition());
            }
            Err((error, _)) => {
                acked.failed.get_or_insert_with(|| error.clone());
            }
        }
    }
}

pub struct EachPartition {
    producer: Handle<LoggedIn<BaseProducer<Acks>>>,
}

impl EachPartition {
    /// Reaches the broker. `within`: after this long, a record is given up. Returns how many partitions the
    /// first topic has, too.
    pub fn open(config: &Config, topics: &[&str], within: Duration) -> Result<(Self, i32)> {
        let refused = |error: KafkaError| Failure::config(format!("kafka.properties: {error}"));
        reach(config, REACH_TIMEOUT, &SystemClock)?;
        let probe = Probe::new(config).map_err(refused)?;
        demand(&probe, config, topics, Right::Write)?;
        let count = partition_count(&probe, config, topics[0])?;
        let producer = client_config(config)
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("allow.auto.create.topics", "false")
            .set("linger.ms", "0")
            .set("delivery.timeout.ms", within.as_millis().to_string())
            .create_with_context(Acks::default())
            .map_err(refused)?;
        Ok((Self { producer: Handle::new(producer) }, count))
    }

    /// What is acknowledged from now on is of the next turn.
    pub fn begin_turn(&self) {
        let mut acked = self.producer.context().lock();
        *acked = Acked { turn: acked.turn + 1, ..Acked::default() };
    }

    /// Queues a record of this turn. One that can't be queued is not acknowledged.
    pub fn send(&self, topic: &str, partition: i32, key: &[u8], value: &[u8]) {
        let turn = self.producer.context().lock().turn;
        let record = BaseRecord::with_opaque_to(topic, turn);
        let sent = self.producer.send(record.partition(partition).key(key).payload(value));
        if let Err((error, _)) = sent {
            self.producer.context().lock().failed.get_or_insert(error);
        }
    }

    /// The partitions whose record of this turn is acknowledged by all in-sync replicas.
    pub fn acknowledged(&self) -> BTreeSet<i32> {
        self.producer.poll(Duration::ZERO);
        self.producer.context().lock().partitions.clone()
    }

    /// Why a record of this turn was not, as far as is known.
    pub fn failed(&self) -> Option<KafkaError> {
        self.producer.context().lock().failed.clone()
    }
}
