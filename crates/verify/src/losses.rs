//! What an accepted loss leaves to verify of the batches before it.

use super::finding::{Findings, Unchecked};
use super::partition::{BatchUnderReview, Partition, Sink};
use assent_contract::domain::audit::{AuditBatch, audiences, loss};
use assent_contract::domain::invariants::Invariant;

impl Partition<'_> {
    /// Offsets are counted anew after an accepted loss, and consent is read again: of what was decided
    /// before, the inputs can't be told any more.
    pub fn is_before_loss(&self, batch: &AuditBatch) -> bool {
        self.loss.is_some_and(|loss| batch.sequence <= loss)
    }

    /// A batch from before an accepted loss: what it wrote, and nothing of its inputs.
    pub fn unjudged(
        &mut self,
        offset: i64,
        batch: &AuditBatch,
        sink: Sink<'_>,
        findings: &mut Findings,
    ) {
        self.compacted = true;
        if audiences::is_statement(&batch.rulebook) {
            return self.state_audiences(offset, batch, findings);
        }
        if self.loss == Some(batch.sequence) && loss::statement(&batch.rulebook).is_none() {
            let place = (self.setup.audit, self.number, offset);
            let detail = "the state names a loss here that the audit does not record";
            findings.violation(Invariant::Provable, place, detail);
        }
        if self.setup.rulebooks.get(&batch.rulebook_sha256).is_none()
            && loss::statement(&batch.rulebook).is_none()
        {
            findings.unchecked(Unchecked::RulebookUnknown, 1);
        }
        findings.unchecked(Unchecked::BeforeLoss, batch.entries.len() as u64);
        let terms = vec![None; batch.purposes.len()];
        let review =
            BatchUnderReview { batch, offset, rulebook: None, declared: Vec::new(), terms };
        for entry in &batch.entries {
            if let Some(offset) = entry.offset {
                self.letters.claim(entry.input, offset);
            }
            self.effects(entry, &review, sink, findings);
        }
    }

    /// An audit that was made anew goes on with the number of the one that was lost.
    pub(super) fn begins_behind_loss(&self) -> bool {
        let first = self.chain.first_sequence().unwrap_or(0);
        self.unproven.met_loss || self.loss.is_some_and(|loss| first <= loss)
    }
}
