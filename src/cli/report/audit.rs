//! The audit's batches for a report.

use indicatif::ProgressBar;

use super::super::progress;
use super::records::{Held, each_record, partitions};
use crate::config::Config;
use crate::failure::Result;
use crate::kafka::scan::Ends;
use assent_contract::domain::audit::AuditBatch;
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::wire::decode_audit_batch;

/// A record's own time may be this far from the decisions in it.
const SKEW: Span = Span::DAY;

/// Hands over the batches of every partition, as [`each_batch`] does.
pub fn each_batch_of_all(
    config: &Config,
    ends: &Ends<'_>,
    from: Option<Timestamp>,
    mut each: impl FnMut(i32, &AuditBatch),
) -> Result<Held> {
    let mut held = Held::default();
    let bar = progress::bar(0, "records of the audit");
    for partition in 0..partitions(config, &config.topics.audit)? {
        let take = |batch: &AuditBatch| each(partition, batch);
        held.and(each_batch(config, ends, partition, from, &bar, take)?);
    }
    bar.finish_and_clear();
    Ok(held)
}

/// Hands over the batches of a partition that may hold something decided at or after `from`, and all before it
/// where that is `None`.
pub fn each_batch(
    config: &Config,
    ends: &Ends<'_>,
    partition: i32,
    from: Option<Timestamp>,
    bar: &ProgressBar,
    mut each: impl FnMut(&AuditBatch),
) -> Result<Held> {
    let topic = &config.topics.audit;
    let low = ends.low(topic, partition)?;
    let since = match from {
        Some(from) => match ends.since(topic, partition, from - SKEW)? {
            Some(since) => since.max(low),
            None => ends.committed(topic, partition)?,
        },
        None => low,
    };
    let mut begins_at = None;
    let mut is_first = since == low;
    let damaged = each_record(config, ends, (topic, partition), since, bar, |record| {
        let value = record.value.as_deref().unwrap_or_default();
        let Ok(batch) = decode_audit_batch(value, &record.known) else { return false };
        if std::mem::take(&mut is_first) && batch.sequence > 0 {
            begins_at = Some(batch.decided_at);
        }
        each(&batch);
        true
    })?;
    Ok(Held { begins_at, damaged })
}
