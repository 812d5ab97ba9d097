//! librdkafka's own log lines and errors, brought to tracing: what repeats, at a pace.
//!
//! They name brokers, topics and partitions, never a key or a value (INV-6).

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;

use super::refusals;
use crate::pace;

/// Begins the kind of every line about a broker that does not answer.
pub const AWAY: &str = "broker away";

/// What librdkafka calls its lines about a broker that does not answer.
const AWAY_FACILITIES: [&str; 4] = ["FAIL", "ERROR", "REQTMOUT", "BRKRFAIL"];

/// A client that says which role it has in what it logs.
#[derive(Clone, Copy, Debug)]
pub struct Logged(pub &'static str);

impl ClientContext for Logged {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(self.0, level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        error_event(self.0, &error, reason);
    }
}

impl ConsumerContext for Logged {}

impl ProducerContext for Logged {
    type DeliveryOpaque = ();

    /// A failed delivery makes its transaction fail, which is where it is handled.
    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            if let Some(code) = error.rdkafka_error_code() {
                refusals::note(code, "");
            }
            tracing::debug!(client = self.0, %error, "a record was not delivered");
        }
    }
}

pub(super) fn log(client: &str, level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning => warn(client, facility, message),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
            tracing::info!(client, facility, "{message}");
        }
        RDKafkaLogLevel::Debug => tracing::debug!(client, facility, "{message}"),
    }
}

/// Each client of the process has its own lines about the same broker, for each try to reach it.
fn warn(client: &str, facility: &str, message: &str) {
    // What ended the connection has a line of its own, unless this side did; and what the brokers refuse is told
    // as that, with the command that grants it.
    if message.contains("in state DOWN)") || message.contains("uthorization failed") {
        tracing::debug!(client, facility, "{message}");
        return;
    }
    let broker = broker_of(message).unwrap_or_default();
    if AWAY_FACILITIES.contains(&facility) {
        if let Some(repeated) = pace::may_say(&format!("{AWAY} {broker}")) {
            tracing::warn!(
                client,
                facility,
                broker,
                repeated,
                "a broker is away; trying again: {message}"
            );
        }
    } else if let Some(repeated) = pace::may_say(&format!("librdkafka {facility} {broker}")) {
        tracing::warn!(client, facility, repeated, "{message}");
    }
}

/// The `host:port` that a line is about. librdkafka writes `[thrd:…]: host:port/id: …`, and the same
/// after a coordinator's name.
fn broker_of(message: &str) -> Option<&str> {
    let is_bound = |c: char| c.is_whitespace() || matches!(c, '/' | '[' | ']' | ',' | '(' | ')');
    let after_thread = message.split_once("]: ").map_or(message, |(_, after)| after);
    after_thread.split(is_bound).map(|word| word.trim_end_matches(':')).find(|word| {
        word.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && port.len() <= 5 && port.parse::<u16>().is_ok()
        })
    })
}

/// librdkafka goes on by itself after these; what it can't overcome comes back from a call.
pub(super) fn error_event(client: &str, error: &KafkaError, reason: &str) {
    if let Some(code) = error.rdkafka_error_code() {
        refusals::note(code, reason);
    }
    tracing::debug!(client, %error, "{reason}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_about_a_broker() {
        let check = |message, broker| assert_eq!(broker_of(message), broker, "{message}");
        let refused = "[thrd:127.0.0.1:9092/bootstrap]: 127.0.0.1:9092/bootstrap: Connect to \
                       ipv4#127.0.0.1:9092 failed: Connection refused (after 0ms in state CONNECT)";
        check(refused, Some("127.0.0.1:9092"));
        let coordinator = "[thrd:GroupCoordinator]: GroupCoordinator: kafka-2.shop.example:9093: \
                           Connect to ipv4#10.0.0.2:9093 failed: Connection refused";
        check(coordinator, Some("kafka-2.shop.example:9093"));
        check("[thrd:main]: Coordinator query timed out after 10000ms: 3 tries", None);
    }
}
