//! What a change of keys leaves to do: purposes under a key that is no longer emitted move to the active
//! one as their raw ids are read again, since a pseudonym needs the raw id. Those of whom the consent
//! changelog does not name end.

use std::collections::VecDeque;

use super::scope::Scope;
use super::timers::UPKEEP_PER_BATCH_MAX;
use crate::engine::at_hand::AtHand;
use crate::engine::batch::OpenBatch;
use crate::engine::mandate::Mandate;
use crate::engine::partition::Partition;
use crate::engine::revise::Reviser;
use crate::engine::subject::Subject;
use crate::engine::subjects::{Resting, Subjects};
use crate::engine::token::StateToken;

impl OpenBatch {
    /// Moves a subject of the consent changelog to the active key; needs an open gate, since the new
    /// assignment and the old key's tombstone go together (docs/contract/pseudonyms.md#rotation).
    pub fn change_key(&mut self, subject_id: &[u8]) {
        if self.work.gate_open {
            change_key(&mut self.scope(), subject_id);
        }
    }

    /// Ends so many of them: the live key has its tombstone and the counters are gone. For after
    /// [`Self::change_key`] was told of everybody in the changelog. The next record or click of such a
    /// subject begins under the active key, from nothing.
    pub fn end_old_keys(&mut self) {
        if !self.partition.has_old_keys() {
            return;
        }
        let Partition { mandate, state, backlog, .. } = &mut self.partition;
        let (subjects, at_hand) = (&state.subjects, &self.at_hand);
        let is_old = |token| is_under_old_key(token, mandate, subjects, at_hand);
        if backlog.unnamed.is_empty() {
            backlog.unnamed = list_unnamed(mandate, subjects);
        }
        while backlog.unnamed.front().is_some_and(|&token| !is_old(token)) {
            backlog.unnamed.pop_front();
        }
        let left = backlog.unnamed.iter().copied().filter(|&token| is_old(token));
        let left: Vec<StateToken> = left.take(UPKEEP_PER_BATCH_MAX).collect();
        let mut scope = self.scope();
        for token in left {
            end_old_keys(&mut scope, token);
        }
    }
}

fn change_key(scope: &mut Scope<'_>, subject_id: &[u8]) {
    let has_old_key =
        |scope: &Scope<'_>, place: usize| scope.mandate.has_old_key(&scope.at_hand[place].subject);
    let token = scope.mandate.setup.keys.state_token(subject_id);
    let Some(place) = scope.at_hand.take(scope.subjects, token) else { return };
    if has_old_key(scope, place) {
        scope.touch(token, Some(subject_id));
        // Where its own time came in this batch, it was settled without its id.
        if has_old_key(scope, place) {
            scope.settle(place, Some(subject_id));
        }
    }
}

/// Looks at every subject; in the order of their tokens (INV-10).
fn list_unnamed(mandate: &Mandate, subjects: &Subjects) -> VecDeque<StateToken> {
    let is_old = |resting: &Resting| mandate.has_old_pseudonym(&resting.unpack());
    let listed = subjects.iter().filter(|(_, resting)| is_old(resting));
    let mut tokens: Vec<StateToken> = listed.map(|(token, _)| token).collect();
    tokens.sort_unstable();
    tokens.into()
}

fn is_under_old_key(
    token: StateToken,
    mandate: &Mandate,
    subjects: &Subjects,
    at_hand: &AtHand,
) -> bool {
    let is_old = |subject: &Subject| mandate.has_old_pseudonym(subject);
    match at_hand.get(token) {
        Some(handled) => is_old(&handled.subject),
        None => subjects.get(token).is_some_and(|resting| is_old(&resting.unpack())),
    }
}

fn end_old_keys(scope: &mut Scope<'_>, token: StateToken) {
    let place = scope.touch(token, None);
    let mut reviser = Reviser { mandate: scope.mandate, work: scope.work };
    reviser.end_old_keys(&mut scope.at_hand[place].subject);
    scope.settle(place, None);
}
