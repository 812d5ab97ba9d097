//! Bytes to inputs and back: framing, Avro, GPP. Pure.
//!
//! Knows the domain's nouns, and neither Kafka nor the engine. Whatever bytes come, a reader
//! answers with an input or the reason why it is none, which never repeats a byte of the payload.

mod click;
mod consent;
mod datum;
pub mod framing;
pub mod gpp;
mod output;
pub mod schema;

pub use click::{ClickReader, encode_click};
pub use consent::{ConsentReader, ConsentReading, encode_consent};
pub use framing::frame;
pub use output::{decode_assignment, decode_audit_batch, decode_contextual, decode_dead_letter};
pub use schema::SchemaName;

/// A record of an input topic, as it was received.
#[derive(Clone, Copy)]
pub struct Inbound<'a> {
    pub partition: i32,
    pub key: Option<&'a [u8]>,
    pub payload: Option<&'a [u8]>,
}

#[cfg(test)]
mod tests;
