//! What an identifier may look like (docs/contract/topics.md, pseudonyms.md, bad-input.md).

/// Longest `subject_id` or `session_id` and consent key, in bytes (docs/contract/bad-input.md#clicks).
pub const ID_BYTES_MAX: usize = 512;

/// Keys and ids that begin so are Assent's own: heartbeats and the canary (docs/contract/topics.md).
pub const RESERVED_PREFIX: &str = "__assent_";

/// The heartbeat key of a partition is this and the partition's number.
pub const HEARTBEAT_PREFIX: &str = "__assent_heartbeat_";

/// The canary's subject of a partition is this and the partition's number: it lies in that very partition,
/// wherever its key would belong (docs/contract/topics.md#the-canary).
pub const CANARY_PREFIX: &str = "__assent_canary_";

/// The purpose of the canary, which nobody else can agree to.
pub const CANARY_PURPOSE: &str = "canary";

/// Purposes that no rulebook may declare: key domains of Assent's own
/// (docs/contract/pseudonyms.md#derivation).
pub const RESERVED_PURPOSES: [&str; 3] = ["audit", "state", CANARY_PURPOSE];

/// May this be the id of a subject or a session?
pub fn is_valid_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= ID_BYTES_MAX && !id.starts_with(RESERVED_PREFIX)
}

/// The canary's subject of a partition.
pub fn canary_of(partition: i32) -> String {
    format!("{CANARY_PREFIX}{partition}")
}

/// Is it the canary of this partition, and not merely named like one?
pub fn is_canary_of(id: &[u8], partition: i32) -> bool {
    id.starts_with(CANARY_PREFIX.as_bytes()) && id == canary_of(partition).as_bytes()
}

/// Does this match `[a-z0-9-]{1,64}`, the form of purpose and segment ids?
pub fn is_slug(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
