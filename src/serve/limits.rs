//! How much one client may ask: a bucket of tokens, refilled as time passes.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::clock::{Clock, SystemClock};
use crate::config::Rate;

/// Of one client, shared by the threads that answer it.
pub struct Bucket {
    rate: Rate,
    state: Mutex<State>,
}

struct State {
    /// Requests that may be made now.
    tokens: f64,
    at: Instant,
}

impl Bucket {
    /// As many at once as the rate has in its time.
    pub fn full(rate: Rate) -> Self {
        let state = State { tokens: f64::from(rate.requests), at: SystemClock.instant() };
        Self { rate, state: Mutex::new(state) }
    }

    /// May one more request be made now?
    pub fn take(&self) -> bool {
        self.take_at(SystemClock.instant())
    }

    fn take_at(&self, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.saturating_duration_since(state.at).as_secs_f64();
        let (most, seconds) = (f64::from(self.rate.requests), f64::from(self.rate.seconds));
        state.tokens = (state.tokens + passed * most / seconds).min(most);
        state.at = state.at.max(now);
        let may = state.tokens >= 1.0;
        if may {
            state.tokens -= 1.0;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_is_bounded_and_time_refills() {
        let bucket = Bucket::full(Rate { requests: 4, seconds: 2 });
        let start = SystemClock.instant();
        let taken =
            |ms| (0..10).filter(|_| bucket.take_at(start + Duration::from_millis(ms))).count();
        assert_eq!(taken(0), 4);
        assert_eq!(taken(400), 0);
        assert_eq!(taken(1_000), 2);
        assert_eq!(taken(60_000), 4, "no more than the burst");
    }
}
