//! What reading an input gave: the words that the readers of bytes and the engine share.
//!
//! Knows neither Avro nor Kafka. Holds raw identifiers only where it borrows the consent record;
//! a rejection never does (INV-6).

use super::audit::{Sha256Hash, chain};
use super::consent::ConsentRecord;
use super::outcome::DeadLetterReason;

/// Why an input could not be used. `detail` is for a person and holds no byte of the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub reason: DeadLetterReason,
    pub detail: String,
}

impl Rejection {
    pub fn new(reason: DeadLetterReason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

/// What a record of the consent changelog turned out to be.
pub enum ConsentBody<'a> {
    /// The way from `source` works; no outcome is audited.
    Heartbeat {
        source: Option<&'a str>,
    },
    Erasure,
    Record(&'a ConsentRecord),
    /// The key's subject is withheld until a readable record comes.
    Unreadable(Rejection),
    /// Sent on to the partition where it belongs.
    Forwarded,
    DeadLettered(Rejection),
}

/// SHA-256 of a payload, for a dead letter.
pub fn payload_hash(payload: Option<&[u8]>) -> Option<Sha256Hash> {
    payload.map(chain::body_hash)
}
