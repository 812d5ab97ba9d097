//! Migration to the active key. A pseudonym needs the raw id, so a purpose under an old key migrates when
//! its raw id is read again. Purposes of subjects that the consent changelog does not name end.

use std::collections::VecDeque;

use super::scope::Scope;
use super::timers::UPKEEP_PER_BATCH_MAX;
use crate::engine::at_hand::AtHand;
use crate::engine::batch::OpenBatch;
use crate::engine::partition::Partition;
use crate::engine::policy::Policy;
use crate::engine::revise::Reviser;
use crate::engine::subject::Subject;
use crate::engine::subjects::{Resting, Subjects};
use crate::engine::token::StateToken;

impl OpenBatch {
    /// Moves a subject of the consent changelog to the active key; needs an open gate, since the new
    /// assignment and the old key's tombstone go together (docs/contract/pseudonyms.md#rotation).
    pub fn change_key(&mut self, subject_id: &[u8]) {
        if self.log.gate_open {
            change_key(&mut self.scope(), subject_id);
        }
    }

    /// Ends old keys of at most [`UPKEEP_PER_BATCH_MAX`] subjects: each live key gets its tombstone, and
    /// the counters are removed. Call it once [`Self::change_key`] has seen every id of the changelog. The
    /// next record or click of such a subject starts from nothing, under the active key.
    pub fn end_old_keys(&mut self) {
        if !self.partition.has_old_keys() {
            return;
        }
        let Partition { policy, state, backlog, .. } = &mut self.partition;
        let (subjects, at_hand) = (&state.subjects, &self.at_hand);
        let is_old = |token| is_under_old_key(token, policy, subjects, at_hand);
        if backlog.unresolved.is_empty() {
            backlog.unresolved = list_unresolved(policy, subjects);
        }
        while backlog.unresolved.front().is_some_and(|&token| !is_old(token)) {
            backlog.unresolved.pop_front();
        }
        let left = backlog.unresolved.iter().copied().filter(|&token| is_old(token));
        let left: Vec<StateToken> = left.take(UPKEEP_PER_BATCH_MAX).collect();
        let mut scope = self.scope();
        for token in left {
            end_old_keys(&mut scope, token);
        }
    }
}

fn change_key(scope: &mut Scope<'_>, subject_id: &[u8]) {
    let has_old_key =
        |scope: &Scope<'_>, place: usize| scope.policy.has_old_key(&scope.at_hand[place].subject);
    let token = scope.policy.setup.keys.state_token(subject_id);
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
fn list_unresolved(policy: &Policy, subjects: &Subjects) -> VecDeque<StateToken> {
    let is_old = |resting: Resting<'_>| policy.has_old_pseudonym(&resting.unpack());
    let listed = subjects.iter().filter(|(_, resting)| is_old(*resting));
    let mut tokens: Vec<StateToken> = listed.map(|(token, _)| token).collect();
    tokens.sort_unstable();
    tokens.into()
}

fn is_under_old_key(
    token: StateToken,
    policy: &Policy,
    subjects: &Subjects,
    at_hand: &AtHand,
) -> bool {
    let is_old = |subject: &Subject| policy.has_old_pseudonym(subject);
    match at_hand.get(token) {
        Some(handled) => is_old(&handled.subject),
        None => subjects.get(token).is_some_and(|resting| is_old(&resting.unpack())),
    }
}

fn end_old_keys(scope: &mut Scope<'_>, token: StateToken) {
    let place = scope.touch(token, None);
    let mut reviser = Reviser { policy: scope.policy, log: scope.log };
    reviser.end_old_keys(&mut scope.at_hand[place].subject);
    scope.settle(place, None);
}
