//! What an input about one subject may touch: the subjects at hand and the batch's log. The ledger, the
//! timers and what a rotation or a new rulebook has left to do are out of its reach.

use crate::engine::at_hand::{AtHand, Handled};
use crate::engine::batch_log::BatchLog;
use crate::engine::policy::Policy;
use crate::engine::revise::Reviser;
use crate::engine::subjects::Subjects;
use crate::engine::token::StateToken;
use assent_contract::domain::merge::PurposeNames;
use assent_contract::domain::outcome::InputKind;
use assent_contract::domain::pseudonym::SessionKeys;

pub struct Scope<'a> {
    pub policy: &'a Policy,
    pub sessions: &'a mut SessionKeys,
    pub names: &'a PurposeNames,
    pub subjects: &'a Subjects,
    pub at_hand: &'a mut AtHand,
    pub log: &'a mut BatchLog,
}

impl Scope<'_> {
    /// Touches a subject, unless this batch has. Returns its place at hand.
    pub fn touch(&mut self, token: StateToken, subject_id: Option<&[u8]>) -> usize {
        let place = self.at_hand.take_or_blank(self.subjects, token);
        let mut reviser = Reviser { policy: self.policy, log: self.log };
        reviser.touch(&mut self.at_hand[place], subject_id);
        place
    }

    /// Settles, as upkeep, a subject that the batch has opened.
    pub fn settle(&mut self, place: usize, subject_id: Option<&[u8]>) {
        let mut reviser = Reviser { policy: self.policy, log: self.log };
        let Handled { token, subject, .. } = &mut self.at_hand[place];
        reviser.settle(subject, *token, InputKind::Upkeep, subject_id);
    }
}
