//! The subjects of a partition, in 256 shards by the token's first byte: a shard is also a bucket
//! of the state topic, and no single map grows to a size at which growing is a pause.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::subject::{StateToken, Subject};

/// A bucket's number is the first byte of its subjects' tokens.
pub const BUCKETS: usize = 256;

#[derive(Clone, Debug)]
pub struct Subjects {
    shards: Vec<HashMap<StateToken, Subject, FixedState>>,
}

impl Default for Subjects {
    fn default() -> Self {
        Self { shards: vec![HashMap::with_hasher(FixedState::default()); BUCKETS] }
    }
}

pub fn bucket_of(token: StateToken) -> usize {
    (token >> 120) as usize
}

impl Subjects {
    pub fn get(&self, token: StateToken) -> Option<&Subject> {
        self.shards[bucket_of(token)].get(&token)
    }

    pub fn get_mut(&mut self, token: StateToken) -> Option<&mut Subject> {
        self.shards[bucket_of(token)].get_mut(&token)
    }

    pub fn get_or_blank(&mut self, token: StateToken) -> &mut Subject {
        self.shards[bucket_of(token)].entry(token).or_default()
    }

    pub fn insert(&mut self, token: StateToken, subject: Subject) {
        self.shards[bucket_of(token)].insert(token, subject);
    }

    pub fn remove(&mut self, token: StateToken) -> Option<Subject> {
        self.shards[bucket_of(token)].remove(&token)
    }

    pub fn len(&self) -> usize {
        self.shards.iter().map(HashMap::len).sum()
    }

    pub fn bucket_is_empty(&self, bucket: usize) -> bool {
        self.shards[bucket].is_empty()
    }

    /// A bucket's subjects by token: the same order whatever the map's history (INV-10).
    pub fn bucket(&self, bucket: usize) -> Vec<(StateToken, &Subject)> {
        let mut subjects: Vec<_> =
            self.shards[bucket].iter().map(|(token, subject)| (*token, subject)).collect();
        subjects.sort_unstable_by_key(|(token, _)| *token);
        subjects
    }

    pub fn iter(&self) -> impl Iterator<Item = (StateToken, &Subject)> {
        self.shards.iter().flatten().map(|(token, subject)| (*token, subject))
    }
}
