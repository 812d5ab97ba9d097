//! A record of the clickstream to a [`Click`], borrowed from its bytes, without an allocation
//! but for a GPP string's few section ids.
//!
//! Hands on only the fields that the gate or a live rule reads (INV-11). The reasons
//! come in the order of docs/contract/bad-input.md#clicks; `EVENT_TIME_AHEAD` and too late need a clock
//! and are the engine's.

mod direct;

use super::Inbound;
use super::avro::{self, Bounds, Plan, Undecodable, Value};
use super::framing::{WriterSchemas, frame};
use super::gpp;
use super::known::{KnownSchemas, Unread};
use super::schema::SchemaName;
use crate::domain::binary::Write as _;
use crate::domain::canary;
use crate::domain::event::{Click, ClickEvent, ClickFields, EventKind, SignalSource};
use crate::domain::ids::{is_canary_of, is_valid_id};
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

    /// The click, or the first reason of docs/contract/bad-input.md#clicks that applies, where there is
    /// no registry.
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
        let (plan, body) = self.schemas.resolve(payload, known)?;
        let click = self.decode(plan, body)?;
        check_ids(&click, inbound.partition)?;
        self.check_place(inbound, &click)?;
        Ok(click)
    }

    fn decode<'a>(&self, plan: &Plan, body: &'a [u8]) -> Result<Click<'a>, Rejection> {
        if std::ptr::eq(plan, SchemaName::ClickEvent.plan())
            && let Some(click) = direct::read(body, self.fields)
        {
            return Ok(click);
        }
        decode_by_plan(plan, body, self.fields)
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
        if inbound.partition != expected && !is_canary_of(key, inbound.partition) {
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
fn decode_by_plan<'a>(
    plan: &Plan,
    body: &'a [u8],
    fields: ClickFields,
) -> Result<Click<'a>, Rejection> {
    let value = avro::decode(plan, body, Bounds::INPUT);
    value.and_then(|value| from_value(value, fields)).map_err(|_| {
        Rejection::new(
            DeadLetterReason::Undecodable,
            "the value is not exactly one complete ClickEvent",
        )
    })
}

fn check_ids(click: &Click<'_>, partition: i32) -> Result<(), Rejection> {
    let invalid = |detail: String| Err(Rejection::new(DeadLetterReason::InvalidField, detail));
    let malformed =
        |field| invalid(format!("{field} is empty, over 512 bytes or begins with __assent_"));
    let is_canary = click.subject_id.is_some_and(|id| is_canary_of(id.as_bytes(), partition));
    if !is_canary && !click.subject_id.is_none_or(is_valid_id) {
        malformed("subject_id")
    } else if !is_valid_id(click.session_id) {
        malformed("session_id")
    } else if is_canary && !canary::is_click(click) {
        invalid(canary::CLICK.to_owned())
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
    let mut body = Vec::new();
    body.put_string(&click.event_id);
    body.put_optional_string(click.subject_id.as_deref());
    body.put_string(&click.session_id);
    body.put_long(click.occurred_at.0);
    body.put_long(click.kind as i64);
    body.put_optional_string(click.category.as_deref());
    body.put_optional_string(click.product_id.as_deref());
    body.put_optional_string(click.product_age_range.as_deref());
    body.put_optional_long(click.value_cents);
    body.put_optional_string(click.region.as_deref());
    body.put_long(click.gpc.is_some().into());
    if let Some(gpc) = click.gpc {
        body.put_bool(gpc);
    }
    body.put_optional_string(click.gpp.as_deref());
    body
}

/// What a writer's schema wrote. Every field is checked, read or not, so that whether a click can be
/// decoded does not depend on the rules.
///
/// A branch of the writer's that ours has not is an error (Avro's), but in `gpc` and `gpp`: there the
/// visitor said something that we can't read, and it counts as an opt-out.
fn from_value(value: Value<'_>, fields: ClickFields) -> Result<Click<'_>, Undecodable> {
    let [
        event_id,
        subject_id,
        session_id,
        occurred_at,
        kind,
        category,
        product_id,
        product_age_range,
        value_cents,
        region,
        gpc,
        gpp,
    ] = value.fields()?;
    event_id.text()?;
    let kind = EventKind::from_symbol(kind.symbol()?).ok_or(Undecodable)?;
    let category = category.optional(Value::text)?;
    let product_id = product_id.optional(Value::text)?;
    let product_age_range = product_age_range.optional(Value::text)?;
    let value_cents = value_cents.optional(Value::long)?;
    let region = region.optional(Value::text)?;
    let gpc = match gpc {
        Value::Foreign => Some(true),
        gpc => gpc.optional(Value::boolean)?,
    };
    let opt_out_signal = match gpp {
        Value::Foreign => gpp::signal(gpc, None).or(Some(SignalSource::GppUndecodable)),
        gpp => gpp::signal(gpc, gpp.optional(Value::text)?),
    };
    Ok(Click {
        subject_id: subject_id.optional(Value::text)?,
        session_id: session_id.text()?,
        occurred_at: Timestamp(occurred_at.long()?),
        kind: if fields.kind { kind } else { EventKind::default() },
        category: category.filter(|_| fields.category),
        product_id: product_id.filter(|_| fields.product_id),
        product_age_range: product_age_range.filter(|_| fields.product_age_range),
        value_cents: value_cents.filter(|_| fields.value_cents),
        region: region.filter(|_| fields.region),
        gpc,
        opt_out_signal,
    })
}

#[cfg(test)]
mod tests;
