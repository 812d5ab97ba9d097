//! Reads an audit batch's body back: the mirror of `batch`, for those who verify.
//!
//! Takes any array blocks that Avro allows, never panics, and never allocates more than the body is
//! long times a constant.

use std::borrow::Cow;

use super::{AuditBatch, AuditEntry, Change, Effect};
use crate::domain::binary::{Malformed, Reader};
use crate::domain::outcome::{InputKind, Outcome, Verdict};
use crate::domain::time::Timestamp;

impl AuditBatch {
    /// Reads a whole body; bytes that are left are refused.
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let batch = Self {
            chain: reader.string()?.to_owned(),
            sequence: reader.long()?,
            previous: reader.fixed()?,
            decided_at: Timestamp(reader.long()?),
            rulebook: reader.string()?.to_owned(),
            rulebook_sha256: reader.fixed()?,
            key_version: key_version(&mut reader)?,
            click_from: reader.long()?,
            click_to: reader.long()?,
            consent_from: reader.long()?,
            consent_to: reader.long()?,
            barrier: reader.long()?,
            gate_open: reader.bool()?,
            purposes: reader.array(|reader| reader.string().map(str::to_owned))?,
            entries: reader.array(entry)?,
        };
        reader.end()?;
        Ok(batch)
    }
}

fn entry(reader: &mut Reader<'_>) -> Result<AuditEntry, Malformed> {
    Ok(AuditEntry {
        input: reader.symbol(InputKind::ALL)?,
        offset: reader.optional_long()?,
        outcome: reader.symbol(Outcome::ALL)?,
        subject: reader.optional_fixed()?,
        consent_version: reader.optional_long()?,
        verdicts: reader.array(|reader| reader.symbol(Verdict::ALL))?,
        effects: reader.array(effect)?,
    })
}

fn effect(reader: &mut Reader<'_>) -> Result<Effect, Malformed> {
    let purpose = u16::try_from(reader.int()?).map_err(|_| Malformed("purpose index"))?;
    let key_version = key_version(reader)?;
    let change = match (reader.optional_fixed()?, reader.optional_string()?) {
        (Some(hash), None) => Change::Assigned(hash),
        (None, Some(reason)) => Change::Removed(Cow::Owned(reason.to_owned())),
        _ => return Err(Malformed("effect: either a hash or a reason")),
    };
    Ok(Effect { purpose, key_version, change })
}

fn key_version(reader: &mut Reader<'_>) -> Result<u8, Malformed> {
    u8::try_from(reader.int()?).map_err(|_| Malformed("key version"))
}
