//! After a change of keys: the tasks take them up, and the changelog is read again for those whose live keys
//! are still under an old one.

use std::sync::atomic::Ordering;

use super::Runner;
use crate::pace;
use crate::pipeline::reread::Reread;
use assent_core::worker::Swept;

impl Runner {
    /// Where the keyset changed, between two batches.
    pub(super) fn take_up_keys(&mut self) {
        let generation = self.shared.generation.load(Ordering::Acquire);
        if generation == self.generation {
            return;
        }
        self.generation = generation;
        for (partition, refusal) in self.worker.set_keys(&self.shared.setup()) {
            tracing::error!(partition, "{refusal}; the keys that were read before stay in use");
        }
        self.clients.reread = None;
        self.report.tell_sweeps(self.worker.tasks());
    }

    pub(super) fn start_sweep(&mut self, partitions: Vec<i32>) {
        let now = self.shared.clock.moment();
        match Reread::start(&self.shared, &self.clients.probe, &partitions) {
            Ok(reread) => {
                tracing::info!(
                    worker = self.number,
                    ?partitions,
                    "reading the consent changelog again for the new keys"
                );
                self.clients.reread = Some(reread);
                self.worker.sweep_begins(partitions, now);
            }
            Err(error) => {
                if let Some(repeated) = pace::may_say("consent again") {
                    tracing::warn!(%error, repeated, "can't read the consent changelog again yet");
                }
                self.worker.put_sweep_off(now);
            }
        }
    }

    pub(super) fn sweep(&mut self) {
        let Some(reread) = &mut self.clients.reread else { return };
        let (swept, brought) = reread.go_on(&self.shared.config, &mut self.worker);
        self.worker.swept(swept, brought, self.shared.clock.moment());
        if swept == Swept::Over {
            tracing::info!(worker = self.number, "read the consent changelog for the new keys");
        }
        if !self.worker.is_sweeping() {
            self.clients.reread = None;
        }
    }
}
