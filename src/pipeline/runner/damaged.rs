//! State or audit that nobody can read keeps its partitions from being taken up. It is named at once, read
//! again for a while, since another replica may have it whole, and then a stop (INV-9, INV-12;
//! docs/stops.md).

use std::time::{Duration, Instant};

use super::Runner;
use crate::failure::{Failure, Result};
use crate::pipeline::take_up_error::Doubtful;
use assent_contract::domain::time::Span;

/// For so long each look must find the same before a person is called, as with consent.
const SURE: Duration = Duration::from_secs(8);

/// Between two looks, each of which reads the state whole.
const AGAIN: Span = Span(1_000);

/// What could not be read, and since when every look says so.
pub(in crate::pipeline) struct Unsure {
    of: Vec<Doubtful>,
    since: Instant,
}

impl Runner {
    /// Waits for another look, or ends with `stop`.
    pub(super) fn outlast_damage(&mut self, found: Vec<Doubtful>, stop: Failure) -> Result<()> {
        let now = self.shared.clock.instant();
        match &self.unsure {
            Some(unsure) if unsure.of == found => {
                if now.duration_since(unsure.since) >= SURE {
                    return Err(stop);
                }
            }
            _ => {
                for doubtful in &found {
                    self.name_damage(doubtful);
                }
                self.unsure = Some(Unsure { of: found, since: now });
            }
        }
        self.worker.restore_after(AGAIN, self.shared.clock.moment());
        Ok(())
    }

    fn name_damage(&self, Doubtful { topic, partition, unreadable }: &Doubtful) {
        let (offset, last) = (unreadable.range.start, unreadable.range.end - 1);
        let reason = &unreadable.reason;
        tracing::error!(topic, partition, offset, last, reason, "no client can read this batch");
        self.shared.metrics.unreadable_batches_total.with_label_values(&[topic]).inc();
        self.shared.status.note_unreadable(*partition);
    }
}
