//! What a partition decides by: configuration, rulebook edition, and the purposes that are judged. It
//! does not change during a batch.

use std::sync::Arc;

use super::edition::Edition;
use super::judged_purposes::{JudgedPurpose, JudgedPurposes};
use super::setup::Setup;
use super::stats::Stats;
use super::subject::{Assigned, Subject};
use super::token::StateToken;
use assent_contract::domain::gate::PurposeTerms;
use assent_contract::domain::merge::{NameId, PurposeNames};
use assent_contract::rulebook::{Purpose, Rulebook, SegmentSet};

pub struct Policy {
    pub setup: Arc<Setup>,
    /// The canary of this partition: the state's key of it stays, whatever becomes of the keys.
    pub canary: StateToken,
    /// The names of the rulebook's purposes, in its order.
    pub declared: Vec<NameId>,
    pub judged: JudgedPurposes,
    /// The configured rulebook's.
    pub edition: Edition,
    /// Earlier editions that live keys still rest on, by number.
    pub past: Vec<Option<Arc<Rulebook>>>,
}

impl Policy {
    /// The purposes that are to be judged from now on.
    pub fn judged_purposes(&self, names: &PurposeNames, stats: &Stats) -> JudgedPurposes {
        JudgedPurposes::new(&self.setup.rulebook, &self.declared, names, stats)
    }

    /// Is it the canary, who is decided like everybody, and counted as nobody?
    pub fn is_canary(&self, token: StateToken) -> bool {
        token == self.canary
    }

    pub fn purposes(&self) -> &[JudgedPurpose] {
        &self.judged.purposes
    }

    pub fn terms(&self, index: usize) -> PurposeTerms {
        self.judged.purposes[index].terms
    }

    /// The rulebook's purpose at this place; `None`: the rulebook lacks it.
    pub fn rule(&self, index: usize) -> Option<&Purpose> {
        self.judged.purposes[index].rule.map(|rule| &self.setup.rulebook.purposes[rule])
    }

    /// Does a live key rest on an earlier rulebook?
    pub fn is_outdated(&self, subject: &Subject) -> bool {
        let rests_on_earlier = |live: &Assigned| live.edition != self.edition;
        let is_first = self.edition == 0;
        !is_first
            && subject
                .purposes
                .iter()
                .any(|state| state.live.as_ref().is_some_and(rests_on_earlier))
    }

    /// Is anything of it under a key that is no longer emitted?
    pub fn has_old_key(&self, subject: &Subject) -> bool {
        if self.setup.keys.has_one_version() {
            return false;
        }
        let active = self.setup.keys.active();
        subject.audit_token.is_some_and(|token| token[0] != active)
            || self.has_old_pseudonym(subject)
    }

    /// Is any of its purposes under a key that is no longer emitted?
    pub fn has_old_pseudonym(&self, subject: &Subject) -> bool {
        let active = self.setup.keys.active();
        subject.purposes.iter().any(|state| state.pseudonym.version() != active)
    }

    /// The segments of `now` that an assignment names, which may be of an earlier rulebook.
    pub fn named_now(&self, live: &Assigned, now: &Purpose) -> SegmentSet {
        if live.edition == self.edition {
            return live.segments;
        }
        let past = self.past.get(usize::from(live.edition)).and_then(Option::as_ref);
        let before = past.and_then(|past| past.purposes.iter().find(|it| it.id == now.id));
        let Some(before) = before else { return 0 };
        let is_named = |id: &str| {
            let bit = before.segments.iter().position(|segment| segment.id == id);
            bit.is_some_and(|bit| live.segments >> bit & 1 == 1)
        };
        let named = now.segments.iter().enumerate().filter(|(_, it)| is_named(&it.id));
        named.fold(0, |set, (bit, _)| set | 1 << bit)
    }

    /// Did a segment that this assignment names leave the rulebook, or change in it?
    pub fn took_away(&self, live: &Assigned, now: &Purpose) -> bool {
        let Some(Some(past)) = self.past.get(usize::from(live.edition)) else { return false };
        let Some(before) = past.purposes.iter().find(|purpose| purpose.id == now.id) else {
            return true;
        };
        let held = (0..before.segments.len()).filter(|bit| live.segments >> bit & 1 == 1);
        held.map(|bit| &before.segments[bit]).any(|segment| {
            let same = now.segments.iter().find(|candidate| candidate.id == segment.id);
            same.is_none_or(|same| !segment.rests_on_the_same(before, same, now))
        })
    }
}
