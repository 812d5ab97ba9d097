//! Since when something of a partition waits to be committed, as it is noted from time to time: what
//! was received, and what time alone asks for.
//!
//! By the monotonic clock: a wall clock that jumps makes nothing wait longer.

use assent_contract::domain::time::{Moment, Span};

/// Uptimes.
#[derive(Clone, Debug, Default)]
pub struct Waiting {
    /// How many clicks were committed when the first of those that wait was noted, and since when.
    clicks: Option<(u64, Span)>,
    timers: Option<Span>,
    /// When the first consent record that waits was received.
    consent: Option<Span>,
}

/// What waits at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Noted {
    /// Clicks that are held, if any: how many were committed before them.
    pub clicks_after: Option<u64>,
    /// A timer is overdue.
    pub is_overdue: bool,
    /// Consent that is held, if any: when the first of it was received.
    pub consent_since: Option<Span>,
}

impl Waiting {
    pub fn note(&mut self, noted: Noted, now: Moment) {
        let Noted { clicks_after, is_overdue, consent_since } = noted;
        self.clicks = clicks_after.map(|before| match self.clicks {
            Some((known, since)) if known == before => (known, since),
            _ => (before, now.uptime),
        });
        self.timers = is_overdue.then(|| self.timers.unwrap_or(now.uptime));
        self.consent = consent_since;
    }

    /// Something was committed. What time asks for is done in steps, some in each batch.
    pub fn committed(&mut self) {
        self.timers = None;
    }

    /// How long the first of all that waits has waited.
    pub fn longest(&self, now: Moment) -> Span {
        let clicks = self.clicks.map(|(_, since)| since);
        let first = [clicks, self.timers, self.consent].into_iter().flatten().min();
        first.map_or(Span(0), |since| now.uptime - since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assent_contract::domain::time::Timestamp;

    fn at(uptime: i64) -> Moment {
        Moment { wall: Timestamp(0), uptime: Span(uptime) }
    }

    fn noted(clicks_after: Option<u64>, is_overdue: bool, consent_since: Option<i64>) -> Noted {
        Noted { clicks_after, is_overdue, consent_since: consent_since.map(Span) }
    }

    #[test]
    fn a_click_waits_until_clicks_are_committed() {
        let mut waiting = Waiting::default();
        waiting.note(noted(Some(5), false, None), at(100));
        waiting.note(noted(Some(5), false, None), at(900));
        waiting.committed();
        assert_eq!(waiting.longest(at(1_000)), Span(900));
        waiting.note(noted(Some(9), false, None), at(1_000));
        assert_eq!(waiting.longest(at(1_000)), Span(0), "others wait now");
        waiting.note(noted(None, false, None), at(2_000));
        assert_eq!(waiting.longest(at(9_000)), Span(0));
    }

    #[test]
    fn consent_waits_since_it_was_received_and_timers_since_the_last_commit() {
        let mut waiting = Waiting::default();
        waiting.note(noted(None, true, Some(50)), at(100));
        assert_eq!(waiting.longest(at(200)), Span(150));
        waiting.note(noted(None, true, None), at(300));
        assert_eq!(waiting.longest(at(400)), Span(300));
        waiting.committed();
        waiting.note(noted(None, true, None), at(500));
        assert_eq!(waiting.longest(at(600)), Span(100), "they are settled in steps");
    }
}
