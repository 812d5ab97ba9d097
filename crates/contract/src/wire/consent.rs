//! A record of the consent changelog to what it asks for.
//!
//! Fails closed: a value that is no readable record of its key's subject withholds that subject
//! (INV-3). The order of the questions is that of docs/contract/bad-input.md and
//! docs/contract/topics.md; see [`ConsentReader::read`].

use std::collections::BTreeMap;

use serde::Deserialize as _;

use super::Inbound;
use super::avro::{self, Bounds, Plan, Undecodable, Value};
use super::framing::{WriterSchemas, frame};
use super::known::{KnownSchemas, UnknownId, Unread, out_of_reach};
use super::schema::SchemaName;
use crate::domain::binary::Write as _;
use crate::domain::canary;
use crate::domain::consent::{AgeBand, ConsentRecord, ConsentStatus, Decision, Guardian};
use crate::domain::ids::{HEARTBEAT_PREFIX, ID_BYTES_MAX, RESERVED_PREFIX, is_canary_of};
use crate::domain::intake::{ConsentBody, Rejection};
use crate::domain::outcome::DeadLetterReason;
use crate::domain::partitioner::Partitioner;
use crate::domain::time::Timestamp;

/// Reads the consent records of a topic of `partition_count` partitions.
pub struct ConsentReader {
    partitioner: Partitioner,
    partition_count: i32,
    schemas: WriterSchemas,
}

/// What a record asks for, owned. Holds raw identifiers: never log it (no `Debug`).
pub enum ConsentReading {
    Heartbeat {
        source: Option<String>,
    },
    Erasure,
    Record(Box<ConsentRecord>),
    Unreadable(Rejection),
    Forwarded,
    DeadLettered(Rejection),
    /// Not read yet: the schema registry is to be asked first, [`ConsentReader::read_again`] after.
    Waits(UnknownId),
}

impl ConsentReading {
    /// The same as the engine takes it; what was not read is unreadable.
    pub fn body(&self) -> ConsentBody<'_> {
        match self {
            Self::Heartbeat { source } => ConsentBody::Heartbeat { source: source.as_deref() },
            Self::Erasure => ConsentBody::Erasure,
            Self::Record(record) => ConsentBody::Record(record),
            Self::Unreadable(rejection) => ConsentBody::Unreadable(rejection.clone()),
            Self::Forwarded => ConsentBody::Forwarded,
            Self::DeadLettered(rejection) => ConsentBody::DeadLettered(rejection.clone()),
            Self::Waits(_) => ConsentBody::Unreadable(out_of_reach()),
        }
    }
}

impl ConsentReader {
    pub fn new(partitioner: Partitioner, partition_count: i32) -> Self {
        let schemas = WriterSchemas::of(SchemaName::ConsentRecord);
        Self { partitioner, partition_count, schemas }
    }

    /// As [`Self::read_with`], where there is no registry.
    pub fn read(
        &self,
        inbound: &Inbound<'_>,
        forwarded: bool,
        source_header: Option<&str>,
    ) -> ConsentReading {
        self.read_with(inbound, forwarded, source_header, &KnownSchemas::none())
    }

    /// `forwarded`: the record has the header `assent-forwarded`. `source_header`: its header
    /// `source`, which only heartbeats have.
    pub fn read_with(
        &self,
        inbound: &Inbound<'_>,
        forwarded: bool,
        source_header: Option<&str>,
        known: &KnownSchemas,
    ) -> ConsentReading {
        let key = inbound.key.unwrap_or_default();
        if key.is_empty() || key.len() > ID_BYTES_MAX {
            return dead(DeadLetterReason::InvalidField, "the key is empty or over 512 bytes");
        }
        if inbound.payload.is_none() && std::str::from_utf8(key).is_err() {
            let detail = "an erasure whose key is not UTF-8, so it belongs to no subject";
            return dead(DeadLetterReason::InvalidField, detail);
        }
        if key.starts_with(RESERVED_PREFIX.as_bytes()) {
            return self.read_reserved(inbound, key, source_header, known);
        }
        if let Some(misplaced) = self.misplaced(inbound.partition, key, forwarded) {
            return misplaced;
        }
        match inbound.payload {
            None => ConsentReading::Erasure,
            Some(payload) => self.read_again(key, payload, known),
        }
    }

    /// What the value of a record is that waited, now that more is known of the registry.
    pub fn read_again(&self, key: &[u8], payload: &[u8], known: &KnownSchemas) -> ConsentReading {
        // The canary is nobody: what can't be read of it withholds no one.
        let unread = if key.starts_with(RESERVED_PREFIX.as_bytes()) {
            ConsentReading::DeadLettered
        } else {
            ConsentReading::Unreadable
        };
        match self.read_record(key, payload, known) {
            Ok(record) => ConsentReading::Record(Box::new(record)),
            Err(Unread::Rejected(rejection)) => unread(rejection),
            Err(Unread::Waits(_)) if known.is_given_up() => unread(out_of_reach()),
            Err(Unread::Waits(id)) => ConsentReading::Waits(id),
        }
    }

    /// A key of Assent's own: a heartbeat or the canary of this partition, or nobody's.
    fn read_reserved(
        &self,
        inbound: &Inbound<'_>,
        key: &[u8],
        source: Option<&str>,
        known: &KnownSchemas,
    ) -> ConsentReading {
        let heartbeat = format!("{HEARTBEAT_PREFIX}{}", inbound.partition);
        match inbound.payload {
            None if key == heartbeat.as_bytes() => {
                ConsentReading::Heartbeat { source: source.map(str::to_owned) }
            }
            Some(payload) if is_canary_of(key, inbound.partition) => {
                self.read_again(key, payload, known)
            }
            _ => dead(
                DeadLetterReason::WrongKey,
                "keys that begin with __assent_ are reserved for heartbeats without a value and for \
                 the records of the canary, each on its own partition",
            ),
        }
    }

    fn misplaced(&self, partition: i32, key: &[u8], forwarded: bool) -> Option<ConsentReading> {
        let expected = self.partitioner.partition(key, self.partition_count);
        if partition == expected {
            return None;
        }
        Some(if forwarded {
            dead(
                DeadLetterReason::WrongPartition,
                "was forwarded once and is still on the wrong partition for its key",
            )
        } else {
            ConsentReading::Forwarded
        })
    }

    fn read_record(
        &self,
        key: &[u8],
        payload: &[u8],
        known: &KnownSchemas,
    ) -> Result<ConsentRecord, Unread> {
        let (plan, body) = self.schemas.resolve(payload, known)?;
        let mut record = decode(plan, body).map_err(|_| {
            Rejection::new(
                DeadLetterReason::Undecodable,
                "the value is not exactly one complete ConsentRecord with at most 256 decisions, \
                 one for each purpose",
            )
        })?;
        if record.subject_id.as_bytes() != key {
            let detail = "the key is not the subject_id";
            Err(Rejection::new(DeadLetterReason::WrongKey, detail).into())
        } else if !key.starts_with(RESERVED_PREFIX.as_bytes()) {
            canary::take_purpose_from(&mut record);
            Ok(record)
        } else if canary::is_record(&record) {
            Ok(record)
        } else {
            Err(Rejection::new(DeadLetterReason::InvalidField, canary::RECORD).into())
        }
    }
}

fn dead(reason: DeadLetterReason, detail: &str) -> ConsentReading {
    ConsentReading::DeadLettered(Rejection::new(reason, detail))
}

fn decode(plan: &Plan, body: &[u8]) -> Result<ConsentRecord, Undecodable> {
    from_value(avro::decode(plan, body, Bounds::INPUT)?)
}

/// A consent record's value in single-object encoding.
pub fn encode_consent(record: &ConsentRecord) -> Vec<u8> {
    frame(SchemaName::ConsentRecord, &consent_body(record))
}

/// A consent record's value without what stands before it.
pub fn consent_body(record: &ConsentRecord) -> Vec<u8> {
    let mut body = Vec::new();
    body.put_string(&record.subject_id);
    body.put_long(record.version);
    body.put_long(record.recorded_at.0);
    body.put_long(record.age_band as i64);
    put_decisions(&mut body, &record.decisions);
    put_guardian(&mut body, record.guardian.as_ref());
    body.put_optional_long(record.double_opt_in_at.map(|at| at.0));
    body.put_optional_long(record.opt_out_signal_at.map(|at| at.0));
    body.put_string(&record.source);
    body.put_optional_string(record.receipt_id.as_deref());
    body
}

/// A map, in one block.
fn put_decisions(body: &mut Vec<u8>, decisions: &BTreeMap<String, Decision>) {
    if !decisions.is_empty() {
        body.put_long(decisions.len() as i64);
    }
    for (purpose, decision) in decisions {
        body.put_string(purpose);
        body.put_long(decision.status as i64);
        body.put_long(decision.since.0);
        body.put_optional_long(decision.expires_at.map(|at| at.0));
        body.put_optional_string(decision.notice_version.as_deref());
    }
    body.put_long(0);
}

fn put_guardian(body: &mut Vec<u8>, guardian: Option<&Guardian>) {
    body.put_long(guardian.is_some().into());
    if let Some(guardian) = guardian {
        body.put_long(guardian.verified_at.0);
        body.put_optional_string(guardian.method.as_deref());
        body.put_bool(guardian.coppa_consent);
        body.put_bool(guardian.coppa_disclosure);
        body.put_bool(guardian.ccpa_authorization);
    }
}

/// What a writer's schema wrote. A branch of the writer's that ours has not is an error (Avro's), in
/// whatever field: nothing rests on consent of which a part can't be read.
fn from_value(value: Value<'_>) -> Result<ConsentRecord, Undecodable> {
    let [
        subject_id,
        version,
        recorded_at,
        age_band,
        decisions,
        guardian,
        double_opt_in_at,
        opt_out_signal_at,
        source,
        receipt_id,
    ] = value.fields()?;
    Ok(ConsentRecord {
        subject_id: owned(&subject_id)?,
        version: version.long()?,
        recorded_at: time(&recorded_at)?,
        age_band: AgeBand::deserialize(age_band)?,
        decisions: distinct(decisions)?,
        guardian: nullable(guardian, guardian_from)?,
        double_opt_in_at: double_opt_in_at.optional(time)?,
        opt_out_signal_at: opt_out_signal_at.optional(time)?,
        source: owned(&source)?,
        receipt_id: receipt_id.optional(owned)?,
    })
}

/// A map that names a purpose twice says two things of it: refused.
fn distinct(value: Value<'_>) -> Result<BTreeMap<String, Decision>, Undecodable> {
    let Value::Map(entries) = value else { return Err(Undecodable) };
    let mut decisions = BTreeMap::new();
    for (purpose, decision) in entries {
        if decisions.insert(purpose.to_owned(), decision_from(decision)?).is_some() {
            return Err(Undecodable);
        }
    }
    Ok(decisions)
}

fn decision_from(value: Value<'_>) -> Result<Decision, Undecodable> {
    let [status, since, expires_at, notice_version] = value.fields()?;
    Ok(Decision {
        status: ConsentStatus::deserialize(status)?,
        since: time(&since)?,
        expires_at: expires_at.optional(time)?,
        notice_version: notice_version.optional(owned)?,
    })
}

fn guardian_from(value: Value<'_>) -> Result<Guardian, Undecodable> {
    let [verified_at, method, coppa_consent, coppa_disclosure, ccpa_authorization] =
        value.fields()?;
    Ok(Guardian {
        verified_at: time(&verified_at)?,
        method: method.optional(owned)?,
        coppa_consent: coppa_consent.boolean()?,
        coppa_disclosure: coppa_disclosure.boolean()?,
        ccpa_authorization: ccpa_authorization.boolean()?,
    })
}

fn nullable<'a, T>(
    value: Value<'a>,
    some: impl FnOnce(Value<'a>) -> Result<T, Undecodable>,
) -> Result<Option<T>, Undecodable> {
    if let Value::Null = value { Ok(None) } else { some(value).map(Some) }
}

fn time(value: &Value<'_>) -> Result<Timestamp, Undecodable> {
    value.long().map(Timestamp)
}

fn owned(value: &Value<'_>) -> Result<String, Undecodable> {
    value.text().map(str::to_owned)
}
