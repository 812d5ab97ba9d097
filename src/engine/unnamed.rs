//! What a rotation leaves behind: purposes under a key that is no longer emitted, of whom the consent
//! changelog does not name. They can't move, since a pseudonym needs the raw id.

use super::partition::Partition;
use super::revise::Reviser;
use super::step::UPKEEP_PER_BATCH_MAX;
use super::subject::{StateToken, Subject};
use super::subjects::Resting;

impl Partition {
    /// Ends so many of them: the live key has its tombstone and the counters are gone. For after
    /// [`Self::change_key`] was told of everybody in the changelog. The next record or click of such a
    /// subject begins under the active key, from nothing.
    pub fn end_old_keys(&mut self) {
        if !self.has_old_keys() {
            return;
        }
        if self.unnamed.is_empty() {
            self.list_unnamed();
        }
        while self.unnamed.front().is_some_and(|&token| !self.is_under_old_key(token)) {
            self.unnamed.pop_front();
        }
        let left = self.unnamed.iter().copied().filter(|&token| self.is_under_old_key(token));
        for token in left.take(UPKEEP_PER_BATCH_MAX).collect::<Vec<_>>() {
            self.end_old_keys_of(token);
        }
    }

    /// Looks at every subject; in the order of their tokens (INV-10).
    fn list_unnamed(&mut self) {
        let is_old = |resting: &Resting| self.mandate.has_old_pseudonym(&resting.unpack());
        let listed = self.subjects.iter().filter(|(_, resting)| is_old(resting));
        let mut tokens: Vec<StateToken> = listed.map(|(token, _)| token).collect();
        tokens.sort_unstable();
        self.unnamed = tokens.into();
    }

    fn is_under_old_key(&self, token: StateToken) -> bool {
        let is_old = |subject: &Subject| self.mandate.has_old_pseudonym(subject);
        match self.at_hand.get(token) {
            Some(handled) => is_old(&handled.subject),
            None => self.subjects.get(token).is_some_and(|resting| is_old(&resting.unpack())),
        }
    }

    fn end_old_keys_of(&mut self, token: StateToken) {
        let place = self.touch(token, None);
        let subject = &mut self.at_hand[place].subject;
        let work = self.work.as_deref_mut().expect("a batch was begun");
        let mut reviser = Reviser { mandate: &self.mandate, work };
        reviser.end_old_keys(subject);
        self.settle_at_hand(place, None);
    }
}
