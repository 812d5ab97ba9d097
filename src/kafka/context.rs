//! librdkafka's own log lines and errors, brought to tracing.
//!
//! They name brokers, topics and partitions, never a key or a value (INV-6).

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;

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
        | RDKafkaLogLevel::Warning => tracing::warn!(client, facility, "{message}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
            tracing::info!(client, facility, "{message}");
        }
        RDKafkaLogLevel::Debug => tracing::debug!(client, facility, "{message}"),
    }
}

/// librdkafka goes on by itself after these; what it can't overcome comes back from a call.
pub(super) fn error_event(client: &str, error: &KafkaError, reason: &str) {
    tracing::debug!(client, %error, "{reason}");
}
