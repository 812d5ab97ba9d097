//! What a partition's own record in the state claims: for whoever re-reads the topics and compares.

use std::collections::BTreeMap;

use super::ledger::Ledger;
use super::store::{self, meta_key};
use assent_contract::domain::audit::Sha256Hash;

pub struct Claim {
    /// The chain's next sequence, and the hash of the batch before it.
    pub next_sequence: i64,
    pub head: Sha256Hash,
    /// By key version.
    pub key_fingerprints: BTreeMap<u8, [u8; 32]>,
}

impl Claim {
    /// `None`: another record of the state, or of a form that this version does not know.
    pub fn read(key: &[u8], value: &[u8]) -> Option<Self> {
        if key != meta_key() {
            return None;
        }
        let (ledger, _) = Ledger::unpack(value).ok()?;
        let Ledger { next_sequence, head, key_fingerprints, .. } = ledger;
        Some(Self { next_sequence, head, key_fingerprints })
    }

    /// The audit sequence of an accepted loss; `None`: another record of the state.
    pub fn loss(key: &[u8]) -> Option<i64> {
        let sequence = std::str::from_utf8(key).ok()?.strip_prefix("l/")?.parse().ok()?;
        (store::loss_key(sequence) == key).then_some(sequence)
    }
}
