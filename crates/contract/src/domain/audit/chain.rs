//! How batches are linked: each names the SHA-256 of its predecessor's body.

use sha2::{Digest, Sha256};

use super::Sha256Hash;

/// What the first batch of a chain names as its predecessor.
pub const GENESIS: Sha256Hash = [0; 32];

/// The hash of an Avro body, without its framing.
pub fn body_hash(body: &[u8]) -> Sha256Hash {
    Sha256::digest(body).into()
}

/// `{group_id}/{partition}`: the chain's name and the audit record's Kafka key.
pub fn name(group_id: &str, partition: i32) -> String {
    format!("{group_id}/{partition}")
}
