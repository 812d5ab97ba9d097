//! A record of the consent changelog to what it asks for.
//!
//! Fails closed: a value that is no readable record of its key's subject withholds that subject
//! (INV-3). The order of the questions is section 10's and section 3's; see [`ConsentReader::read`].

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::Inbound;
use super::datum;
use super::framing::{WriterSchemas, frame};
use super::known::{KnownSchemas, UnknownId, Unread, out_of_reach};
use super::schema::SchemaName;
use crate::domain::consent::{AgeBand, ConsentRecord, ConsentStatus, Decision, Guardian};
use crate::domain::ids::{HEARTBEAT_PREFIX, ID_BYTES_MAX, RESERVED_PREFIX};
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
        if key.starts_with(RESERVED_PREFIX.as_bytes()) {
            return read_reserved(inbound, key, source_header);
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
        match self.read_record(key, payload, known) {
            Ok(record) => ConsentReading::Record(Box::new(record)),
            Err(Unread::Rejected(rejection)) => ConsentReading::Unreadable(rejection),
            Err(Unread::Waits(_)) if known.is_given_up() => {
                ConsentReading::Unreadable(out_of_reach())
            }
            Err(Unread::Waits(id)) => ConsentReading::Waits(id),
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
                "was forwarded once and is still on a partition that its key does not belong to",
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
        let (schema, body) = self.schemas.resolve(payload, known)?;
        let seed = std::marker::PhantomData::<ConsentDatum>;
        let record: ConsentRecord = datum::decode(schema, body, seed)
            .map_err(|_| {
                Rejection::new(
                    DeadLetterReason::Undecodable,
                    "the value is not one ConsentRecord, whole and with nothing after it, of at \
                     most 256 decisions, each purpose once",
                )
            })?
            .into();
        if record.subject_id.as_bytes() == key {
            Ok(record)
        } else {
            let detail = "the key is not the subject_id";
            Err(Rejection::new(DeadLetterReason::WrongKey, detail).into())
        }
    }
}

/// A key of Assent's own: a heartbeat of this partition, or nobody's.
fn read_reserved(inbound: &Inbound<'_>, key: &[u8], source: Option<&str>) -> ConsentReading {
    let heartbeat = format!("{HEARTBEAT_PREFIX}{}", inbound.partition);
    if key == heartbeat.as_bytes() && inbound.payload.is_none() {
        ConsentReading::Heartbeat { source: source.map(str::to_owned) }
    } else {
        dead(
            DeadLetterReason::WrongKey,
            "keys that begin with __assent_ are reserved for heartbeats without a value, on their \
             own partition",
        )
    }
}

fn dead(reason: DeadLetterReason, detail: &str) -> ConsentReading {
    ConsentReading::DeadLettered(Rejection::new(reason, detail))
}

/// A consent record's value in single-object encoding.
pub fn encode_consent(record: &ConsentRecord) -> Vec<u8> {
    frame(SchemaName::ConsentRecord, &consent_body(record))
}

/// A consent record's value without what stands before it.
pub fn consent_body(record: &ConsentRecord) -> Vec<u8> {
    datum::encode(SchemaName::ConsentRecord, record)
}

/// `assent.v1.ConsentRecord` as Avro resolves it: unlike the domain's, it takes fields and symbols
/// that this version does not know.
#[derive(Deserialize)]
struct ConsentDatum {
    subject_id: String,
    version: i64,
    recorded_at: Timestamp,
    #[serde(default, deserialize_with = "datum::symbol")]
    age_band: AgeBand,
    #[serde(deserialize_with = "distinct")]
    decisions: BTreeMap<String, Decision>,
    #[serde(default)]
    guardian: Option<GuardianDatum>,
    #[serde(default)]
    double_opt_in_at: Option<Timestamp>,
    #[serde(default)]
    opt_out_signal_at: Option<Timestamp>,
    #[serde(default = "unknown")]
    source: String,
    #[serde(default)]
    receipt_id: Option<String>,
}

#[derive(Deserialize)]
struct DecisionDatum {
    #[serde(deserialize_with = "datum::symbol")]
    status: ConsentStatus,
    since: Timestamp,
    #[serde(default)]
    expires_at: Option<Timestamp>,
    #[serde(default)]
    notice_version: Option<String>,
}

#[derive(Deserialize)]
#[allow(clippy::struct_excessive_bools)] // as the schema
struct GuardianDatum {
    verified_at: Timestamp,
    #[serde(default)]
    method: Option<String>,
    #[serde(default)]
    coppa_consent: bool,
    #[serde(default)]
    coppa_disclosure: bool,
    #[serde(default)]
    ccpa_authorization: bool,
}

fn unknown() -> String {
    "unknown".to_owned()
}

/// A map that names a purpose twice says two things of it: refused.
fn distinct<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, Decision>, D::Error> {
    struct Decisions;

    impl<'de> Visitor<'de> for Decisions {
        type Value = BTreeMap<String, Decision>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("decisions by purpose")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut decisions = BTreeMap::new();
            while let Some((purpose, decision)) = map.next_entry::<String, DecisionDatum>()? {
                if decisions.insert(purpose, decision.into()).is_some() {
                    return Err(Error::custom("a purpose is there twice"));
                }
            }
            Ok(decisions)
        }
    }

    deserializer.deserialize_map(Decisions)
}

impl From<ConsentDatum> for ConsentRecord {
    fn from(datum: ConsentDatum) -> Self {
        Self {
            subject_id: datum.subject_id,
            version: datum.version,
            recorded_at: datum.recorded_at,
            age_band: datum.age_band,
            decisions: datum.decisions,
            guardian: datum.guardian.map(Into::into),
            double_opt_in_at: datum.double_opt_in_at,
            opt_out_signal_at: datum.opt_out_signal_at,
            source: datum.source,
            receipt_id: datum.receipt_id,
        }
    }
}

impl From<DecisionDatum> for Decision {
    fn from(datum: DecisionDatum) -> Self {
        Self {
            status: datum.status,
            since: datum.since,
            expires_at: datum.expires_at,
            notice_version: datum.notice_version,
        }
    }
}

impl From<GuardianDatum> for Guardian {
    fn from(datum: GuardianDatum) -> Self {
        Self {
            verified_at: datum.verified_at,
            method: datum.method,
            coppa_consent: datum.coppa_consent,
            coppa_disclosure: datum.coppa_disclosure,
            ccpa_authorization: datum.ccpa_authorization,
        }
    }
}
