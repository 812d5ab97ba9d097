//! What closes a partition's gate (gate line 1), and what an operator is told besides: which source is
//! silent, how long something has waited.

use super::silence;
use super::waiting::Noted;
use super::{Bounds, TIMER_PATIENCE, Task};
use assent_contract::domain::clock_guard::AHEAD_MAX;
use assent_contract::domain::time::{Moment, Span, Timestamp};

/// What closes a partition's gate for all clicks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed<'a> {
    /// Consent sync is past its bound.
    Behind,
    /// No question to the broker was reached yet.
    Unreached,
    /// The state's own time is ahead of the clocks.
    Ahead,
    /// This source closes the gate where it is silent, and is.
    Silent(&'a str),
}

impl Task {
    /// Is this partition's gate open, were it asked now?
    pub fn gate_open(&self, bounds: &Bounds, now: Moment) -> bool {
        self.closed_by(bounds, now).next().is_none()
    }

    /// All that closes this partition's gate, were it asked now.
    pub fn closed_by<'a>(
        &'a self,
        bounds: &'a Bounds,
        now: Moment,
    ) -> impl Iterator<Item = Closed<'a>> {
        let is_behind = self.barrier.lag(now) > bounds.max_sync_lag;
        let behind = is_behind.then_some(Closed::Behind);
        let unreached = (!is_behind && !self.barrier.was_reached()).then_some(Closed::Unreached);
        behind.into_iter().chain(unreached).chain(self.closed_anyway(bounds, now))
    }

    /// What closes the gate however far consent has come.
    pub(super) fn closed_anyway<'a>(
        &'a self,
        bounds: &'a Bounds,
        now: Moment,
    ) -> impl Iterator<Item = Closed<'a>> {
        let silent = silence::closers(&bounds.closing_sources, &self.signs, self.assigned, now);
        self.ahead.map(|_| Closed::Ahead).into_iter().chain(silent.map(Closed::Silent))
    }

    /// How long a source has said nothing here; where it never did: since the assignment.
    pub fn silence_of(&self, source: &str, now: Moment) -> Span {
        silence::silence_of(self.signs.get(source), self.assigned, now)
    }

    /// Takes note of what waits to be committed; several times a second, for [`Self::waits`].
    pub fn note_waiting(&mut self, now: Moment) {
        let due = self.engine.next_due();
        let noted = Noted {
            clicks_after: (!self.clicks.is_empty()).then(|| self.clicks.forgotten()),
            is_overdue: due.is_some_and(|due| due + TIMER_PATIENCE <= now.wall),
            consent_since: self.consents.front().map(|first| first.arrival.received),
        };
        self.waiting_since.note(noted, now);
    }

    /// How long something of it has waited to be committed, as far as was noted.
    pub fn waits(&self, now: Moment) -> Span {
        self.waiting_since.longest(now)
    }

    /// What a right clock shows now at the latest. A batch is never decided before the last one, so one
    /// that a wrong clock decided in the future would date all that is allowed after it.
    pub fn note_clock(&mut self, latest: Timestamp) {
        let ahead = self.engine.latched() - latest;
        self.ahead = (ahead > AHEAD_MAX).then_some(ahead);
    }

    /// How far the state's own time is ahead of the clocks, where that closes the gate.
    pub fn ahead(&self) -> Option<Span> {
        self.ahead
    }
}
