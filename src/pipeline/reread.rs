//! Reads consent-changelog again after a change of keys, for the raw ids that state and audit don't hold.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::KafkaResult;

use super::shared::Shared;
use crate::config::Config;
use crate::kafka::bounded_read::{BoundedRead, Step};
use crate::kafka::consumer::Follower;
use crate::kafka::examine::{Examination, Place, Verdict};
use crate::kafka::probe::Probe;
use assent_core::worker::{Swept, Worker};

/// How long the broker may take to say what the changelog holds.
const ASKED_FOR: Duration = Duration::from_secs(5);

/// Reads consent-changelog again, for the subjects' raw ids: to where it ends now, since what lies beyond
/// was decided under the new keys.
pub struct Reread {
    reading: BoundedRead,
    /// What can't be read, while it is looked at: of which partition, and where.
    examination: Option<(i32, i64, Examination)>,
}

impl Reread {
    pub fn start(shared: &Shared, probe: &Probe, partitions: &[i32]) -> KafkaResult<Self> {
        let topic = &shared.config.topics.consent;
        let ranges = probe.ranges(topic, partitions, ASKED_FOR)?;
        let reader = Follower::new(&shared.config, "keys", topic)?;
        Ok(Self { reading: BoundedRead::begin(reader, ranges)?, examination: None })
    }

    /// What of consent nobody can read names nobody: its loss was accepted, or will be. `None`: it is looked
    /// at; false: nothing is known.
    fn pass_unreadable(&mut self, config: &Config) -> Option<bool> {
        let Some((partition, offset, examination)) = &self.examination else { return Some(true) };
        let (partition, offset, verdict) = (*partition, *offset, examination.verdict()?);
        self.examination = None;
        let next = match verdict {
            Verdict::Unclear(_) | Verdict::Readable { larger: true } => return Some(false),
            Verdict::Readable { larger: false } => offset,
            Verdict::Unreadable { last, .. } => last + 1,
        };
        // Another client: after a damaged batch this one may bring anything.
        let made = Follower::new(config, "keys", self.reading.topic());
        Some(made.and_then(|made| self.reading.go_on_with(made, partition, next)).is_ok())
    }

    /// Hands ids over, as many as may be held; was there a record?
    pub fn go_on(&mut self, config: &Arc<Config>, worker: &mut Worker) -> (Swept, bool) {
        match self.pass_unreadable(config) {
            None => return (Swept::Full, false),
            Some(true) => {}
            Some(false) => return (Swept::Broken, false),
        }
        let mut brought = false;
        while worker.has_room_for_ids() {
            let step = self.reading.step(|record| {
                if let (Some(key), Some(_)) = (record.key(), record.payload()) {
                    worker.hold_id(record.partition(), key);
                }
            });
            match step {
                Ok(Step::Record(())) => brought = true,
                Ok(Step::Over) if !brought => return (Swept::Over, false),
                // A worker that waits for memory has not stalled; what lasts shows as lag.
                Ok(Step::Nothing | Step::Over | Step::Stalled) => return (Swept::Nothing, brought),
                Ok(Step::Unreadable { partition, .. }) => {
                    let topic = self.reading.topic().to_owned();
                    let Ok(offset) = self.reading.last_position(partition) else {
                        return (Swept::Broken, brought);
                    };
                    let examination =
                        Examination::begin(config, Place { topic, partition, offset });
                    self.examination = Some((partition, offset, examination));
                    return (Swept::Full, brought);
                }
                Ok(Step::OutOfRange { .. } | Step::Fatal(_)) | Err(_) => {
                    return (Swept::Broken, brought);
                }
            }
        }
        (Swept::Full, brought)
    }
}
