//! Live keys that no state accounts for: those of partitions whose state was lost. Every one of them
//! is found, since it is what the segment topics hold less what the other partitions' states know;
//! whose it is, only where the changelog still names the subject.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use rdkafka::message::Message;

use super::sole_member::{SoleMember, again, another_joined};
use crate::failure::Result;
use crate::kafka::admin::Admin;
use crate::kafka::assignments::SegmentTopics;
use crate::kafka::damage::TolerantRead;
use crate::kafka::events::Received;
use crate::kafka::probe::Probe;
use crate::kafka::read::{Start, TopicReader};
use crate::pipeline::shared::Shared;
use crate::pipeline::survey::ASKED_FOR;
use crate::pipeline::take_up_error::TakeUpError;
use assent_contract::domain::pseudonym::Pseudonym;
use assent_core::engine::Orphan;

#[derive(Default)]
pub struct Orphans {
    /// Of every segment topic, sorted.
    pub purposes: Arc<[String]>,
    by_partition: BTreeMap<i32, Vec<Orphan>>,
    /// How many are of nobody whom the changelog names.
    pub unattributed: usize,
}

impl Orphans {
    pub fn of(&self, partition: i32) -> &[Orphan] {
        self.by_partition.get(&partition).map_or(&[], Vec::as_slice)
    }
}

/// `accounted`: purpose and pseudonym of every live key that a sound state knows. Those of nobody go
/// with the first of the partitions.
pub fn find_orphans(
    shared: &Shared,
    member: &SoleMember,
    probe: &Probe,
    partitions: &[i32],
    accounted: &HashSet<(String, Pseudonym)>,
) -> Result<Orphans> {
    let (purposes, mut live) = live_keys(shared, member)?;
    live.retain(|(purpose, key)| {
        !accounted.contains(&(purposes[usize::from(*purpose)].clone(), *key))
    });
    let mut orphans = Orphans { purposes, ..Orphans::default() };
    let named =
        again(shared, || name(shared, member, probe, partitions, &orphans.purposes, &live))?;
    let first = partitions.first().copied().unwrap_or_default();
    let mut live: Vec<(u16, Pseudonym)> = live.into_iter().collect();
    live.sort_unstable();
    for (purpose, pseudonym) in live {
        let (partition, subject) =
            if let Some((partition, token)) = named.get(&(purpose, pseudonym)) {
                (*partition, Some(*token))
            } else {
                orphans.unattributed += 1;
                (first, None)
            };
        let orphan = Orphan { purpose, pseudonym, subject };
        orphans.by_partition.entry(partition).or_default().push(orphan);
    }
    Ok(orphans)
}

type LiveKeys = HashSet<(u16, Pseudonym)>;

/// Of every segment topic of the cluster, whatever the rulebook declares now.
fn live_keys(shared: &Shared, member: &SoleMember) -> Result<(Arc<[String]>, LiveKeys)> {
    let config = &shared.config;
    let cluster = Admin::new(config)?.cluster()?;
    let mut purposes = Vec::new();
    for (topic, &partitions) in &cluster.topics {
        if let Some(purpose) = config.topics.purpose_of(topic) {
            shared.destinations.learn(&purpose, partitions);
            purposes.push(purpose);
        }
    }
    purposes.sort_unstable();
    let topics = SegmentTopics::new(config, &purposes);
    let mut live = LiveKeys::new();
    let reader = TopicReader::topics(config, topics.names(), Start::Beginning)?;
    let is_alone = Cell::new(true);
    reader.try_read_to_end(
        |message| {
            if !is_alone.get() {
                return Err(another_joined());
            }
            let key = message.key().and_then(|key| std::str::from_utf8(key).ok());
            let of = topics.names().iter().position(|name| name == message.topic());
            let (Some(of), Some(key)) = (of, key.and_then(Pseudonym::parse)) else { return Ok(()) };
            let at = (of as u16, key);
            if message.payload().is_some() {
                live.insert(at);
            } else {
                live.remove(&at);
            }
            Ok(())
        },
        |_| is_alone.set(is_alone.get() && member.is_alone()),
    )?;
    if !is_alone.get() {
        return Err(another_joined());
    }
    Ok((purposes.into(), live))
}

type Named = HashMap<(u16, Pseudonym), (i32, assent_contract::domain::audit::AuditToken)>;

/// Whose live keys are whose, as far as the changelog still has the raw ids.
fn name(
    shared: &Shared,
    member: &SoleMember,
    probe: &Probe,
    partitions: &[i32],
    purposes: &[String],
    live: &LiveKeys,
) -> std::result::Result<Named, TakeUpError> {
    let topic = &shared.config.topics.consent;
    let ranges = probe.ranges(topic, partitions, ASKED_FOR)?;
    let mut named = Named::new();
    let take = |record: &Received<'_>| {
        if let Some(id) = record.key() {
            name_keys_of(shared, id, record.partition(), purposes, live, &mut named);
        }
    };
    // What nobody can read names nobody.
    TolerantRead::begin(&shared.config, "names", topic, ranges)?
        .read(take, &mut || member.is_alone())?;
    Ok(named)
}

fn name_keys_of(
    shared: &Shared,
    id: &[u8],
    partition: i32,
    purposes: &[String],
    live: &LiveKeys,
    named: &mut Named,
) {
    let setup = shared.setup();
    for (index, purpose) in setup.rulebook.purposes.iter().enumerate() {
        let Ok(at) = purposes.binary_search(&purpose.id) else { continue };
        for version in setup.keys.fingerprints().keys() {
            let Some(key) = setup.keys.pseudonym_under(*version, index, id) else { continue };
            if live.contains(&(at as u16, key)) {
                named.insert((at as u16, key), (partition, setup.keys.audit_token(id)));
            }
        }
    }
}
