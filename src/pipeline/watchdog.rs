//! Watches over what could hold a run up in silence: a worker whose turn takes longer than its calls allow,
//! and calls that were left behind and don't come back.
//!
//! It asks nothing of Kafka, so nothing that holds a worker up holds it up too. Where it can't be fixed from
//! within, the run ends: others have the partitions then, and whatever supervises this process starts it anew.

use std::time::Duration;

use super::shared::Shared;
use crate::failure::Failure;
use crate::kafka::calls::{Call, left_behind, still_out};
use crate::kafka::handle::look_at_closing;

/// Looks are counted, not time: a process that was stopped, or a machine that slept, had no turn to take.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A turn has a tick at each of its calls, and none takes longer than 10.5 s. After so many looks without one,
/// a worker is held up by something that has no time-out.
const LOOKS_MAX: u32 = 15;

/// Then the run ends. /livez has said so for over four minutes, and whoever heeds that has long ended it.
const LOOKS_TO_END: u32 = 300;

/// Each of these holds some eight threads and a few MiB. A call that hangs costs its worker 5 s or more, so
/// this is minutes of nothing but calls that hang.
const LEFT_BEHIND_MAX: usize = 32;

/// Looks until the service stops.
pub fn run(shared: &Shared) {
    let mut turns = Turns::default();
    loop {
        std::thread::sleep(LOOK_EVERY);
        if shared.is_stopping() {
            return;
        }
        look_at_turns(shared, &mut turns);
        look_at_calls(shared);
    }
}

fn look_at_turns(shared: &Shared, turns: &mut Turns) {
    for (worker, change) in turns.look(&shared.status.ticks()) {
        match change {
            Change::Overdue => tracing::error!(
                worker,
                "this worker has been stuck for {LOOKS_MAX} s, longer than any of its calls can \
                 take; nothing in its partitions is decided"
            ),
            Change::CameRound => tracing::info!(worker, "this worker is running again"),
            Change::GivenUp => shared.stop.ask_for(Failure::failed(format!(
                "worker {worker} has been stuck for {LOOKS_TO_END} s; the process ends, so that \
                 other instances take its partitions. This is a defect of assent or of its Kafka \
                 client: keep the log and report it"
            ))),
        }
    }
    shared.metrics.worker_overdue_seconds.set(i64::from(turns.longest_overdue()));
}

fn look_at_calls(shared: &Shared) {
    look_at_closing();
    for &call in Call::ALL {
        let counter = shared.metrics.calls_left_behind_total.with_label_values(&[call.label()]);
        counter.inc_by(left_behind(call).saturating_sub(counter.get()));
    }
    let out = still_out();
    shared.metrics.clients_left_behind.set(out as i64);
    if out >= LEFT_BEHIND_MAX {
        shared.stop.ask_for(Failure::failed(format!(
            "{out} Kafka clients were abandoned because a call to them did not return; the process \
             ends, so that it can be restarted. Look for a broker or a name server that accepts \
             connections and does not answer (assent_calls_left_behind_total)"
        )));
    }
}

/// What a look found changed of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Overdue,
    CameRound,
    GivenUp,
}

/// By worker: its last tick, and how many looks have found it since.
#[derive(Default)]
struct Turns(Vec<(u64, u32)>);

impl Turns {
    fn look(&mut self, ticks: &[u64]) -> Vec<(usize, Change)> {
        self.0.resize(ticks.len(), (0, 0));
        let mut changes = Vec::new();
        for (worker, (seen, &tick)) in self.0.iter_mut().zip(ticks).enumerate() {
            let looks = if seen.0 == tick { seen.1 + 1 } else { 0 };
            match (seen.1, looks) {
                (before, 0) if before >= LOOKS_MAX => changes.push((worker, Change::CameRound)),
                (_, LOOKS_MAX) => changes.push((worker, Change::Overdue)),
                (_, LOOKS_TO_END) => changes.push((worker, Change::GivenUp)),
                _ => {}
            }
            *seen = (tick, looks);
        }
        changes
    }

    /// In looks; 0: every worker comes round.
    fn longest_overdue(&self) -> u32 {
        let looks = self.0.iter().map(|&(_, looks)| looks);
        looks.filter(|&looks| looks >= LOOKS_MAX).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_does_not_come_round_is_named_once_and_then_given_up() {
        let mut turns = Turns::default();
        let mut changes = Vec::new();
        for look in 0..=u64::from(LOOKS_TO_END) {
            let found = turns.look(&[look + 1, 7]);
            changes.extend(found.into_iter().map(|change| (look, change)));
        }
        let expected = [(15, (1, Change::Overdue)), (300, (1, Change::GivenUp))];
        assert_eq!(changes, expected);
        assert_eq!(turns.longest_overdue(), 300);
        assert_eq!(turns.look(&[1_000, 8]), [(1, Change::CameRound)]);
        assert_eq!(turns.longest_overdue(), 0);
    }
}
