//! What `scripts/forged-signals` writes: clicks with Global Privacy Control, each under an id of its own that
//! nobody knows, as whoever means no good would send them.
//!
//! `forge BOOTSTRAP TOPIC CLICKS` returns once the broker has all of them.

use std::time::Duration;

use assent::clock::{Clock, SystemClock};
use assent_contract::domain::event::{ClickEvent, EventKind};
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::wire::encode_click;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

/// The clicks lie evenly within the last 20 hours: signals are kept to the minute, and those of one minute stay
/// or go together.
const OVER: Span = Span(20 * Span::HOUR.0);

const DELIVERED_WITHIN: Duration = Duration::from_mins(5);

fn main() -> KafkaResult<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --all-targets` and `cargo bench` start every bench: without arguments, nothing.
    let [servers, topic, clicks] = arguments.as_slice() else { return Ok(()) };
    let clicks: u64 = clicks.parse().expect("CLICKS is a number");
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("client.id", "forge")
        .set("partitioner", "murmur2_random")
        .set("compression.type", "lz4")
        .set("linger.ms", "20")
        .set("queue.buffering.max.kbytes", "262144")
        .create()?;
    let end = SystemClock.now();
    for number in 0..clicks {
        let before_end = Span(OVER.0 - (OVER.0 as f64 * number as f64 / clicks as f64) as i64);
        send(&producer, topic, &forged(number, end - before_end))?;
    }
    producer.flush(DELIVERED_WITHIN)
}

fn forged(number: u64, occurred_at: Timestamp) -> ClickEvent {
    ClickEvent {
        event_id: "018f4e6a-0000-7000-8000-000000000001".to_owned(),
        subject_id: Some(format!("made-up-{number:09}")),
        session_id: format!("session-{number:09}"),
        occurred_at,
        kind: EventKind::PageView,
        category: None,
        product_id: None,
        product_age_range: None,
        value_cents: None,
        region: None,
        gpc: Some(true),
        gpp: None,
    }
}

fn send(producer: &BaseProducer, topic: &str, click: &ClickEvent) -> KafkaResult<()> {
    let value = encode_click(click);
    let mut record = BaseRecord::to(topic).key(click.key()).payload(&value);
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => {
                record = again;
                producer.poll(Duration::from_millis(10));
            }
            Err((error, _)) => return Err(error),
        }
    }
}
