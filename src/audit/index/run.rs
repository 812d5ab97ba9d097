//! Entries in memory, until there are enough of them to be written as one sorted run.
//!
//! ```text
//! entries of a token in a run:  CRC-32, 4 bytes | for each: long offset | long place | the entry's Avro
//! ```

use assent_contract::domain::audit::{AuditEntry, AuditToken};
use assent_contract::domain::binary::{Malformed, Reader, Write as _};

/// Of one partition. Its memory is what it holds, some 48 bytes for each entry, and at most twice that.
#[derive(Default)]
pub struct Run {
    bytes: Vec<u8>,
    entries: Vec<Slot>,
}

struct Slot {
    token: AuditToken,
    /// Where it stands in `bytes`: in the order of the topic.
    from: u32,
    to: u32,
}

/// An entry of a run: its batch's offset, its place there, and itself.
pub type Kept = (i64, u32, AuditEntry);

impl Run {
    /// An entry without a subject is nobody's.
    pub fn add(&mut self, offset: i64, place: u32, entry: &AuditEntry) {
        let Some(token) = entry.subject else { return };
        let from = self.bytes.len() as u32;
        self.bytes.put_long(offset);
        self.bytes.put_long(i64::from(place));
        entry.encode(&mut self.bytes);
        self.entries.push(Slot { token, from, to: self.bytes.len() as u32 });
    }

    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Everything of each token, sealed, in the order of the tokens.
    pub fn sorted(&mut self) -> impl Iterator<Item = (AuditToken, Vec<u8>)> {
        self.entries.sort_by_key(|it| it.token); // stable: the order of the topic stays
        self.entries.chunk_by(|a, b| a.token == b.token).map(|slots| {
            let parts = slots.iter().map(|it| &self.bytes[it.from as usize..it.to as usize]);
            (slots[0].token, sealed(parts))
        })
    }
}

/// A checksum, and what it is of.
pub fn sealed<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    parts.for_each(|part| bytes.extend_from_slice(part));
    let sum = crc32fast::hash(&bytes[4..]);
    bytes[..4].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// What was sealed; `None`: it is damaged.
pub fn opened(bytes: &[u8]) -> Option<&[u8]> {
    let (sum, rest) = bytes.split_first_chunk()?;
    (crc32fast::hash(rest) == u32::from_be_bytes(*sum)).then_some(rest)
}

/// The entries of one token.
pub fn entries(bytes: &[u8]) -> Result<Vec<Kept>, Malformed> {
    let (mut reader, mut entries) = (Reader::new(bytes), Vec::new());
    while !reader.is_empty() {
        let offset = reader.long()?;
        let place = u32::try_from(reader.long()?).map_err(|_| Malformed("place"))?;
        entries.push((offset, place, AuditEntry::decode(&mut reader)?));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use assent_contract::domain::outcome::{InputKind, Outcome, Verdict};

    use super::*;

    fn entry(token: Option<u8>, offset: i64) -> AuditEntry {
        AuditEntry {
            input: InputKind::Click,
            offset: Some(offset),
            outcome: Outcome::Decided,
            subject: token.map(|byte| [byte; 17]),
            consent_version: Some(3),
            verdicts: vec![Verdict::OptIn],
            effects: Vec::new(),
        }
    }

    #[test]
    fn entries_come_back_by_token_in_the_order_of_the_topic() {
        let mut run = Run::default();
        for (token, offset) in [(Some(7), 1), (None, 2), (Some(5), 3), (Some(7), 4)] {
            run.add(offset, 0, &entry(token, offset));
        }
        let sorted: Vec<_> = run.sorted().collect();
        let tokens: Vec<u8> = sorted.iter().map(|it| it.0[0]).collect();
        assert_eq!(tokens, [5, 7]);
        let read = entries(opened(&sorted[1].1).unwrap()).unwrap();
        assert_eq!(read, [(1, 0, entry(Some(7), 1)), (4, 0, entry(Some(7), 4))]);
    }

    #[test]
    fn one_bit_anywhere_is_found() {
        let bytes = sealed([b"some".as_slice(), b"bytes"].into_iter());
        assert_eq!(opened(&bytes), Some(b"somebytes".as_slice()));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(opened(&damaged), None, "{at}");
        }
        assert_eq!(opened(&bytes[..3]), None);
    }
}
