//! What a rotation leaves behind: purposes under a key that is no longer emitted, of whom the consent
//! changelog does not name. They can't move, since a pseudonym needs the raw id.

use super::partition::Partition;
use super::revise::{Occasion, Reviser};
use super::step::UPKEEP_PER_BATCH_MAX;
use super::subject::StateToken;
use super::subjects::Resting;
use crate::domain::outcome::{InputKind, Outcome};

impl Partition {
    /// Ends so many of them: the live key has its tombstone and the counters are gone. For after
    /// [`Self::change_key`] was told of everybody in the changelog. The next record or click of such a
    /// subject begins under the active key, from nothing.
    pub fn end_old_keys(&mut self) {
        let is_left = |(token, resting): (StateToken, &Resting)| {
            let left = match self.at_hand.get(token) {
                Some(handled) => self.mandate.has_old_pseudonym(&handled.subject),
                None => self.mandate.has_old_pseudonym(&resting.unpack()),
            };
            left.then_some(token)
        };
        let mut tokens: Vec<StateToken> = self.subjects.iter().filter_map(is_left).collect();
        tokens.sort_unstable();
        tokens.truncate(UPKEEP_PER_BATCH_MAX);
        for token in tokens {
            self.end_old_keys_of(token);
        }
    }

    fn end_old_keys_of(&mut self, token: StateToken) {
        let place = self.touch(token, None);
        let subject = &mut self.at_hand[place].subject;
        let work = self.work.as_deref_mut().expect("a batch was begun");
        let mut reviser = Reviser { mandate: &self.mandate, work };
        reviser.end_old_keys(subject);
        reviser.revise_all(subject, Occasion { subject_id: None, erased: false });
        if !work.effects.is_empty() {
            let (kind, outcome) = (InputKind::Upkeep, Outcome::Revised);
            let version = subject.consent.version();
            work.end_entry(kind, None, outcome, subject.audit_token, version);
        }
    }
}
