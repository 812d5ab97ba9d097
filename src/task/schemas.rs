//! What of a partition waits for the schema registry: clicks from the first one on whose schema id is
//! not known, and consent from the first such record on (design, section 10).
//!
//! A batch is cut and decided with one snapshot of what is known, so what the cut lets through can be
//! read. Nobody here asks the registry: the task says what it lacks.

use std::sync::Arc;

use super::Task;
use super::consent::HeldConsent;
use crate::wire::{ConsentReader, KnownSchemas, UnknownId};

/// Of the clicks from the first that waits on, those whose ids are asked for at once: a look-up takes
/// milliseconds, and the next batch is cut a commit's interval later.
const LOOK_AHEAD: usize = 256;

/// What of a partition waits for the schema registry.
pub struct Lack {
    /// Of the first consent record that waits.
    pub consent: Option<UnknownId>,
    /// Of the first clicks, in their order.
    pub clicks: Vec<UnknownId>,
}

impl Task {
    /// From now on this is known: consent that waited is read again.
    pub fn know(&mut self, known: &Arc<KnownSchemas>, reader: &ConsentReader) {
        if Arc::ptr_eq(&self.known, known) {
            return;
        }
        self.known = Arc::clone(known);
        if self.waiting == 0 {
            return;
        }
        for held in self.consents.iter_mut().filter(|held| held.waits()) {
            let before = usize::from(held.is_urgent());
            held.read_again(reader, known);
            self.urgent = self.urgent + usize::from(held.is_urgent()) - before;
            self.waiting -= usize::from(!held.waits());
        }
    }

    /// What consent and clicks wait for first, to be asked of the registry; `None`: for nothing.
    pub fn lack(&self) -> Option<Lack> {
        let consent = match self.waiting {
            0 => None,
            _ => self.consents.iter().find_map(HeldConsent::unknown_id),
        };
        let clicks = if self.first_click_waits() { self.lack_of_clicks() } else { Vec::new() };
        (consent.is_some() || !clicks.is_empty()).then_some(Lack { consent, clicks })
    }

    fn lack_of_clicks(&self) -> Vec<UnknownId> {
        let first = self.clicks.first(self.clicks.len().min(LOOK_AHEAD));
        let mut ids: Vec<UnknownId> =
            first.filter_map(|click| self.known.lacks(click.payload?)).collect();
        ids.dedup();
        ids
    }

    pub(super) fn first_click_waits(&self) -> bool {
        self.known.has_registry()
            && !self.clicks.is_empty()
            && self.clicks.first(1).any(|click| {
                click.payload.is_some_and(|payload| self.known.lacks(payload).is_some())
            })
    }

    /// How many of the first `count` clicks can be read now: those behind one that waits do, too.
    pub(super) fn readable(&self, count: usize) -> usize {
        if !self.known.has_registry() {
            return count;
        }
        let waits = |payload: &[u8]| self.known.lacks(payload).is_some();
        let first = self.clicks.first(count).position(|click| click.payload.is_some_and(waits));
        first.unwrap_or(count)
    }
}
