//! Keys that change while the service runs (docs/contract/pseudonyms.md#rotation): the file is looked
//! at, a new keyset taken up where it is sound, and the changelog read again for the raw ids that state
//! and audit don't hold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::error::KafkaResult;

use super::Shared;
use crate::config::{Config, read_keyset};
use crate::domain::pseudonym::KeyRing;
use crate::kafka::consumer::{Follower, Polled};
use crate::kafka::examine::{Examination, Place, Verdict};
use crate::kafka::probe::Probe;
use crate::pace;
use crate::task::{IDS_HELD, Task};

/// Between two tries to read the changelog again.
const RETRY: Duration = Duration::from_secs(2);

/// A reader that brings nothing for so long, although there is room and more to read, is given up.
const STALL_MAX: Duration = Duration::from_secs(30);

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
pub struct Sweep {
    reader: Follower,
    /// Where it begins, and where it ends: records beyond were decided under the new keys.
    starts: BTreeMap<i32, i64>,
    ends: BTreeMap<i32, i64>,
    /// When it brought something, or had no room.
    moved: Instant,
    /// What can't be read, while it is looked at.
    examination: Option<(i32, Examination)>,
}

/// How a sweep goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// It took ids.
    Moves,
    /// There is nothing to take now, or no room.
    Waits,
    Done,
    /// The changelog moved under it: to be begun again.
    Broken,
}

impl Sweep {
    pub fn start(shared: &Shared, probe: &Probe, partitions: &[i32]) -> KafkaResult<Self> {
        let topic = &shared.config.topics.consent;
        let starts = probe.starts(topic, partitions, ASKED_FOR)?;
        let ends = probe.ends(topic, partitions, ASKED_FOR)?;
        let reader = Follower::new(&shared.config, "keys", topic)?;
        reader.fetch_from(&starts)?;
        let (moved, examination) = (shared.clock.instant(), None);
        Ok(Self { reader, starts, ends, moved, examination })
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

    /// Hands ids over to the tasks, as many as they hold.
    fn go_on(
        &mut self,
        config: &Arc<Config>,
        tasks: &mut BTreeMap<i32, Task>,
        now: Instant,
    ) -> Pace {
        match self.pass_unreadable(config) {
            None => {
                self.moved = now;
                return Pace::Waits;
            }
            Some(true) => {}
            Some(false) => return Pace::Broken,
        }
        let mut pace = Pace::Waits;
        while self
            .ends
            .keys()
            .all(|it| tasks.get(it).is_none_or(|task| task.ids_to_rotate().len() < IDS_HELD))
        {
            match self.reader.poll() {
                Polled::Message(message) => {
                    pace = Pace::Moves;
                    let (partition, key) = (message.partition(), message.key());
                    if let (Some(task), Some(key)) = (tasks.get_mut(&partition), key)
                        && message.payload().is_some()
                    {
                        task.hold_id(key);
                    }
                }
                Polled::Nothing if pace == Pace::Waits && self.is_over() => return Pace::Done,
                Polled::Nothing if pace == Pace::Waits => {
                    let stands = now.saturating_duration_since(self.moved) > STALL_MAX;
                    return if stands { Pace::Broken } else { Pace::Waits };
                }
                Polled::Nothing => break,
                Polled::Unreadable { partition, .. } => {
                    let topic = self.reader.topic().to_owned();
                    let positions = self.reader.positions().unwrap_or_default();
                    let at = positions.get(&partition).or_else(|| self.starts.get(&partition));
                    let Some(&offset) = at else { return Pace::Broken };
                    let examination =
                        Examination::begin(config, Place { topic, partition, offset });
                    self.examination = Some((partition, examination));
                    break;
                }
                Polled::OutOfRange { .. } | Polled::Fatal(_) => return Pace::Broken,
            }
        }
        self.moved = now;
        pace
    }

    fn is_over(&self) -> bool {
        let Ok(positions) = self.reader.positions() else { return false };
        self.ends.iter().all(|(partition, end)| {
            let at = positions.get(partition).or_else(|| self.starts.get(partition));
            at.is_some_and(|at| at >= end)
        })
    }
}

impl super::worker::Worker {
    /// Takes up new keys between two batches, and moves what is live to the active one.
    pub(super) fn follow_keys(&mut self) -> bool {
        if self.in_hand.is_some() {
            return false;
        }
        let generation = self.shared.generation.load(Ordering::Acquire);
        if generation != self.generation {
            self.generation = generation;
            let setup = self.shared.setup();
            for (partition, task) in &mut self.tasks {
                if let Err(refusal) = task.set_keys(Arc::clone(&setup)) {
                    tracing::error!(
                        partition,
                        "{refusal}; the keys that were read before stay in use"
                    );
                }
            }
            self.report.tell_sweeps(&self.tasks);
            // Whom it has named may be under an old key again.
            self.sweep = None;
            self.wants_sweep = true;
        }
        let (bounds, now) = (&self.shared.bounds, self.shared.clock.moment());
        self.wants_sweep |= self.tasks.values_mut().any(|task| task.take_lack_of_ids(bounds, now));
        if self.wants_sweep && self.shared.clock.instant() >= self.sweep_not_before {
            self.start_sweep();
        }
        let Some(mut sweep) = self.sweep.take() else { return false };
        let pace = sweep.go_on(&self.shared.config, &mut self.tasks, self.shared.clock.instant());
        match pace {
            Pace::Moves | Pace::Waits => self.sweep = Some(sweep),
            Pace::Done => {
                let now = self.shared.clock.moment();
                for partition in sweep.ends.keys() {
                    if let Some(task) = self.tasks.get_mut(partition) {
                        task.complete_ids(now);
                    }
                }
                tracing::info!(worker = self.number, "read the consent changelog for the new keys");
            }
            Pace::Broken => self.put_off_sweep(),
        }
        pace == Pace::Moves
    }

    /// Old keys stay live, and removable, until the next try.
    fn put_off_sweep(&mut self) {
        self.wants_sweep = true;
        self.sweep_not_before = self.shared.clock.instant() + RETRY;
    }

    fn start_sweep(&mut self) {
        let partitions: Vec<i32> = self
            .tasks
            .iter()
            .filter(|(_, task)| task.engine.has_old_keys())
            .map(|(&partition, _)| partition)
            .collect();
        if partitions.is_empty() {
            self.wants_sweep = false;
            return;
        }
        match Sweep::start(&self.shared, &self.probe, &partitions) {
            Ok(sweep) => {
                tracing::info!(
                    worker = self.number,
                    ?partitions,
                    "reading the consent changelog again for the new keys"
                );
                self.sweep = Some(sweep);
                self.wants_sweep = false;
            }
            Err(error) => {
                if let Some(repeated) = pace::may_say("consent again") {
                    tracing::warn!(%error, repeated, "can't read the consent changelog again yet");
                }
                self.put_off_sweep();
            }
        }
    }
}
