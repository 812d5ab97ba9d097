//! What of a partition waits for the schema registry: clicks from the first one on whose schema id is
//! not known, and consent from the first such record on (docs/contract/bad-input.md#schemas).
//!
//! A batch is cut and decided with one snapshot of what is known, so what the cut lets through can be
//! read. Nobody here asks the registry: the task says what it lacks.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Task;
use super::consent::HeldConsent;
use assent_contract::wire::{ConsentReader, KnownSchemas, UnknownId};

/// Most ids of a partition that are asked for at one time, of its clicks and of its consent each.
const IDS_MAX: usize = 256;

/// Of the clicks from the first that waits on, those whose ids are looked at again, where more came than
/// [`IDS_MAX`].
const LOOK_AHEAD: usize = 256;

/// What of a partition waits for the schema registry. All of it is asked for at once, as it comes: an id
/// that the registry does not have is asked for during half a minute, and whoever writes one after the
/// other holds a partition up that long, not that long for each.
pub struct Lack {
    pub consent: Vec<UnknownId>,
    pub clicks: Vec<UnknownId>,
}

impl Task {
    /// From now on this is known: consent that waited is read again.
    pub fn know(&mut self, known: &Arc<KnownSchemas>, reader: &ConsentReader) {
        if Arc::ptr_eq(&self.known, known) {
            return;
        }
        self.known = Arc::clone(known);
        let is_refused = known.is_flooded();
        self.unknown.retain(|&id| !is_refused && !known.knows(id));
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

    /// A click came: its id is asked for before its turn comes.
    pub(super) fn notice_id(&mut self, payload: Option<&[u8]>) {
        if self.unknown.len() < IDS_MAX
            && let Some(UnknownId(id)) = payload.and_then(|payload| self.known.lacks(payload))
        {
            self.unknown.insert(id);
        }
    }

    /// What consent and clicks wait for, to be asked of the registry; `None`: for nothing.
    pub fn lack(&self) -> Option<Lack> {
        let (consent, clicks) = (self.lack_of_consent(), self.lack_of_clicks());
        (!consent.is_empty() || !clicks.is_empty()).then_some(Lack { consent, clicks })
    }

    fn lack_of_consent(&self) -> Vec<UnknownId> {
        if self.waiting == 0 {
            return Vec::new();
        }
        let ids = self.consents.iter().filter_map(HeldConsent::unknown_id);
        distinct(ids.map(|UnknownId(id)| id).take(IDS_MAX))
    }

    fn lack_of_clicks(&self) -> Vec<UnknownId> {
        let first = if self.first_click_waits() { LOOK_AHEAD } else { 0 };
        let first = self.clicks.first(first);
        let first = first.filter_map(|click| self.known.lacks(click.payload?));
        distinct(first.map(|UnknownId(id)| id).chain(self.unknown.iter().copied()))
    }

    /// Nor can what follows it be decided.
    pub fn first_click_waits(&self) -> bool {
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

fn distinct(ids: impl Iterator<Item = u32>) -> Vec<UnknownId> {
    ids.collect::<BTreeSet<u32>>().into_iter().map(UnknownId).collect()
}
