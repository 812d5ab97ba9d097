//! What Assent and the readers write, read back: for readers of the segment topics, tests, audits and reports.
//!
//! They never panic and take no more memory than a small multiple of the value's own.

use serde::de::DeserializeOwned;

use super::avro::{self, Bounds, Plan};
use super::evolved;
use super::framing::{Framed, WriterSchemas};
use super::known::{KnownSchemas, Unread};
use super::schema::SchemaName;
use crate::domain::ack::ReaderAck;
use crate::domain::audit::access::AuditAccess;
use crate::domain::audit::{AuditBatch, Outline};
use crate::domain::binary::Malformed;
use crate::domain::dead_letter::DeadLetter;
use crate::domain::intake::Rejection;
use crate::domain::outcome::DeadLetterReason;
use crate::domain::request::PrivacyRequest;
use crate::domain::segment::{ContextualSegment, SegmentAssignment};

/// A value of a segment topic.
pub fn decode_assignment(value: &[u8], known: &KnownSchemas) -> Result<SegmentAssignment, Unread> {
    decode(SchemaName::SegmentAssignment, value, known)
}

/// A value of `contextual-segments`.
pub fn decode_contextual(value: &[u8], known: &KnownSchemas) -> Result<ContextualSegment, Unread> {
    decode(SchemaName::ContextualSegment, value, known)
}

/// A value of `segmentation-dead-letters`.
pub fn decode_dead_letter(value: &[u8], known: &KnownSchemas) -> Result<DeadLetter, Unread> {
    match body_of(SchemaName::DeadLetter, value, known)? {
        Body::Own(body) => DeadLetter::decode(body).map_err(malformed),
        Body::Others(plan, body) => {
            evolved::dead_letter(plan, body).map_err(|_| not_one(SchemaName::DeadLetter))
        }
    }
}

/// A value of `segmentation-audit`. Its body, which the chain hashes, is what follows the framing.
pub fn decode_audit_batch(value: &[u8], known: &KnownSchemas) -> Result<AuditBatch, Unread> {
    match body_of(SchemaName::AuditBatch, value, known)? {
        Body::Own(body) => AuditBatch::decode(body).map_err(malformed),
        Body::Others(plan, body) => {
            evolved::audit_batch(plan, body).map_err(|_| not_one(SchemaName::AuditBatch))
        }
    }
}

/// As far as its chain goes: an order of magnitude quicker than the whole.
pub fn audit_outline(value: &[u8], known: &KnownSchemas) -> Result<Outline, Unread> {
    match body_of(SchemaName::AuditBatch, value, known)? {
        Body::Own(body) => Outline::read(body).map_err(malformed),
        Body::Others(plan, body) => {
            let batch = evolved::audit_batch(plan, body);
            let batch = batch.map_err(|_| not_one(SchemaName::AuditBatch))?;
            let AuditBatch { chain, sequence, previous, decided_at, entries, .. } = batch;
            Ok(Outline { chain, sequence, previous, decided_at, entries: entries.len() as u64 })
        }
    }
}

/// A value of `privacy-requests`.
pub fn decode_privacy_request(
    value: &[u8],
    known: &KnownSchemas,
) -> Result<PrivacyRequest, Unread> {
    let (plan, body) = WriterSchemas::of(SchemaName::PrivacyRequest).resolve(value, known)?;
    evolved::privacy_request(plan, body).map_err(|_| not_one(SchemaName::PrivacyRequest))
}

/// A value of `segmentation-audit-access`.
pub fn decode_audit_access(value: &[u8], known: &KnownSchemas) -> Result<AuditAccess, Unread> {
    let (plan, body) = WriterSchemas::of(SchemaName::AuditAccess).resolve(value, known)?;
    evolved::audit_access(plan, body).map_err(|_| not_one(SchemaName::AuditAccess))
}

/// A value of `reader-acks`.
pub fn decode_reader_ack(value: &[u8], known: &KnownSchemas) -> Result<ReaderAck, Unread> {
    decode(SchemaName::ReaderAck, value, known)
}

/// An audit batch for its writer, who reads its own batches back and asks nobody what their id names.
pub fn read_back_audit_batch(value: &[u8]) -> Result<AuditBatch, Malformed> {
    AuditBatch::decode(Framed::split(value).body().ok_or(Malformed("framing"))?)
}

fn decode<T: DeserializeOwned>(
    name: SchemaName,
    value: &[u8],
    known: &KnownSchemas,
) -> Result<T, Unread> {
    let (plan, body) = WriterSchemas::of(name).resolve(value, known)?;
    let value = avro::decode(plan, body, Bounds::INPUT);
    value.and_then(T::deserialize).map_err(|_| not_one(name))
}

/// A body of a schema that only Assent writes.
enum Body<'v, 'k> {
    /// In this version: the domain reads it, byte for byte.
    Own(&'v [u8]),
    /// In an older or newer one, which resolves.
    Others(&'k Plan, &'v [u8]),
}

fn body_of<'v, 'k>(
    name: SchemaName,
    value: &'v [u8],
    known: &'k KnownSchemas,
) -> Result<Body<'v, 'k>, Unread> {
    let (plan, body) = WriterSchemas::of(name).resolve(value, known)?;
    let is_own = std::ptr::eq(plan, name.plan());
    Ok(if is_own { Body::Own(body) } else { Body::Others(plan, body) })
}

fn not_one(name: SchemaName) -> Unread {
    undecodable(format!("the value is not exactly one {name:?}"))
}

fn malformed(error: Malformed) -> Unread {
    undecodable(error.to_string())
}

fn undecodable(detail: String) -> Unread {
    Unread::Rejected(Rejection::new(DeadLetterReason::Undecodable, detail))
}
