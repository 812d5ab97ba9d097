//! The batches of one partition of the audit topic between two offsets.

use std::sync::Arc;

use indicatif::ProgressBar;

use crate::config::Config;
use crate::failure::Result;
use crate::kafka::scan::Scan;
use assent_contract::domain::audit::AuditBatch;
use assent_contract::wire::decode_audit_batch;
use assent_inquiry::row::Found;

/// Hands over every entry, in the order of the topic, until `each` says that it has enough. What is no batch
/// was noted by the index, and is passed over.
pub fn entries(
    config: &Config,
    partition: i32,
    (from, to): (i64, i64),
    bar: &ProgressBar,
    mut each: impl FnMut(Found) -> Result<bool>,
) -> Result<()> {
    let mut scan = Scan::open(config, &config.topics.audit, partition, from, to)?;
    while let Some(record) = scan.next_record()? {
        bar.inc(1);
        let value = record.value.as_deref().unwrap_or_default();
        let Ok(mut batch) = decode_audit_batch(value, &record.known) else { continue };
        let entries = std::mem::take(&mut batch.entries);
        let head: Arc<AuditBatch> = Arc::new(batch);
        for (place, entry) in (0..).zip(entries) {
            let (head, at) = (Arc::clone(&head), record.offset);
            if !each(Found { partition, at, place, head, entry })? {
                return Ok(());
            }
        }
    }
    Ok(())
}
