//! What names a subject in the state, and the bucket of the state topic that it lies in.

/// Pseudonym of the reserved purpose `state`: 16 bytes of HMAC, big-endian.
pub type StateToken = u128;

/// A bucket's number is the first byte of its subjects' tokens.
pub const BUCKETS: usize = 256;

/// Tokens are keyed hashes: nobody chooses them.
pub fn hash(token: &[u8; 16]) -> u64 {
    u64::from_le_bytes(*token.last_chunk().expect("16 bytes end in 8"))
}

pub fn bucket_of(token: StateToken) -> usize {
    (token >> 120) as usize
}

/// `None`: it is beyond the last bucket.
pub fn first_of_bucket(bucket: usize) -> Option<StateToken> {
    (bucket < BUCKETS).then_some((bucket as StateToken) << 120)
}
