//! What Assent writes, read back: for readers of the segment topics, tests and audits.
//!
//! They never panic and take no more memory than a small multiple of the value's own.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use super::datum;
use super::framing::WriterSchemas;
use super::schema::SchemaName;
use crate::domain::audit::AuditBatch;
use crate::domain::binary::Malformed;
use crate::domain::dead_letter::DeadLetter;
use crate::domain::intake::Rejection;
use crate::domain::outcome::DeadLetterReason;
use crate::domain::segment::{ContextualSegment, SegmentAssignment};

/// A value of a segment topic.
pub fn decode_assignment(value: &[u8]) -> Result<SegmentAssignment, Rejection> {
    decode(SchemaName::SegmentAssignment, value)
}

/// A value of `contextual-segments`.
pub fn decode_contextual(value: &[u8]) -> Result<ContextualSegment, Rejection> {
    decode(SchemaName::ContextualSegment, value)
}

/// A value of `segmentation-dead-letters`.
pub fn decode_dead_letter(value: &[u8]) -> Result<DeadLetter, Rejection> {
    let (_, body) = WriterSchemas::of(SchemaName::DeadLetter).resolve(value)?;
    DeadLetter::decode(body).map_err(malformed)
}

/// A value of `segmentation-audit`. Its body, which the chain hashes, is what follows the framing.
pub fn decode_audit_batch(value: &[u8]) -> Result<AuditBatch, Rejection> {
    let (_, body) = WriterSchemas::of(SchemaName::AuditBatch).resolve(value)?;
    AuditBatch::decode(body).map_err(malformed)
}

fn decode<T: DeserializeOwned>(name: SchemaName, value: &[u8]) -> Result<T, Rejection> {
    let (schema, body) = WriterSchemas::of(name).resolve(value)?;
    datum::decode(schema, body, PhantomData).map_err(|_| {
        Rejection::new(DeadLetterReason::Undecodable, format!("the value is not one {name:?}"))
    })
}

fn malformed(error: Malformed) -> Rejection {
    Rejection::new(DeadLetterReason::Undecodable, error.to_string())
}
