//! Everything that a partition holds of one subject, for whoever asks what is held of them
//! (`assent subject report`).

use super::lift::Trial;
use super::partition::Partition;
use super::subject::{Assigned, PurposeState, Subject};
use super::subjects::Kept;
use super::window::HeldItem;
use assent_contract::domain::audit::AuditToken;
use assent_contract::domain::gate::decide_standing;
use assent_contract::domain::ids::CANARY_PURPOSE;
use assent_contract::domain::merge::SubjectConsent;
use assent_contract::domain::outcome::{Basis, Verdict};
use assent_contract::domain::pseudonym::Pseudonym;
use assent_contract::domain::time::Timestamp;

/// Nothing is held of a subject that is in no purpose and whose consent is blank.
pub struct Held {
    pub audit_token: Option<AuditToken>,
    pub consent: SubjectConsent,
    /// Of the rulebook, and those that have left it and still have a live key. Sorted by id.
    pub purposes: Vec<HeldPurpose>,
}

pub struct HeldPurpose {
    pub purpose: String,
    /// What the gate says where there is no event.
    pub verdict: Verdict,
    /// `None`: nothing is kept for the purpose.
    pub pseudonym: Option<Pseudonym>,
    /// `None`: no key is live.
    pub live: Option<HeldLive>,
    pub counters: Vec<HeldCounter>,
    /// Only where the rulebook measures the purpose.
    pub trial: Option<Trial>,
}

pub struct HeldLive {
    /// Ids, sorted.
    pub segments: Vec<String>,
    pub basis: Basis,
    pub decided_at: Timestamp,
    pub expires_at: Timestamp,
}

pub struct HeldCounter {
    /// The condition, as the rulebook writes it.
    pub rule: String,
    /// Oldest first.
    pub kept: Vec<HeldItem>,
}

impl Partition {
    /// What is held of a subject; what 24 months end until `now` is not.
    pub fn held_of(&self, subject_id: &[u8], now: Timestamp) -> Held {
        let token = self.policy.setup.keys.state_token(subject_id);
        let kept = self.state.subjects.find(token);
        let mut subject = kept.map_or_else(Subject::default, Kept::unpack);
        subject.consent.expire(now);
        let of_people = self.policy.purposes().iter().enumerate();
        let of_people = of_people.filter(|(_, judged)| judged.id != CANARY_PURPOSE);
        let purposes = of_people.map(|(at, judged)| {
            let state = subject.purpose(judged.terms.name);
            HeldPurpose {
                purpose: judged.id.clone(),
                verdict: decide_standing(&subject.consent, judged.terms, now),
                pseudonym: state.map(|state| state.pseudonym),
                live: state
                    .and_then(|it| it.live.as_ref())
                    .map(|it| self.held_live(&judged.id, it)),
                counters: state.map_or_else(Vec::new, |it| self.held_counters(at, it)),
                trial: state.and_then(|state| state.trial),
            }
        });
        let purposes = purposes.collect();
        Held { audit_token: subject.audit_token, consent: subject.consent, purposes }
    }

    fn held_live(&self, purpose: &str, live: &Assigned) -> HeldLive {
        let Assigned { segments, basis, decided_at, expires_at, edition } = *live;
        let running = &self.policy.setup.rulebook;
        let past = self.policy.past.get(usize::from(edition)).and_then(Option::as_ref);
        let rulebook = if edition == self.policy.edition { Some(running) } else { past };
        let of_it = rulebook.and_then(|it| Some(&it.purposes[it.purpose_index(purpose)?]));
        let named = of_it.map_or(&[][..], |it| &it.segments).iter().enumerate();
        let named = named.filter(|(bit, _)| segments >> bit & 1 == 1).map(|(_, it)| it.id.clone());
        HeldLive { segments: named.collect(), basis, decided_at, expires_at }
    }

    fn held_counters(&self, purpose: usize, state: &PurposeState) -> Vec<HeldCounter> {
        let Some(rule) = self.policy.rule(purpose) else { return Vec::new() };
        let held = state.counters.held().filter_map(|(slot, kept)| {
            let rule = rule.slots.get(slot)?.canonical.clone();
            Some(HeldCounter { rule, kept })
        });
        held.collect()
    }
}
