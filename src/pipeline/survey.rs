//! What the cluster holds of some partitions, looked at side by side: state, audit, the group's
//! offsets, and both inputs. Everything that takes partitions up, or goes on after a loss, begins here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::KafkaError;

use super::crash::crash_point;
use super::retention;
use super::shared::Shared;
use super::take_up_error::TakeUpError;
use crate::config::Config;
use crate::failure::{Exit, Failure};
use crate::kafka::audit_heads::{self, Heads};
use crate::kafka::group_offsets::{Committed, committed};
use crate::kafka::probe::Probe;
use crate::kafka::restore;
use assent_contract::domain::binary::Malformed;
use assent_contract::domain::time::Timestamp;
use assent_core::engine::absence::AbsenceBound;
use assent_core::engine::loss::{AuditHead, GroupMark, Losses, Range, TopicIds, Unreadable, View};
use assent_core::engine::store::begins_anew;
use assent_core::engine::{Partition, Refusal, Restore, Salvage};

pub const ASKED_FOR: Duration = Duration::from_secs(10);

/// What was read of a partition's state.
pub struct Gathered {
    restore: Restore,
    /// By key: records that can't be read, and that no later one replaced.
    malformed: BTreeMap<Vec<u8>, Malformed>,
    /// All keys that have a value.
    pub keys: BTreeSet<Vec<u8>>,
    /// Where a state begins anew, in place of one whose loss was accepted.
    begins_at: Option<i64>,
    /// What nobody can read of it, and what may count.
    pub unreadable: Option<Unreadable>,
}

/// Reads the state of these partitions. `keys`: also note which keys there are.
pub fn gather(
    config: &Arc<Config>,
    probe: &Probe,
    partitions: &[i32],
    keys: bool,
    wanted: impl FnMut() -> bool,
) -> Result<BTreeMap<i32, Gathered>, TakeUpError> {
    let empty = |&partition: &i32| {
        let (restore, keys) = (Restore::new(partition), BTreeSet::new());
        let (malformed, begins_at, unreadable) = (BTreeMap::new(), None, None);
        (partition, Gathered { restore, malformed, keys, begins_at, unreadable })
    };
    let mut gathered: BTreeMap<i32, Gathered> = partitions.iter().map(empty).collect();
    let take = |(partition, offset): restore::Place, key: &[u8], value: Option<&[u8]>| {
        let Some(of_it) = gathered.get_mut(&partition) else { return };
        if begins_anew(key, value) {
            of_it.begins_at = Some(offset);
        }
        if keys && value.is_some() {
            of_it.keys.insert(key.to_vec());
        } else if keys {
            of_it.keys.remove(key);
        }
        match (of_it.restore.apply(key, value), value) {
            (Err(error), Some(_)) => {
                of_it.malformed.insert(key.to_vec(), error);
            }
            // Overwritten, or removed: a later record wins.
            _ => {
                of_it.malformed.remove(key);
            }
        }
        crash_point("during_restore");
    };
    for (partition, found) in restore::read_state(config, probe, partitions, take, wanted)? {
        let Some(of_it) = gathered.get_mut(&partition) else { continue };
        let counts = |it: &Unreadable| of_it.begins_at.is_none_or(|at| it.range.start > at);
        of_it.unreadable = found.into_iter().find(counts);
    }
    Ok(gathered)
}

impl Gathered {
    /// The partition as its state has it; the inner error: why that is none that can be gone on from.
    pub fn finish(self, shared: &Shared) -> Result<Result<Partition, String>, TakeUpError> {
        if let Some(malformed) = self.malformed.values().next() {
            return Ok(Err(malformed.to_string()));
        }
        if let Some(unreadable) = self.unreadable {
            return Ok(Err(unreadable.to_string()));
        }
        match self.restore.finish(shared.setup()) {
            Ok(engine) => {
                for (purpose, &partitions) in engine.segment_partitions() {
                    shared.destinations.learn(purpose, partitions);
                }
                Ok(Ok(engine))
            }
            Err(Refusal::Damaged { detail, .. }) => Ok(Err(detail)),
            Err(refusal) => Err(refused(&refusal)),
        }
    }

    /// What it was decided under, as far as that can be read.
    pub fn salvage(&self) -> Salvage {
        self.restore.salvage()
    }
}

/// A key that the file lacks may still come: the instance waits, not ready
/// (docs/contract/pseudonyms.md#keyset).
pub fn refused(refusal: &Refusal) -> TakeUpError {
    match refusal {
        Refusal::KeyMissing { .. } => TakeUpError::Wait(refusal.to_string()),
        _ if refusal.exit_code() == 78 => {
            TakeUpError::Stop(Failure::new(Exit::Config, refusal.to_string()))
        }
        _ => TakeUpError::Stop(Failure::failed(refusal.to_string())),
    }
}

/// All but the state.
pub struct Survey {
    pub topics: TopicIds,
    /// When it was taken: what a right clock showed then at the latest.
    pub now: Timestamp,
    /// How long consent may go unread.
    pub absence: Option<AbsenceBound>,
    group: BTreeMap<i32, GroupMark>,
    audit: Heads,
    clicks: BTreeMap<i32, Range>,
    consent: BTreeMap<i32, Range>,
}

impl Survey {
    /// The group's offsets are asked for first: that waits for what a predecessor left pending.
    pub fn take(
        shared: &Shared,
        probe: &Probe,
        partitions: &[i32],
        wanted: impl FnMut() -> bool,
    ) -> Result<Self, TakeUpError> {
        let topics = &shared.config.topics;
        let committed = committed(&shared.config, partitions, ASKED_FOR)?.into_iter();
        let mark = |(partition, of): (i32, Committed)| {
            (partition, GroupMark { offset: of.offset, metadata: of.metadata })
        };
        Ok(Self {
            group: committed.map(mark).collect(),
            topics: shared.input_ids(probe, ASKED_FOR)?,
            now: now(shared),
            absence: retention::absence_bound(shared)?,
            audit: audit_heads::read_heads(&shared.config, probe, partitions, wanted)?,
            clicks: ranges(probe, &topics.clickstream, partitions)?,
            consent: ranges(probe, &topics.consent, partitions)?,
        })
    }

    pub fn audit(&self, partition: i32) -> Option<&AuditHead> {
        self.audit.of.get(&partition)
    }

    /// What nobody can read of the audit, behind that.
    pub fn unreadable_audit(&self, partition: i32) -> Option<&Unreadable> {
        self.audit.unreadable.get(&partition)
    }

    pub fn group(&self, partition: i32) -> Option<&GroupMark> {
        self.group.get(&partition)
    }

    /// What was lost of a partition with this state. `unreadable`: consent that nobody can read.
    pub fn losses(
        &self,
        partition: i32,
        state: &Result<Partition, String>,
        unreadable: Option<Range>,
    ) -> Losses {
        let range =
            |ranges: &BTreeMap<i32, Range>| ranges.get(&partition).copied().unwrap_or_default();
        assent_core::engine::loss::find(&View {
            state: state.as_ref().map(Partition::state_head).map_err(Clone::clone),
            group: self.group.get(&partition).cloned(),
            audit: self.audit(partition).cloned(),
            unreadable_audit: self.unreadable_audit(partition).cloned(),
            topics: self.topics,
            clicks: range(&self.clicks),
            consent: range(&self.consent),
            unreadable,
            now: self.now,
            absence: self.absence,
        })
    }
}

/// A wall clock that went back would hide an absence.
fn now(shared: &Shared) -> Timestamp {
    shared.clock_watch.latest(shared.clock.moment())
}

/// What an input still holds.
pub fn ranges(
    probe: &Probe,
    topic: &str,
    partitions: &[i32],
) -> Result<BTreeMap<i32, Range>, KafkaError> {
    let ranges = probe.ranges(topic, partitions, ASKED_FOR)?.into_iter();
    Ok(ranges.map(|(partition, start, end)| (partition, Range { start, end })).collect())
}
