//! Clicks that nobody can read: a dead letter gives up all that a batch covers, and each has its outcome. That
//! such a batch is there is asked of who reads the topic now: what is given up and can be read is a violation
//! (INV-8), what became unreadable since it was decided can't be checked any more.

use super::finding::{Findings, Unchecked};
use super::partition::{BatchUnderReview, Partition};
use assent_contract::domain::audit::AuditEntry;
use assent_contract::domain::invariants::Invariant;
use assent_contract::domain::outcome::{DeadLetterReason, InputKind, Outcome};

impl Partition<'_> {
    /// The batches of clicks that nobody can read now, as far as clicks were read: first and last offset.
    pub fn set_unreadable(&mut self, batches: &[(i64, i64)]) {
        if self.unreadable.len() != batches.len() {
            self.unreadable = batches.to_vec();
        }
    }

    /// An entry of a click that a letter gives up with its batch. Is there nothing else to say of it?
    pub(super) fn is_given_up(
        &mut self,
        entry: &AuditEntry,
        is_there: bool,
        review: &BatchUnderReview<'_>,
        findings: &mut Findings,
    ) -> bool {
        let (InputKind::Click, Some(offset)) = (entry.input, entry.offset) else { return false };
        let is_unreadable =
            self.unreadable.iter().any(|&(first, last)| (first..=last).contains(&offset));
        let letter = self.letters.of_batches.range_mut(..=offset).next_back();
        let letter = letter.map(|(_, letter)| letter).filter(|letter| offset <= letter.last);
        let place = (self.setup.clickstream, self.number, offset);
        let is_dead = entry.outcome == Outcome::DeadLettered;
        match letter {
            Some(letter) if is_dead && letter.reason == DeadLetterReason::Undecodable => {
                letter.named += 1;
                letter.is_true |= is_unreadable;
                if is_there {
                    let detail = "a dead letter gives it up with a batch that nobody can read, and it can \
                                  be read";
                    findings.violation(Invariant::Accounted, place, detail);
                }
                true
            }
            Some(_) => {
                let detail = format!(
                    "a dead letter gives it up with its batch, and yet {}",
                    entry.outcome.symbol()
                );
                findings.violation(Invariant::Accounted, place, detail);
                true
            }
            None if is_unreadable && !is_there => {
                if is_dead
                    && review.batch.decided_at > self.letters.complete_from
                    && self.letters.reason(InputKind::Click, offset).is_none()
                {
                    let detail = "DEAD_LETTERED, and its dead letter is not there";
                    findings.violation(Invariant::Atomic, place, detail);
                }
                self.letters.claim(InputKind::Click, offset);
                findings.unchecked(Unchecked::ClicksUnreadable, 1);
                true
            }
            None => false,
        }
    }

    /// Letters that give up other offsets than the audit says, or what nobody found unreadable.
    pub(super) fn report_batch_letters(&self, first_click: i64, findings: &mut Findings) {
        let Some(progress) = &self.progress else { return };
        for (&first, letter) in &self.letters.of_batches {
            let covered = progress.first_click..progress.next_click;
            if letter.is_late || !covered.contains(&first) {
                continue;
            }
            let (partition, offset) = letter.lies_at;
            let place = (self.setup.dead_letters, partition, offset);
            let last = letter.last;
            if letter.named != last.saturating_sub(first).saturating_add(1) {
                let detail = format!(
                    "it gives up clicks {first} to {last}, and the audit names {} of them",
                    letter.named
                );
                findings.violation(Invariant::Accounted, place, detail);
            } else if !letter.is_true && first >= first_click {
                let detail = format!(
                    "it gives up clicks {first} to {last}, and no batch there is unreadable"
                );
                findings.violation(Invariant::Accounted, place, detail);
            }
        }
    }
}
