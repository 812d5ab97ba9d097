//! Reads what the audit topic holds and the index lacks. Memory: one run, [`RUN_BYTES`], and its slots.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::ProgressBar;

use super::store::{Draft, RUN_BYTES, Store, StoreError};
use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::kafka::probe::{Isolation, Probe};
use crate::kafka::read::partition_count;
use crate::kafka::scan::{Ends, Scan};
use assent_contract::domain::audit::AuditBatch;
use assent_contract::wire::{Unread, decode_audit_batch};
use assent_verify::Record;

const ASKED_FOR: Duration = Duration::from_secs(10);

/// Batches that wait for their run: a topic of entries without a subject fills none.
const BATCHES_MAX: usize = 50_000;

/// What the index is of: the topic by its name, and the id that the cluster gave it.
pub fn identity(config: &Config) -> Result<String> {
    let topic = &config.topics.audit;
    match probe(config)?.topic_id(topic, ASKED_FOR) {
        Ok(id) => Ok(format!("{topic} {id:032x}")),
        Err(error) => Err(Failure::unavailable(format!(
            "topic {topic}: no answer which topic it is ({error}); perhaps this user may not describe it: \
             `assent check --print-acls User:NAME --auditor` prints the grants"
        ))),
    }
}

fn probe(config: &Config) -> Result<Probe> {
    Probe::with(config, "audit", Isolation::Committed)
        .map_err(|error| Failure::config(format!("kafka.properties: {error}")))
}

/// Returns the first offset of each partition.
pub fn refresh(
    config: &Config,
    ends: &Ends<'_>,
    store: &Store,
    bar: &ProgressBar,
) -> std::result::Result<BTreeMap<i32, i64>, StoreError> {
    let topic = &config.topics.audit;
    let mut parts = Vec::new();
    for partition in 0..partition_count(&probe(config)?, config, topic)? {
        let (low, to) = (ends.low(topic, partition)?, ends.committed(topic, partition)?);
        let next = store.next(partition)?;
        if next > to {
            return Err(StoreError::Damaged("the topic is another one now".to_owned()));
        }
        if low > 0 && next > 0 {
            store.forget(partition, low)?;
        }
        parts.push((partition, low, next.max(low), to));
    }
    bar.set_length(parts.iter().map(|(_, _, from, to)| (to - from).max(0) as u64).sum());
    for &(partition, _, from, to) in &parts {
        read(config, store, partition, (from, to), bar)?;
    }
    Ok(parts.into_iter().map(|(partition, low, ..)| (partition, low)).collect())
}

fn read(
    config: &Config,
    store: &Store,
    partition: i32,
    (from, to): (i64, i64),
    bar: &ProgressBar,
) -> std::result::Result<(), StoreError> {
    if from >= to {
        return Ok(());
    }
    let mut scan = Scan::open(config, &config.topics.audit, partition, from, to)?;
    let mut draft = Draft { next: from, ..Draft::default() };
    let mut at = from;
    while let Some(record) = scan.next_record()? {
        take(&mut draft, &record);
        bar.inc((draft.next - at).max(0) as u64);
        at = draft.next;
        if draft.run.size() >= RUN_BYTES || draft.batches.len() >= BATCHES_MAX {
            store.append(partition, &mut draft)?;
        }
    }
    for &(first, last) in scan.unreadable() {
        let why = format!("offsets {first} to {last}: no client can read them");
        draft.damage.push((first, why));
    }
    draft.next = to;
    bar.inc((to - at).max(0) as u64);
    store.append(partition, &mut draft)
}

fn take(draft: &mut Draft, record: &Record) {
    draft.next = record.offset + 1;
    let value = record.value.as_deref().unwrap_or_default();
    match decode_audit_batch(value, &record.known) {
        Ok(batch) => {
            for (place, entry) in (0..).zip(&batch.entries) {
                draft.run.add(record.offset, place, entry);
            }
            draft.batches.push((record.offset, AuditBatch { entries: Vec::new(), ..batch }));
        }
        Err(unread) => {
            let why = Unread::into_rejection(unread).detail;
            draft.damage.push((record.offset, format!("it is no audit batch: {why}")));
        }
    }
}
