//! Reads the state topic's partitions from their beginning to an end that was asked for before.
//!
//! Until the next-fetch offset reaches the high watermark: the last stable offset can be behind
//! while a predecessor's transaction is not settled yet (docs/contract/batch.md#assignment).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::damage::{Interrupted, TolerantRead};
use super::probe::Probe;
use crate::config::Config;
use assent_core::engine::loss::Unreadable;

const ASKED_FOR: Duration = Duration::from_secs(10);

/// A record's place.
pub type Place = (i32, i64);

/// Hands every record of these partitions to `take((partition, offset), key, value)`, in the order of the
/// offsets of each. `wanted` is asked between bursts. Returns what nobody can read, and was passed over.
pub fn read_state(
    config: &Arc<Config>,
    probe: &Probe,
    partitions: &[i32],
    mut take: impl FnMut(Place, &[u8], Option<&[u8]>),
    mut wanted: impl FnMut() -> bool,
) -> Result<BTreeMap<i32, Vec<Unreadable>>, Interrupted> {
    let topic = &config.topics.state;
    let ranges = probe.ranges(topic, partitions, ASKED_FOR)?;
    TolerantRead::begin(config, "state", topic, ranges)?.read(
        |record| {
            let place = (record.partition(), record.offset());
            take(place, record.key().unwrap_or_default(), record.payload());
        },
        &mut wanted,
    )
}
