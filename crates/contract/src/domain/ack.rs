//! How far a reader says that it has applied a segment topic: the key and the value of `reader-acks`, and the Avro body
//! (`assent.v1.ReaderAck`).
//!
//! Readers write it, not Assent: whatever it says is somebody else's word.

use std::fmt;

use super::binary::Write;
use super::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Longest key: an id of 64, a topic of 249, a partition of 10, and what is between them.
pub const KEY_BYTES_MAX: usize = 64 + 249 + 10 + 2;

/// `reader/topic/partition`: neither ids nor topics have a slash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AckKey {
    pub reader: String,
    pub topic: String,
    pub partition: i32,
}

impl AckKey {
    /// `None`: it is no such key.
    pub fn parse(key: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(key).ok().filter(|_| key.len() <= KEY_BYTES_MAX)?;
        let mut parts = text.split('/');
        let (reader, topic) = (parts.next()?.to_owned(), parts.next()?.to_owned());
        let partition: i32 = parts.next()?.parse().ok()?;
        let key = Self { reader, topic, partition };
        // One spelling alone: `+1` and `01` are other keys, which compaction keeps apart.
        (key.to_string() == text && partition >= 0).then_some(key)
    }
}

impl fmt::Display for AckKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.reader, self.topic, self.partition)
    }
}

/// The value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReaderAck {
    /// Of the next record: everything below is applied.
    pub offset: i64,
    pub at: Timestamp,
}

impl ReaderAck {
    /// The Avro body of `assent.v1.ReaderAck`.
    pub fn body(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16);
        out.put_long(self.offset);
        out.put_long(self.at.0);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_spelling() {
        let key = AckKey { reader: "mail".into(), topic: "segments.ads".into(), partition: 11 };
        assert_eq!(AckKey::parse(b"mail/segments.ads/11"), Some(key));
        for wrong in [
            "",
            "mail",
            "mail/segments.ads",
            "mail/segments.ads/",
            "mail/segments.ads/-1",
            "mail/segments.ads/+1",
            "mail/segments.ads/01",
            "mail/segments.ads/1/2",
            "mail/segments.ads/9999999999",
        ] {
            assert_eq!(AckKey::parse(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(AckKey::parse(b"\xff/t/1"), None);
        let long = format!("{}/t/1", "a".repeat(KEY_BYTES_MAX));
        assert_eq!(AckKey::parse(long.as_bytes()), None);
    }
}
