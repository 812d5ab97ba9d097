//! Where the audit chains of a group end: the last committed batch of each partition.
//!
//! Reads backward in growing steps, since the tail of a log may be control records, aborted batches,
//! or another group's chains.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::damage::{Interrupted, TolerantRead};
use super::events::Received;
use super::probe::Probe;
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
    let ranges = from.iter().map(|(&partition, &from)| (partition, from, ends[&partition]));
    let mut at: BTreeMap<i32, i64> = BTreeMap::new();
    let take = |record: &Received<'_>| {
        let partition = record.partition();
        let name = chain::name(&config.kafka.group_id, partition);
        if record.key() == Some(name.as_bytes())
            && let Some(head) = record.payload().and_then(head)
        {
            heads.of.insert(partition, head);
            at.insert(partition, record.offset());
        }
    };
    let reading = TolerantRead::begin(config, "audit", &config.topics.audit, ranges)?;
    let unreadable = reading.read(take, wanted)?;
    for (partition, found) in unreadable {
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
