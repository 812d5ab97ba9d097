//! INV-9: batches that were decided under a rulebook of which there is no evidence.

use std::collections::BTreeMap;

use super::finding::{Findings, Unchecked};
use super::partition::Partition;
use assent_contract::domain::audit::{AuditBatch, Sha256Hash, loss};
use assent_contract::domain::hex::hex;
use assent_contract::domain::invariants::Invariant;

/// By the rulebook's hash: where its first batch lies, and how many there are.
#[derive(Default)]
pub(super) struct Unproven {
    first: BTreeMap<Sha256Hash, (i64, u64)>,
    batches: u64,
    /// A loss was accepted after the state was read.
    pub met_loss: bool,
}

impl Unproven {
    fn add(&mut self, sha256: Sha256Hash, offset: i64) {
        self.batches += 1;
        if self.first.len() < Findings::KEPT_MAX || self.first.contains_key(&sha256) {
            self.first.entry(sha256).or_insert((offset, 0)).1 += 1;
        }
    }
}

impl Partition<'_> {
    /// The state keeps a rulebook from the transaction of its first batch on. What was decided after
    /// the state was read may rest on one that came since; a loss that was accepted since took the
    /// evidence of what lies before it.
    pub(super) fn note_rulebook(
        &mut self,
        offset: i64,
        batch: &AuditBatch,
        findings: &mut Findings,
    ) {
        let (rulebooks, sha256) = (self.setup.rulebooks, batch.rulebook_sha256);
        if rulebooks.get(&sha256).is_some() {
            return;
        }
        let next = self.chain.next_in_state();
        let is_later = next.is_some_and(|next| batch.sequence >= next);
        let is_loss = loss::statement(&batch.rulebook).is_some();
        if is_loss && (is_later || next.is_none()) {
            findings.unchecked(Unchecked::RulebookUnknown, self.unproven.batches);
            self.unproven = Unproven { met_loss: true, ..Unproven::default() };
        } else if is_later || rulebooks.has(&sha256) {
            findings.unchecked(Unchecked::RulebookUnknown, 1);
        } else {
            self.unproven.add(sha256, offset);
        }
    }

    pub(super) fn report_unproven(&self, findings: &mut Findings) {
        for (sha256, (offset, batches)) in &self.unproven.first {
            let detail = format!(
                "decided under a rulebook that is neither configured nor kept in the state \
                 ({batches} batches in total), sha256 {}",
                hex(sha256)
            );
            let place = (self.setup.audit, self.number, *offset);
            findings.violation(Invariant::Provable, place, detail);
        }
    }
}
