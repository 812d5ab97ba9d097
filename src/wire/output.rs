//! What Assent writes, read back: for readers of the segment topics, tests and audits.
//!
//! They never panic and take no more memory than a small multiple of the value's own.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use super::datum;
use super::framing::{Framed, WriterSchemas};
use super::known::{KnownSchemas, Unread};
use super::schema::SchemaName;
use crate::domain::audit::AuditBatch;
use crate::domain::binary::Malformed;
use crate::domain::dead_letter::DeadLetter;
use crate::domain::intake::Rejection;
use crate::domain::outcome::DeadLetterReason;
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
    DeadLetter::decode(own_body(SchemaName::DeadLetter, value, known)?).map_err(malformed)
}

/// A value of `segmentation-audit`. Its body, which the chain hashes, is what follows the framing.
pub fn decode_audit_batch(value: &[u8], known: &KnownSchemas) -> Result<AuditBatch, Unread> {
    AuditBatch::decode(own_body(SchemaName::AuditBatch, value, known)?).map_err(malformed)
}

/// The same for its writer, who reads its own batches back and asks nobody what their id names.
pub fn read_back_audit_batch(value: &[u8]) -> Result<AuditBatch, Malformed> {
    AuditBatch::decode(Framed::split(value).body().ok_or(Malformed("framing"))?)
}

fn decode<T: DeserializeOwned>(
    name: SchemaName,
    value: &[u8],
    known: &KnownSchemas,
) -> Result<T, Unread> {
    let (schema, body) = WriterSchemas::of(name).resolve(value, known)?;
    datum::decode(schema, body, PhantomData)
        .map_err(|_| undecodable(format!("the value is not one {name:?}")))
}

/// The body of a value of a schema that only Assent writes, always in its own version.
fn own_body<'v>(
    name: SchemaName,
    value: &'v [u8],
    known: &KnownSchemas,
) -> Result<&'v [u8], Unread> {
    let (schema, body) = WriterSchemas::of(name).resolve(value, known)?;
    if std::ptr::eq(schema, name.schema()) {
        return Ok(body);
    }
    Err(undecodable(format!("the value was written with another version of {name:?}")))
}

fn malformed(error: Malformed) -> Unread {
    undecodable(error.to_string())
}

fn undecodable(detail: String) -> Unread {
    Unread::Rejected(Rejection::new(DeadLetterReason::Undecodable, detail))
}
