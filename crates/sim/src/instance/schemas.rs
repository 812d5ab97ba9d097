//! What a process knows of the schema registry, and asks it: what `registry::Lookup` does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Around, Instance};
use crate::faults::Fault;
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::wire::UnknownId;

#[derive(Default)]
pub struct Schemas {
    known: BTreeSet<u32>,
    /// When the answer comes.
    asked: BTreeMap<u32, Timestamp>,
}

impl Instance {
    pub(super) fn learn(&mut self, around: &mut Around<'_>) {
        let now = around.broker.now;
        self.refused.clear();
        if !around.terms.has_registry {
            self.worker.learn(Arc::clone(around.stage.no_schemas()), &self.consent_reader);
            return;
        }
        let Schemas { known, asked } = &mut self.schemas;
        if !around.faults.is_in_force(Fault::RegistryAway, now) {
            known.extend(asked.iter().filter(|(_, due)| **due <= now).map(|(id, _)| *id));
        }
        let snapshot = Arc::clone(around.stage.schemas(known));
        for lack in self.worker.learn(snapshot, &self.consent_reader) {
            for UnknownId(id) in lack.clicks.into_iter().chain(lack.consent) {
                let takes = Span(around.random.pick(&[5, 200, 2_000]));
                asked.entry(id).or_insert(now + takes);
            }
        }
    }
}
