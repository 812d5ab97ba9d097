//! What the targets share: one record from a fuzzer's bytes, and a partition to decide it.

use std::collections::BTreeMap;
use std::sync::Arc;

use assent_contract::domain::partitioner::Partitioner;
use assent_contract::domain::pseudonym::{KeyRing, Keyset};
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::rulebook;
use assent_contract::wire::Inbound;
use assent_core::engine::{Partition, Restore, Setup};

pub const PARTITIONS: i32 = 12;
pub const NOW: Timestamp = Timestamp(1_795_305_600_000);

const RULEBOOK: &[u8] = include_bytes!("../../rules/children-retail.yaml");

/// `length of the key, key, value`: the record on the partition where its key belongs.
pub fn record(bytes: &[u8]) -> Option<Inbound<'_>> {
    let (&length, rest) = bytes.split_first()?;
    let (key, value) = rest.split_at_checked(usize::from(length))?;
    let partition = Partitioner::Murmur2.partition(key, PARTITIONS);
    Some(Inbound { partition, key: Some(key), payload: Some(value) })
}

pub fn setup() -> Arc<Setup> {
    let rulebook = Arc::new(rulebook::compile(RULEBOOK).expect("the shipped rulebook"));
    let purposes: Vec<String> = rulebook.purposes.iter().map(|p| p.id.clone()).collect();
    Arc::new(Setup {
        rulebook,
        rulebook_yaml: RULEBOOK.into(),
        keys: Arc::new(KeyRing::new(&Keyset::first([7; 32]), &purposes)),
        group_id: "assent".to_owned(),
        lease: Span(48 * Span::HOUR.0),
        partitioner: Partitioner::Murmur2,
        input_partitions: PARTITIONS,
        segment_partitions: BTreeMap::new(),
        made_with: BTreeMap::new(),
        sources: vec!["cmp".to_owned()],
        signals_max: 1_000_000,
    })
}

pub fn fresh(setup: &Arc<Setup>) -> Partition {
    let mut partition = Restore::new(0).finish(Arc::clone(setup)).expect("nothing to refuse");
    partition.start_at(0, 0);
    partition
}
