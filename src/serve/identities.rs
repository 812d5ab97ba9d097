//! Which subject an identifier of a consent platform belongs to: a copy of `identity-map`.
//!
//! ```text
//! key: base64url of HMAC(kind 00 identifier)[..16]   value, sealed: {"subject_id": .., "mapped_at": ..}
//! ```
//!
//! Holds no identifier, neither here nor there: one is found again by its hash. Holds subjects, in memory alone.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::follow::{self, Following, Plan, Progress, Take};
use super::intake::seal;
use super::keys::{Keys, KeysInUse};
use crate::config::Config;
use crate::failure::Result;
use crate::kafka::events::Received;
use crate::pace;
use assent_contract::domain::time::Timestamp;
use assent_intake::source::Identifier;

const ASK_EVERY: Duration = Duration::from_millis(50);

/// What is sealed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapped {
    pub subject_id: String,
    pub mapped_at: Timestamp,
}

/// The key of an identifier in `identity-map`: 22 characters.
pub fn key_of(keys: &KeysInUse, identifier: &Identifier) -> String {
    let text = [b"identity\0", identifier.kind.as_bytes(), b"\0", identifier.text.as_bytes()];
    URL_SAFE_NO_PAD.encode(keys.ring.finding(&text.concat()))
}

/// The value of an identifier's record. Fails only where there is no randomness.
pub fn sealed(
    keys: &KeysInUse,
    key: &str,
    mapped: &Mapped,
) -> std::result::Result<Vec<u8>, getrandom::Error> {
    let plain = serde_json::to_vec(mapped).expect("plain data");
    seal::seal_lasting(&keys.ring, key.as_bytes(), &plain)
}

struct Known {
    subject: Arc<str>,
    mapped_at: Timestamp,
}

#[derive(Default)]
struct Map {
    known: HashMap<Box<str>, Known>,
    of_subject: HashMap<Arc<str>, BTreeSet<Box<str>>>,
}

impl Map {
    fn remove(&mut self, key: &str) {
        let Some(before) = self.known.remove(key) else { return };
        if let Some(keys) = self.of_subject.get_mut(&before.subject) {
            keys.remove(key);
            if keys.is_empty() {
                self.of_subject.remove(&before.subject);
            }
        }
    }

    fn insert(&mut self, key: &str, mapped: Mapped) {
        self.remove(key);
        let subject: Arc<str> = mapped.subject_id.into();
        self.of_subject.entry(Arc::clone(&subject)).or_default().insert(key.into());
        self.known.insert(key.into(), Known { subject, mapped_at: mapped.mapped_at });
    }
}

pub struct Identities {
    map: Arc<RwLock<Map>>,
    /// Grows with everything that is read.
    changes: Arc<AtomicU64>,
    following: Following,
}

impl Identities {
    /// Reads in the background.
    pub fn start(config: &Arc<Config>, keys: &Arc<Keys>) -> Result<Self> {
        let (map, changes) = (Arc::<RwLock<Map>>::default(), Arc::<AtomicU64>::default());
        let taking =
            Taking { map: Arc::clone(&map), changes: Arc::clone(&changes), keys: Arc::clone(keys) };
        let topics = vec![config.topics.identity_map.clone()];
        let plan = Plan { name: "identities", topics, ask_every: ASK_EVERY };
        Ok(Self { map, changes, following: follow::start(config, plan, taking)? })
    }

    pub fn progress(&self) -> &Progress {
        &self.following.progress
    }

    /// As long as this stays, no answer has changed.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Whose the identifier of this key is.
    pub fn subject(&self, key: &str) -> Option<String> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        map.known.get(key).map(|known| known.subject.to_string())
    }

    /// The keys of a subject's identifiers.
    pub fn of_subject(&self, subject: &str) -> Vec<String> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let keys = map.of_subject.get(subject).into_iter().flatten();
        keys.map(ToString::to_string).collect()
    }

    /// The keys of identifiers that were mapped no later than their subjects were erased.
    pub fn outdated(
        &self,
        erased_at: impl Fn(&str) -> Option<Timestamp>,
        most: usize,
    ) -> Vec<String> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let known = &map.known;
        let erased = map.of_subject.iter().filter_map(|(subject, keys)| {
            let at = erased_at(subject)?;
            Some(keys.iter().filter(move |key| known[*key].mapped_at <= at))
        });
        erased.flatten().take(most).map(ToString::to_string).collect()
    }
}

struct Taking {
    map: Arc<RwLock<Map>>,
    changes: Arc<AtomicU64>,
    keys: Arc<Keys>,
}

impl Take for Taking {
    fn record(&mut self, _: usize, record: &Received<'_>) {
        let Some(key) = record.key().and_then(|key| std::str::from_utf8(key).ok()) else { return };
        let mapped = record.payload().and_then(|value| self.open(key, value));
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        match mapped {
            Some(mapped) => map.insert(key, mapped),
            None => map.remove(key),
        }
        drop(map);
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    fn discard(&mut self, _: usize, _: i32) {
        *self.map.write().unwrap_or_else(PoisonError::into_inner) = Map::default();
        self.changes.fetch_add(1, Ordering::AcqRel);
    }
}

impl Taking {
    /// `None`: nobody can read it. What it named before, it names no more.
    fn open(&self, key: &str, value: &[u8]) -> Option<Mapped> {
        let opened = seal::open_lasting(&self.keys.now().ring, key.as_bytes(), value);
        let mapped = opened.ok().and_then(|plain| serde_json::from_slice(&plain).ok());
        if mapped.is_none()
            && let Some(repeated) = pace::may_say("identity")
        {
            tracing::error!(key, repeated, "an identity can't be read, and maps to nobody");
        }
        mapped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped(subject: &str, at: i64) -> Mapped {
        Mapped { subject_id: subject.to_owned(), mapped_at: Timestamp(at) }
    }

    #[test]
    fn an_identifier_is_one_subjects_and_a_subject_may_have_several() {
        let mut map = Map::default();
        map.insert("a", mapped("kim", 1));
        map.insert("b", mapped("kim", 2));
        assert_eq!(map.of_subject["kim"].len(), 2);
        map.insert("a", mapped("lee", 3));
        assert_eq!(&*map.known["a"].subject, "lee");
        assert_eq!((map.of_subject["kim"].len(), map.of_subject["lee"].len()), (1, 1));
        map.remove("b");
        map.remove("b");
        assert!(!map.of_subject.contains_key("kim"));
    }
}
