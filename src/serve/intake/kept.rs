//! What waits in `consent-intake-state` beside commands: data alone, for whoever writes, owns or lists it.
//!
//! ```text
//! h/<key of the identity>/<request>   sealed: Held                what a platform said of whom nobody maps
//! d/<random>                          {"source": .., "counts"}    what a comparison found; nothing of anybody
//! ```
//!
//! Each lies in the partition of its key.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::seal;
use crate::pace;
use crate::serve::keys::KeysInUse;
use assent_contract::domain::time::{Span, Timestamp};
use assent_intake::source::Heard;

/// What is held has this before the key of its identity.
pub const HELD: &str = "h/";

/// After that nobody can be expected to map it any more, and it is gone.
pub const HELD_FOR: Span = Span(7 * Span::DAY.0);

/// What is sealed.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    pub request_id: String,
    /// Of the platform.
    pub source: String,
    pub kind: String,
    pub received_at: Timestamp,
    pub heard: Heard,
}

impl Held {
    /// Of the record that holds it.
    pub fn key(&self, identity: &str) -> String {
        format!("{HELD}{identity}/{}", self.request_id)
    }

    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain data")
    }

    pub fn ends_at(&self) -> Timestamp {
        self.received_at + HELD_FOR
    }
}

/// The key of the identity, of a record's key.
pub fn identity_of(key: &str) -> Option<&str> {
    key.strip_prefix(HELD)?.split_once('/').map(|(identity, _)| identity)
}

/// `None`: nobody can read it.
pub fn open_held(keys: &KeysInUse, key: &str, value: &[u8]) -> Option<Held> {
    let opened = seal::open_lasting(&keys.ring, key.as_bytes(), value);
    let held = opened.ok().and_then(|plain| serde_json::from_slice(&plain).ok());
    if held.is_none()
        && let Some(repeated) = pace::may_say("intake held")
    {
        tracing::error!(repeated, "what is held of somebody can't be read, and is not applied");
    }
    held
}

/// One that an owner has, by the key of its record.
pub type AllHeld = BTreeMap<String, (i32, Held)>;

/// What is noted has this before its random key.
pub const DRIFT: &str = "d/";

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drift {
    pub source: String,
    pub counts: BTreeMap<String, u64>,
}

/// Notes that an owner has, by the key of their record.
pub type AllDrift = BTreeMap<String, (i32, Drift)>;

/// What is no command.
pub enum Kept {
    Held(Held),
    Drift(Drift),
}

/// `None`: it is nothing that this version knows, or nobody can read it.
pub fn open_kept(keys: &KeysInUse, key: &str, value: &[u8]) -> Option<Kept> {
    if key.starts_with(HELD) {
        return open_held(keys, key, value).map(Kept::Held);
    }
    key.starts_with(DRIFT).then(|| serde_json::from_slice(value).ok().map(Kept::Drift)).flatten()
}
