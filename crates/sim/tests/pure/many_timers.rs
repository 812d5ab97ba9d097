//! More subjects are due at once than one batch settles: the rest follow, and none is forgotten.

use std::collections::BTreeMap;
use std::sync::Arc;

use assent_contract::domain::outcome::{TombstoneReason, Verdict};
use assent_contract::domain::partitioner::Partitioner;
use assent_contract::domain::pseudonym::{KeyRing, Keyset};
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::rulebook::compile;
use assent_core::engine::input::{ConsentBody, ConsentInput, Coverage};
use assent_core::engine::output::{BatchOutput, Output};
use assent_core::engine::{OpenBatch, Partition, Restore, Setup, TIMERS_PER_BATCH_MAX};

use crate::histories::{GROWN, START, grown_grant};

/// As many as a batch settles, and a few.
const SUBJECTS: usize = TIMERS_PER_BATCH_MAX + 5;

#[test]
fn timers_past_a_batch_follow_in_the_next() {
    let setup = setup();
    let end = Timestamp(START + 60_000);
    let (partition, granted) = grant(fresh(&setup), end);
    assert_eq!(granted.tally.assignments[&0], SUBJECTS as u64);

    let (partition, first) = time_alone(partition, end);
    assert_eq!(removed(&first), TIMERS_PER_BATCH_MAX as u64);
    assert!(partition.next_due() <= Some(end), "the rest are due at once");
    let (partition, second) = time_alone(partition, end);
    assert_eq!(removed(&second), 5);
    let (_, third) = time_alone(partition, end);
    assert_eq!(removed(&third), 0);
}

#[test]
fn a_partition_restored_between_two_parts_settles_the_rest() {
    let setup = setup();
    let end = Timestamp(START + 60_000);
    let mut state = BTreeMap::new();
    let mut order = 0;
    let (partition, granted) = grant(fresh(&setup), end);
    let (_, first) = time_alone(partition, end);
    for output in [granted, first] {
        for output in output.outputs {
            if let Output::State { key, value } = output {
                order += 1;
                state.insert(key, (order, value));
            }
        }
    }
    let mut restore = Restore::new(0);
    let mut kept: Vec<_> = state.into_iter().collect();
    kept.sort_by_key(|(_, (order, _))| *order);
    for (key, (_, value)) in kept {
        restore.apply(&key, value.as_deref()).expect("its own state");
    }
    let restored = restore.finish(setup).expect("its own state");
    assert!(restored.next_due() <= Some(end), "the rest are due at once");
    assert_eq!(removed(&time_alone(restored, end).1), 5);
}

fn fresh(setup: &Arc<Setup>) -> Partition {
    let mut partition = Restore::new(0).finish(Arc::clone(setup)).expect("a fresh partition");
    partition.start_at(0, 0);
    partition
}

fn setup() -> Arc<Setup> {
    let rulebook = compile(GROWN.as_bytes()).expect("a valid rulebook");
    let purposes = ["mail".to_owned()];
    Arc::new(Setup {
        rulebook: Arc::new(rulebook),
        rulebook_yaml: GROWN.as_bytes().into(),
        keys: Arc::new(KeyRing::new(&Keyset::first([7; 32]), &purposes)),
        group_id: "assent".to_owned(),
        lease: Span(2 * Span::DAY.0),
        partitioner: Partitioner::Murmur2,
        input_partitions: 12,
        segment_partitions: BTreeMap::from([("mail".to_owned(), 12)]),
        sources: Vec::new(),
        made_with: BTreeMap::new(),
        signals_max: 1_000_000,
    })
}

/// Everybody grants until `end`.
fn grant(partition: Partition, end: Timestamp) -> (Partition, BatchOutput) {
    let mut batch = partition.begin(Timestamp(START), true);
    for at in 0..SUBJECTS {
        let subject_id = format!("subject-{at}");
        let since = Timestamp(START);
        let record = grown_grant(&subject_id, 1, since, Some(end));
        batch.consent(&ConsentInput {
            offset: at as i64,
            append_time: since,
            key: subject_id.as_bytes(),
            payload: None,
            body: ConsentBody::Record(&record),
        });
    }
    finish(batch)
}

fn time_alone(partition: Partition, now: Timestamp) -> (Partition, BatchOutput) {
    let mut batch = partition.begin(now, true);
    batch.timers();
    finish(batch)
}

fn finish(batch: OpenBatch) -> (Partition, BatchOutput) {
    let consent_to = SUBJECTS as i64;
    let coverage = Coverage { click_to: 0, consent_to, barrier: consent_to, synced: None };
    let (decided, output) = batch.finish(coverage);
    (decided.confirm(), output)
}

fn removed(output: &BatchOutput) -> u64 {
    let expired = (0, TombstoneReason::Withheld(Verdict::ConsentExpired));
    output.tally.tombstones.get(&expired).copied().unwrap_or(0)
}
