//! Holds decisions back while the wall clock runs ahead of its witnesses, says so, and lets them go on
//! by themselves. One for all workers: what one of them reads from the broker serves all.

use std::sync::{Mutex, PoisonError};

use super::shared::Shared;
use assent_contract::domain::clock_guard::{Appended, ClockGuard};
use assent_contract::domain::time::{Moment, Span, Timestamp};

pub struct ClockWatch(Mutex<Watched>);

struct Watched {
    guard: ClockGuard,
    /// How far ahead the clock was at the last look, where that was too far.
    ahead: Option<Span>,
}

impl ClockWatch {
    pub fn started(at: Moment) -> Self {
        Self(Mutex::new(Watched { guard: ClockGuard::started(at), ahead: None }))
    }

    /// The broker's clock, as a consent record tells it.
    pub fn appended(&self, record: Appended) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).guard.appended(record);
    }

    /// May a batch be decided at this moment?
    pub fn allows(&self, now: Moment, shared: &Shared) -> bool {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ahead = watched.guard.too_far_ahead(now);
        let by_broker = watched.guard.rests_on_broker(now);
        match (watched.ahead, ahead) {
            (None, Some(by)) => tracing::error!("{}", message(by, by_broker)),
            (Some(_), None) => {
                tracing::info!("the wall clock is trusted again; deciding continues");
            }
            _ => {}
        }
        watched.ahead = ahead;
        drop(watched);
        shared.status.set_halted(ahead.map(|by| message(by, by_broker)));
        shared.metrics.clock_ahead_seconds.set(ahead.map_or(0.0, |by| by.0 as f64 / 1_000.0));
        ahead.is_none()
    }

    /// What a right clock shows at this moment at the latest.
    pub fn latest(&self, now: Moment) -> Timestamp {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).guard.latest(now)
    }
}

fn message(ahead: Span, by_broker: bool) -> String {
    let seconds = ahead.0 / 1_000;
    if by_broker {
        return format!(
            "the wall clock is {seconds} s ahead of the broker's append times, so nothing is \
             decided: every grant might seem to have ended. Assent can't know which of the two is \
             wrong. Compare the clock of this machine with that of the broker that leads the \
             consent topic and correct the wrong one. Deciding then continues; if it was the \
             broker's, with the next heartbeat"
        );
    }
    format!(
        "the wall clock is {seconds} s ahead of the monotonic clock and the broker's append times, \
         so nothing is decided: every grant would seem to have ended. Correct the clock, and \
         deciding continues. If the clock is right, for example after a snapshot was restored, run \
         `assent heartbeat` or restart"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_alone_says_so_is_named_too() {
        let of = |by_broker| message(Span(3_600_000), by_broker);
        assert!(of(true).contains("that of the broker") && !of(true).contains("monotonic"));
        assert!(of(false).contains("Correct the clock") && of(false).contains("3600 s"));
    }
}
