//! What an identifier may look like (docs/contract/topics.md, pseudonyms.md, bad-input.md).

/// Longest `subject_id` or `session_id` and consent key, in bytes (docs/contract/bad-input.md#clicks).
pub const ID_BYTES_MAX: usize = 512;

/// Keys and ids that begin so are Assent's own: heartbeats and the canary (docs/contract/topics.md).
pub const RESERVED_PREFIX: &str = "__assent_";

/// The heartbeat key of a partition is this and the partition's number.
pub const HEARTBEAT_PREFIX: &str = "__assent_heartbeat_";

/// Purposes that no rulebook may declare: key domains of Assent's own
/// (docs/contract/pseudonyms.md#derivation).
pub const RESERVED_PURPOSES: [&str; 3] = ["audit", "state", "canary"];

/// May this be the id of a subject or a session?
pub fn is_valid_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= ID_BYTES_MAX && !id.starts_with(RESERVED_PREFIX)
}

/// Does this match `[a-z0-9-]{1,64}`, the form of purpose and segment ids?
pub fn is_slug(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
