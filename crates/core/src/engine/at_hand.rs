//! The subjects that the current batch has read, unpacked, with its changes.
//!
//! The partition's own copies stay unchanged until the batch is committed: to undo a batch is to drop
//! these (INV-5). Further clicks of the same person find the subject unpacked.

use std::ops::{Index, IndexMut};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::signals::Minute;
use super::stats::Counted;
use super::subject::Subject;
use super::subjects::{Kept, Resting, Subjects};
use super::token::{StateToken, bucket_of};

/// Room for so many is kept between two batches: some 300 bytes each.
const KEPT_MAX: usize = 16_384;

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
    /// The batch may change it: everything that was due before is settled.
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
    /// A signal, and nothing else.
    Signal(Minute),
    Nothing,
}

/// What the state topic gets of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packed<'a> {
    Bytes(&'a [u8]),
    Signal(Minute),
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
                let subject = subjects.find(token)?.unpack();
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

    /// The subjects that the batch may have changed, in the order in which it met them.
    pub fn open_mut(&mut self) -> impl Iterator<Item = &mut Handled> {
        self.handled.iter_mut().filter(|handled| handled.is_open)
    }

    /// Drops the batch's copies. Returns the subjects that it may have changed.
    pub fn drain(&mut self) -> impl Iterator<Item = Handled> {
        self.places.clear();
        self.handled.drain(..).filter(|handled| handled.is_open)
    }

    /// Gives back what memory only an uncommonly large batch needed.
    pub fn shrink(&mut self) {
        if self.handled.capacity() > KEPT_MAX {
            *self = Self::default();
        }
    }
}

fn push(handled: &mut Vec<Handled>, token: StateToken, subject: Subject) -> usize {
    handled.push(Handled { token, subject, before: None, is_open: false, left: Left::AsItWas });
    handled.len() - 1
}

impl<'a> From<Kept<'a>> for Packed<'a> {
    fn from(kept: Kept<'a>) -> Self {
        match kept {
            Kept::Resting(resting) => Self::Bytes(resting.packed),
            Kept::Signal(minute) => Self::Signal(minute),
        }
    }
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
    /// The subjects that the batch changed; `None`: the subject is gone.
    pub fn changed(self) -> impl Iterator<Item = (StateToken, Option<Packed<'a>>)> {
        self.left_of(self.changed)
    }

    /// A bucket's subjects by token: the same order whatever the map's history (INV-10).
    pub fn bucket(self, bucket: usize) -> Vec<(StateToken, Packed<'a>)> {
        let changed = self.changed_in(bucket);
        let packed =
            |(token, resting): (StateToken, Resting<'a>)| (token, Packed::Bytes(resting.packed));
        let resting = self.subjects.bucket(bucket).map(packed);
        let signals = self.subjects.signals.bucket(bucket);
        let signals = signals.map(|(token, minute)| (token, Packed::Signal(minute)));
        let as_they_were =
            resting.chain(signals).filter(|(token, _)| changed.binary_search(token).is_err());
        let left = self.left_of(changed).filter_map(|(token, left)| Some((token, left?)));
        let mut all: Vec<_> = as_they_were.chain(left).collect();
        all.sort_unstable_by_key(|(token, _)| *token);
        all
    }

    pub fn bucket_is_empty(self, bucket: usize) -> bool {
        let changed = self.changed_in(bucket);
        let before = changed.iter().filter(|token| self.subjects.get(**token).is_some()).count();
        let is_changed = |token| changed.binary_search(&token).is_ok();
        self.subjects.len_of_bucket(bucket) == before
            && self.subjects.signals.bucket(bucket).all(|(token, _)| is_changed(token))
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
    ) -> impl Iterator<Item = (StateToken, Option<Packed<'a>>)> {
        tokens.iter().map(move |&token| match self.at_hand.get(token).map(|it| &it.left) {
            Some(Left::Packed(packed)) => (token, Some(Packed::Bytes(packed))),
            Some(Left::Signal(minute)) => (token, Some(Packed::Signal(*minute))),
            Some(Left::Nothing) => (token, None),
            Some(Left::AsItWas) | None => (token, self.subjects.find(token).map(Packed::from)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::subject::Agenda;
    use crate::engine::subjects;
    use assent_contract::domain::time::Timestamp;

    /// Of one bucket.
    fn token(number: u128) -> StateToken {
        7 << 120 | number
    }

    fn subject(erased_at: i64) -> Subject {
        let mut subject = Subject::default();
        subject.consent.erased_at = Some(Timestamp(erased_at));
        subject
    }

    fn packed(erased_at: i64) -> Box<[u8]> {
        subjects::packed(&subject(erased_at)).into()
    }

    fn resting(numbers: &[u128]) -> Subjects {
        let mut subjects = Subjects::default();
        for &number in numbers {
            subjects.insert(token(number), &packed(number as i64), Agenda::default());
        }
        subjects
    }

    /// What a batch made of them, by number.
    fn batch(subjects: &Subjects, made: Vec<(u128, Left)>) -> (AtHand, Vec<StateToken>) {
        let mut at_hand = AtHand::default();
        let mut changed = Vec::new();
        for (number, left) in made {
            let place = at_hand.take_or_blank(subjects, token(number));
            if left != Left::AsItWas {
                changed.push(token(number));
            }
            at_hand[place].left = left;
        }
        changed.sort_unstable();
        (at_hand, changed)
    }

    #[test]
    fn a_bucket_holds_whom_a_batch_left_alone_changed_and_brought_and_not_whom_it_removed() {
        let subjects = resting(&[9, 1, 5, 3]);
        let made = vec![
            (5, Left::Packed(packed(50))),
            (3, Left::Nothing),
            (4, Left::Packed(packed(4))),
            (1, Left::AsItWas),
        ];
        let (at_hand, changed) = batch(&subjects, made);
        let after = After { subjects: &subjects, at_hand: &at_hand, changed: &changed };
        let expected = [(1, packed(1)), (4, packed(4)), (5, packed(50)), (9, packed(9))];
        let found = after.bucket(7);
        let expected = expected.iter().map(|(number, it)| (token(*number), Packed::Bytes(it)));
        assert_eq!(found, expected.collect::<Vec<_>>());
        assert!(after.bucket(6).is_empty() && after.bucket_is_empty(6));
        assert!(!after.bucket_is_empty(7));
        let delta: Vec<_> = after.changed().map(|(t, left)| (t, left.is_some())).collect();
        assert_eq!(delta, [(token(3), false), (token(4), true), (token(5), true)]);
    }

    #[test]
    fn a_bucket_is_empty_once_everybody_in_it_is_gone_and_not_with_a_first_one() {
        let subjects = resting(&[1, 2]);
        let (at_hand, changed) = batch(&subjects, vec![(1, Left::Nothing), (2, Left::Nothing)]);
        let after = After { subjects: &subjects, at_hand: &at_hand, changed: &changed };
        assert!(after.bucket_is_empty(7) && after.bucket(7).is_empty());
        let nobody = Subjects::default();
        let (at_hand, changed) = batch(&nobody, vec![(1, Left::Packed(packed(1)))]);
        let after = After { subjects: &nobody, at_hand: &at_hand, changed: &changed };
        assert!(!after.bucket_is_empty(7));
        assert_eq!(after.bucket(7).len(), 1);
    }
}
