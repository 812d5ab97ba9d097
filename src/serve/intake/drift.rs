//! What a reconciliation found, told to whoever owns its partition, so that a metric shows it.

use super::kept::Drift;
use super::owner::{Owning, TurnError};
use super::transaction::Write;

impl Owning {
    /// Counts what was noted, and ends the notes; was there one?
    pub(super) fn count_drift(&mut self) -> Result<bool, TurnError> {
        if self.drift.is_empty() {
            return Ok(false);
        }
        let end = |(key, (partition, _)): (&String, &(i32, Drift))| Write {
            topic: self.with.config.topics.intake_state.clone(),
            partition: *partition,
            key: key.as_bytes().to_vec(),
            value: None,
            header: None,
        };
        let writes: Vec<Write> = self.drift.iter().map(end).collect();
        let next = self.committed.clone();
        self.transact(&writes, &next)?;
        for (_, (_, drift)) in std::mem::take(&mut self.drift) {
            for (kind, count) in &drift.counts {
                let labels = [super::source_label(&drift.source), super::drift_label(kind)];
                let counter = &self.with.metrics.consent_source_drift_total;
                counter.with_label_values(&labels).inc_by(*count);
            }
        }
        Ok(true)
    }
}
