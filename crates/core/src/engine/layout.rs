//! Earlier rulebooks, read back from the state: how a record that was packed under one is unpacked
//! under the one that runs. Unchanged conditions keep their counters
//! (docs/contract/rulebook.md#a-change-of-rulebook).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::subject::Subject;
use assent_contract::domain::binary::{Malformed, Reader};
use assent_contract::domain::merge::{NameId, PurposeNames};
use assent_contract::rulebook::{self, Purpose, Rulebook};

/// How the counters of one rulebook become those of the one that runs.
pub struct Layout {
    /// What was packed under it lies as it would be packed now.
    pub is_current: bool,
    purposes: BTreeMap<NameId, Mapping>,
}

struct Mapping {
    slots: usize,
    /// Each old slot's new place; `None`: the purpose is gone.
    moved: Option<(Vec<Option<usize>>, usize)>,
}

/// A rulebook that the state kept as evidence.
pub fn past_rulebook(yaml: &[u8]) -> Result<Arc<Rulebook>, Malformed> {
    rulebook::compile(yaml).map(Arc::new).map_err(|_| Malformed("rulebook in the state"))
}

impl Layout {
    pub fn new(from: &Rulebook, to: &Rulebook, names: &PurposeNames) -> Self {
        let purposes = from.purposes.iter().filter_map(|old| {
            let name = names.find(&old.id)?;
            let new = to.purposes.iter().find(|purpose| purpose.id == old.id);
            let moved = new.map(|new| (moves(old, new), new.slots.len()));
            Some((name, Mapping { slots: old.slots.len(), moved }))
        });
        Self { is_current: from.sha256 == to.sha256, purposes: purposes.collect() }
    }

    /// `format`: of the record that holds it.
    pub fn unpack(&self, bytes: &[u8], format: u8) -> Result<Subject, Malformed> {
        let mut reader = Reader::new(bytes);
        let slots = |name: NameId| self.purposes.get(&name).map_or(0, |mapping| mapping.slots);
        let mut subject = super::pack::unpack_subject(&mut reader, format, slots)?;
        if !reader.is_empty() {
            return Err(Malformed("subject"));
        }
        subject.purposes.retain_mut(|state| {
            let mapping = self.purposes.get(&state.name);
            let counters = std::mem::take(&mut state.counters);
            if let Some((moves, slots)) = mapping.and_then(|mapping| mapping.moved.as_ref()) {
                state.counters = counters.remap(moves, *slots);
                return true;
            }
            state.qualified = 0;
            // Of a purpose that is gone only what is live is left, until it has its tombstone (INV-11).
            state.live.is_some()
        });
        Ok(subject)
    }
}

fn moves(old: &Purpose, new: &Purpose) -> Vec<Option<usize>> {
    let place = |canonical: &str| new.slots.iter().position(|slot| slot.canonical == canonical);
    old.slots.iter().map(|slot| place(&slot.canonical)).collect()
}
