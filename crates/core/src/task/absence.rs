//! When consent was last in sync, as the state has to say it, and whether it is too long ago: a changelog
//! forgets erasures that nobody read in time.

use super::Task;
use super::barrier::Barrier;
use crate::engine::absence::{AbsenceBound, noted_every, noted_when_parting};
use crate::engine::input::Synced;
use assent_contract::domain::time::{Moment, Span};

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Absence {
    /// `None`: the changelog never loses an erasure, or nobody knows how it is set.
    bound: Option<AbsenceBound>,
    /// How long consent had gone unread when the partition was taken up.
    before: Span,
    /// It is being given back.
    is_parting: bool,
}

impl Task {
    pub fn absence_bound(&self) -> Option<AbsenceBound> {
        self.absence.bound
    }

    /// `before`: how long consent had gone unread when the partition was taken up.
    #[must_use]
    pub fn bound_absence(mut self, bound: Option<AbsenceBound>, before: Span) -> Self {
        self.absence = Absence { bound, before, ..self.absence };
        self
    }

    /// It is being given back: whoever has it next is to know until when consent was read.
    pub fn part(&mut self) {
        self.absence.is_parting = true;
    }

    /// Up to when consent is applied with a batch that leaves the barrier like this. A partition of which
    /// nothing was ever decided holds nobody whom an erasure could miss.
    pub(super) fn synced(&self, ahead: &Barrier, now: Moment) -> Option<Synced> {
        let at = ahead.was_reached().then(|| ahead.synced(now))?;
        let every = noted_every(self.absence.bound);
        let every = if self.absence.is_parting { noted_when_parting(every) } else { every };
        let noted = self.engine.consent_synced_at();
        let asks_for_batch = noted.is_some_and(|noted| at > noted && at - noted >= every);
        Some(Synced { at, asks_for_batch })
    }

    /// For how long consent has not been read, where erasures may have gone meanwhile. By the monotonic
    /// clock, since a wall clock that was set forward is no absence.
    pub fn unread_too_long(&self, now: Moment) -> Option<Span> {
        let since = if self.barrier.was_reached() { Span(0) } else { self.absence.before };
        let unread_for = since + self.barrier.lag(now);
        self.absence.bound.filter(|bound| unread_for > bound.max()).map(|_| unread_for)
    }
}
