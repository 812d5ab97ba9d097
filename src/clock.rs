//! The one place that reads a clock. Everything else is told the time or is given a [`Clock`].

#![allow(clippy::disallowed_methods)] // this is the place that they point to

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::domain::time::Timestamp;

/// Wall time for what is recorded, monotonic time for time-outs and durations.
pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;
    fn instant(&self) -> Instant;
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    /// A clock set before 1970 reads as 0.
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }

    fn instant(&self) -> Instant {
        Instant::now()
    }
}

/// A clock that moves only when it is told to, both hands at once.
#[derive(Debug)]
pub struct ManualClock(Mutex<(Timestamp, Instant)>);

impl ManualClock {
    pub fn at(now: Timestamp) -> Self {
        Self(Mutex::new((now, Instant::now())))
    }

    pub fn advance(&self, by: Duration) {
        let mut hands = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        hands.0 = Timestamp(hands.0.0.saturating_add(by.as_millis() as i64));
        hands.1 += by;
    }

    fn hands(&self) -> (Timestamp, Instant) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.hands().0
    }

    fn instant(&self) -> Instant {
        self.hands().1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_tells_milliseconds_of_this_century() {
        let year_2025 = Timestamp(1_735_689_600_000);
        let year_2100 = Timestamp(4_102_444_800_000);
        assert!((year_2025..year_2100).contains(&SystemClock.now()));
    }

    #[test]
    fn a_manual_clock_moves_both_hands() {
        let clock = ManualClock::at(Timestamp(5));
        let before = clock.instant();
        clock.advance(Duration::from_millis(7));
        assert_eq!(
            (clock.now(), clock.instant() - before),
            (Timestamp(12), Duration::from_millis(7))
        );
    }
}
