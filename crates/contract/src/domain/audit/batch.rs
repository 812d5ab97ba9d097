//! An audit batch and its Avro body (`assent.v1.AuditBatch`), byte for byte what the chain hashes.

use std::borrow::Cow;

use crate::domain::binary::Write;
use crate::domain::outcome::{InputKind, Outcome, TombstoneReason, Verdict};
use crate::domain::time::Timestamp;

/// SHA-256, as bytes.
pub type Sha256Hash = [u8; 32];

/// Pseudonym of the reserved purpose `audit`: the version byte, then 16 bytes of HMAC.
pub type AuditToken = [u8; 17];

/// What one transaction decided for one partition, or one part of it where the whole would pass
/// [`AuditBatch::BYTES_MAX`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditBatch {
    /// `{group_id}/{partition}`.
    pub chain: String,
    pub sequence: i64,
    /// SHA-256 of the previous batch's body; zeros at sequence 0.
    pub previous: Sha256Hash,
    pub decided_at: Timestamp,
    pub rulebook: String,
    pub rulebook_sha256: Sha256Hash,
    pub key_version: u8,
    pub click_from: i64,
    pub click_to: i64,
    pub consent_from: i64,
    pub consent_to: i64,
    pub barrier: i64,
    pub gate_open: bool,
    /// Sorted; the order of every entry's verdicts.
    pub purposes: Vec<String>,
    pub entries: Vec<AuditEntry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    pub input: InputKind,
    pub offset: Option<i64>,
    pub outcome: Outcome,
    pub subject: Option<AuditToken>,
    pub consent_version: Option<i64>,
    pub verdicts: Vec<Verdict>,
    pub effects: Vec<Effect>,
}

/// An assignment or a tombstone that an entry wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// Index into the batch's purposes.
    pub purpose: u16,
    pub key_version: u8,
    /// The assignment's body's hash, or why the key was removed.
    pub change: Change,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Assigned(Sha256Hash),
    /// A reason read from a foreign log may be unknown to this version, hence text.
    Removed(Cow<'static, str>),
}

impl AuditBatch {
    /// A batch's body stays below this, well under the broker's default `message.max.bytes` of 1 MiB.
    pub const BYTES_MAX: usize = 512 * 1024;

    pub fn encode(&self, out: &mut Vec<u8>) {
        self.encode_head(out);
        put_array(out, &self.entries, |out, entry| entry.encode(out));
    }

    /// All fields but the last one, the entries.
    pub fn encode_head(&self, out: &mut Vec<u8>) {
        out.put_string(&self.chain);
        out.put_long(self.sequence);
        out.put_fixed(&self.previous);
        out.put_long(self.decided_at.0);
        out.put_string(&self.rulebook);
        out.put_fixed(&self.rulebook_sha256);
        out.put_long(i64::from(self.key_version));
        for offset in
            [self.click_from, self.click_to, self.consent_from, self.consent_to, self.barrier]
        {
            out.put_long(offset);
        }
        out.put_bool(self.gate_open);
        put_array(out, &self.purposes, |out, purpose| out.put_string(purpose));
    }
}

impl AuditEntry {
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_long(self.input as i64);
        out.put_optional_long(self.offset);
        out.put_long(self.outcome as i64);
        match &self.subject {
            None => out.put_long(0),
            Some(token) => {
                out.put_long(1);
                out.put_fixed(token);
            }
        }
        out.put_optional_long(self.consent_version);
        put_array(out, &self.verdicts, |out, verdict| out.put_long(*verdict as i64));
        put_array(out, &self.effects, |out, effect| effect.encode(out));
    }

    /// An upper bound of the encoded size, cheap to know beforehand.
    pub fn bytes_max(&self) -> usize {
        64 + self.verdicts.len() + self.effects.len() * 64
    }
}

impl Effect {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_long(i64::from(self.purpose));
        out.put_long(i64::from(self.key_version));
        match &self.change {
            Change::Assigned(hash) => {
                out.put_long(1);
                out.put_fixed(hash);
                out.put_long(0);
            }
            Change::Removed(reason) => {
                out.put_long(0);
                out.put_long(1);
                out.put_string(reason);
            }
        }
    }

    pub fn removed(purpose: u16, key_version: u8, reason: TombstoneReason) -> Self {
        Self { purpose, key_version, change: Change::Removed(Cow::Borrowed(reason.label())) }
    }
}

/// One block of items, then the end: an array as Avro writes it.
fn put_array<T>(out: &mut Vec<u8>, items: &[T], mut put: impl FnMut(&mut Vec<u8>, &T)) {
    if !items.is_empty() {
        out.put_long(items.len() as i64);
        for item in items {
            put(out, item);
        }
    }
    out.put_long(0);
}
