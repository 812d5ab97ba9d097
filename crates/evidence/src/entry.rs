//! One line of the log: one audit batch.
//!
//! ```text
//! assent/v1 <chain> <sequence> <SHA-256 of the batch's Avro body, lower-case hex> <decided_at, epoch ms>
//! ```
//!
//! UTF-8, without a newline. A reader takes no other spelling of the same batch.

use std::fmt::{self, Write as _};

use crate::hash::Hash;

const VERSION: &str = "assent/v1";

/// A group's id takes 200 characters, a partition's number 10.
pub const CHAIN_BYTES_MAX: usize = 256;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `{group_id}/{partition}`.
    pub chain: String,
    /// From 0.
    pub sequence: i64,
    /// SHA-256 of the batch's Avro body, without its framing.
    pub sha256: Hash,
    /// Epoch milliseconds.
    pub decided_at: i64,
}

impl Entry {
    /// `None`: this is no entry.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(line).ok()?;
        let mut parts = text.split(' ');
        let version = parts.next()?;
        let entry = Self {
            chain: parts.next()?.to_owned(),
            sequence: parts.next()?.parse().ok()?,
            sha256: unhex(parts.next()?)?,
            decided_at: parts.next()?.parse().ok()?,
        };
        let is_one = version == VERSION && is_chain(&entry.chain) && entry.sequence >= 0;
        (is_one && entry.to_string() == text).then_some(entry)
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { chain, sequence, sha256, decided_at } = self;
        write!(f, "{VERSION} {chain} {sequence} {} {decided_at}", hex(sha256))
    }
}

/// May a chain be named so? Printable ASCII without a space, with its partition behind the last slash.
pub fn is_chain(name: &str) -> bool {
    partition_of(name).is_some()
        && name.len() <= CHAIN_BYTES_MAX
        && name.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The partition that a chain is of.
pub fn partition_of(chain: &str) -> Option<i32> {
    let (group, partition) = chain.rsplit_once('/')?;
    let number: i32 = partition.parse().ok()?;
    (!group.is_empty() && number >= 0 && number.to_string() == partition).then_some(number)
}

/// In lower-case hex.
pub fn hex(hash: &Hash) -> String {
    let mut text = String::with_capacity(64);
    for byte in hash {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// 32 bytes in lower-case hex.
pub fn unhex(text: &str) -> Option<Hash> {
    let mut hash = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(hash)
}

fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff";

    #[test]
    fn an_entry_is_the_contracts_line() {
        let line = format!("assent/v1 shop.assent/3 41 {HASH} 1795305600000");
        let entry = Entry::parse(line.as_bytes()).unwrap();
        assert_eq!((entry.chain.as_str(), entry.sequence), ("shop.assent/3", 41));
        assert_eq!((entry.sha256[1], entry.decided_at), (0xff, 1_795_305_600_000));
        assert_eq!(entry.to_string(), line);
    }

    #[test]
    fn nothing_else_is_one() {
        for wrong in [
            String::new(),
            format!("assent/v2 a/0 0 {HASH} 1"),
            format!("assent/v1 a/0 00 {HASH} 1"),
            format!("assent/v1 a/0 -1 {HASH} 1"),
            format!("assent/v1 a/0 +1 {HASH} 1"),
            format!("assent/v1 a/0  0 {HASH} 1"),
            format!("assent/v1 a/0 0 {HASH} 1 "),
            format!("assent/v1 a/0 0 {HASH} 1\n"),
            format!("assent/v1 a/0 0 {} 1", HASH.to_uppercase()),
            format!("assent/v1 a/0 0 {} 1", &HASH[2..]),
            format!("assent/v1 a 0 {HASH} 1"),
            format!("assent/v1 /0 0 {HASH} 1"),
            format!("assent/v1 a/-1 0 {HASH} 1"),
            format!("assent/v1 a/01 0 {HASH} 1"),
            format!("assent/v1 \u{1b}/0 0 {HASH} 1"),
            format!("assent/v1 {}/0 0 {HASH} 1", "a".repeat(CHAIN_BYTES_MAX)),
        ] {
            assert_eq!(Entry::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
