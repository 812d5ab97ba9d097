//! A dead letter and its Avro body (`assent.v1.DeadLetter`): an input that could not be used, or a whole
//! batch of them that nobody can read. Kafka key: `topic/partition/offset`, of a batch
//! `topic/partition/first-last`, its body names the first.
//!
//! Never holds the payload, which lies at these coordinates until its own topic's retention, nor
//! any byte of it (INV-6).

use super::audit::Sha256Hash;
use super::binary::{Malformed, Reader, Write};
use super::outcome::DeadLetterReason;
use super::time::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    pub reason: DeadLetterReason,
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// `None`: there was no value.
    pub payload_sha256: Option<Sha256Hash>,
    pub failed_at: Timestamp,
    /// For a person: what is wrong.
    pub detail: String,
}

impl DeadLetter {
    /// The Kafka key: `topic/partition/offset`.
    pub fn key(&self) -> String {
        format!("{}/{}/{}", self.topic, self.partition, self.offset)
    }

    /// The Kafka key where it stands for all offsets up to `last`: `topic/partition/first-last`.
    pub fn range_key(&self, last: i64) -> String {
        format!("{}-{last}", self.key())
    }

    /// The last offset that it stands for, where its Kafka key is of a range.
    pub fn last_offset(&self, key: &[u8]) -> Option<i64> {
        let range = std::str::from_utf8(key).ok()?.strip_prefix(&self.key())?.strip_prefix('-')?;
        let last = range.parse().ok().filter(|last| *last >= self.offset)?;
        (self.range_key(last).as_bytes() == key).then_some(last)
    }

    /// The Avro body of `assent.v1.DeadLetter`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_long(self.reason as i64);
        out.put_string(&self.topic);
        out.put_long(i64::from(self.partition));
        out.put_long(self.offset);
        match &self.payload_sha256 {
            None => out.put_long(0),
            Some(hash) => {
                out.put_long(1);
                out.put_fixed(hash);
            }
        }
        out.put_long(self.failed_at.0);
        out.put_string(&self.detail);
    }

    /// Reads a whole body; bytes that are left are refused.
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let letter = Self {
            reason: reader.symbol(DeadLetterReason::ALL)?,
            topic: reader.string()?.to_owned(),
            partition: reader.int()?,
            offset: reader.long()?,
            payload_sha256: reader.optional_fixed()?,
            failed_at: Timestamp(reader.long()?),
            detail: reader.string()?.to_owned(),
        };
        reader.end()?;
        Ok(letter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_letter_survives_its_encoding() {
        for payload_sha256 in [None, Some([7; 32])] {
            let letter = DeadLetter {
                reason: DeadLetterReason::WrongKey,
                topic: "clickstream".to_owned(),
                partition: 11,
                offset: 1 << 40,
                payload_sha256,
                failed_at: Timestamp(1_795_305_600_000),
                detail: "the key is neither".to_owned(),
            };
            let mut body = Vec::new();
            letter.encode(&mut body);
            assert_eq!(DeadLetter::decode(&body), Ok(letter));
            body.push(0);
            assert_eq!(DeadLetter::decode(&body), Err(Malformed("end: bytes are left over")));
        }
        let letter = DeadLetter::decode(&[0, 2, b't', 4, 6, 0, 0, 0]).unwrap();
        assert_eq!(letter.key(), "t/2/3");
        assert_eq!(letter.range_key(9), "t/2/3-9");
    }

    #[test]
    fn a_key_that_names_a_range_says_how_far_it_goes() {
        let letter = DeadLetter::decode(&[0, 2, b't', 4, 6, 0, 0, 0]).unwrap();
        for (key, expected) in [
            ("t/2/3-9", Some(9)),
            ("t/2/3-3", Some(3)),
            ("t/2/3", None),
            ("t/2/3-2", None),
            ("t/2/3-+9", None),
            ("t/2/4-9", None),
            ("t/1/3-9", None),
            ("t/2/3-x", None),
        ] {
            assert_eq!(letter.last_offset(key.as_bytes()), expected, "{key}");
        }
    }
}
