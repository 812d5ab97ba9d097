//! A record of the clickstream to a [`Click`], borrowed from its bytes, without an allocation
//! but for a GPP string's few section ids.
//!
//! Reads by projection: only the fields that the gate or a live rule reads (INV-11). The reasons
//! come in section 10's order; `EVENT_TIME_AHEAD` and too late need a clock and are the engine's.

mod direct;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};

use serde_avro_fast::Schema;

use super::Inbound;
use super::datum::{self, Skipped};
use super::framing::{WriterSchemas, frame};
use super::gpp;
use super::known::{KnownSchemas, Unread};
use super::schema::SchemaName;
use crate::domain::event::{Click, ClickEvent, ClickFields, EventKind};
use crate::domain::ids::is_valid_id;
use crate::domain::intake::Rejection;
use crate::domain::outcome::DeadLetterReason;
use crate::domain::partitioner::Partitioner;
use crate::domain::time::Timestamp;

/// Reads the clicks of a topic of `partition_count` partitions.
pub struct ClickReader {
    fields: ClickFields,
    partitioner: Partitioner,
    partition_count: i32,
    schemas: WriterSchemas,
}

impl ClickReader {
    /// `fields`: which optional fields the live rules read.
    pub fn new(fields: ClickFields, partitioner: Partitioner, partition_count: i32) -> Self {
        let schemas = WriterSchemas::of(SchemaName::ClickEvent);
        Self { fields, partitioner, partition_count, schemas }
    }

    /// The click, or the first of section 10's reasons that applies, where there is no registry.
    pub fn read<'a>(&self, inbound: &Inbound<'a>) -> Result<Click<'a>, Rejection> {
        self.read_with(inbound, &KnownSchemas::none()).map_err(Unread::into_rejection)
    }

    /// The same with what is known of a registry; or that the click waits for what it says of an id.
    pub fn read_with<'a>(
        &self,
        inbound: &Inbound<'a>,
        known: &KnownSchemas,
    ) -> Result<Click<'a>, Unread> {
        let payload = inbound
            .payload
            .ok_or_else(|| Rejection::new(DeadLetterReason::NullValue, "a click needs a value"))?;
        let (schema, body) = self.schemas.resolve(payload, known)?;
        let click = self.decode(schema, body)?;
        check_ids(&click)?;
        self.check_place(inbound, &click)?;
        Ok(click)
    }

    fn decode<'a>(&self, schema: &Schema, body: &'a [u8]) -> Result<Click<'a>, Rejection> {
        if std::ptr::eq(schema, SchemaName::ClickEvent.schema())
            && let Some(click) = direct::read(body, self.fields)
        {
            return Ok(click);
        }
        decode_by_schema(schema, body, self.fields)
    }

    fn check_place(&self, inbound: &Inbound<'_>, click: &Click<'_>) -> Result<(), Rejection> {
        let key = click.subject_id.unwrap_or(click.session_id).as_bytes();
        if inbound.key != Some(key) {
            return Err(Rejection::new(
                DeadLetterReason::WrongKey,
                "the key is not the subject_id or, where there is none, the session_id",
            ));
        }
        let expected = self.partitioner.partition(key, self.partition_count);
        if inbound.partition != expected {
            return Err(Rejection::new(
                DeadLetterReason::WrongPartition,
                format!(
                    "partition {}, but {} puts this key into {expected} of {}",
                    inbound.partition, self.partitioner, self.partition_count
                ),
            ));
        }
        Ok(())
    }
}

/// Reads what any writer's schema wrote.
pub(super) fn decode_by_schema<'a>(
    schema: &Schema,
    body: &'a [u8],
    fields: ClickFields,
) -> Result<Click<'a>, Rejection> {
    datum::decode(schema, body, ClickSeed(fields)).map_err(|_| {
        Rejection::new(
            DeadLetterReason::Undecodable,
            "the value is not one ClickEvent, whole and with nothing after it",
        )
    })
}

fn check_ids(click: &Click<'_>) -> Result<(), Rejection> {
    let invalid = |field| {
        let detail = format!("{field} is empty, over 512 bytes or begins with __assent_");
        Err(Rejection::new(DeadLetterReason::InvalidField, detail))
    };
    if !click.subject_id.is_none_or(is_valid_id) {
        invalid("subject_id")
    } else if !is_valid_id(click.session_id) {
        invalid("session_id")
    } else {
        Ok(())
    }
}

/// A click's value in single-object encoding.
pub fn encode_click(click: &ClickEvent) -> Vec<u8> {
    frame(SchemaName::ClickEvent, &click_body(click))
}

/// A click's value without what stands before it.
pub fn click_body(click: &ClickEvent) -> Vec<u8> {
    datum::encode(SchemaName::ClickEvent, click)
}

/// Decodes the fields that are read and skips the rest.
#[derive(Clone, Copy)]
struct ClickSeed(ClickFields);

impl<'de> DeserializeSeed<'de> for ClickSeed {
    type Value = Click<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Click<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ClickSeed {
    type Value = Click<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a ClickEvent")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Click<'de>, A::Error> {
        let Self(fields) = self;
        let mut click = Click::default();
        let (mut session_id, mut occurred_at, mut gpp) = (None, None, None);
        while let Some(field) = map.next_key_seed(FieldSeed)? {
            match field {
                Field::SubjectId => click.subject_id = map.next_value()?,
                Field::SessionId => session_id = Some(map.next_value::<&str>()?),
                Field::OccurredAt => occurred_at = Some(map.next_value::<i64>()?),
                Field::Gpc => click.gpc = map.next_value()?,
                Field::Gpp => gpp = map.next_value::<Option<&str>>()?,
                Field::Kind if fields.kind => click.kind = map.next_value_seed(KindSeed)?,
                Field::Category if fields.category => click.category = map.next_value()?,
                Field::ProductId if fields.product_id => click.product_id = map.next_value()?,
                Field::ProductAgeRange if fields.product_age_range => {
                    click.product_age_range = map.next_value()?;
                }
                Field::ValueCents if fields.value_cents => click.value_cents = map.next_value()?,
                Field::Region if fields.region => click.region = map.next_value()?,
                _ => {
                    map.next_value::<Skipped>()?;
                }
            }
        }
        click.session_id = session_id.ok_or_else(|| Error::missing_field("session_id"))?;
        let occurred_at = occurred_at.ok_or_else(|| Error::missing_field("occurred_at"))?;
        click.occurred_at = Timestamp(occurred_at);
        click.opt_out_signal = click.gpc == Some(true) || gpp.is_some_and(gpp::says_opted_out);
        Ok(click)
    }
}

enum Field {
    SubjectId,
    SessionId,
    OccurredAt,
    Kind,
    Category,
    ProductId,
    ProductAgeRange,
    ValueCents,
    Region,
    Gpc,
    Gpp,
    /// `event_id`, and what a newer schema may add.
    Unread,
}

struct FieldSeed;

impl<'de> DeserializeSeed<'de> for FieldSeed {
    type Value = Field;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Field, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for FieldSeed {
    type Value = Field;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Field, E> {
        Ok(match name {
            "subject_id" => Field::SubjectId,
            "session_id" => Field::SessionId,
            "occurred_at" => Field::OccurredAt,
            "kind" => Field::Kind,
            "category" => Field::Category,
            "product_id" => Field::ProductId,
            "product_age_range" => Field::ProductAgeRange,
            "value_cents" => Field::ValueCents,
            "region" => Field::Region,
            "gpc" => Field::Gpc,
            "gpp" => Field::Gpp,
            _ => Field::Unread,
        })
    }
}

struct KindSeed;

impl<'de> DeserializeSeed<'de> for KindSeed {
    type Value = EventKind;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<EventKind, D::Error> {
        datum::symbol(deserializer)
    }
}

#[cfg(test)]
mod tests;
