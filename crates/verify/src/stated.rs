//! What a chain states of how segments with a minimum audience stand.

use super::audiences::least;
use super::finding::Findings;
use super::partition::Partition;
use assent_contract::domain::audit::AuditBatch;
use assent_contract::domain::audit::audiences::{self, Stated};
use assent_contract::domain::invariants::Invariant;
use assent_contract::rulebook::Rulebook;

impl Partition<'_> {
    /// A batch that states how segments stand, and nothing else.
    pub(super) fn state_audiences(
        &mut self,
        offset: i64,
        batch: &AuditBatch,
        findings: &mut Findings,
    ) {
        let place = (self.setup.audit, self.number, offset);
        let Some(said) = audiences::read(&batch.rulebook) else {
            let detail = "a statement of audiences that can't be read";
            return findings.violation(Invariant::Provable, place, detail);
        };
        if !batch.entries.is_empty() {
            let detail = "a statement of audiences with entries";
            findings.violation(Invariant::Provable, place, detail);
        }
        let each = said.iter();
        let each = each.map(|it| ((it.purpose.to_owned(), it.segment.to_owned()), it.stated));
        self.statements.push(offset, each.collect());
        if let Some(progress) = &mut self.progress {
            progress.decided_at = batch.decided_at;
        }
    }

    /// The first batch behind a statement: does what it states as open reach the minimum of its rulebook?
    pub(super) fn check_stated(&mut self, rulebook: &Rulebook, findings: &mut Findings) {
        let Some((offset, standing)) = self.statements.take_new() else { return };
        for ((purpose, segment), stated) in standing {
            let Stated::Open(members) = stated else { continue };
            let least = least(rulebook, purpose);
            if least.is_none_or(|least| *members < u64::from(least)) {
                let place = (self.setup.audit, self.number, *offset);
                let detail = format!("{purpose}/{segment} is open below its minimum audience");
                findings.violation(Invariant::Closed, place, detail);
            }
        }
    }
}
