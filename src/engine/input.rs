//! What a partition is told: decoded inputs, each ending in exactly one outcome (INV-8).

use crate::domain::audit::Sha256Hash;
use crate::domain::consent::ConsentRecord;
use crate::domain::event::Click;
use crate::domain::outcome::DeadLetterReason;
use crate::domain::time::Timestamp;

/// Why an input could not be used. `detail` is for a person and holds no byte of the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub reason: DeadLetterReason,
    pub detail: String,
}

/// A record of the clickstream.
pub struct ClickInput<'a> {
    pub offset: i64,
    /// The raw value, hashed for a dead letter; `None`: there was none.
    pub payload: Option<&'a [u8]>,
    pub click: Result<Click<'a>, Rejection>,
}

/// A record of the consent changelog.
pub struct ConsentInput<'a> {
    pub offset: i64,
    /// The broker's append time.
    pub append_time: Timestamp,
    /// The record's key: the subject as bytes. Raw identifier.
    pub key: &'a [u8],
    pub payload: Option<&'a [u8]>,
    pub body: ConsentBody<'a>,
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

/// Which offsets a batch covers, once its last input was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// One past the last click, also where the tail is control records.
    pub click_to: i64,
    pub consent_to: i64,
    /// End of the consent partition, as the broker answered after the last click was received.
    pub barrier: i64,
}

/// SHA-256 of a payload, for a dead letter.
pub fn payload_hash(payload: Option<&[u8]>) -> Option<Sha256Hash> {
    payload.map(crate::domain::audit::chain::body_hash)
}
