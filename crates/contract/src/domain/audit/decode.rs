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

impl AuditEntry {
    /// Reads what [`AuditEntry::encode`] wrote, and leaves what comes after it.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        entry(reader)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::binary::Write;

    /// A batch without entries, up to its two arrays.
    fn head() -> Vec<u8> {
        let mut body = Vec::new();
        AuditBatch {
            chain: "assent/3".to_owned(),
            sequence: 1,
            previous: [1; 32],
            decided_at: Timestamp(2),
            rulebook: "r1".to_owned(),
            rulebook_sha256: [3; 32],
            key_version: 4,
            click_from: 5,
            click_to: 6,
            consent_from: 7,
            consent_to: 8,
            barrier: 9,
            gate_open: true,
            purposes: Vec::new(),
            entries: Vec::new(),
        }
        .encode(&mut body);
        body.truncate(body.len() - 2);
        body
    }

    #[test]
    fn arrays_come_in_any_blocks() {
        let mut body = head();
        for purpose in ["a", "b"] {
            body.put_long(-1);
            body.put_long(2); // the block's bytes
            body.put_string(purpose);
        }
        body.put_long(0);
        body.put_long(0);
        assert_eq!(AuditBatch::decode(&body).unwrap().purposes, ["a", "b"]);
    }

    #[test]
    fn a_hostile_count_ends_with_the_bytes() {
        for count in [i64::MAX, i64::MIN, -1, 1 << 40] {
            let mut body = head();
            body.put_long(count);
            body.extend([0; 64]);
            assert!(AuditBatch::decode(&body).is_err(), "{count}");
        }
    }

    #[test]
    fn an_effect_is_an_assignment_or_a_tombstone() {
        for (hash, reason) in [(false, false), (true, true)] {
            let mut bytes = vec![0, 2]; // purpose 0, key version 1
            bytes.put_long(i64::from(hash));
            bytes.put_fixed(if hash { &[0; 32] } else { &[] });
            bytes.put_long(i64::from(reason));
            bytes.put_fixed(if reason { &[0] } else { &[] });
            assert!(effect(&mut Reader::new(&bytes)).is_err());
        }
    }
}
