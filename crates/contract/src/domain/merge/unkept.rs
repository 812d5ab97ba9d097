//! Opt-out signals that are no longer kept one by one: a subject that may have sent one counts as having
//! sent it (docs/contract/gate.md#opt-out-signals). A signal that is missed is a violation; one too
//! many costs a click.

use super::SubjectConsent;
use crate::domain::time::{Span, Timestamp};

/// Up to when signals are missing, and whose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnkeptSignals {
    /// Signals of all subjects from before this time were lost.
    pub lost_at: Option<Timestamp>,
    /// Signals of otherwise unknown subjects were dropped up to this time, in favor of later ones.
    pub gave_way_at: Option<Timestamp>,
}

impl UnkeptSignals {
    /// What of them would still be kept.
    #[must_use]
    pub fn still_kept(self, now: Timestamp) -> Self {
        let is_kept = |at: &Timestamp| now < *at + Span::MONTHS_24;
        Self {
            lost_at: self.lost_at.filter(is_kept),
            gave_way_at: self.gave_way_at.filter(is_kept),
        }
    }

    /// As of when whoever first appears counts as bound. A signal of an unknown subject that is no
    /// later says nothing beyond it.
    pub fn of_unknown(self) -> Option<Timestamp> {
        let lost_at = self.lost_at.map(Timestamp::ceil_minute);
        lost_at.max(self.gave_way_at)
    }
}

impl SubjectConsent {
    /// Signals from before `lost_at` were lost: may one of this subject's be missing here? One that
    /// binds from then on makes up for it; an erasure since then took it.
    pub fn may_miss_signal(&self, lost_at: Timestamp) -> bool {
        self.signal_at.is_none_or(|bound| bound < lost_at)
            && self.erased_at.is_none_or(|erased_at| erased_at < lost_at)
    }

    /// Binds a subject by the signals that may be missing of it. A subject whose signal was dropped left
    /// nothing behind; if anything else of a subject is kept, so are its signals.
    pub fn make_up_for(&mut self, unkept: UnkeptSignals) {
        if let Some(lost_at) = unkept.lost_at
            && self.may_miss_signal(lost_at)
        {
            self.bind(lost_at);
        }
        if let Some(gave_way_at) = unkept.gave_way_at
            && self.is_unknown()
        {
            self.bind(gave_way_at);
        }
    }
}
