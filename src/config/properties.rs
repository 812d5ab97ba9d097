//! `kafka.properties`: which of librdkafka's properties a person may set, and whether it has them.
//!
//! What an invariant rests on is refused with the reason, rather than silently overruled.

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;

const ONCE: &str = "inputs, outputs and offsets are committed in one transaction (INV-5)";
const IDENTITY: &str = "it is made from kafka.group_id and pipeline.state_dir, so that a zombie is \
                        fenced (INV-5)";
const FENCING: &str = "fencing and recovery times rest on Assent's own value (INV-5, section 7)";
const TIMEOUTS: &str =
    "after SIGKILL others decide again within 30 s because of Assent's own value";
const TOPICS: &str = "topics need the settings that `assent topics create` gives them";

/// Refused properties, with the reason.
const REFUSED: &[(&str, &str)] = &[
    ("acks", ONCE),
    ("allow.auto.create.topics", TOPICS),
    ("auto.commit.enable", ONCE),
    ("auto.commit.interval.ms", ONCE),
    ("auto.offset.reset", "Assent never jumps silently over lost records"),
    ("bootstrap.servers", "set kafka.bootstrap_servers"),
    ("delivery.timeout.ms", FENCING),
    ("enable.auto.commit", ONCE),
    ("enable.auto.offset.store", ONCE),
    ("enable.idempotence", ONCE),
    ("group.id", "set kafka.group_id"),
    ("group.instance.id", IDENTITY),
    ("group.protocol", FENCING),
    ("group.remote.assignor", FENCING),
    (
        "isolation.level",
        "inputs are read committed: an aborted consent record is no consent (INV-1)",
    ),
    ("max.in.flight", ONCE),
    ("max.in.flight.requests.per.connection", ONCE),
    ("message.send.max.retries", ONCE),
    ("message.timeout.ms", FENCING),
    ("metadata.broker.list", "set kafka.bootstrap_servers"),
    ("partition.assignment.strategy", FENCING),
    ("partitioner", "set kafka.partitioner"),
    ("request.required.acks", ONCE),
    ("retries", ONCE),
    ("session.timeout.ms", TIMEOUTS),
    ("test.mock.num.brokers", "it pretends a cluster; for a trial run `assent demo`"),
    ("transaction.timeout.ms", TIMEOUTS),
    ("transactional.id", IDENTITY),
];

/// A record of Assent's has at most 512 KiB, and consent is sent on as it came: below the brokers' own
/// default of 1 MiB a batch could be refused, and tried again, for ever (INV-12).
const MESSAGE_BYTES_MIN: i64 = 1_000_000;

/// Why this property can't be used. Never repeats the value, which may be a secret.
pub(super) fn check(name: &str, value: &str) -> Result<(), String> {
    if let Some((_, reason)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
        return Err(format!("is Assent's own to set: {reason}; remove it"));
    }
    if name == "message.max.bytes"
        && value.parse().is_ok_and(|bytes: i64| bytes < MESSAGE_BYTES_MIN)
    {
        return Err(format!("must be at least {MESSAGE_BYTES_MIN}, or leave it out"));
    }
    let mut client = ClientConfig::new();
    client.set(name, value);
    match client.create_native_config() {
        Ok(_) => Ok(()),
        Err(KafkaError::ClientConfig(_, description, ..)) if !description.contains(value) => {
            Err(format!("{description}; see librdkafka's CONFIGURATION.md"))
        }
        Err(_) => Err("librdkafka refuses this value; see its CONFIGURATION.md".to_owned()),
    }
}
