//! Bytes to inputs and back: framing, Avro, GPP. Pure.
//!
//! Knows the domain's nouns, and neither Kafka nor the engine. Whatever bytes come, a reader
//! answers with an input or the reason why it is none, which never repeats a byte of the payload.

mod avro;
mod click;
mod consent;
mod evolved;
pub mod framing;
pub mod gpp;
mod known;
mod output;
pub mod schema;

pub use click::{ClickReader, click_body, encode_click};
pub use consent::{ConsentReader, ConsentReading, consent_body, encode_consent};
pub use framing::{Framing, frame};
pub use known::{KnownSchemas, Registered, UnknownId, Unread, out_of_reach};
pub use output::{
    audit_outline, decode_assignment, decode_audit_access, decode_audit_batch, decode_contextual,
    decode_dead_letter, decode_privacy_request, decode_reader_ack, read_back_audit_batch,
};
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
