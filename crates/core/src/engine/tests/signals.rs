//! Signals under ids of whom nothing else is known: anybody can send them, so they are few, small, and
//! gone in time; and nobody whose signal gave way counts as not bound.

use super::accepted::{TWO, both, live};
use super::*;
use crate::engine::ledger::Ledger;
use crate::engine::pack::pack_subject;
use crate::engine::subject::Subject;
use assent_contract::domain::binary::Write;
use assent_contract::domain::event::SignalSource;
use assent_contract::domain::merge::PurposeNames;

const MINUTE: Span = Span::MINUTE;

fn bounded(signals_max: usize) -> Arc<Setup> {
    let mut setup = Arc::into_inner(setup_of(TWO, &Keyset::first([7; 32]))).unwrap();
    setup.signals_max = signals_max;
    Arc::new(setup)
}

fn at(minutes: i64) -> Timestamp {
    START + Span(minutes * MINUTE.0)
}

/// A person's page with Global Privacy Control.
fn signal(partition: &mut Driver, offset: i64, id: &str, at: Timestamp) {
    visit(partition, offset, id, at, true);
}

fn visit(partition: &mut Driver, offset: i64, id: &str, at: Timestamp, gpc: bool) {
    let click = Click {
        subject_id: Some(id),
        session_id: "s",
        occurred_at: at,
        kind: EventKind::ProductView,
        gpc: Some(gpc),
        opt_out_signal: gpc.then_some(SignalSource::Gpc),
        ..Click::default()
    };
    partition.click(&ClickInput { offset, payload: Some(b"-"), click: Ok(click) });
}

/// One batch a minute, of these people's signals.
fn flood(partition: &mut Driver, minutes: std::ops::Range<i64>, each: i64) -> Vec<BatchOutput> {
    let batch = |minute| {
        partition.begin(at(minute), true);
        partition.timers();
        for number in 0..each {
            let offset = minute * each + number;
            signal(partition, offset, &format!("forged-{offset}"), at(minute));
        }
        let output = end(partition, (minute + 1) * each, 0);
        partition.confirm();
        output
    };
    minutes.map(batch).collect()
}

/// Grants both purposes as of `since`, and looks twice. Returns what is live then.
fn appears(partition: &mut Driver, id: &str, now: Timestamp, since: Timestamp) -> Vec<String> {
    let mut record = both(1, since);
    id.clone_into(&mut record.subject_id);
    appears_with(partition, id, now, ConsentBody::Record(&record));
    let mut live: Vec<String> = live(partition).into_iter().map(str::to_owned).collect();
    live.dedup();
    live
}

fn appears_with(partition: &mut Driver, id: &str, now: Timestamp, body: ConsentBody<'_>) {
    let here = partition.positions().unwrap();
    partition.begin(now, true);
    let (offset, key) = (here.next_consent, id.as_bytes());
    let payload = Some(b"-".as_slice());
    partition.consent(&ConsentInput { offset, append_time: now, key, payload, body });
    for number in 0..2 {
        visit(partition, here.next_click + number, id, now, false);
    }
    end(partition, here.next_click + 2, offset + 1);
    partition.confirm();
}

#[test]
fn the_oldest_give_way_and_whoever_first_appears_is_bound_as_of_the_last_of_them() {
    let mut partition = fresh(&bounded(16));
    flood(&mut partition, 0..16, 1);
    assert_eq!((partition.stats().signals, partition.state.ledger.signals_gave_way_at), (16, None));
    flood(&mut partition, 16..17, 1);
    assert_eq!(partition.stats().signals, 14, "an eighth of 16 stays free");
    assert_eq!(partition.state.ledger.signals_gave_way_at, Some(at(2)));
    // The first to go, somebody who was never there, and one whose signal is still kept.
    for (id, since, sold) in [
        ("forged-0", at(1), false),
        ("forged-0", at(2), false),
        ("forged-0", at(3), true),
        ("nobody", at(2), false),
        ("nobody", at(3), true),
        ("forged-9", at(9), false),
        ("forged-9", at(10), true),
    ] {
        let mut partition = fresh(&bounded(16));
        flood(&mut partition, 0..17, 1);
        let found = appears(&mut partition, id, at(17), since);
        let expected: &[&str] = if sold { &["ads", "offers"] } else { &["offers"] };
        assert_eq!(found, expected, "{id} since {}", (since - START).0 / MINUTE.0);
    }
}

#[test]
fn of_whom_more_is_known_nothing_gives_way_and_nothing_is_added() {
    let mut partition = fresh(&bounded(2));
    flood(&mut partition, 0..1, 1);
    // A record, an erasure, and consent that could not be read.
    assert_eq!(appears(&mut partition, "anna", at(0), at(0)), ["ads", "offers"]);
    appears_with(&mut partition, "ben", at(0), ConsentBody::Erasure);
    let here = partition.positions().unwrap();
    partition.begin(at(1), true);
    signal(&mut partition, here.next_click, "ben", at(1));
    end(&mut partition, here.next_click + 1, here.next_consent);
    partition.confirm();
    flood(&mut partition, 100..120, 1);
    assert_eq!(partition.state.ledger.signals_gave_way_at, Some(at(117)));
    assert_eq!(live(&partition), ["ads", "offers"], "anna was known before");
    let signal_of = |partition: &Driver, id: &[u8]| {
        let token = partition.policy.setup.keys.state_token(id);
        partition.state.subjects.find(token).map(|kept| kept.unpack().consent.signal_at)
    };
    assert_eq!(signal_of(&partition, b"anna"), Some(None));
    assert_eq!(signal_of(&partition, b"ben"), Some(Some(at(1))), "kept with the erasure");
    assert_eq!(signal_of(&partition, b"forged-0"), None);
    let unreadable = crate::engine::batch_log::event_time_ahead();
    appears_with(&mut partition, "cas", at(120), ConsentBody::Unreadable(unreadable));
    assert_eq!(signal_of(&partition, b"cas"), Some(Some(at(117))), "bound, and withheld anyway");
}

#[test]
fn a_signal_no_later_than_what_gave_way_is_not_kept() {
    let mut partition = fresh(&bounded(2));
    flood(&mut partition, 0..20, 1);
    let (kept, floor) = (partition.stats().signals, partition.state.ledger.signals_gave_way_at);
    let here = partition.positions().unwrap();
    partition.begin(at(20), true);
    signal(&mut partition, here.next_click, "late", floor.unwrap());
    let output = end(&mut partition, here.next_click + 1, 0);
    partition.confirm();
    let state = output.outputs.iter().filter(|it| matches!(it, Output::State { .. }));
    assert_eq!(state.count(), 1, "the partition's own record, and nothing of a subject");
    assert_eq!(
        (partition.stats().signals, partition.state.ledger.signals_gave_way_at),
        (kept, floor)
    );
    assert_eq!(appears(&mut partition, "late", at(21), floor.unwrap()), ["offers"]);
}

#[test]
fn a_batch_undone_takes_what_gave_way_back() {
    let mut partition = fresh(&bounded(4));
    flood(&mut partition, 0..4, 1);
    let before = (partition.pack_subjects(), partition.state.ledger.clone());
    let batch = |partition: &mut Driver| {
        partition.begin(at(9), true);
        (4..9).for_each(|it| signal(partition, it, &format!("forged-{it}"), at(it)));
        end(partition, 9, 0)
    };
    let once = batch(&mut partition);
    assert_eq!(partition.state.ledger.signals_gave_way_at, Some(at(4)));
    partition.rollback();
    assert_eq!((partition.pack_subjects(), partition.state.ledger.clone()), before);
    assert_eq!(batch(&mut partition), once);
    partition.confirm();
    assert_eq!(partition.stats().signals, 4);
}

#[test]
fn a_recovered_partition_lets_the_same_signals_give_way() {
    let setup = bounded(100);
    let mut partition = fresh(&setup);
    let outputs = flood(&mut partition, 0..60, 7);
    let mut recovered = recover(&setup, &outputs.iter().collect::<Vec<_>>());
    assert_eq!(recovered.stats(), partition.stats());
    assert_eq!(recovered.pack_subjects(), partition.pack_subjects());
    // 88 stay, less those of the minute that is cut.
    assert!((82..=100).contains(&partition.stats().signals));
    assert_eq!(flood(&mut recovered, 60..99, 7), flood(&mut partition, 60..99, 7));
}

#[test]
fn a_lower_bound_holds_from_the_next_batch_on_and_costs_one_number() {
    let outputs = flood(&mut fresh(&bounded(10_000)), 0..50, 100);
    let mut lowered = recover(&bounded(10), &outputs.iter().collect::<Vec<_>>());
    assert_eq!(lowered.stats().signals, 5_000);
    let written = flood(&mut lowered, 50..51, 1);
    assert_eq!(lowered.stats().signals, 1);
    assert_eq!(lowered.state.ledger.signals_gave_way_at, Some(at(49)));
    let bytes: usize = written[0].outputs.iter().map(bytes_of).sum();
    assert!(bytes < 2_000, "{bytes} bytes in one transaction");
    let all: Vec<&BatchOutput> = outputs.iter().chain(&written).collect();
    assert_eq!(recover(&bounded(10), &all).stats().signals, 1);
}

#[test]
fn a_signal_leaves_memory_and_topic_after_24_months_without_a_click() {
    let setup = bounded(1_000);
    let mut partition = fresh(&setup);
    let mut outputs = flood(&mut partition, 0..3, 2);
    let ends = at(0) + Span::MONTHS_24;
    let mut now = ends;
    for _ in 0..2_000 {
        let Some(due) = partition.next_due() else { break };
        now = now.max(due);
        partition.begin(now, true);
        partition.timers();
        outputs.push(end(&mut partition, 6, 0));
        partition.confirm();
    }
    assert_eq!((partition.next_due(), partition.stats().signals), (None, 0));
    assert!(now < ends + Span::DAY, "{} ms after the first ended", (now - ends).0);
    let mut topic: BTreeMap<Vec<u8>, Option<Vec<u8>>> = BTreeMap::new();
    for output in outputs.iter().flat_map(|batch| &batch.outputs) {
        if let Output::State { key, value } = output {
            topic.insert(key.clone(), value.clone());
        }
    }
    let left = topic.iter().filter(|(_, value)| value.is_some());
    let left: Vec<_> = left.map(|(key, _)| String::from_utf8_lossy(key)).collect();
    assert!(left.iter().all(|key| *key == "meta" || key.starts_with("r/")), "{left:?}");
}

/// As the version before this one wrote it: with a token, and counted among the subjects.
#[test]
fn a_state_from_before_signals_were_counted_apart_is_read() {
    let setup = bounded(1_000);
    let outputs = flood(&mut fresh(&setup), 0..1, 1);
    let mut ledger = Ledger::unpack(&state(&outputs[0], b"meta")).unwrap().0;
    (ledger.subjects, ledger.signals) = (2, None);
    let mut meta = ledger.pack(&PurposeNames::default());
    let mut synced = Vec::new();
    synced.put_long(ledger.consent_synced_at.0);
    meta.truncate(meta.len() - synced.len() - 2);
    meta[0] = 2;
    let mut delta = vec![2];
    delta.put_fixed(&setup.rulebook.sha256);
    for id in [b"ann", b"ben"] {
        let mut subject =
            Subject { audit_token: Some(setup.keys.audit_token(id)), ..Subject::default() };
        subject.consent.signal_at = Some(at(0));
        let mut packed = Vec::new();
        pack_subject(&subject, &mut packed);
        delta.put_fixed(&setup.keys.state_token(id).to_be_bytes());
        delta.put_bytes(&packed);
    }
    let mut restore = Restore::new(3);
    let rulebook = crate::engine::store::rulebook_key(&setup.rulebook.sha256);
    restore.apply(&rulebook, Some(TWO.as_bytes())).unwrap();
    restore.apply(b"d/0", Some(&delta)).unwrap();
    restore.apply(b"meta", Some(&meta)).unwrap();
    let mut partition = Driver::new(restore.finish(Arc::clone(&setup)).unwrap());
    assert_eq!((partition.stats().signals, partition.subjects_bytes()), (2, 42));
    let next = flood(&mut partition, 1..2, 1);
    let read_again = [(b"d/0".to_vec(), Some(delta)), (rulebook, Some(TWO.into()))];
    let mut restore = Restore::new(3);
    for (key, value) in read_again {
        restore.apply(&key, value.as_deref()).unwrap();
    }
    for output in next.iter().flat_map(|batch| &batch.outputs) {
        if let Output::State { key, value } = output {
            restore.apply(key, value.as_deref()).unwrap();
        }
    }
    let mut again = Driver::new(restore.finish(Arc::clone(&setup)).unwrap());
    assert_eq!(again.stats(), partition.stats());
    assert_eq!(appears(&mut again, "ann", at(2), at(0)), ["offers"]);
}

fn bytes_of(output: &Output) -> usize {
    match output {
        Output::State { key, value } => key.len() + value.as_ref().map_or(0, Vec::len),
        _ => 0,
    }
}

fn state(output: &BatchOutput, wanted: &[u8]) -> Vec<u8> {
    let of_it = output.outputs.iter().find_map(|output| match output {
        Output::State { key, value } if key == wanted => value.clone(),
        _ => None,
    });
    of_it.expect("it was written")
}
