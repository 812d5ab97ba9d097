//! `/livez` and `/readyz` of `assent canary`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::clock::{Clock, SystemClock};
use crate::http::Health;
use crate::telemetry::metrics::Metrics;

/// It ticks several times a second, but while brokers are reached.
const TURN_MAX: Duration = Duration::from_mins(1);

pub struct CanaryHealth {
    ticked_at: Mutex<Instant>,
    is_open: AtomicBool,
    every: Duration,
}

impl CanaryHealth {
    pub fn new(every: Duration) -> Self {
        let ticked_at = Mutex::new(SystemClock.instant());
        Self { ticked_at, is_open: AtomicBool::new(false), every }
    }

    pub fn tick(&self) {
        *self.ticked_at.lock().unwrap_or_else(PoisonError::into_inner) = SystemClock.instant();
    }

    pub fn note_open(&self) {
        self.is_open.store(true, Ordering::Release);
    }
}

impl Health for CanaryHealth {
    fn is_live(&self) -> bool {
        let ticked_at = *self.ticked_at.lock().unwrap_or_else(PoisonError::into_inner);
        SystemClock.instant().saturating_duration_since(ticked_at) <= TURN_MAX
    }

    /// Whether rounds succeed is for its metrics to say: it is ready to find out.
    fn readiness(&self) -> (bool, Value) {
        let ready = self.is_open.load(Ordering::Acquire);
        (ready, json!({ "ready": ready, "every_seconds": self.every.as_secs() }))
    }

    fn publish(&self, _: &Metrics) {}
}
