//! Audit batches and dead letters that an older or newer version of Assent wrote, as Avro resolves
//! them. This version's own have a reader of their own in the domain, byte for byte.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

use super::avro::{self, Bounds, Plan, Undecodable};
use crate::domain::audit::access::{AuditAccess, AuditCommand};
use crate::domain::audit::{AuditBatch, AuditEntry, Change, Effect};
use crate::domain::dead_letter::DeadLetter;
use crate::domain::outcome::{DeadLetterReason, InputKind, Outcome, Verdict};
use crate::domain::request::{PrivacyRequest, RequestKind, RequestStatus};
use crate::domain::time::Timestamp;

pub fn audit_batch(plan: &Plan, body: &[u8]) -> Result<AuditBatch, Undecodable> {
    BatchDatum::deserialize(avro::decode(plan, body, Bounds::of_output(body))?)?.try_into()
}

pub fn dead_letter(plan: &Plan, body: &[u8]) -> Result<DeadLetter, Undecodable> {
    let letter = LetterDatum::deserialize(avro::decode(plan, body, Bounds::INPUT)?)?;
    Ok(DeadLetter {
        reason: letter.reason,
        topic: letter.topic,
        partition: letter.partition,
        offset: letter.offset,
        payload_sha256: letter.payload_sha256.map(|hash| hash.0),
        failed_at: letter.failed_at,
        detail: letter.detail,
    })
}

/// Of whichever version: nobody hashes its body.
pub fn privacy_request(plan: &Plan, body: &[u8]) -> Result<PrivacyRequest, Undecodable> {
    let request = RequestDatum::deserialize(avro::decode(plan, body, Bounds::INPUT)?)?;
    Ok(PrivacyRequest {
        request_id: request.request_id,
        kind: request.kind,
        scope: request.scope,
        manner: request.manner,
        subject: request.subject.map(|token| token.0),
        received_at: request.received_at,
        status: request.status,
        honored_at: request.honored_at,
        chain: request.chain,
        sequence: request.sequence,
        basis_of_denial: request.basis_of_denial,
    })
}

/// Likewise.
pub fn audit_access(plan: &Plan, body: &[u8]) -> Result<AuditAccess, Undecodable> {
    let asked = AccessDatum::deserialize(avro::decode(plan, body, Bounds::INPUT)?)?;
    Ok(AuditAccess {
        at: asked.at,
        operator: asked.operator,
        command: asked.command,
        subject: asked.subject.map(|token| token.0),
        filter: asked.filter,
        rows: asked.rows,
        reason: asked.reason,
    })
}

#[derive(Deserialize)]
struct AccessDatum {
    at: Timestamp,
    operator: String,
    command: AuditCommand,
    #[serde(default)]
    subject: Option<Fixed<17>>,
    #[serde(default)]
    filter: String,
    #[serde(default)]
    rows: Option<i64>,
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Deserialize)]
struct RequestDatum {
    request_id: String,
    kind: RequestKind,
    scope: String,
    manner: String,
    #[serde(default)]
    subject: Option<Fixed<17>>,
    received_at: Timestamp,
    status: RequestStatus,
    #[serde(default)]
    honored_at: Option<Timestamp>,
    #[serde(default)]
    chain: Option<String>,
    #[serde(default)]
    sequence: Option<i64>,
    #[serde(default)]
    basis_of_denial: Option<String>,
}

#[derive(Deserialize)]
struct LetterDatum {
    reason: DeadLetterReason,
    topic: String,
    partition: i32,
    offset: i64,
    payload_sha256: Option<Fixed<32>>,
    failed_at: Timestamp,
    detail: String,
}

#[derive(Deserialize)]
struct BatchDatum {
    chain: String,
    sequence: i64,
    previous: Fixed<32>,
    decided_at: Timestamp,
    rulebook: String,
    rulebook_sha256: Fixed<32>,
    key_version: u8,
    click_from: i64,
    click_to: i64,
    consent_from: i64,
    consent_to: i64,
    barrier: i64,
    gate_open: bool,
    purposes: Vec<String>,
    entries: Vec<EntryDatum>,
}

#[derive(Deserialize)]
struct EntryDatum {
    input: InputKind,
    #[serde(default)]
    offset: Option<i64>,
    outcome: Outcome,
    #[serde(default)]
    subject: Option<Fixed<17>>,
    #[serde(default)]
    consent_version: Option<i64>,
    verdicts: Vec<Verdict>,
    effects: Vec<EffectDatum>,
}

#[derive(Deserialize)]
struct EffectDatum {
    purpose: u16,
    key_version: u8,
    value_sha256: Option<Fixed<32>>,
    #[serde(default)]
    reason: Option<String>,
}

impl TryFrom<BatchDatum> for AuditBatch {
    type Error = Undecodable;

    fn try_from(batch: BatchDatum) -> Result<Self, Undecodable> {
        Ok(Self {
            chain: batch.chain,
            sequence: batch.sequence,
            previous: batch.previous.0,
            decided_at: batch.decided_at,
            rulebook: batch.rulebook,
            rulebook_sha256: batch.rulebook_sha256.0,
            key_version: batch.key_version,
            click_from: batch.click_from,
            click_to: batch.click_to,
            consent_from: batch.consent_from,
            consent_to: batch.consent_to,
            barrier: batch.barrier,
            gate_open: batch.gate_open,
            purposes: batch.purposes,
            entries: batch.entries.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
        })
    }
}

impl TryFrom<EntryDatum> for AuditEntry {
    type Error = Undecodable;

    fn try_from(entry: EntryDatum) -> Result<Self, Undecodable> {
        Ok(Self {
            input: entry.input,
            offset: entry.offset,
            outcome: entry.outcome,
            subject: entry.subject.map(|token| token.0),
            consent_version: entry.consent_version,
            verdicts: entry.verdicts,
            effects: entry.effects.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
        })
    }
}

impl TryFrom<EffectDatum> for Effect {
    type Error = Undecodable;

    /// Either a hash or a reason.
    fn try_from(effect: EffectDatum) -> Result<Self, Undecodable> {
        let change = match (effect.value_sha256, effect.reason) {
            (Some(hash), None) => Change::Assigned(hash.0),
            (None, Some(reason)) => Change::Removed(Cow::Owned(reason)),
            _ => return Err(Undecodable),
        };
        Ok(Self { purpose: effect.purpose, key_version: effect.key_version, change })
    }
}

/// A schema's `fixed`.
struct Fixed<const N: usize>([u8; N]);

impl<'de, const N: usize> Deserialize<'de> for Fixed<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(FixedVisitor)
    }
}

struct FixedVisitor<const N: usize>;

impl<const N: usize> Visitor<'_> for FixedVisitor<N> {
    type Value = Fixed<N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{N} bytes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Fixed<N>, E> {
        bytes.try_into().map(Fixed).map_err(|_| E::invalid_length(bytes.len(), &self))
    }
}
