//! Sends consent records that lie on a wrong partition on to the right one
//! (docs/contract/bad-input.md#consent): an idempotent producer of its own, outside every transaction,
//! whose acknowledgement is waited for before the source is committed. A crash in between sends a
//! record twice, which merging makes harmless: the second is superseded.
//!
//! What is too large to be sent on, as the broker says, goes as a record of the same key that nobody can
//! decode: where the key belongs, its subject is withheld and tombstoned, and a dead letter names the place.

use std::ffi::CStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use super::calls::{Call, Calls};
use super::client::{ClientSettings, LoggedIn, client_config, set_default};
use super::context;
use super::handle::Handle;
use super::refusals;
use crate::config::Config;
use assent_contract::domain::intake::RECORD_BYTES_MAX;

/// The header that names where a forwarded record came from: `topic/partition/offset`.
pub const FORWARDED: &str = "assent-forwarded";
pub const FORWARDED_C: &CStr = c"assent-forwarded";

/// The value in place of one that was too large to be sent on. No schema's bytes begin so.
pub const TOO_LARGE: &[u8] = b"assent: too large to be sent on";

/// What the client itself takes, key, headers and value. How much the topic takes, compressed, its broker says.
const MESSAGE_BYTES_MAX: usize = RECORD_BYTES_MAX + 1024 * 1024;

/// A record to send on.
pub struct Misrouted {
    pub partition: i32,
    pub key: Vec<u8>,
    pub payload: Option<Vec<u8>>,
    /// It was too large to be kept: there is no payload to send.
    pub is_outsized: bool,
    /// `topic/partition/offset` of where it lies.
    pub source: String,
}

/// What became of one record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fate {
    /// Nobody said.
    #[default]
    Unknown,
    Delivered,
    TooLarge,
}

/// By the records' places.
struct Receipts(Mutex<Vec<Fate>>);

impl ClientContext for Receipts {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        context::log("forwarder", level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        context::error_event("forwarder", &error, reason);
    }
}

impl ProducerContext for Receipts {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, place: usize) {
        let fate = match result {
            Ok(_) => Fate::Delivered,
            Err((error, _)) if is_size(error) => Fate::TooLarge,
            Err((error, _)) => {
                if let Some(code) = error.rdkafka_error_code() {
                    refusals::note(code, "");
                }
                Fate::Unknown
            }
        };
        let mut fates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = fates.get_mut(place) {
            *known = fate;
        }
    }
}

fn is_size(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{InvalidMessageSize, MessageBatchTooLarge, MessageSizeTooLarge};
    matches!(
        error.rdkafka_error_code(),
        Some(MessageSizeTooLarge | MessageBatchTooLarge | InvalidMessageSize)
    )
}

/// Sends these on; true once every one is acknowledged, or what stands in its place.
pub fn forward(config: &Config, records: Vec<Misrouted>, timeout: Duration) -> KafkaResult<bool> {
    let (client, topic) = (forwarding(config, timeout), config.topics.consent.clone());
    // Those that are too large together, those that are too large, and what stands in their place.
    let passes = 3;
    let sent = Calls::default()
        .make(Call::Forward, passes * timeout, move || send_on(&client, &topic, &records, timeout));
    sent.unwrap_or(Err(KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut)))
}

fn forwarding(config: &Config, timeout: Duration) -> ClientSettings {
    let mut client = client_config(config);
    // It may have come compressed, and fit only so.
    set_default(&mut client, config, "compression.type", "zstd");
    client
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("message.max.bytes", MESSAGE_BYTES_MAX.to_string())
        .set("message.timeout.ms", timeout.as_millis().to_string());
    client
}

fn send_on(
    client: &ClientSettings,
    topic: &str,
    records: &[Misrouted],
    timeout: Duration,
) -> KafkaResult<bool> {
    let whole: Vec<&Misrouted> = records.iter().filter(|record| !record.is_outsized).collect();
    let fates = send(client, topic, &whole, Misrouted::value, timeout)?;
    if fates.contains(&Fate::Unknown) {
        return Ok(false);
    }
    let large = too_large(&whole, &fates);
    let mut alone = client.clone();
    alone.set("batch.num.messages", "1");
    let fates = send(&alone, topic, &large, Misrouted::value, timeout)?;
    if fates.contains(&Fate::Unknown) {
        return Ok(false);
    }
    let mut marked = too_large(&large, &fates);
    marked.extend(records.iter().filter(|record| record.is_outsized));
    for record in &marked {
        tracing::error!(
            source = record.source,
            partition = record.partition,
            "a misrouted consent record is too large to be forwarded: its subject is withheld \
             until a readable record of theirs arrives"
        );
    }
    let fates = send(client, topic, &marked, |_| Some(TOO_LARGE), timeout)?;
    Ok(fates.iter().all(|fate| *fate == Fate::Delivered))
}

fn too_large<'r>(records: &[&'r Misrouted], fates: &[Fate]) -> Vec<&'r Misrouted> {
    let pairs = records.iter().zip(fates).filter(|(_, fate)| **fate == Fate::TooLarge);
    pairs.map(|(record, _)| *record).collect()
}

impl Misrouted {
    fn value(&self) -> Option<&[u8]> {
        self.payload.as_deref()
    }
}

fn send(
    client: &ClientSettings,
    topic: &str,
    records: &[&Misrouted],
    value: impl Fn(&Misrouted) -> Option<&[u8]>,
    timeout: Duration,
) -> KafkaResult<Vec<Fate>> {
    if records.is_empty() {
        return Ok(Vec::new());
    }
    let receipts = Receipts(Mutex::new(vec![Fate::Unknown; records.len()]));
    let producer: LoggedIn<BaseProducer<Receipts>> = client.create_with_context(receipts)?;
    let producer = Handle::new(producer);
    for (place, record) in records.iter().enumerate() {
        let source = Header { key: FORWARDED, value: Some(&record.source) };
        let mut sent = BaseRecord::with_opaque_to(topic, place)
            .partition(record.partition)
            .key(&record.key)
            .headers(OwnedHeaders::new().insert(source));
        sent.payload = value(record);
        match producer.send(sent) {
            Ok(()) => {}
            Err((error, _)) if is_size(&error) => note(&producer, place, Fate::TooLarge),
            Err((error, _)) => return Err(error),
        }
    }
    producer.flush(timeout)?;
    let fates = producer.client().context().0.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(fates.clone())
}

fn note(producer: &BaseProducer<Receipts>, place: usize, fate: Fate) {
    let mut fates = producer.client().context().0.lock().unwrap_or_else(PoisonError::into_inner);
    fates[place] = fate;
}
