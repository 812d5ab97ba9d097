//! What the workers last said of themselves; `/livez` and `/readyz` are read off it.
//!
//! A reported lag grows with the report's age, so a worker that hangs can't stay ready.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::clock::Clock;
use crate::domain::time::Span;

/// A worker whose poll loop has not ticked for this long is taken for dead (design, section 9).
pub const TICK_MAX: Duration = Duration::from_secs(30);

/// A report this fresh is taken as it is: section 7 calls consent synced whose last answered
/// question is at most a second old.
const FRESH: Duration = Duration::from_secs(1);

/// What a worker says of a partition it owns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PartitionStatus {
    pub restored: bool,
    pub consent_sync_lag_seconds: f64,
    pub gate_open: bool,
    /// A batch of it broke an invariant and was not committed.
    pub held_back: bool,
    /// How far its state's time is ahead of the clocks, where that closes its gate.
    pub ahead: Option<Span>,
}

/// Shared by the workers, who write, and the HTTP server, which reads.
pub struct Status {
    clock: Arc<dyn Clock>,
    started: Instant,
    max_sync_lag: Duration,
    /// Milliseconds after `started` of each worker's last tick.
    ticks: Vec<AtomicU64>,
    /// Has the consumer group given this instance an answer, be it no partition at all?
    joined: AtomicBool,
    /// Why nothing is decided, although all is restored and in sync.
    halted: Mutex<Option<String>>,
    partitions: Mutex<BTreeMap<i32, (PartitionStatus, Instant)>>,
}

impl Status {
    pub fn new(workers: usize, max_sync_lag: Duration, clock: Arc<dyn Clock>) -> Self {
        Self {
            started: clock.instant(),
            clock,
            max_sync_lag,
            ticks: (0..workers).map(|_| AtomicU64::new(0)).collect(),
            joined: AtomicBool::new(false),
            halted: Mutex::default(),
            partitions: Mutex::default(),
        }
    }

    /// The poll loop of this worker (from 0) went round.
    pub fn tick(&self, worker: usize) {
        if let Some(tick) = self.ticks.get(worker) {
            tick.store(self.uptime().as_millis() as u64, Ordering::Relaxed);
        }
    }

    /// The consumer group answered with an assignment, also with an empty one.
    pub fn set_joined(&self) {
        self.joined.store(true, Ordering::Relaxed);
    }

    /// Nothing is decided for this reason; `None`: it is.
    pub fn set_halted(&self, reason: Option<String>) {
        *self.halted.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    pub fn set_partition(&self, partition: i32, status: PartitionStatus) {
        let reported = self.clock.instant();
        self.partitions().insert(partition, (status, reported));
    }

    /// The partition is no longer owned.
    pub fn remove_partition(&self, partition: i32) {
        self.partitions().remove(&partition);
    }

    /// Did every worker tick within [`TICK_MAX`]?
    pub fn is_live(&self) -> bool {
        let uptime = self.uptime();
        self.ticks.iter().all(|tick| {
            uptime.saturating_sub(Duration::from_millis(tick.load(Ordering::Relaxed))) <= TICK_MAX
        })
    }

    pub fn readiness(&self) -> Readiness {
        let now = self.clock.instant();
        let partitions: Vec<_> = self
            .partitions()
            .iter()
            .map(|(&partition, (status, reported))| {
                PartitionReadiness::new(
                    partition,
                    *status,
                    now.saturating_duration_since(*reported),
                )
            })
            .collect();
        let bound = self.max_sync_lag.as_secs_f64();
        let halted = self.halted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let halted = halted.or_else(|| self.held_back()).or_else(|| self.ahead());
        let ready = self.joined.load(Ordering::Relaxed)
            && halted.is_none()
            && partitions.iter().all(|p| p.restored && p.consent_sync_lag_seconds <= bound);
        Readiness { ready, halted, partitions }
    }

    fn held_back(&self) -> Option<String> {
        let partitions = self.partitions();
        let (partition, _) = partitions.iter().find(|(_, (status, _))| status.held_back)?;
        Some(format!(
            "partition {partition}: a batch broke an invariant and was not committed; it is tried \
             again without clicks, then in halves, and what breaks it every 10 s: see the log and \
             assent_invariant_violations_total"
        ))
    }

    fn ahead(&self) -> Option<String> {
        let partitions = self.partitions();
        let mut ahead = partitions.iter().filter_map(|(p, (status, _))| Some((p, status.ahead?)));
        let (partition, by) = ahead.next()?;
        Some(format!(
            "partition {partition}: its last batch was decided {by} s ahead of the clocks, by a wall \
             clock that was wrong then; opt-outs go on, no click is allowed. Where the clock is wrong \
             now, set it right; else it goes on by itself in {by} s at the latest",
            by = by.0 / 1_000
        ))
    }

    fn uptime(&self) -> Duration {
        self.clock.instant().saturating_duration_since(self.started)
    }

    fn partitions(&self) -> MutexGuard<'_, BTreeMap<i32, (PartitionStatus, Instant)>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body of `/readyz`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Readiness {
    pub ready: bool,
    /// Why nothing is decided; left out where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub halted: Option<String>,
    /// Owned partitions, by number.
    pub partitions: Vec<PartitionReadiness>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PartitionReadiness {
    pub partition: i32,
    pub restored: bool,
    pub consent_sync_lag_seconds: f64,
    pub gate_open: bool,
}

impl PartitionReadiness {
    fn new(partition: i32, status: PartitionStatus, age: Duration) -> Self {
        let unreported = if age <= FRESH { 0.0 } else { age.as_secs_f64() };
        Self {
            partition,
            restored: status.restored,
            consent_sync_lag_seconds: status.consent_sync_lag_seconds + unreported,
            gate_open: status.gate_open,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::time::Timestamp;

    const GOOD: PartitionStatus = PartitionStatus {
        restored: true,
        consent_sync_lag_seconds: 0.0,
        gate_open: true,
        held_back: false,
        ahead: None,
    };

    fn instance(workers: usize) -> (Status, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(Timestamp(0)));
        (Status::new(workers, Duration::from_mins(1), clock.clone()), clock)
    }

    #[test]
    fn every_worker_must_tick_within_thirty_seconds() {
        let (status, clock) = instance(2);
        clock.advance(Duration::from_secs(20));
        status.tick(0);
        assert!(status.is_live());
        clock.advance(Duration::from_secs(11));
        assert!(!status.is_live(), "worker 1 never ticked");
        status.tick(1);
        assert!(status.is_live());
    }

    #[test]
    fn ready_once_joined_and_every_owned_partition_is_restored_and_in_sync() {
        let check = |partitions: &[PartitionStatus], expect: bool| {
            let (status, _) = instance(1);
            assert!(!status.readiness().ready, "not joined");
            status.set_joined();
            for (partition, report) in partitions.iter().enumerate() {
                status.set_partition(partition as i32, *report);
            }
            assert_eq!(status.readiness().ready, expect, "{partitions:?}");
        };
        check(&[], true);
        check(&[GOOD, GOOD], true);
        check(&[GOOD, PartitionStatus { restored: false, ..GOOD }], false);
        check(&[PartitionStatus { consent_sync_lag_seconds: 60.0, ..GOOD }], true);
        check(&[PartitionStatus { consent_sync_lag_seconds: 60.1, ..GOOD }], false);
    }

    #[test]
    fn who_decides_nothing_is_not_ready_and_says_why() {
        let (status, _) = instance(1);
        status.set_joined();
        status.set_partition(0, GOOD);
        status.set_halted(Some("the clock".to_owned()));
        let readiness = status.readiness();
        assert_eq!((readiness.ready, readiness.halted.as_deref()), (false, Some("the clock")));
        status.set_halted(None);
        assert!(status.readiness().ready);
        status.set_partition(0, PartitionStatus { held_back: true, ..GOOD });
        let readiness = status.readiness();
        assert!(!readiness.ready && readiness.halted.unwrap().starts_with("partition 0: "));
        status.set_partition(0, PartitionStatus { ahead: Some(Span(3_600_000)), ..GOOD });
        let readiness = status.readiness();
        assert!(!readiness.ready && readiness.halted.unwrap().contains("3600 s ahead"));
    }

    #[test]
    fn an_old_report_grows_old() {
        let (status, clock) = instance(1);
        status.set_joined();
        status.set_partition(3, GOOD);
        clock.advance(Duration::from_secs(61));
        let readiness = status.readiness();
        assert!(!readiness.ready);
        assert!(readiness.partitions[0].consent_sync_lag_seconds > 60.0);
        status.remove_partition(3);
        assert!(status.readiness().ready);
    }
}
