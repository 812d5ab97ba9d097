//! What systemd is told of a service with `Type=notify`: that it has started, that it is live, that it stops.
//!
//! Without systemd (`NOTIFY_SOCKET` is not set) nothing is said. Elsewhere than on Linux there is none.

use std::time::{Duration, Instant};

use crate::clock::{Clock, SystemClock};

pub struct Supervisor {
    /// How often the watchdog wants to hear that the process is live; `None`: it does not ask.
    every: Option<Duration>,
    told_at: Instant,
}

impl Supervisor {
    /// The workers have been started. Whether a partition is restored is another question: /readyz.
    pub fn tell_started() -> Self {
        tell::started();
        // Half of its patience, as sd_watchdog_enabled(3) advises.
        Self {
            every: tell::watchdog().map(|patience| patience / 2),
            told_at: SystemClock.instant(),
        }
    }

    /// Where it is time to. A process whose loops stand still says nothing, and is restarted.
    pub fn tell_live(&mut self, is_live: impl FnOnce() -> bool) {
        let now = SystemClock.instant();
        if self.every.is_some_and(|every| now - self.told_at >= every) && is_live() {
            tell::live();
            self.told_at = now;
        }
    }
}

pub fn tell_stopping() {
    tell::stopping();
}

#[cfg(target_os = "linux")]
mod tell {
    use std::time::Duration;

    use sd_notify::{NotifyState, notify};

    /// What systemd does not hear it does not act upon: there is nothing else to do about it.
    fn say(state: &NotifyState<'_>) {
        if let Err(error) = notify(std::slice::from_ref(state)) {
            tracing::warn!(%error, "can't tell systemd how the service is");
        }
    }

    pub fn started() {
        say(&NotifyState::Ready);
    }

    pub fn live() {
        say(&NotifyState::Watchdog);
    }

    pub fn stopping() {
        say(&NotifyState::Stopping);
    }

    pub fn watchdog() -> Option<Duration> {
        sd_notify::watchdog_enabled()
    }
}

#[cfg(not(target_os = "linux"))]
mod tell {
    use std::time::Duration;

    pub fn started() {}
    pub fn live() {}
    pub fn stopping() {}

    pub fn watchdog() -> Option<Duration> {
        None
    }
}
