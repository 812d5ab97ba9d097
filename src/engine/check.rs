//! The engine holds itself to the invariants: each subject that a batch touched, before it is sealed.

use super::partition::Setup;
use super::subject::Subject;
use crate::domain::gate::{self, PurposeTerms};
use crate::domain::invariants::{self, Violation};
use crate::domain::time::Timestamp;

/// The first invariant that this subject breaks.
pub fn of_subject(
    subject: &Subject,
    setup: &Setup,
    terms: &[PurposeTerms],
    now: Timestamp,
) -> Option<Violation> {
    subject.purposes.iter().find_map(|state| {
        let purpose = terms.iter().find(|terms| terms.name == state.name)?;
        let standing = gate::decide_standing(&subject.consent, *purpose, now);
        let (live, counted) = (state.live.as_ref(), !state.counters.is_empty());
        invariants::kept_only_while_allowed(standing, live.is_some(), counted).or_else(|| {
            let live = live.filter(|live| live.decided_at == now)?;
            invariants::leased(live.decided_at, live.expires_at, setup.lease)
        })
    })
}
