//! The engine holds itself to the invariants, in releases too: each subject that a batch touched, and
//! the parts that it writes (INV-2, INV-8, INV-9). What each check costs: docs/performance.md.
//!
//! What follows: of a subject, the purpose that breaks one is removed in the same batch; a batch that
//! breaks one is not to be committed ([`super::output::BatchOutput::is_broken`]).

use super::batch_log::Mark;
use super::input::Coverage;
use super::policy::Policy;
use super::seal::Part;
use super::subject::Subject;
use assent_contract::domain::gate;
use assent_contract::domain::invariants::{self, Violation};
use assent_contract::domain::outcome::InputKind;
use assent_contract::domain::time::Timestamp;

/// The first invariant that this subject breaks, and of which purpose, by its index. `before` says how the
/// batch found it; a clock that was set back gives several batches the same `now`, so what is live may be
/// as old as that.
pub fn of_subject(
    before: impl Fn() -> Option<Subject>,
    subject: &Subject,
    policy: &Policy,
    now: Timestamp,
) -> Option<(usize, Violation)> {
    subject.purposes.iter().find_map(|state| {
        let index = policy.purposes().iter().position(|judged| judged.terms.name == state.name)?;
        let judged = &policy.purposes()[index];
        let standing = gate::decide_standing(&subject.consent, judged.terms, now);
        let live = state.live.as_ref();
        let counted = !state.counters.is_empty() || state.trial.is_some();
        let broken = invariants::kept_only_while_allowed(standing, live.is_some(), counted);
        let broken = broken.or_else(|| {
            let live = live.filter(|live| live.decided_at == now)?;
            let is_old = before().is_some_and(|before| {
                before.purpose(state.name).is_some_and(|before| {
                    before.pseudonym == state.pseudonym && before.live == state.live
                })
            });
            if is_old {
                return None;
            }
            let (version, active) = (state.pseudonym.version(), policy.setup.keys.active());
            invariants::leased(live.decided_at, live.expires_at, policy.setup.lease)
                .or_else(|| invariants::emitted_under_active(version, active))
        });
        broken.map(|violation| (index, violation))
    })
}

/// How far the parts of a batch have come.
pub struct Covered {
    pub click: i64,
    pub consent: i64,
}

impl Covered {
    /// The first invariant that the next part, with its entries, breaks.
    pub fn take(&mut self, part: &Part, marks: &[Mark], gate_open: bool) -> Option<Violation> {
        let covers_clicks = part.click.1 > part.click.0;
        let broken = invariants::covers_without_gap(self.click, part.click.0, part.click.1)
            .or_else(|| {
                invariants::covers_without_gap(self.consent, part.consent.0, part.consent.1)
            })
            .or_else(|| {
                let decides = gate_open && covers_clicks;
                invariants::barrier_reached(decides, part.barrier, part.consent.1)
            })
            .or_else(|| in_order(part, marks));
        (self.click, self.consent) = (part.click.1, part.consent.1);
        broken
    }

    /// All parts are taken: do they come to what the batch covers?
    pub fn end(&self, coverage: Coverage) -> Option<Violation> {
        let (click, consent) = (coverage.click_to, coverage.consent_to);
        invariants::covers_without_gap(self.click, click, click)
            .or_else(|| invariants::covers_without_gap(self.consent, consent, consent))
    }
}

fn in_order(part: &Part, marks: &[Mark]) -> Option<Violation> {
    let (mut click, mut consent) = (part.click.0, part.consent.0);
    marks.iter().find_map(|mark| {
        let offset = mark.offset?;
        let (next, to) = match mark.input {
            InputKind::Click => (&mut click, part.click.1),
            _ => (&mut consent, part.consent.1),
        };
        let broken = invariants::accounted_in_order(*next, offset, to);
        *next = offset + 1;
        broken
    })
}

#[cfg(test)]
mod tests;
