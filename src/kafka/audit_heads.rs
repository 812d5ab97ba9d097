//! Where the audit chains of a group end: the last committed batch of each partition.
//!
//! Reads backward in growing steps, since the tail of a log may be control records, aborted batches,
//! or another group's chains.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::KafkaError;

use super::consumer::Polled;
use super::damage::Passing;
use super::probe::Probe;
use super::restore::{Interrupted, Patience};
use crate::config::Config;
use assent_contract::domain::audit::chain;
use assent_contract::wire::framing::Framed;
use assent_contract::wire::read_back_audit_batch;
use assent_core::engine::loss::{AuditHead, Unreadable};

const ASKED_FOR: Duration = Duration::from_secs(10);

/// Offsets of the first step back: a transaction of one batch takes two, its commit marker included.
const FIRST_STEP: i64 = 16;

/// How much longer each step is than the one before.
const GROWTH: i64 = 16;

const PAUSE: Duration = Duration::from_millis(2);

/// Where the chains end.
#[derive(Default)]
pub struct Heads {
    /// The last committed batch of each partition's chain. Absent: the audit holds none.
    pub of: BTreeMap<i32, AuditHead>,
    /// Behind it, or where there is none: what nobody can read, the first of it.
    pub unreadable: BTreeMap<i32, Unreadable>,
}

pub fn read_heads(
    config: &Arc<Config>,
    probe: &Probe,
    partitions: &[i32],
    mut wanted: impl FnMut() -> bool,
) -> Result<Heads, Interrupted> {
    let topic = &config.topics.audit;
    let ends = probe.ends(topic, partitions, ASKED_FOR)?;
    let starts = probe.starts(topic, partitions, ASKED_FOR)?;
    let mut heads = Heads::default();
    let mut step = FIRST_STEP;
    loop {
        let open = partitions.iter().filter(|partition| !heads.of.contains_key(*partition));
        let from: BTreeMap<i32, i64> = open
            .map(|partition| {
                let at =
                    |offsets: &BTreeMap<i32, i64>| offsets.get(partition).copied().unwrap_or(0);
                (*partition, at(&starts).max(at(&ends) - step))
            })
            .filter(|(partition, from)| ends.get(partition).is_some_and(|end| from < end))
            .collect();
        if from.is_empty() {
            return Ok(heads);
        }
        read_tails(config, &from, &ends, &mut heads, &mut wanted)?;
        let exhausted = from.iter().all(|(partition, from)| starts.get(partition) == Some(from));
        if exhausted {
            return Ok(heads);
        }
        step *= GROWTH;
    }
}

fn read_tails(
    config: &Arc<Config>,
    from: &BTreeMap<i32, i64>,
    ends: &BTreeMap<i32, i64>,
    heads: &mut Heads,
    wanted: &mut impl FnMut() -> bool,
) -> Result<(), Interrupted> {
    let mut reading = Passing::new(config, "audit", &config.topics.audit, from.clone())?;
    let mut at: BTreeMap<i32, i64> = BTreeMap::new();
    let mut patience = Patience::begin();
    loop {
        if !wanted() {
            return Err(Interrupted::Unwanted);
        }
        let unreadable = match reading.follower().poll() {
            Polled::Message(message) => {
                let partition = message.partition();
                let name = chain::name(&config.kafka.group_id, partition);
                if message.key() == Some(name.as_bytes())
                    && let Some(head) = message.payload().and_then(head)
                {
                    heads.of.insert(partition, head);
                    at.insert(partition, message.offset());
                }
                continue;
            }
            Polled::Nothing => None,
            Polled::Unreadable { partition, .. } => Some(partition),
            Polled::OutOfRange { .. } => {
                return Err(Interrupted::Again(KafkaError::MessageConsumption(
                    rdkafka::error::RDKafkaErrorCode::AutoOffsetReset,
                )));
            }
            Polled::Fatal(error) => return Err(Interrupted::Again(error)),
        };
        if let Some(partition) = unreadable {
            reading.pass(partition, wanted)?;
        }
        let positions = reading.positions()?;
        if from.keys().all(|partition| positions.get(partition) >= ends.get(partition)) {
            break;
        }
        patience.look(&positions)?;
        std::thread::sleep(PAUSE);
    }
    for (partition, found) in reading.into_found() {
        let is_behind = |it: &Unreadable| at.get(&partition).is_none_or(|&at| it.range.start > at);
        // A longer step finds it again, from where it begins.
        heads.unreadable.remove(&partition);
        heads.unreadable.extend(found.into_iter().find(is_behind).map(|it| (partition, it)));
    }
    Ok(())
}

/// The chain hashes a body as it stands.
fn head(value: &[u8]) -> Option<AuditHead> {
    let batch = read_back_audit_batch(value).ok()?;
    Some(AuditHead {
        next_sequence: batch.sequence + 1,
        hash: chain::body_hash(Framed::split(value).body()?),
        click_to: batch.click_to,
        consent_to: batch.consent_to,
        decided_at: batch.decided_at,
    })
}
