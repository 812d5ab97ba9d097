//! Reads consent-changelog again after a change of keys, for the raw ids that state and audit don't hold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::KafkaResult;

use super::shared::Shared;
use crate::config::Config;
use crate::kafka::consumer::{Follower, Polled};
use crate::kafka::examine::{Examination, Place, Verdict};
use crate::kafka::probe::Probe;
use assent_core::worker::{Swept, Worker};

/// How long the broker may take to say what the changelog holds.
const ASKED_FOR: Duration = Duration::from_secs(5);

/// Reads consent-changelog again, for the subjects' raw ids.
pub struct Reread {
    reader: Follower,
    /// Where it begins, and where it ends: records beyond were decided under the new keys.
    starts: BTreeMap<i32, i64>,
    ends: BTreeMap<i32, i64>,
    /// What can't be read, while it is looked at.
    examination: Option<(i32, Examination)>,
}

impl Reread {
    pub fn start(shared: &Shared, probe: &Probe, partitions: &[i32]) -> KafkaResult<Self> {
        let topic = &shared.config.topics.consent;
        let starts = probe.starts(topic, partitions, ASKED_FOR)?;
        let ends = probe.ends(topic, partitions, ASKED_FOR)?;
        let reader = Follower::new(&shared.config, "keys", topic)?;
        reader.fetch_from(&starts)?;
        Ok(Self { reader, starts, ends, examination: None })
    }

    /// What of consent nobody can read names nobody: its loss was accepted, or will be. `None`: it is looked
    /// at; false: nothing is known.
    fn pass_unreadable(&mut self, config: &Config) -> Option<bool> {
        let Some((partition, examination)) = &self.examination else { return Some(true) };
        let (partition, verdict) = (*partition, examination.verdict()?);
        self.examination = None;
        let Ok(positions) = self.reader.positions() else { return Some(false) };
        self.starts.extend(positions);
        match verdict {
            Verdict::Unclear(_) | Verdict::Readable { larger: true } => return Some(false),
            Verdict::Readable { larger: false } => {}
            Verdict::Unreadable { last, .. } => {
                self.starts.insert(partition, last + 1);
            }
        }
        // Another client: after a damaged batch this one may bring anything.
        let made = Follower::new(config, "keys", self.reader.topic());
        let made = made.and_then(|reader| reader.fetch_from(&self.starts).map(|()| reader));
        Some(made.map(|reader| self.reader = reader).is_ok())
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
            match self.reader.poll() {
                Polled::Message(message) => {
                    brought = true;
                    if let (Some(key), Some(_)) = (message.key(), message.payload()) {
                        worker.hold_id(message.partition(), key);
                    }
                }
                Polled::Nothing if !brought && self.is_over() => return (Swept::Over, false),
                Polled::Nothing => return (Swept::Nothing, brought),
                Polled::Unreadable { partition, .. } => {
                    let topic = self.reader.topic().to_owned();
                    let positions = self.reader.positions().unwrap_or_default();
                    let at = positions.get(&partition).or_else(|| self.starts.get(&partition));
                    let Some(&offset) = at else { return (Swept::Broken, brought) };
                    let place = Place { topic, partition, offset };
                    self.examination = Some((partition, Examination::begin(config, place)));
                    return (Swept::Full, brought);
                }
                Polled::OutOfRange { .. } | Polled::Fatal(_) => return (Swept::Broken, brought),
            }
        }
        (Swept::Full, brought)
    }

    fn is_over(&self) -> bool {
        let Ok(positions) = self.reader.positions() else { return false };
        self.ends.iter().all(|(partition, end)| {
            let at = positions.get(partition).or_else(|| self.starts.get(partition));
            at.is_some_and(|at| at >= end)
        })
    }
}
