//! Which partition a key belongs to (docs/contract/topics.md#partitions).
//!
//! Pure functions of the key's bytes, equal to what the producers' libraries do, so that Assent can
//! check the partition of every keyed input. Null and empty keys hash as the empty string.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `kafka.partitioner`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Partitioner {
    /// Kafka's own default.
    #[default]
    Murmur2,
    /// librdkafka's `consistent`.
    Crc32,
}

impl Partitioner {
    pub const ALL: [Self; 2] = [Self::Murmur2, Self::Crc32];

    /// The partition of a key in a topic of `count` partitions, at least one.
    pub fn partition(self, key: &[u8], count: i32) -> i32 {
        let hash = match self {
            Self::Murmur2 => murmur2(key) & 0x7fff_ffff,
            Self::Crc32 => crc32fast::hash(key),
        };
        (hash % count.max(1) as u32) as i32
    }

    /// The configuration's word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Murmur2 => "murmur2",
            Self::Crc32 => "crc32",
        }
    }

    /// librdkafka's `partitioner` that places every keyed record alike.
    pub fn librdkafka_name(self) -> &'static str {
        match self {
            Self::Murmur2 => "murmur2",
            Self::Crc32 => "consistent",
        }
    }
}

impl fmt::Display for Partitioner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Neither `murmur2` nor `crc32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownPartitioner;

impl fmt::Display for UnknownPartitioner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a partitioner is murmur2 or crc32")
    }
}

impl std::error::Error for UnknownPartitioner {}

impl FromStr for Partitioner {
    type Err = UnknownPartitioner;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|each| each.name() == name).ok_or(UnknownPartitioner)
    }
}

/// `MurmurHash2`, 32 bit, with the seed of Kafka's Java client
/// (`org.apache.kafka.common.utils.Utils.murmur2`).
fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;

    let mut hash = SEED ^ data.len() as u32;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes(word.try_into().expect("chunks of four")).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let tail = words.remainder();
    if !tail.is_empty() {
        let mut last = [0; 4];
        last[..tail.len()].copy_from_slice(tail);
        hash = (hash ^ u32::from_le_bytes(last)).wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_those_of_the_contract() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../../../tests/vectors/vectors.json")).unwrap();
        for case in vectors["partitions"]["cases"].as_array().unwrap() {
            let key = case["key"].as_str().unwrap().as_bytes();
            let count = case["count"].as_i64().unwrap() as i32;
            for partitioner in Partitioner::ALL {
                let expected = case[partitioner.name()].as_i64().unwrap() as i32;
                assert_eq!(partitioner.partition(key, count), expected, "{case}");
            }
        }
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for partitioner in Partitioner::ALL {
            assert_eq!(partitioner.to_string().parse(), Ok(partitioner));
        }
        assert_eq!("Murmur2".parse::<Partitioner>(), Err(UnknownPartitioner));
    }
}
