//! The engine holds itself to the invariants: each subject that a batch touched, before it is sealed.

use super::mandate::Mandate;
use super::subject::Subject;
use crate::domain::gate;
use crate::domain::invariants::{self, Violation};
use crate::domain::time::Timestamp;

/// The first invariant that this subject breaks.
pub fn of_subject(subject: &Subject, mandate: &Mandate, now: Timestamp) -> Option<Violation> {
    subject.purposes.iter().find_map(|state| {
        let place = mandate.places().iter().find(|place| place.terms.name == state.name)?;
        let standing = gate::decide_standing(&subject.consent, place.terms, now);
        let (live, counted) = (state.live.as_ref(), !state.counters.is_empty());
        invariants::kept_only_while_allowed(standing, live.is_some(), counted).or_else(|| {
            let live = live.filter(|live| live.decided_at == now)?;
            invariants::leased(live.decided_at, live.expires_at, mandate.setup.lease)
        })
    })
}
