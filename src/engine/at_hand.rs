//! The subjects of the batch at hand, unpacked: what it read, and what it makes of whom it changes.
//!
//! The partition's own stay as they were until the batch is committed, so undoing is forgetting
//! (INV-5), and every other click of the same person finds them unpacked.

use std::ops::{Index, IndexMut};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::stats::Counted;
use super::subject::{StateToken, Subject};
use super::subjects::{Resting, Subjects, bucket_of};

#[derive(Default)]
pub struct AtHand {
    places: HashMap<StateToken, usize, FixedState>,
    handled: Vec<Handled>,
}

/// A subject that the batch has met.
pub struct Handled {
    pub token: StateToken,
    pub subject: Subject,
    /// As the batch found it, for the statistics; `None`: there was none.
    pub before: Option<Counted>,
    /// The batch may change it: what had become due before is settled.
    pub is_open: bool,
    /// Of an open one, once the batch is finished.
    pub left: Left,
}

/// What a batch leaves of a subject.
#[derive(Debug, PartialEq, Eq)]
pub enum Left {
    /// Byte for byte what it found.
    AsItWas,
    Packed(Box<[u8]>),
    Nothing,
}

impl Index<usize> for AtHand {
    type Output = Handled;

    fn index(&self, place: usize) -> &Handled {
        &self.handled[place]
    }
}

impl IndexMut<usize> for AtHand {
    fn index_mut(&mut self, place: usize) -> &mut Handled {
        &mut self.handled[place]
    }
}

impl AtHand {
    /// The place of a subject; `None`: there is none.
    pub fn take(&mut self, subjects: &Subjects, token: StateToken) -> Option<usize> {
        match self.places.entry(token) {
            Entry::Occupied(entry) => Some(*entry.get()),
            Entry::Vacant(entry) => {
                let subject = subjects.get(token)?.unpack();
                Some(*entry.insert(push(&mut self.handled, token, subject)))
            }
        }
    }

    /// The place of a subject that is made where there is none.
    pub fn take_or_blank(&mut self, subjects: &Subjects, token: StateToken) -> usize {
        self.take(subjects, token).unwrap_or_else(|| {
            let place = push(&mut self.handled, token, Subject::default());
            self.places.insert(token, place);
            place
        })
    }

    /// The batch's own, where it has met this subject.
    pub fn get(&self, token: StateToken) -> Option<&Handled> {
        self.places.get(&token).map(|&place| &self.handled[place])
    }

    pub fn is_open(&self, token: StateToken) -> bool {
        self.get(token).is_some_and(|handled| handled.is_open)
    }

    /// Whom the batch may have changed, in the order of their first touch.
    pub fn open(&self) -> impl Iterator<Item = &Handled> {
        self.handled.iter().filter(|handled| handled.is_open)
    }

    pub fn open_mut(&mut self) -> impl Iterator<Item = &mut Handled> {
        self.handled.iter_mut().filter(|handled| handled.is_open)
    }

    /// Forgets the batch; hands over whom it may have changed.
    pub fn drain(&mut self) -> impl Iterator<Item = Handled> {
        self.places.clear();
        self.handled.drain(..).filter(|handled| handled.is_open)
    }
}

fn push(handled: &mut Vec<Handled>, token: StateToken, subject: Subject) -> usize {
    handled.push(Handled { token, subject, before: None, is_open: false, left: Left::AsItWas });
    handled.len() - 1
}

/// The partition's subjects as a finished batch leaves them, packed.
#[derive(Clone, Copy)]
pub struct After<'a> {
    pub subjects: &'a Subjects,
    pub at_hand: &'a AtHand,
    /// The tokens of those that are not what they were, sorted.
    pub changed: &'a [StateToken],
}

impl<'a> After<'a> {
    /// Whom the batch changed; `None`: it is gone.
    pub fn changed(self) -> impl Iterator<Item = (StateToken, Option<&'a [u8]>)> {
        self.left_of(self.changed)
    }

    /// A bucket's subjects by token: the same order whatever the map's history (INV-10).
    pub fn bucket(self, bucket: usize) -> Vec<(StateToken, &'a [u8])> {
        let changed = self.changed_in(bucket);
        let is_changed = |token: &StateToken| changed.binary_search(token).is_ok();
        let packed = |(token, resting): (StateToken, &'a Resting)| (token, &*resting.packed);
        let as_they_were = self.subjects.bucket(bucket).filter(|(token, _)| !is_changed(token));
        let left = self.left_of(changed).filter_map(|(token, left)| Some((token, left?)));
        let mut all: Vec<_> = as_they_were.map(packed).chain(left).collect();
        all.sort_unstable_by_key(|(token, _)| *token);
        all
    }

    pub fn bucket_is_empty(self, bucket: usize) -> bool {
        let changed = self.changed_in(bucket);
        let before = changed.iter().filter(|token| self.subjects.get(**token).is_some()).count();
        self.subjects.len_of_bucket(bucket) == before
            && self.left_of(changed).all(|(_, left)| left.is_none())
    }

    fn changed_in(self, bucket: usize) -> &'a [StateToken] {
        let from = self.changed.partition_point(|token| bucket_of(*token) < bucket);
        let to = self.changed.partition_point(|token| bucket_of(*token) <= bucket);
        &self.changed[from..to]
    }

    fn left_of(
        self,
        tokens: &'a [StateToken],
    ) -> impl Iterator<Item = (StateToken, Option<&'a [u8]>)> {
        tokens.iter().map(move |&token| match self.at_hand.get(token).map(|it| &it.left) {
            Some(Left::Packed(packed)) => (token, Some(&**packed)),
            Some(Left::Nothing) | None => (token, None),
            Some(Left::AsItWas) => {
                (token, self.subjects.get(token).map(|resting| &*resting.packed))
            }
        })
    }
}
