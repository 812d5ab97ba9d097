//! The subjects of a partition at rest, each as the state topic has it: one packed piece of memory.
//! In 256 shards by the token's first byte: a shard is also a bucket of the state topic, and no single
//! map grows to a size at which growing is a pause.
//!
//! A batch works on its own copies ([`super::at_hand`]) until it is committed; of a subject here it
//! changes only the time of its timer. Subjects that have only a signal are kept apart
//! ([`super::signals`]): they have no timer, and nothing to unpack.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::ledger::FORMAT;
use super::pack::{pack_subject, unpack_subject};
use super::signals::{Minute, Signals};
use super::subject::{Agenda, Subject};
use super::token::{BUCKETS, StateToken, bucket_of};
use assent_contract::domain::binary::Reader;

/// A subject at rest.
#[derive(Clone, Debug)]
pub struct Resting {
    pub packed: Box<[u8]>,
    pub agenda: Agenda,
}

/// What is kept of a subject, as it rests.
#[derive(Clone, Copy, Debug)]
pub enum Kept<'a> {
    Resting(&'a Resting),
    /// A signal, and nothing else.
    Signal(Minute),
}

#[derive(Clone, Debug)]
pub struct Subjects {
    shards: Vec<HashMap<StateToken, Resting, FixedState>>,
    pub signals: Signals,
}

impl Default for Subjects {
    fn default() -> Self {
        let shards = vec![HashMap::with_hasher(FixedState::default()); BUCKETS];
        Self { shards, signals: Signals::default() }
    }
}

impl Resting {
    pub fn of(subject: &Subject) -> Self {
        let mut packed = Vec::new();
        pack_subject(subject, &mut packed);
        Self { packed: packed.into_boxed_slice(), agenda: subject.agenda }
    }

    /// # Panics
    /// Where the bytes are not what this process packed, which no input can bring about.
    pub fn unpack(&self) -> Subject {
        let any_slot = |_| usize::from(u16::MAX) + 1;
        let unpacked = unpack_subject(&mut Reader::new(&self.packed), FORMAT, any_slot);
        let mut subject = unpacked.expect("packed by this process");
        subject.agenda = self.agenda;
        subject
    }

    /// Memory that it takes in its map, in bytes.
    pub fn footprint(&self) -> usize {
        size_of::<(StateToken, Self)>() + self.packed.len()
    }
}

impl<'a> Kept<'a> {
    pub fn resting(self) -> Option<&'a Resting> {
        if let Self::Resting(resting) = self { Some(resting) } else { None }
    }

    pub fn signal(self) -> Option<Minute> {
        if let Self::Signal(minute) = self { Some(minute) } else { None }
    }

    pub fn unpack(self) -> Subject {
        match self {
            Self::Resting(resting) => resting.unpack(),
            Self::Signal(minute) => Subject::of_signal(minute),
        }
    }
}

/// Unless a method says otherwise: subjects that have more than a signal.
impl Subjects {
    /// Of anybody.
    pub fn find(&self, token: StateToken) -> Option<Kept<'_>> {
        let resting = self.get(token).map(Kept::Resting);
        resting.or_else(|| self.signals.get(token).map(Kept::Signal))
    }

    pub fn get(&self, token: StateToken) -> Option<&Resting> {
        self.shards[bucket_of(token)].get(&token)
    }

    pub fn get_mut(&mut self, token: StateToken) -> Option<&mut Resting> {
        self.shards[bucket_of(token)].get_mut(&token)
    }

    pub fn insert(&mut self, token: StateToken, resting: Resting) -> Option<Resting> {
        self.shards[bucket_of(token)].insert(token, resting)
    }

    pub fn remove(&mut self, token: StateToken) -> Option<Resting> {
        self.shards[bucket_of(token)].remove(&token)
    }

    pub fn len(&self) -> usize {
        self.shards.iter().map(HashMap::len).sum()
    }

    pub fn len_of_bucket(&self, bucket: usize) -> usize {
        self.shards[bucket].len()
    }

    /// A bucket's subjects, in no order.
    pub fn bucket(&self, bucket: usize) -> impl Iterator<Item = (StateToken, &Resting)> {
        self.shards[bucket].iter().map(|(token, resting)| (*token, resting))
    }

    pub fn iter(&self) -> impl Iterator<Item = (StateToken, &Resting)> {
        self.shards.iter().flatten().map(|(token, resting)| (*token, resting))
    }
}
