//! A worker and the schema registry: what is known goes to the tasks, what they lack is asked for, and
//! a partition whose clicks wait is not fetched beyond its share of memory.

use rdkafka::error::KafkaResult;

use super::click_intake;
use super::worker::Worker;

impl Worker {
    /// Hands what the schema registry has said by now to the tasks, and has it asked for what they
    /// lack.
    pub(super) fn learn_schemas(&mut self) {
        self.known = self.shared.lookup.snapshot();
        if !self.known.has_registry() {
            return;
        }
        let share = click_intake::share(self.tasks.len());
        for (&partition, task) in &mut self.tasks {
            task.know(&self.known, &self.shared.consent_reader);
            if let Some(lack) = task.lack() {
                self.shared.lookup.want(&lack);
            }
            let waits = task.first_click_waits();
            let is_paused = self.paused.contains(&partition);
            if waits && !is_paused && task.clicks.size() >= share {
                if succeeds(partition, &self.clicks.pause(partition)) {
                    self.paused.insert(partition);
                }
            } else if !waits && is_paused && succeeds(partition, &self.clicks.resume(partition)) {
                self.paused.remove(&partition);
            }
        }
    }

    /// Before the partitions are given back: whoever has them next fetches them.
    pub(super) fn resume_all(&mut self) {
        for partition in std::mem::take(&mut self.paused) {
            // One that is gone already needs none.
            let _ = self.clicks.resume(partition);
        }
    }
}

/// What failed is tried again with the next turn.
fn succeeds(partition: i32, result: &KafkaResult<()>) -> bool {
    if let Err(error) = result {
        tracing::warn!(partition, %error, "can't pause or resume the clicks");
    }
    result.is_ok()
}
