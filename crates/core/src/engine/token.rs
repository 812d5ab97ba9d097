//! What names a subject in the state, and the bucket of the state topic that it lies in.

/// Pseudonym of the reserved purpose `state`: 16 bytes of HMAC, big-endian.
pub type StateToken = u128;

/// A bucket's number is the first byte of its subjects' tokens.
pub const BUCKETS: usize = 256;

pub fn bucket_of(token: StateToken) -> usize {
    (token >> 120) as usize
}
