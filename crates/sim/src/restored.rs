//! A partition as its state has it, read back from the simulated log.

use std::sync::Arc;

use crate::broker::Broker;
use crate::log::Topic;
use assent_core::engine::{Partition, Refusal, Restore, Setup};

/// Why a state could not be restored.
pub enum RestoreError {
    Again,
    Refused(Refusal),
    Damaged(String),
    /// Consent was not read for too long.
    Absent,
}

/// Reads a partition's state up to the high watermark: the last stable offset is not enough.
pub fn restore_partition(
    setup: &Arc<Setup>,
    partition: i32,
    broker: &Broker,
) -> Result<Partition, RestoreError> {
    let end = broker.log.high_watermark(Topic::State, partition);
    let (offsets, next) = broker.log.fetch(Topic::State, partition, 0, usize::MAX);
    if next < end {
        return Err(RestoreError::Again);
    }
    let mut restore = Restore::new(partition);
    for offset in offsets {
        let record = &broker.log.get(Topic::State, partition)[offset as usize].record;
        let key = record.key.as_deref().unwrap_or_default();
        restore
            .apply(key, record.value.as_deref())
            .map_err(|error| RestoreError::Damaged(format!("partition {partition}: {error}")))?;
    }
    restore.finish(Arc::clone(setup)).map_err(RestoreError::Refused)
}
