//! A batch as far as its chain goes: for those who follow chains and never ask what was decided.
//!
//! Passes over the entries without keeping one, and refuses the bodies that [`super::AuditBatch::decode`]
//! refuses.

use super::Sha256Hash;
use crate::domain::binary::{Malformed, Reader};
use crate::domain::outcome::{InputKind, Outcome, Verdict};
use crate::domain::time::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    pub chain: String,
    pub sequence: i64,
    pub previous: Sha256Hash,
    pub decided_at: Timestamp,
    /// How many it has.
    pub entries: u64,
}

impl Outline {
    pub fn read(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let chain = reader.string()?.to_owned();
        let sequence = reader.long()?;
        let previous = reader.fixed()?;
        let decided_at = Timestamp(reader.long()?);
        reader.string()?;
        reader.fixed::<32>()?;
        pass_key_version(&mut reader)?;
        for _ in ["click_from", "click_to", "consent_from", "consent_to", "barrier"] {
            reader.long()?;
        }
        reader.bool()?;
        reader.pass_array(|reader| reader.string().map(drop))?;
        let entries = reader.pass_array(pass_entry)?;
        reader.end()?;
        Ok(Self { chain, sequence, previous, decided_at, entries })
    }
}

fn pass_entry(reader: &mut Reader<'_>) -> Result<(), Malformed> {
    reader.symbol(InputKind::ALL)?;
    reader.optional_long()?;
    reader.symbol(Outcome::ALL)?;
    reader.optional_fixed::<17>()?;
    reader.optional_long()?;
    reader.pass_array(|reader| reader.symbol(Verdict::ALL).map(drop))?;
    reader.pass_array(pass_effect).map(drop)
}

fn pass_effect(reader: &mut Reader<'_>) -> Result<(), Malformed> {
    u16::try_from(reader.int()?).map_err(|_| Malformed("purpose index"))?;
    pass_key_version(reader)?;
    match (reader.optional_fixed::<32>()?, reader.optional_string()?) {
        (Some(_), None) | (None, Some(_)) => Ok(()),
        _ => Err(Malformed("effect: either a hash or a reason")),
    }
}

fn pass_key_version(reader: &mut Reader<'_>) -> Result<(), Malformed> {
    u8::try_from(reader.int()?).map(drop).map_err(|_| Malformed("key version"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::audit::AuditBatch;

    /// The contract's batches, and each of them with one byte changed or cut off.
    #[test]
    fn an_outline_says_what_the_whole_batch_says() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../../../../tests/vectors/vectors.json"))
                .unwrap();
        for case in vectors["audit_chain"]["batches"].as_array().unwrap() {
            let hex = case["body_hex"].as_str().unwrap();
            let body: Vec<u8> = (0..hex.len() / 2)
                .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
                .collect();
            check(&body);
            assert!(Outline::read(&body).is_ok());
            for at in 0..body.len() {
                check(&body[..at]);
                for byte in [0, 1, 2, 3, 0x7f, 0x80, 0xff, body[at] ^ 1, body[at] ^ 0x80] {
                    let mut altered = body.clone();
                    altered[at] = byte;
                    check(&altered);
                }
            }
        }
    }

    #[track_caller]
    fn check(body: &[u8]) {
        let whole = AuditBatch::decode(body).map(|batch| Outline {
            entries: batch.entries.len() as u64,
            chain: batch.chain,
            sequence: batch.sequence,
            previous: batch.previous,
            decided_at: batch.decided_at,
        });
        assert_eq!(Outline::read(body), whole);
    }
}
