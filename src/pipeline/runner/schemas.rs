//! Executes what a worker asks of the schema registry: what is known goes to it, what it lacks is asked for;
//! and its pauses.

use rdkafka::error::KafkaResult;

use super::Runner;

impl Runner {
    pub(super) fn learn_schemas(&mut self) {
        let shared = &self.shared;
        for lack in self.worker.learn(shared.lookup.snapshot(), &shared.consent_reader) {
            shared.lookup.want(&lack);
        }
    }

    pub(super) fn pause(&mut self, partition: i32) {
        if succeeds(partition, &self.clients.clicks.pause(partition)) {
            self.worker.paused(partition);
        }
    }

    pub(super) fn resume(&mut self, partition: i32) {
        if succeeds(partition, &self.clients.clicks.resume(partition)) {
            self.worker.resumed(partition);
        }
    }

    /// Before the partitions are given back: whoever has them next fetches them.
    pub(super) fn resume_all(&mut self) {
        for partition in self.worker.all_paused() {
            // One that is gone already needs none.
            let _ = self.clients.clicks.resume(partition);
            self.worker.resumed(partition);
        }
    }
}

fn succeeds(partition: i32, result: &KafkaResult<()>) -> bool {
    if let Err(error) = result {
        tracing::warn!(partition, %error, "can't pause or resume the clicks");
    }
    result.is_ok()
}
