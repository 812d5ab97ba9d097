//! A partition whose batch broke an invariant goes on without clicks and tries them in halves; one whose
//! state is ahead of the clocks allows none; and lag and silence by two clocks, as a task asks for them.

use std::collections::BTreeMap;
use std::sync::Arc;

use assent_contract::domain::event::{ClickEvent, ClickFields, EventKind};
use assent_contract::domain::partitioner::Partitioner;
use assent_contract::domain::pseudonym::{KeyRing, Keyset};
use assent_contract::domain::time::{Moment, Span, Timestamp};
use assent_contract::rulebook::compile;
use assent_contract::wire::{
    ClickReader, ConsentReader, ConsentReading, Inbound, KnownSchemas, Registered, UnknownId,
    encode_click,
};
use assent_core::engine::{Restore, Setup};
use assent_core::task::barrier::{Arrival, Question};
use assent_core::task::clicks::ReceivedClick;
use assent_core::task::consent::HeldConsent;
use assent_core::task::{Bounds, Offsets, Task, Urgency};

use crate::histories::{GROWN, START};

fn at(seconds: i64) -> Moment {
    Moment { wall: Timestamp(START + seconds * 1_000), uptime: Span(seconds * 1_000) }
}

/// The wall clock went back an hour.
fn back(seconds: i64) -> Moment {
    Moment { wall: at(seconds - 3_600).wall, ..at(seconds) }
}

fn bounds() -> Bounds {
    let silent = ("cmp".to_owned(), Span(60_000));
    Bounds { max_sync_lag: Span(60_000), closing_sources: [silent].into() }
}

fn task() -> Task {
    let rulebook = Arc::new(compile(GROWN.as_bytes()).expect("compiles"));
    let setup = Setup {
        rulebook,
        rulebook_yaml: GROWN.as_bytes().into(),
        keys: Arc::new(KeyRing::new(&Keyset::first([7; 32]), &["mail".to_owned()])),
        group_id: "assent".to_owned(),
        lease: Span(Span::HOUR.0),
        partitioner: Partitioner::Murmur2,
        input_partitions: 1,
        segment_partitions: BTreeMap::from([("mail".to_owned(), 1)]),
        sources: vec!["cmp".to_owned()],
        made_with: BTreeMap::new(),
        signals_max: 1_000_000,
    };
    let mut engine = Restore::new(0).finish(Arc::new(setup)).expect("fresh");
    engine.start_at(0, 0);
    Task::new(0, engine, Offsets { click: 0, consent: 0 }, at(0))
}

/// A click is covered by a question that is reached.
fn with_click() -> Task {
    with_clicks(1)
}

fn with_clicks(count: i64) -> Task {
    let mut task = task();
    let event = ClickEvent {
        event_id: "018f4e6a-0000-7000-8000-000000000001".to_owned(),
        subject_id: None,
        session_id: "s".to_owned(),
        occurred_at: at(0).wall,
        kind: EventKind::PageView,
        category: None,
        product_id: None,
        product_age_range: None,
        value_cents: None,
        region: None,
        gpc: Some(false),
        gpp: None,
    };
    let value = encode_click(&event);
    for offset in 0..count {
        task.receive_click(&ReceivedClick {
            offset,
            timestamp: at(0).wall,
            key: Some(b"s"),
            payload: Some(&value),
            dead: None,
        });
    }
    ask(&mut task, 0);
    task
}

/// An erasure arrives: something that must not wait.
fn erase(task: &mut Task, offset: i64) {
    let record = Inbound { partition: 0, key: Some(b"ann"), payload: None };
    let arrival = Arrival { appended: at(1).wall, received: at(1).uptime };
    task.receive_consent(HeldConsent::new(offset, arrival, &record, ConsentReading::Erasure));
}

fn ask(task: &mut Task, seconds: i64) {
    let clicks = task.clicks.received();
    task.barrier.asked(Question { sent: at(seconds), end: task.received().consent, clicks });
    let reached = task.settle().count();
    assert_eq!(reached, 1);
}

fn reader() -> ClickReader {
    ClickReader::new(ClickFields::default(), Partitioner::Murmur2, 1)
}

/// Cuts and decides what is wanted now, and commits it unless it holds a click at or past `stuck`, as a
/// caller does who was told of a broken invariant. How many clicks and consents did the batch hold?
fn turn(task: &mut Task, now: Moment, stuck: i64) -> Option<(usize, usize)> {
    if task.commit_urgency(&bounds(), now) == Urgency::Nothing {
        return None;
    }
    let cut = task.cut(&bounds(), now, usize::MAX);
    let owned = std::mem::replace(task, self::task()); // another one, until it is back
    let (decided, _) = owned.decide(&cut, &reader(), now.wall);
    *task = if cut.clicks > 0 && cut.coverage.click_to > stuck {
        decided.isolate(&cut, now)
    } else {
        decided.confirm(&cut, now)
    };
    Some((cut.clicks, cut.consents))
}

#[test]
fn consent_goes_on_while_a_click_is_stuck() {
    let mut task = with_clicks(4);
    erase(&mut task, 0);
    let stuck = 2;
    let tried: Vec<_> = std::iter::from_fn(|| turn(&mut task, at(2), stuck)).collect();
    // All; without clicks, so the erasure leaves; a half passes; the first of the rest is stuck.
    assert_eq!(tried, [(4, 1), (0, 1), (2, 0), (1, 0), (0, 0)]);
    assert!(task.is_bisecting());
    assert_eq!((task.clicks.len(), task.engine.positions().unwrap().next_click), (2, 2));
    erase(&mut task, 1);
    assert_eq!(turn(&mut task, at(3), stuck), Some((0, 1)), "and the next one");
    assert_eq!(turn(&mut task, at(11), stuck), None);
    assert_eq!(turn(&mut task, at(12), stuck), Some((1, 0)), "it is tried again");
    let passed = i64::MAX;
    let tried: Vec<_> = std::iter::from_fn(|| turn(&mut task, at(22), passed)).collect();
    assert_eq!(tried, [(0, 0), (1, 0), (1, 0)]);
    assert!(!task.is_bisecting() && task.clicks.is_empty());
}

#[test]
fn without_clicks_nothing_is_decided_for_ten_seconds_then_the_same_again() {
    let mut task = task();
    ask(&mut task, 0);
    erase(&mut task, 0);
    assert_eq!(task.commit_urgency(&bounds(), at(1)), Urgency::AtOnce);
    let cut = task.cut(&bounds(), at(1), usize::MAX);
    let (task, first) = task.decide(&cut, &reader(), at(1).wall);
    assert_eq!((cut.consents, first.is_broken(), first.outputs.is_empty()), (1, false, false));
    let task = task.isolate(&cut, at(1));
    assert!(task.is_bisecting());
    assert_eq!(task.commit_urgency(&bounds(), at(10)), Urgency::Nothing);
    assert_eq!(task.commit_urgency(&bounds(), at(11)), Urgency::AtOnce);
    let (task, again) = task.decide(&cut, &reader(), at(1).wall);
    assert_eq!(first, again, "nothing of the batch was kept");
    let task = task.confirm(&cut, at(11));
    assert!(!task.is_bisecting());
}

#[test]
fn a_state_that_is_ahead_of_the_clocks_allows_no_click_and_takes_opt_outs() {
    let mut task = with_click();
    assert_eq!(turn(&mut task, at(3_600), i64::MAX), Some((1, 0)), "decided an hour ahead");
    ask(&mut task, 1);
    task.note_clock(at(3_300).wall);
    assert!(task.ahead().is_none() && task.gate_open(&bounds(), at(2)), "by five minutes");
    task.note_clock(back(3_602).wall);
    assert_eq!(task.ahead(), Some(Span(3_598_000)));
    assert!(!task.gate_open(&bounds(), at(2)));
    erase(&mut task, 0);
    let cut = task.cut(&bounds(), at(2), usize::MAX);
    assert_eq!((cut.gate_open, cut.consents), (false, 1));
}

#[test]
fn a_clock_that_went_back_keeps_no_gate_open() {
    let mut task = with_click();
    assert!(task.gate_open(&bounds(), at(1)));
    assert!(task.gate_open(&bounds(), back(50)), "an hour back changes nothing by itself");
    assert!(!task.gate_open(&bounds(), back(61)), "the broker has not answered for a minute");
    ask(&mut task, 62);
    assert!(
        !task.gate_open(&bounds(), back(62)),
        "the source has been silent since the assignment"
    );
}

#[test]
fn a_sign_grows_old_by_the_monotonic_clock_too() {
    let mut task = with_click();
    let beat = Inbound { partition: 0, key: Some(b"__assent_heartbeat_0"), payload: None };
    let arrival = Arrival { appended: at(40).wall, received: at(40).uptime };
    let reading = ConsentReading::Heartbeat { source: Some("cmp".to_owned()) };
    task.receive_consent(HeldConsent::new(0, arrival, &beat, reading));
    let cut = task.cut(&bounds(), at(40), usize::MAX);
    let (task, output) = task.decide(&cut, &reader(), at(40).wall);
    assert!(!output.is_broken());
    let mut task = task.confirm(&cut, at(40));
    ask(&mut task, 99);
    assert!(task.gate_open(&bounds(), back(100)));
    ask(&mut task, 101);
    assert!(
        !task.gate_open(&bounds(), back(101)),
        "silent for over a minute, whatever the wall says"
    );
}

#[test]
fn consent_that_waits_for_its_schema_is_counted_until_it_is_read() {
    let mut task = task();
    let reader = ConsentReader::new(Partitioner::Murmur2, 1);
    let value = [&[0, 0, 0, 0, 7][..], b"nothing of use"].concat();
    let mut known = Arc::new(KnownSchemas::empty());
    task.know(&known, &reader);
    for (offset, key) in [(0, b"a"), (1, b"b")] {
        let inbound = Inbound { partition: 0, key: Some(key), payload: Some(&value) };
        let reading = reader.read_with(&inbound, false, None, &known);
        let arrival = Arrival { appended: at(1).wall, received: at(1).uptime };
        task.receive_consent(HeldConsent::new(offset, arrival, &inbound, reading));
    }
    assert_eq!(task.lack().expect("both wait").consent, [UnknownId(7)]);
    assert_eq!(task.cut(&bounds(), at(2), 0).consents, 0);
    Arc::make_mut(&mut known).learn(7, Registered::Absent);
    task.know(&known, &reader);
    assert!(task.lack().is_none(), "nothing waits");
    let cut = task.cut(&bounds(), at(2), 0);
    assert_eq!(cut.consents, 2);
    let (task, _) = task.decide(&cut, &self::reader(), at(2).wall);
    let task = task.confirm(&cut, at(2));
    assert!(task.consents().is_empty() && task.lack().is_none());
}
