//! Commands for which nothing was written, since what stands says it already: honored once the audit covers the
//! subject's last record.
//!
//! Where that record was decided long ago, no batch of the followed part of the audit has it; so the head of
//! the chain is asked, which is one record of each partition.

use std::time::{Duration, Instant};

use super::owner::{Merged, Owning, TurnError, Unchanged};
use super::requests::received;
use crate::clock::{Clock, SystemClock};
use crate::kafka::audit_heads::read_heads;
use assent_contract::domain::request::RequestStatus;
use assent_intake::{Change, Command};

/// Between two looks at the heads.
const LOOK_AGAIN: Duration = Duration::from_millis(300);

const TOGETHER_MAX: usize = 200;

impl Owning {
    pub(super) fn note_unchanged(&mut self, partition: i32, command: Command) {
        let request = command.request_id.clone();
        self.unchanged.insert(request, Unchanged { partition, command });
    }

    /// Found again after a crash, and decided before it came: so it changed nothing.
    pub(super) fn is_earlier(merged: &Merged) -> bool {
        merged.by_subject && matches!(merged.command.change, Change::Heard(_))
    }

    /// Settles those that the audit covers; was there one?
    pub(super) fn honor_unchanged(&mut self) -> Result<bool, TurnError> {
        let now = SystemClock.instant();
        let is_due = |at: Instant| now.saturating_duration_since(at) >= LOOK_AGAIN;
        if self.unchanged.is_empty() || !self.heads_seen_at.is_none_or(is_due) {
            return Ok(false);
        }
        self.heads_seen_at = Some(now);
        let covered = self.covered()?;
        if covered.is_empty() {
            return Ok(false);
        }
        self.await_readable()?;
        let (keys, now) = (self.with.keys.now(), SystemClock.now());
        let mut writes = Vec::new();
        for request in &covered {
            let unchanged = &self.unchanged[request];
            let mut entry = received(&unchanged.command, &keys);
            entry.status = RequestStatus::Honored;
            entry.honored_at = Some(now.max(entry.received_at));
            writes.push(self.register_entry(&entry));
            writes.push(self.end_of(unchanged.partition, request));
        }
        let next = self.committed.clone();
        self.transact(&writes, &next)?;
        for request in covered {
            let Some(unchanged) = self.unchanged.remove(&request) else { continue };
            let labels = [super::source_label(&unchanged.command.source), "honored"];
            self.with.metrics.intake_commands_total.with_label_values(&labels).inc();
        }
        Ok(true)
    }

    fn covered(&self) -> Result<Vec<String>, TurnError> {
        let mut partitions: Vec<i32> = self.unchanged.values().map(|it| it.partition).collect();
        partitions.sort_unstable();
        partitions.dedup();
        let heads = read_heads(&self.with.config, &self.probe, &partitions, || true)
            .map_err(|_| TurnError::Again("the audit's heads can't be read".to_owned()))?;
        let changelog = &self.with.changelog;
        if changelog.progress().age().is_none() {
            return Ok(Vec::new());
        }
        let is_covered = |unchanged: &Unchanged| {
            let subject = &unchanged.command.subject_id;
            // What says it already may be under way itself.
            if self.merged.values().any(|merged| merged.command.subject_id == *subject) {
                return false;
            }
            let Some(offset) = changelog.last_offset(subject) else { return true };
            heads.of.get(&unchanged.partition).is_some_and(|head| offset < head.consent_to)
        };
        let covered = self.unchanged.iter().filter(|(_, unchanged)| is_covered(unchanged));
        Ok(covered.map(|(request, _)| request.clone()).take(TOGETHER_MAX).collect())
    }
}
