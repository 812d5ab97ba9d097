//! The subjects of one partition, found by their key or by a token of the audit.
//!
//! Holds raw identifiers: never leaves the process.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::consent_view::{ConsentView, Held};
use assent_contract::domain::audit::AuditToken;
use assent_contract::domain::pseudonym::KeyHistory;

pub type Place = usize;

/// What is known of one subject, and what the audit says is live of it.
pub struct Subject {
    pub key: Arc<[u8]>,
    pub consent: ConsentView,
    /// Purpose and key version of what was assigned last and not removed since.
    pub live: Vec<(u16, u8)>,
    /// The record that stands was taken in by a batch that could assign at once.
    pub assigned_since: bool,
    /// Purposes whose missing tombstone was reported.
    pub reported: Vec<u16>,
}

impl Subject {
    /// What was decided since is unknown: a batch of the audit is missing.
    pub fn doubt(&mut self) {
        self.live.clear();
        match &mut self.consent.held {
            Held::Record { sure, .. } => *sure = false,
            held => *held = Held::Lost,
        }
    }
}

/// Every subject that the partition's consent changelog names, and every subject with a signal.
pub struct Subjects {
    list: Vec<Subject>,
    by_key: HashMap<Arc<[u8]>, u32, FixedState>,
    by_token: HashMap<AuditToken, u32, FixedState>,
    strangers: usize,
}

/// Anybody can send signals under made-up ids: so many of a partition are followed, and no more. Without
/// a record in the changelog nothing of them may be used, whoever they are.
const STRANGERS_MAX: usize = 1_000_000;

impl Subjects {
    /// Knows nobody yet. Whoever chooses ids does not know where they fall: that follows from the secrets.
    pub fn new(keys: &KeyHistory) -> Self {
        let tokens = keys.audit_tokens(b"verify|subjects");
        let seed = tokens.last().map_or(0, |token: AuditToken| {
            u64::from_be_bytes(*token.last_chunk().expect("17 bytes"))
        });
        Self {
            list: Vec::new(),
            by_key: HashMap::with_hasher(FixedState::with_seed(seed)),
            by_token: HashMap::with_hasher(FixedState::with_seed(seed)),
            strangers: 0,
        }
    }

    /// Adds a subject that the changelog does not name, unless there are too many of them.
    pub fn register_stranger(
        &mut self,
        key: &[u8],
        keys: &KeyHistory,
        view: &ConsentView,
    ) -> Option<Place> {
        if self.strangers >= STRANGERS_MAX {
            return None;
        }
        self.strangers += 1;
        Some(self.register(key, keys, view))
    }

    /// Knows this key from now on; whoever is known already stays as they are.
    pub fn register(&mut self, key: &[u8], keys: &KeyHistory, view: &ConsentView) -> Place {
        if let Some(&place) = self.by_key.get(key) {
            return place as Place;
        }
        let (place, key) = (self.list.len() as u32, Arc::<[u8]>::from(key));
        for token in keys.audit_tokens(&key) {
            self.by_token.insert(token, place);
        }
        self.by_key.insert(Arc::clone(&key), place);
        let consent = view.clone();
        let (live, reported) = (Vec::new(), Vec::new());
        self.list.push(Subject { key, consent, live, assigned_since: false, reported });
        place as Place
    }

    pub fn by_key(&self, key: &[u8]) -> Option<Place> {
        self.by_key.get(key).map(|&place| place as Place)
    }

    pub fn by_token(&self, token: &AuditToken) -> Option<Place> {
        self.by_token.get(token).map(|&place| place as Place)
    }

    /// A token that can't be computed any more, but is there next to the subject's own record.
    pub fn learn(&mut self, token: AuditToken, place: Place) {
        self.by_token.entry(token).or_insert(place as u32);
    }

    pub fn at(&mut self, place: Place) -> &mut Subject {
        &mut self.list[place]
    }

    pub fn iter(&self) -> impl Iterator<Item = &Subject> {
        self.list.iter()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Subject> {
        self.list.iter_mut()
    }
}
