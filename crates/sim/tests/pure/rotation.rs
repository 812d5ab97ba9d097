//! A rotation, as a task asks for it: who is named moves; who is not, once all names are known, ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use assent_contract::domain::event::ClickFields;
use assent_contract::domain::outcome::TombstoneReason;
use assent_contract::domain::partitioner::Partitioner;
use assent_contract::domain::pseudonym::{KeyRing, Keyset};
use assent_contract::domain::time::{Moment, Span, Timestamp};
use assent_contract::rulebook::compile;
use assent_contract::wire::{ClickReader, ConsentReading, Inbound};
use assent_core::engine::output::{BatchOutput, Output};
use assent_core::engine::{Restore, Setup};
use assent_core::task::barrier::{Arrival, Question};
use assent_core::task::clicks::ReceivedClick;
use assent_core::task::consent::HeldConsent;
use assent_core::task::{Bounds, Offsets, Task, Urgency};

use crate::histories::{GROWN, START, grown_grant};

fn at(seconds: i64) -> Moment {
    Moment { wall: Timestamp(START + seconds * 1_000), uptime: Span(seconds * 1_000) }
}

fn bounds() -> Bounds {
    Bounds { max_sync_lag: Span(60_000), closing_sources: BTreeMap::new() }
}

fn keyset(rotations: u8) -> Keyset {
    let mut keyset = Keyset::first([7; 32]);
    for rotation in 1..=rotations {
        keyset.rotate([7 + rotation; 32]).expect("there is room for another version");
    }
    keyset
}

fn setup(rotations: u8) -> Setup {
    Setup {
        rulebook: Arc::new(compile(GROWN.as_bytes()).expect("compiles")),
        rulebook_yaml: GROWN.as_bytes().into(),
        keys: Arc::new(KeyRing::new(&keyset(rotations), &["mail".to_owned()])),
        group_id: "assent".to_owned(),
        lease: Span(Span::HOUR.0),
        partitioner: Partitioner::Murmur2,
        input_partitions: 1,
        segment_partitions: BTreeMap::from([("mail".to_owned(), 1)]),
        sources: vec![],
        made_with: BTreeMap::new(),
        signals_max: 1_000_000,
    }
}

fn grant(task: &mut Task, offset: i64, subject: &str, version: i64) {
    let record = grown_grant(subject, version, at(-60).wall, None);
    let inbound = Inbound { partition: 0, key: Some(subject.as_bytes()), payload: Some(b"-") };
    let arrival = Arrival { appended: at(0).wall, received: at(0).uptime };
    let reading = ConsentReading::Record(record.into());
    task.receive_consent(HeldConsent::new(offset, arrival, &inbound, reading));
}

/// The broker says that consent ends there.
fn ask(task: &mut Task, seconds: i64, end: i64) {
    let clicks = task.clicks.received();
    task.barrier.asked(Question { sent: at(seconds), end, clicks });
    task.settle().for_each(drop);
}

/// What a batch wrote, if one was wanted.
fn turn(task: &mut Task, now: Moment) -> Option<BatchOutput> {
    if task.commit_urgency(&bounds(), now) == Urgency::Nothing {
        return None;
    }
    let cut = task.cut(&bounds(), now, usize::MAX);
    let reader = ClickReader::new(ClickFields::default(), Partitioner::Murmur2, 1);
    let owned = std::mem::replace(task, fresh()); // another one, until it is back
    let (decided, output) = owned.decide(&cut, &reader, now.wall);
    assert!(!output.is_broken());
    *task = decided.confirm(&cut, now);
    task.settle().for_each(drop);
    Some(output)
}

/// Assignments, and the reasons of tombstones.
fn effects(output: &BatchOutput) -> (usize, Vec<TombstoneReason>) {
    let assigned = output.outputs.iter().filter(|it| matches!(it, Output::Assignment { .. }));
    let reason = |it: &Output| match it {
        Output::Tombstone { reason, .. } => Some(*reason),
        _ => None,
    };
    (assigned.count(), output.outputs.iter().filter_map(reason).collect())
}

/// Nobody is known.
fn fresh() -> Task {
    let mut engine = Restore::new(0).finish(Arc::new(setup(0))).expect("fresh");
    engine.start_at(0, 0);
    Task::new(0, engine, Offsets { click: 0, consent: 0 }, at(0))
}

/// Ann and Ben are live under version 1, and version 2 is in use.
fn rotated() -> Task {
    let mut task = fresh();
    grant(&mut task, 0, "ann", 1);
    grant(&mut task, 1, "ben", 1);
    ask(&mut task, 1, 2);
    let output = turn(&mut task, at(1)).expect("two grants");
    assert_eq!(effects(&output), (2, vec![]));
    task.set_keys(Arc::new(setup(1))).expect("the same purposes");
    task
}

/// Found by the simulator (seeds 409 and 22441): whom the changelog does not name stayed under the old
/// key, was deferred at each batch, and asked for the next one at once.
#[test]
fn whom_the_changelog_does_not_name_ends_with_the_old_key() {
    let mut task = rotated();
    task.hold_id(b"ann");
    task.complete_ids(at(2));
    ask(&mut task, 2, 2);
    let output = turn(&mut task, at(3)).expect("keys to move");
    let retired = TombstoneReason::KeyRetired;
    assert_eq!(effects(&output), (1, vec![retired, retired]), "Ann moves, Ben is nobody's");
    assert!(task.engine.has_live(b"ann") && !task.engine.has_live(b"ben"));
    assert!(!task.moves_keys() && !task.engine.has_old_keys());
    assert_eq!(turn(&mut task, at(4)).map(|it| effects(&it)), None, "and there is rest");
}

/// Ben's record was superseded and compacted away while the changelog was read.
#[test]
fn nobody_ends_before_consent_has_come_as_far_as_the_changelog_went() {
    let mut task = rotated();
    task.hold_id(b"ann");
    task.complete_ids(at(2));
    let moved = turn(&mut task, at(3)).expect("Ann's key to move");
    assert_eq!(effects(&moved), (1, vec![TombstoneReason::KeyRetired]));
    assert!(task.engine.has_live(b"ben") && task.moves_keys());
    ask(&mut task, 3, 3);
    assert!(turn(&mut task, at(4)).is_none(), "a record is on its way");
    grant(&mut task, 2, "ben", 2);
    let moved = turn(&mut task, at(5)).expect("Ben's record");
    assert_eq!(
        effects(&moved),
        (1, vec![TombstoneReason::KeyRetired]),
        "his record changes nothing"
    );
    assert!(task.engine.has_live(b"ben") && !task.moves_keys());
}

/// Whom the reading for version 2 named is under an old key again.
#[test]
fn another_rotation_waits_for_the_changelog_to_be_read_again() {
    let mut task = rotated();
    task.hold_id(b"ann");
    task.hold_id(b"ben");
    task.complete_ids(at(2));
    assert_eq!(effects(&turn(&mut task, at(2)).expect("both move")).0, 2);
    task.set_keys(Arc::new(setup(2))).expect("the same purposes");
    ask(&mut task, 3, 2);
    assert_eq!(turn(&mut task, at(4)).map(|it| effects(&it)), None);
    assert!(task.engine.has_live(b"ann") && task.engine.has_live(b"ben"));
    task.hold_id(b"ben");
    task.complete_ids(at(5));
    ask(&mut task, 5, 2);
    let output = turn(&mut task, at(6)).expect("Ben's key to move");
    assert_eq!(effects(&output).0, 1);
    assert!(task.engine.has_live(b"ben") && !task.engine.has_live(b"ann"));
}

/// Found by the simulator (seed 28161): the record named Ben while the gate was closed, and was forgotten.
#[test]
fn whom_a_record_names_while_the_gate_is_closed_moves_when_it_opens() {
    let mut task = rotated();
    task.complete_ids(at(2));
    grant(&mut task, 2, "ben", 2);
    assert_eq!(turn(&mut task, at(100)).map(|it| effects(&it)), Some((0, vec![])), "it is closed");
    ask(&mut task, 101, 3);
    assert!(turn(&mut task, at(101)).is_some());
    assert!(task.engine.has_live(b"ben") && !task.engine.has_live(b"ann"));
}

/// A misrouted record is not covered before its right partition has it: nor is what follows.
#[test]
fn clicks_behind_consent_that_must_wait_are_not_ready() {
    let mut task = rotated();
    let inbound = Inbound { partition: 0, key: Some(b"cas"), payload: Some(b"-") };
    let arrival = Arrival { appended: at(2).wall, received: at(2).uptime };
    task.receive_consent(HeldConsent::new(2, arrival, &inbound, ConsentReading::Forwarded));
    task.receive_click(&ReceivedClick {
        offset: 0,
        timestamp: at(2).wall,
        key: Some(b"ann"),
        payload: Some(b"-"),
        dead: None,
    });
    ask(&mut task, 2, 3);
    assert_eq!(task.ready(&bounds(), at(2)), 0);
    assert_eq!(task.cut(&bounds(), at(2), usize::MAX).clicks, 0);
    task.set_forwarded(usize::MAX);
    assert_eq!(task.ready(&bounds(), at(2)), 1);
    assert_eq!(task.cut(&bounds(), at(2), usize::MAX).clicks, 1);
}
