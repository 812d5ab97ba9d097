//! `/livez`, `/readyz` and the gauges of `assent serve`.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::changelog::Changelog;
use super::copy::Copy;
use super::identities::Identities;
use super::intake::OwnerStatus;
use super::register::Register;
use crate::clock::{Clock, SystemClock};
use crate::http::Health;
use crate::telemetry::metrics::Metrics;

/// A loop that has not gone round for so long is stuck: its longest turn is some 15 s.
const TURN_MAX: Duration = Duration::from_secs(30);

/// What is ready has heard from the brokers lately: a copy whose proof is older says nothing to anybody.
const HEARD_WITHIN: Duration = Duration::from_secs(5);

pub struct ServeHealth {
    copy: Arc<Copy>,
    changelog: Arc<Changelog>,
    register: Arc<Register>,
    identities: Arc<Identities>,
    owner: Arc<OwnerStatus>,
    /// The owner's last tick, and when it was seen to have changed.
    seen: Mutex<(u64, Instant)>,
}

impl ServeHealth {
    pub fn of(
        copy: &Arc<Copy>,
        changelog: &Arc<Changelog>,
        register: &Arc<Register>,
        identities: &Arc<Identities>,
        owner: &Arc<OwnerStatus>,
    ) -> Self {
        Self {
            copy: Arc::clone(copy),
            changelog: Arc::clone(changelog),
            register: Arc::clone(register),
            identities: Arc::clone(identities),
            owner: Arc::clone(owner),
            seen: Mutex::new((0, SystemClock.instant())),
        }
    }

    pub fn intake_partitions(&self) -> i64 {
        self.owner.partitions.load(Ordering::Relaxed)
    }
}

impl Health for ServeHealth {
    fn is_live(&self) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (ticks, now) = (self.owner.ticks.load(Ordering::Relaxed), SystemClock.instant());
        if seen.0 != ticks {
            *seen = (ticks, now);
        }
        now.saturating_duration_since(seen.1) <= TURN_MAX
    }

    /// Look-ups answer all the same while it is not ready: with the default segment.
    fn readiness(&self) -> (bool, Value) {
        let seconds = |age: Option<Duration>| age.map(|age| age.as_secs_f64());
        let is_heard = |age: Option<Duration>| age.is_some_and(|age| age <= HEARD_WITHIN);
        let ages = [
            ("lookup_copy", self.copy.age()),
            ("consent_copy", self.changelog.progress().age()),
            ("register", self.register.progress().age()),
            ("identities", self.identities.progress().age()),
        ];
        let ready = ages.iter().all(|(_, age)| is_heard(*age));
        let mut body = json!({
            "ready": ready,
            "partitions": [],
            "in_sync": self.copy.is_in_sync(),
            "intake_partitions": self.intake_partitions(),
        });
        for (name, age) in ages {
            body[format!("{name}_lag_seconds")] = seconds(age).into();
        }
        (ready, body)
    }

    fn publish(&self, metrics: &Metrics) {
        self.copy.publish(metrics);
        let pending =
            self.owner.waiting.load(Ordering::Relaxed) + self.owner.merged.load(Ordering::Relaxed);
        metrics.intake_pending.set(pending);
        metrics.intake_held.set(self.owner.held.load(Ordering::Relaxed));
        metrics.intake_partitions.set(self.intake_partitions());
    }
}
