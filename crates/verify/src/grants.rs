//! INV-13: whether a live value must have been given the end of the grant that stands by now.
//!
//! A record that makes a grant end earlier has its assignment in its own entry, where the gate is open.
//! Where it is closed nothing is assigned, and what is due follows once it opens.

use super::partition::Partition;
use super::subjects::Subject;
use assent_contract::domain::audit::AuditBatch;
use assent_contract::domain::time::{Span, Timestamp};

/// When a gate opens, what it deferred takes some transactions.
const SETTLED_WITHIN: Span = Span::MINUTE;

/// Since when batches are decided with an open gate; `None`: the last one was not.
pub fn open_since(before: Option<Timestamp>, batch: &AuditBatch) -> Option<Timestamp> {
    batch.gate_open.then(|| before.unwrap_or(batch.decided_at))
}

impl Partition<'_> {
    /// When the subject's grant of a purpose ends, where what is live under this key version must keep to
    /// it by now. `None`: the grant does not end, or nobody can tell.
    pub(super) fn end_to_keep(
        &self,
        subject: &Subject,
        purpose: usize,
        key_version: u8,
    ) -> Option<Timestamp> {
        let progress = self.progress.as_ref()?;
        let has_settled =
            progress.open_since.is_some_and(|since| progress.decided_at - since >= SETTLED_WITHIN);
        // What waits for a rotation's sweep can't be assigned again before it.
        let is_emitted = key_version == progress.key_version;
        let is_due = (has_settled && is_emitted) || subject.assigned_since;
        let end = subject.consent.grant_ends_at(purpose)?;
        (is_due && subject.consent.is_sure()).then_some(end)
    }
}
