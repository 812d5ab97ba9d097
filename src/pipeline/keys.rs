//! Keys that change while the service runs (docs/contract/pseudonyms.md#rotation): the file is looked
//! at, a new keyset taken up where it is sound, and the changelog read again for the raw ids that state
//! and audit don't hold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rdkafka::error::KafkaResult;

use super::Shared;
use super::runner::Runner;
use crate::config::{Config, read_keyset};
use crate::kafka::consumer::{Follower, Polled};
use crate::kafka::examine::{Examination, Place, Verdict};
use crate::kafka::probe::Probe;
use crate::pace;
use assent_contract::domain::pseudonym::KeyRing;
use assent_core::worker::{Swept, Worker};

/// How long the broker may take to say what the changelog holds.
const ASKED_FOR: Duration = Duration::from_secs(5);

/// Takes up what the file says now, if it is another sound keyset; else what was there stays.
pub fn look(shared: &Shared) {
    let keyset = match read_keyset(&shared.config.keyset) {
        Ok(keyset) => keyset,
        Err(failure) => {
            if let Some(repeated) = pace::may_say("the keyset can't be read") {
                tracing::warn!(repeated, "{failure}; the keys that were read before stay in use");
            }
            return;
        }
    };
    let setup = shared.setup();
    let purposes: Vec<String> = setup.rulebook.purposes.iter().map(|p| p.id.clone()).collect();
    let keys = KeyRing::new(&keyset, &purposes);
    if keys.is_like(&setup.keys) {
        return;
    }
    if !keys.continues(&setup.keys) {
        if let Some(repeated) = pace::may_say("the keyset does not continue the one in use") {
            tracing::error!(
                repeated,
                "{}: a key version in use is missing or has a different secret; the keys that were \
                 read before stay in use; restore the file",
                shared.config.keyset.display()
            );
        }
        return;
    }
    let (before, active) = (setup.keys.active(), keys.active());
    tracing::info!(before, active, "the keyset changed");
    shared.metrics.key_version.set(i64::from(keys.active()));
    shared.metrics.keys_at_zero(&setup.rulebook, &keys);
    shared.replace_setup(Arc::new(setup.with_keys(Arc::new(keys))));
}

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
    fn start(shared: &Shared, probe: &Probe, partitions: &[i32]) -> KafkaResult<Self> {
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
    fn go_on(&mut self, config: &Arc<Config>, worker: &mut Worker) -> (Swept, bool) {
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
