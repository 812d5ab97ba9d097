//! The one place that reads a clock. Everything else is told the time or is given a [`Clock`].

#![allow(clippy::disallowed_methods)] // this is the place that they point to

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use assent_contract::domain::time::{Moment, Span, Timestamp};

/// Wall time for what is recorded, monotonic time for time-outs and durations.
pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;
    fn instant(&self) -> Instant;
    /// Since a fixed moment before the start; unlike [`Self::instant`], suspended time counts: a
    /// question to the broker grows old also while the machine sleeps.
    fn uptime(&self) -> Span;

    fn moment(&self) -> Moment {
        Moment { wall: self.now(), uptime: self.uptime() }
    }
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    /// A clock set before 1970 reads as 0.
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Timestamp(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX));
        #[cfg(feature = "crash-points")]
        let now = now + shifted::by();
        now
    }

    fn instant(&self) -> Instant {
        Instant::now()
    }

    #[cfg(target_os = "linux")]
    fn uptime(&self) -> Span {
        let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Span(boot.tv_sec * 1_000 + boot.tv_nsec / 1_000_000)
    }

    /// Whether sleep counts is the system's choice here.
    #[cfg(not(target_os = "linux"))]
    fn uptime(&self) -> Span {
        static FIRST: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        Span(FIRST.get_or_init(Instant::now).elapsed().as_millis() as i64)
    }
}

/// A wall clock that a test can set wrong: `ASSENT_CLOCK_SHIFT` names a file that holds how many
/// milliseconds it is ahead. Like the crash points, it is in no release.
#[cfg(feature = "crash-points")]
mod shifted {
    use std::sync::{Mutex, OnceLock, PoisonError};
    use std::time::{Duration, Instant};

    use assent_contract::domain::time::Span;

    const LOOK_EVERY: Duration = Duration::from_millis(50);

    pub fn by() -> Span {
        static FILE: OnceLock<Option<String>> = OnceLock::new();
        static LAST: Mutex<Option<(Instant, i64)>> = Mutex::new(None);
        let Some(file) = FILE.get_or_init(|| std::env::var("ASSENT_CLOCK_SHIFT").ok()) else {
            return Span(0);
        };
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        match *last {
            Some((at, shift)) if at.elapsed() < LOOK_EVERY => Span(shift),
            _ => {
                let text = std::fs::read_to_string(file).unwrap_or_default();
                let shift = text.trim().parse().unwrap_or(0);
                *last = Some((Instant::now(), shift));
                Span(shift)
            }
        }
    }
}

/// A clock that moves only when it is told to.
#[derive(Debug)]
pub struct ManualClock(Mutex<(Timestamp, Instant)>, Instant);

impl ManualClock {
    pub fn at(now: Timestamp) -> Self {
        let start = Instant::now();
        Self(Mutex::new((now, start)), start)
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

    fn uptime(&self) -> Span {
        Span((self.hands().1 - self.1).as_millis() as i64)
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
    fn uptime_goes_on() {
        let before = SystemClock.uptime();
        std::thread::sleep(Duration::from_millis(20));
        let passed = SystemClock.uptime() - before;
        assert!(passed >= Span(19), "{passed:?}");
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
