//! Sends consent records that lie on a wrong partition on to the right one
//! (docs/contract/bad-input.md#consent): an idempotent producer of its own, outside every transaction,
//! whose acknowledgement is waited for before the source is committed. A crash in between sends a
//! record twice, which merging makes harmless: the second is superseded.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use super::calls::{Call, Calls};
use super::client::client_config;
use super::context;
use super::handle::Handle;
use crate::config::Config;

/// The header that names where a forwarded record came from: `topic/partition/offset`.
pub const FORWARDED: &str = "assent-forwarded";

/// A record to send on.
pub struct Misrouted {
    pub partition: i32,
    pub key: Vec<u8>,
    pub payload: Option<Vec<u8>>,
    /// `topic/partition/offset` of where it lies.
    pub source: String,
}

/// Counts what was acknowledged.
#[derive(Default)]
struct Receipts {
    delivered: AtomicUsize,
}

impl ClientContext for Receipts {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        context::log("forwarder", level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        context::error_event("forwarder", &error, reason);
    }
}

impl ProducerContext for Receipts {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_ok() {
            self.delivered.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Sends these on; true once every one is acknowledged.
pub fn forward(config: &Config, records: Vec<Misrouted>, timeout: Duration) -> KafkaResult<bool> {
    let (client, topic) = (forwarding(config, timeout), config.topics.consent.clone());
    let sent = Calls::default()
        .make(Call::Forward, timeout, move || send(&client, &topic, &records, timeout));
    sent.unwrap_or(Err(KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut)))
}

fn forwarding(config: &Config, timeout: Duration) -> ClientConfig {
    let mut client = client_config(config);
    client
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("message.timeout.ms", timeout.as_millis().to_string());
    client
}

fn send(
    client: &ClientConfig,
    topic: &str,
    records: &[Misrouted],
    timeout: Duration,
) -> KafkaResult<bool> {
    let producer: BaseProducer<Receipts> = client.create_with_context(Receipts::default())?;
    let producer = Handle::new(producer);
    for record in records {
        let mut sent = BaseRecord::to(topic).partition(record.partition).key(&record.key).headers(
            OwnedHeaders::new().insert(Header { key: FORWARDED, value: Some(&record.source) }),
        );
        sent.payload = record.payload.as_ref();
        producer.send(sent).map_err(|(error, _)| error)?;
    }
    producer.flush(timeout)?;
    Ok(producer.client().context().delivered.load(Ordering::Relaxed) == records.len())
}
