//! A consent consumer that stands still although the broker has more is replaced: what it waits for may be a
//! leader of before. An open transaction on the changelog looks the same, and costs a client every 30 s.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::worker::{Worker, consent};

/// Three times what Assent's own transactions may hold a reader back, and half of the bound on consent sync
/// that is usual.
const STANDS_MAX: Duration = Duration::from_secs(30);

/// Where a consumer stands, and since when it should have moved.
#[derive(Default)]
pub struct Standstill(Option<(BTreeMap<i32, i64>, Instant)>);

impl Standstill {
    /// `at`: the next offsets, where there is more to read; returns whether it has stood there for too long.
    fn look(&mut self, at: Option<BTreeMap<i32, i64>>, now: Instant) -> bool {
        let since = match (&self.0, &at) {
            (Some((before, since)), Some(at)) if before == at => *since,
            _ => now,
        };
        let stands = now.saturating_duration_since(since) > STANDS_MAX;
        self.0 = at.filter(|_| !stands).map(|at| (at, since));
        stands
    }
}

impl Worker {
    /// After what was reached is settled.
    pub(super) fn look_after_consent(&mut self) {
        let waits = self.tasks.values().any(|task| task.barrier.has_open());
        let at = || -> BTreeMap<i32, i64> {
            self.tasks
                .iter()
                .map(|(&partition, task)| (partition, task.received().consent))
                .collect()
        };
        let (at, now) = (waits.then(at), self.shared.clock.instant());
        if self.standstill.look(at, now) {
            let stands = STANDS_MAX.as_secs();
            tracing::warn!(
                worker = self.number,
                "consent has made no progress for {stands} s; reading again"
            );
            self.follow_consent_anew();
        }
    }

    /// From where it was received to, by another client.
    pub(super) fn follow_consent_anew(&mut self) {
        let at = self.tasks.iter().map(|(&partition, task)| (partition, task.received().consent));
        let (at, made) = (at.collect(), consent(&self.shared, self.answers));
        match made.and_then(|follower| follower.fetch_from(&at).map(|()| follower)) {
            Ok(follower) => self.consent = follower,
            Err(error) => tracing::warn!(%error, "can't read consent again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, SystemClock};

    #[test]
    fn only_who_has_more_to_read_and_does_not_move_stands_still() {
        let mut standstill = Standstill::default();
        let mut now = SystemClock.instant();
        let mut look = |at: Option<i64>, seconds| {
            now += Duration::from_secs(seconds);
            standstill.look(at.map(|at| BTreeMap::from([(0, at)])), now)
        };
        assert!(!look(Some(7), 0));
        assert!(!look(Some(8), 29), "it moved");
        assert!(!look(Some(8), 29));
        assert!(look(Some(8), 2));
        assert!(!look(Some(8), 29), "from then on");
        assert!(!look(None, 29), "nothing more to read");
        assert!(!look(Some(8), 29));
    }
}
