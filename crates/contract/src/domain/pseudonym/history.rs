//! The tokens of every key version that still has its secret: what a reader of the topics compares
//! with. Emits nothing: whoever writes uses the ring.

use std::collections::BTreeMap;

use super::keyset::{Keyset, Status};
use super::ring::{Root, TokenKey};
use super::{Pseudonym, ring};
use crate::domain::audit::AuditToken;

/// All versions of a keyset, prepared for these purposes.
pub struct KeyHistory {
    versions: BTreeMap<u8, Status>,
    keys: BTreeMap<u8, Version>,
    /// Of the lowest version: the state's, and that of each purpose's holdout.
    state: TokenKey,
    holdouts: Vec<TokenKey>,
}

struct Version {
    audit: TokenKey,
    /// By the purpose's index.
    purposes: Vec<TokenKey>,
}

impl KeyHistory {
    pub fn new(keyset: &Keyset, purposes: &[String]) -> Self {
        let keys = keyset.secrets().map(|(version, _, secret)| {
            let root = Root::new(version, secret);
            let purposes = purposes.iter().map(|purpose| root.purpose_key(purpose)).collect();
            (version, Version { audit: root.purpose_key(ring::AUDIT), purposes })
        });
        let keys = keys.collect();
        let secret = |version| keyset.secrets().find(|(it, ..)| *it == version).map(|it| it.2);
        let lowest = secret(keyset.lowest()).expect("the lowest version keeps its secret");
        let lowest = Root::new(keyset.lowest(), lowest);
        Self {
            keys,
            versions: keyset.versions().collect(),
            state: lowest.purpose_key(ring::STATE),
            holdouts: purposes.iter().map(|purpose| lowest.holdout_key(purpose)).collect(),
        }
    }

    /// The versions whose tokens can be computed.
    pub fn versions(&self) -> impl Iterator<Item = u8> + '_ {
        self.keys.keys().copied()
    }

    /// `None`: the keyset has no such version.
    pub fn status(&self, version: u8) -> Option<Status> {
        self.versions.get(&version).copied()
    }

    /// The subject for a purpose; `None`: the version's secret is gone.
    pub fn pseudonym(&self, version: u8, purpose: usize, subject: &[u8]) -> Option<Pseudonym> {
        let keys = self.keys.get(&version)?;
        Some(keys.purposes[purpose].token(version, subject))
    }

    /// What says whether the subject is held out of a purpose.
    pub fn holdout_number(&self, purpose: usize, subject: &[u8]) -> u64 {
        self.holdouts[purpose].number(u128::from_be_bytes(self.state.hmac16(subject)))
    }

    /// The subject in the audit, under every version that can be computed.
    pub fn audit_tokens(&self, subject: &[u8]) -> impl Iterator<Item = AuditToken> {
        self.keys.iter().map(|(&version, keys)| keys.audit.token(version, subject).0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::KeyRing;
    use super::*;

    #[test]
    fn it_agrees_with_the_ring_that_writes() {
        let purposes = ["a".to_owned(), "b".to_owned()];
        let mut keyset = Keyset::first([1; 32]);
        keyset.rotate([2; 32]).unwrap();
        let (ring, history) =
            (KeyRing::new(&keyset, &purposes), KeyHistory::new(&keyset, &purposes));
        assert_eq!(history.versions().collect::<Vec<_>>(), [1, 2]);
        for version in [1, 2] {
            for purpose in 0..2 {
                let expected = ring.pseudonym_under(version, purpose, b"s");
                assert_eq!(history.pseudonym(version, purpose, b"s"), expected);
            }
        }
        assert_eq!(history.pseudonym(3, 0, b"s"), None);
        assert_eq!(history.status(3), None);
        assert_eq!(history.audit_tokens(b"s").nth(1), Some(ring.audit_token(b"s")));
        let number = ring.holdout_number(1, ring.state_token(b"s"));
        assert_eq!(history.holdout_number(1, b"s"), number);
        assert_ne!(history.holdout_number(0, b"s"), number);
    }

    #[test]
    fn an_emptied_version_is_known_and_makes_no_token() {
        let mut keyset = Keyset::first([1; 32]);
        keyset.rotate([2; 32]).unwrap();
        keyset.rotate([3; 32]).unwrap();
        keyset.retire(1).unwrap();
        keyset.retire(2).unwrap();
        let history = KeyHistory::new(&keyset, &[]);
        assert_eq!(history.versions().collect::<Vec<_>>(), [1, 3], "the lowest keeps its secret");
        assert_eq!(history.status(2), Some(Status::Retired));
    }
}
