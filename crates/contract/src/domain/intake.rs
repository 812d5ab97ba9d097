//! What reading an input gave: the words that the readers of bytes and the engine share.
//!
//! Knows neither Avro nor Kafka. Holds raw identifiers only where it borrows the consent record;
//! a rejection never does (INV-6).

use super::audit::{Sha256Hash, chain};
use super::consent::ConsentRecord;
use super::outcome::DeadLetterReason;

/// A record is taken up to this, decompressed, key and value; one that is larger is undecodable, whatever it
/// says (docs/contract/bad-input.md#sizes-and-foreign-text).
pub const RECORD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Why an input could not be used. `detail` is for a person and holds no byte of the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub reason: DeadLetterReason,
    pub detail: String,
    /// Of a value that was not kept.
    pub payload_sha256: Option<Sha256Hash>,
}

impl Rejection {
    pub fn new(reason: DeadLetterReason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), payload_sha256: None }
    }

    /// A record of so many bytes, more than [`RECORD_BYTES_MAX`].
    pub fn outsized(bytes: usize, payload: Option<&[u8]>) -> Self {
        let detail = format!(
            "the record takes {bytes} bytes once it is decompressed, and at most {RECORD_BYTES_MAX} are taken"
        );
        let payload_sha256 = payload_hash(payload);
        Self { payload_sha256, ..Self::new(DeadLetterReason::Undecodable, detail) }
    }

    /// Records that no client can read.
    pub fn unreadable(why: &str) -> Self {
        Self::new(DeadLetterReason::Undecodable, format!("no client can read the batch: {why}"))
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
