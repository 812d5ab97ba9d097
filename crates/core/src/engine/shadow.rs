//! What a partition gives under its rulebook, for whoever compares two of them before a rollout
//! (`assent rules shadow`): the engine's own answer, of which nothing is written.

use super::input::Coverage;
use super::partition::Partition;
use super::policy::Policy;
use super::subject::Subject;
use super::token::StateToken;
use assent_contract::domain::gate::decide_standing;
use assent_contract::domain::outcome::Verdict;
use assent_contract::domain::time::Timestamp;
use assent_contract::rulebook::{Purpose, SegmentSet};

/// What stands of a subject for a purpose of the rulebook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub verdict: Verdict,
    /// Of the live key, where it may be used now: bits of the purpose's segments.
    pub segments: SegmentSet,
    /// The purpose holds the subject out.
    pub is_held_out: bool,
}

impl Partition {
    /// Hands over every subject of whom there is consent, with what stands for each of the rulebook's
    /// purposes, in its order. The token tells subjects of one state apart, and leaves the process never.
    /// Not the canary.
    pub fn each_standing(&self, now: Timestamp, mut visit: impl FnMut(StateToken, &[Standing])) {
        let mut standings = Vec::new();
        for (token, resting) in self.state.subjects.iter() {
            let subject = resting.unpack();
            let is_known = subject.consent.record.is_some() || subject.consent.is_unreadable();
            if !is_known || self.policy.is_canary(token) {
                continue;
            }
            standings.clear();
            let purposes = self.policy.setup.rulebook.purposes.iter().enumerate();
            standings.extend(
                purposes.map(|(at, it)| standing(&self.policy, (token, &subject), at, it, now)),
            );
            visit(token, &standings);
        }
    }

    /// As a start under this rulebook leaves the partition: what a rulebook before it left live is swept, and
    /// what time made due is decided, with an open gate. What the batches would write is dropped.
    pub fn swept(mut self, wall: Timestamp) -> Self {
        loop {
            let (click_to, consent_to) =
                (self.state.ledger.next_click, self.state.ledger.next_consent);
            let mut open = self.begin(wall, true);
            open.timers();
            let coverage = Coverage { click_to, consent_to, barrier: consent_to, synced: None };
            self = open.finish(coverage).0.confirm();
            let is_due = self.next_due().is_some_and(|due| due <= self.state.ledger.now);
            if !self.is_outdated() && !is_due {
                return self;
            }
        }
    }
}

fn standing(
    policy: &Policy,
    (token, subject): (StateToken, &Subject),
    rule: usize,
    purpose: &Purpose,
    now: Timestamp,
) -> Standing {
    let index = policy.purposes().iter().position(|judged| judged.rule == Some(rule));
    let index = index.expect("every purpose of the rulebook is judged");
    let terms = policy.terms(index);
    let live = subject.purpose(terms.name).and_then(|state| state.live.as_ref());
    let segments = live.filter(|live| live.expires_at > now);
    Standing {
        verdict: decide_standing(&subject.consent, terms, now),
        segments: segments.map_or(0, |live| policy.named_now(live, purpose)),
        is_held_out: policy.holds_out(index, token),
    }
}
