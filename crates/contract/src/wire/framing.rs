//! How a value says which schema it was written with.
//!
//! ```text
//! single-object  C3 01 | fingerprint, 8 bytes little-endian | Avro body
//! Confluent      00    | schema id, 4 bytes big-endian      | Avro body
//! ```
//!
//! A reader accepts both (docs/contract/topics.md#encoding). Without a schema registry no Confluent id
//! is known.

use super::avro::Plan;
use super::known::{KnownSchemas, Unread};
use super::schema::SchemaName;
use crate::domain::intake::Rejection;
use crate::domain::outcome::DeadLetterReason;

/// First bytes of Avro's single-object encoding.
const SINGLE_OBJECT: [u8; 2] = [0xC3, 0x01];

/// First byte of Confluent's framing.
const CONFLUENT: u8 = 0;

/// Length of the single-object header.
pub const HEADER_LEN: usize = 10;

/// What is written before a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    SingleObject(SchemaName),
    /// Under the id that a schema registry gave the schema.
    Confluent(u32),
}

impl Framing {
    /// The whole value.
    pub fn frame(self, body: &[u8]) -> Vec<u8> {
        let mut value = Vec::with_capacity(HEADER_LEN + body.len());
        match self {
            Self::SingleObject(schema) => {
                value.extend_from_slice(&SINGLE_OBJECT);
                value.extend_from_slice(schema.fingerprint());
            }
            Self::Confluent(id) => {
                value.push(CONFLUENT);
                value.extend_from_slice(&id.to_be_bytes());
            }
        }
        value.extend_from_slice(body);
        value
    }
}

/// A body in single-object encoding.
pub fn frame(schema: SchemaName, body: &[u8]) -> Vec<u8> {
    Framing::SingleObject(schema).frame(body)
}

/// What a value's first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framed<'a> {
    SingleObject { fingerprint: &'a [u8; 8], body: &'a [u8] },
    Confluent { id: u32, body: &'a [u8] },
    Unframed,
}

impl<'a> Framed<'a> {
    pub fn split(value: &'a [u8]) -> Self {
        if let Some(rest) = value.strip_prefix(&SINGLE_OBJECT)
            && let Some((fingerprint, body)) = rest.split_first_chunk()
        {
            Self::SingleObject { fingerprint, body }
        } else if let Some((&CONFLUENT, rest)) = value.split_first()
            && let Some((id, body)) = rest.split_first_chunk()
        {
            Self::Confluent { id: u32::from_be_bytes(*id), body }
        } else {
            Self::Unframed
        }
    }

    /// What follows the framing.
    pub fn body(self) -> Option<&'a [u8]> {
        match self {
            Self::SingleObject { body, .. } | Self::Confluent { body, .. } => Some(body),
            Self::Unframed => None,
        }
    }
}

/// The schemas that a reader's values may have been written with: the contract's own by its
/// fingerprint, and those of a schema registry by their ids.
#[derive(Clone, Copy)]
pub struct WriterSchemas {
    name: SchemaName,
}

impl WriterSchemas {
    pub fn of(name: SchemaName) -> Self {
        Self { name }
    }

    /// How a value is read, and its body. Of the contract's own schema, under whatever id, it is always
    /// the one and same static plan.
    pub fn resolve<'v, 'k>(
        &self,
        value: &'v [u8],
        known: &'k KnownSchemas,
    ) -> Result<(&'k Plan, &'v [u8]), Unread> {
        match Framed::split(value) {
            Framed::SingleObject { fingerprint, body }
                if fingerprint == self.name.fingerprint() =>
            {
                Ok((self.name.plan(), body))
            }
            Framed::SingleObject { .. } => Err(Unread::Rejected(Rejection::new(
                DeadLetterReason::UnknownSchema,
                format!("the fingerprint is not that of {:?}", self.name),
            ))),
            Framed::Confluent { id, body } => Ok((known.reading(id, self.name)?, body)),
            Framed::Unframed => Err(Unread::Rejected(Rejection::new(
                DeadLetterReason::Undecodable,
                "neither Avro single-object encoding nor Confluent framing",
            ))),
        }
    }
}
