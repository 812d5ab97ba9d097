//! The store by itself: runs, what they become, what is forgotten, and damage.

use std::collections::BTreeMap;
use std::path::Path;

use assent_contract::domain::audit::{AuditBatch, AuditEntry, AuditToken, loss};
use assent_contract::domain::outcome::{InputKind, Outcome, Verdict};
use assent_contract::domain::time::Timestamp;

use super::store::{Draft, Store, StoreError};

const TOPIC: &str = "segmentation-audit 1";

fn token(of: u8) -> AuditToken {
    [of; 17]
}

fn batch(at: i64) -> AuditBatch {
    AuditBatch {
        chain: "shop/0".to_owned(),
        sequence: at,
        previous: [0; 32],
        decided_at: Timestamp(1_000 + at),
        rulebook: "1".to_owned(),
        rulebook_sha256: [0; 32],
        key_version: 1,
        click_from: 10 * at,
        click_to: 10 * (at + 1),
        consent_from: 0,
        consent_to: 0,
        barrier: 0,
        gate_open: true,
        purposes: vec!["ads".to_owned()],
        entries: Vec::new(),
    }
}

/// Each batch has an entry of each of three subjects.
fn append(store: &Store, offsets: std::ops::Range<i64>) {
    let mut draft = Draft { next: offsets.end, ..Draft::default() };
    for at in offsets {
        for place in 0..3_u8 {
            let entry = AuditEntry {
                input: InputKind::Click,
                offset: Some(10 * at + i64::from(place)),
                outcome: Outcome::Decided,
                subject: Some(token(place)),
                consent_version: Some(1),
                verdicts: vec![Verdict::OptIn],
                effects: Vec::new(),
            };
            draft.run.add(at, u32::from(place), &entry);
        }
        draft.batches.push((at, batch(at)));
    }
    store.append(0, &mut draft).unwrap();
}

fn open(folder: &Path) -> Store {
    Store::open(&folder.join("index"), TOPIC).unwrap()
}

fn places(store: &Store, low: i64, of: u8) -> Vec<i64> {
    store.entries(0, low, &[token(of)]).unwrap().iter().map(|it| it.at).collect()
}

#[test]
fn entries_come_back_in_order_however_often_somebody_asked() {
    let folder = tempfile::tempdir().unwrap();
    for run in 0..40 {
        append(&open(folder.path()), run * 3..run * 3 + 3);
    }
    let store = open(folder.path());
    assert_eq!(store.next(0).unwrap(), 120);
    for of in 0..3 {
        assert_eq!(places(&store, 0, of), (0..120).collect::<Vec<_>>());
        assert_eq!(places(&store, 100, of), (100..120).collect::<Vec<_>>());
    }
    assert_eq!(places(&store, 0, 9), [0; 0]);
    let found = &store.entries(0, 0, &[token(1)]).unwrap()[7];
    assert_eq!((found.head.sequence, found.entry.offset), (7, Some(71)));
    assert!(store.runs(0).unwrap() < 8, "small runs become one: {}", store.runs(0).unwrap());
}

#[test]
fn what_the_topic_lost_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    append(&store, 0..50);
    store.forget(0, 20).unwrap();
    let mut left = Vec::new();
    store
        .each_batch(0, (0, i64::MAX), |it| {
            left.push(it.at);
            true
        })
        .unwrap();
    assert_eq!(left, (20..50).collect::<Vec<_>>());
    store.forget(0, 50).unwrap();
    assert_eq!((store.runs(0).unwrap(), places(&store, 0, 1)), (0, vec![]));
}

#[test]
fn a_bound_is_found_where_offsets_have_gaps() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut draft = Draft { next: 1_000, ..Draft::default() };
    draft.batches.extend([3, 10, 11, 500, 900].map(|at| (at, batch(at))));
    draft.batches.push((950, AuditBatch { rulebook: loss::in_audit("it"), ..batch(950) }));
    store.append(0, &mut draft).unwrap();
    for (before, expect) in
        [(0, 3), (3, 3), (4, 10), (11, 11), (12, 500), (901, 950), (2_000, 1_000)]
    {
        let bound = store.bound(0, (0, 1_000), |head| head.sequence < before).unwrap();
        let next = store.last_batch(0, (bound, bound + 1)).unwrap().map_or(bound, |it| it.at);
        let mut first = 1_000;
        store
            .each_batch(0, (bound, 1_000), |it| {
                first = it.at;
                false
            })
            .unwrap();
        assert_eq!((first, next >= bound), (expect, true), "{before}");
    }
    assert_eq!(store.losses(0).unwrap(), [950]);
}

#[test]
fn an_index_of_something_else_is_none() {
    let folder = tempfile::tempdir().unwrap();
    append(&open(folder.path()), 0..5);
    let other = Store::open(&folder.path().join("index"), "segmentation-audit 2");
    assert!(matches!(other, Err(StoreError::Damaged(_))));
    std::fs::write(folder.path().join("index"), b"this is no index, but somebody's text").unwrap();
    assert!(matches!(
        Store::open(&folder.path().join("index"), TOPIC),
        Err(StoreError::Damaged(_))
    ));
    let _one = Store::open(&folder.path().join("another"), TOPIC).unwrap();
    assert!(matches!(Store::open(&folder.path().join("another"), TOPIC), Err(StoreError::Busy)));
}

#[test]
fn one_bit_anywhere_gives_the_right_answer_or_none() {
    let folder = tempfile::tempdir().unwrap();
    append(&open(folder.path()), 0..200);
    let path = folder.path().join("index");
    let whole = std::fs::read(&path).unwrap();
    let mut told: BTreeMap<&str, usize> = BTreeMap::new();
    for at in (0..whole.len()).step_by(whole.len() / 100) {
        let mut damaged = whole.clone();
        damaged[at] ^= 4;
        std::fs::write(&path, damaged).unwrap();
        let read = || {
            let store = Store::open(&path, TOPIC)?;
            Ok::<_, StoreError>(store.entries(0, 0, &[token(1)])?.len())
        };
        let answer = super::guarded(read);
        *told
            .entry(match answer {
                Ok(200) => "right",
                Err(StoreError::Damaged(_)) => "damaged",
                Ok(_) => "wrong",
                Err(_) => "other",
            })
            .or_default() += 1;
    }
    assert_eq!((told.get("wrong"), told.get("other")), (None, None), "{told:?}");
    assert!(told["damaged"] > 10, "{told:?}");
}
