//! A worker, told facts by hand: what it asks for, and when.

use super::*;
use crate::commit::{Ending, Event, Fault};
use crate::engine::{Restore, Setup};
use crate::task::barrier::Arrival;
use crate::task::clicks::ReceivedClick;
use crate::task::consent::HeldConsent;
use crate::task::{Bounds, Offsets};
use assent_contract::domain::event::{ClickEvent, ClickFields, EventKind};
use assent_contract::domain::partitioner::Partitioner;
use assent_contract::domain::pseudonym::{KeyRing, Keyset};
use assent_contract::domain::time::{Moment, Timestamp};
use assent_contract::rulebook;
use assent_contract::wire::{
    ClickReader, ConsentReader, ConsentReading, Framing, Inbound, SchemaName, click_body,
};

mod absence;

const RULES: &str = r#"
rulebook: "1"
default_segment: all
purposes:
  - {id: mail, title: Mail, sale_or_share: false, requires_opt_in: false, retention: 30d}
segments:
  - {id: twice, title: T, why: w, owner: o, approach: behavioral, purpose: mail, when: {count: {within: 1h, at_least: 2}}}
"#;

const LIMITS: Limits = Limits {
    clicks_per_transaction: 4,
    clicks_with_urgent: 2,
    click_bytes: 2_000,
    consent_bytes: 2_000,
    consents: 4,
    burst: 3,
};

fn at(uptime: i64) -> Moment {
    Moment { wall: Timestamp(1_795_305_600_000 + uptime), uptime: Span(uptime) }
}

fn task(partition: i32) -> Task {
    task_of(partition, RULES)
}

fn task_of(partition: i32, rules: &str) -> Task {
    let rulebook = Arc::new(rulebook::compile(rules.as_bytes()).unwrap());
    let setup = Setup {
        rulebook,
        rulebook_yaml: rules.as_bytes().into(),
        keys: Arc::new(KeyRing::new(&Keyset::first([7; 32]), &["mail".to_owned()])),
        group_id: "assent".to_owned(),
        lease: Span::HOUR,
        partitioner: Partitioner::Murmur2,
        input_partitions: 1,
        segment_partitions: BTreeMap::from([("mail".to_owned(), 1)]),
        sources: vec![],
        made_with: BTreeMap::new(),
        signals_max: 10,
    };
    let mut engine = Restore::new(partition).finish(Arc::new(setup)).unwrap();
    engine.start_at(0, 0);
    Task::new(partition, engine, Offsets { click: 0, consent: 0 }, at(0))
}

/// With so many partitions, at the beginning of a turn; a producer is ready.
fn worker(partitions: i32) -> Worker {
    let bounds = Bounds { max_sync_lag: Span(60_000), closing_sources: BTreeMap::new() };
    let mut worker = Worker::new(Settings { bounds, commit_interval: Span(100), limits: LIMITS });
    worker.assigned((0..partitions).collect(), at(0));
    let is_action = |it: &Request| matches!(it, Request::Perform(_));
    assert_eq!(until(&mut worker, 0, is_action), Request::Perform(Action::Initialize));
    worker.performed(Event::Done, at(0));
    let restore = until(&mut worker, 0, |it| matches!(it, Request::Restore(_)));
    assert_eq!(restore, Request::Restore((0..partitions).collect()));
    worker.restored((0..partitions).map(|partition| (partition, task(partition))).collect());
    turn(&mut worker, 0);
    worker
}

/// The next request of a kind, in this turn or the next; no other one is answered.
fn until(worker: &mut Worker, now: i64, is_it: impl Fn(&Request) -> bool) -> Request {
    for _ in 0..60 {
        let request = worker.next(at(now));
        if is_it(&request) {
            return request;
        }
    }
    panic!("it was not asked for at {now}");
}

/// All requests up to the end of the turn; none is answered.
fn turn(worker: &mut Worker, now: i64) -> Vec<Request> {
    let mut all = Vec::new();
    while all.len() < 60 {
        let request = worker.next(at(now));
        let is_over = matches!(request, Request::Rest { .. });
        all.push(request);
        if is_over {
            return all;
        }
    }
    panic!("a turn without an end: {all:?}");
}

fn click(framing: Framing) -> Vec<u8> {
    framing.frame(&click_body(&ClickEvent {
        event_id: "e".to_owned(),
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
    }))
}

fn clicks_under(worker: &mut Worker, partition: i32, count: i64, framing: Framing) {
    let payload = click(framing);
    for _ in 0..count {
        let offset = worker.tasks()[&partition].received().click;
        let (timestamp, key) = (at(0).wall, Some(&b"s"[..]));
        let payload = Some(payload.as_slice());
        let received = ReceivedClick { offset, timestamp, key, payload, dead: None };
        worker.tasks_mut().get_mut(&partition).unwrap().receive_click(&received);
    }
}

fn clicks(worker: &mut Worker, partition: i32, count: i64) {
    clicks_under(worker, partition, count, Framing::SingleObject(SchemaName::ClickEvent));
}

fn consent(worker: &mut Worker, partition: i32, key: &[u8], reading: ConsentReading) {
    let offset = worker.tasks()[&partition].received().consent;
    let arrival = Arrival { appended: at(0).wall, received: Span(0) };
    let inbound = Inbound { partition, key: Some(key), payload: None };
    worker.receive_consent(partition, HeldConsent::new(offset, arrival, &inbound, reading));
}

/// A question covers all clicks that are held, and is reached.
fn cover(worker: &mut Worker, now: i64) {
    let ends = worker.tasks().iter().map(|(&it, task)| (it, task.received().consent)).collect();
    worker.answered(&ends, at(now));
    worker.settle();
}

fn decide(worker: &mut Worker, now: i64) -> BTreeMap<i32, usize> {
    let reader = ClickReader::new(ClickFields::default(), Partitioner::Murmur2, 1);
    until(worker, now, |it| *it == Request::Decide);
    worker.decide(&reader, at(now), |_, _| {});
    let parts = worker.in_hand().into_iter().flat_map(|batch| &batch.parts);
    parts.map(|(&partition, part)| (partition, part.cut.clicks)).collect()
}

/// Runs the protocol; every action succeeds.
fn commit(worker: &mut Worker, now: i64) {
    loop {
        match worker.next(at(now)) {
            Request::Perform(_) => worker.performed(Event::Done, at(now)),
            Request::Conclude(ending) => {
                assert_eq!(ending, Ending::Committed);
                worker.conclude(at(now));
                return;
            }
            other => panic!("{other:?} within a commit"),
        }
    }
}

#[test]
fn a_turn_has_its_order() {
    let mut worker = worker(1);
    let kinds: Vec<String> = turn(&mut worker, 10)
        .iter()
        .map(|it| format!("{it:?}").split([' ', '(']).next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(
        kinds,
        [
            "Learn",
            "ReceiveConsent",
            "ReceiveClicks",
            "LookIntoFaults",
            "HearGroup",
            "TakeUpKeys",
            "Settle",
            "Rest"
        ]
    );
}

#[test]
fn other_partitions_are_heard_before_a_batch_where_a_purpose_has_a_minimum_audience() {
    let mut worker = worker(1);
    assert!(!turn(&mut worker, 10).contains(&Request::HearAudiences), "no purpose has one");
    let rules = RULES.replace("retention:", "min_members: 2, retention:");
    assert_ne!(rules, RULES);
    worker.restored([(0, task_of(0, &rules))].into());
    let requests = turn(&mut worker, 20);
    let place = |wanted: &Request| requests.iter().position(|request| request == wanted);
    let (heard, decided) = (place(&Request::HearAudiences), place(&Request::Decide));
    assert!(heard.is_some() && heard < decided, "{requests:?}");
}

#[test]
fn where_nobody_answers_for_all_each_is_asked_alone_and_then_another_client() {
    let mut worker = worker(2);
    let mut now = 0;
    for round in 2..=5 {
        now += 2_000;
        let asked: Vec<Request> = turn(&mut worker, now)
            .into_iter()
            .filter(|it| matches!(it, Request::Ask { .. } | Request::RenewProbe))
            .collect();
        let ask = |partitions, within| Request::Ask { partitions, within: Span(within) };
        let mut wanted = vec![ask(vec![0, 1], 500), ask(vec![0], 100), ask(vec![1], 100)];
        wanted.extend((round == 5).then_some(Request::RenewProbe));
        assert_eq!(asked, wanted);
    }
    let is_asked = |it: &Request| matches!(it, Request::Ask { .. });
    assert!(!turn(&mut worker, now + 1_999).iter().any(is_asked), "more rarely");
    until(&mut worker, now + 2_000, is_asked);
    assert!(worker.answered(&BTreeMap::from([(0, 0), (1, 0)]), at(now)), "after so long");
    assert!(!turn(&mut worker, now + 2_000).iter().any(is_asked), "one answer is for all");
    assert!(turn(&mut worker, now + 2_500).iter().any(is_asked), "as often as before");
}

#[test]
fn what_is_not_sent_on_is_tried_again_for_longer_whether_or_not_more_comes() {
    let mut worker = worker(2);
    consent(&mut worker, 1, b"ann", ConsentReading::Forwarded);
    let forward = |within| Request::Forward { partition: 1, within: Span(within) };
    let is_forward = |it: &Request| matches!(it, Request::Forward { .. });
    until(&mut worker, 10, |it| matches!(it, Request::ReceiveConsent(_)));
    worker.received_consent(1, Ended::Drained);
    assert_eq!(worker.next(at(10)), forward(2_000));
    worker.forwarded(1, 0);
    turn(&mut worker, 10);
    assert!(!turn(&mut worker, 509).iter().any(is_forward));
    for (now, within) in [(510, 4_000), (1_010, 8_000), (1_510, 8_000)] {
        assert_eq!(until(&mut worker, now, is_forward), forward(within));
        worker.forwarded(1, 0);
        turn(&mut worker, now);
    }
    assert_eq!(until(&mut worker, 2_010, is_forward), forward(8_000));
    worker.forwarded(1, 1);
    turn(&mut worker, 2_010);
    assert!(!turn(&mut worker, 9_000).iter().any(is_forward));
}

#[test]
fn while_memory_is_full_clicks_trickle_in() {
    let mut worker = worker(1);
    while worker.tasks()[&0].clicks.size() < LIMITS.click_bytes {
        clicks(&mut worker, 0, 1);
    }
    let mut room_at = |now| worker.during_commit().1.room_for_clicks(at(now));
    assert!(!room_at(10).is_over(), "what the group decides queues behind a click");
    assert!(room_at(10).is_over() && room_at(109).is_over());
    let mut one = room_at(110);
    assert_eq!(one.fit(1), Fit::Taken);
    assert!(one.is_over());
}

#[test]
fn a_click_that_finds_no_room_does_not_hold_up_what_the_group_decides() {
    let mut worker = worker(1);
    clicks(&mut worker, 0, 1);
    let (_, intake) = worker.during_commit();
    let mut room = intake.room_for_clicks(at(10));
    assert_eq!(room.fit(LIMITS.click_bytes), Fit::Waits);
    intake.clicks_ended(Ended::NoRoom);
    let mut trickle = intake.room_for_clicks(at(10));
    assert_eq!(trickle.fit(LIMITS.click_bytes), Fit::Taken, "one, although it is too much");
    assert!(intake.room_for_clicks(at(20)).is_over());
    cover(&mut worker, 100);
    decide(&mut worker, 100);
    commit(&mut worker, 100);
    let mut room = worker.during_commit().1.room_for_clicks(at(100));
    assert_eq!(room.fit(LIMITS.click_bytes), Fit::Taken, "there is room again");
}

#[test]
fn consent_is_bounded_in_number_and_bytes() {
    let mut worker = worker(1);
    let is_consent = |it: &Request| matches!(it, Request::ReceiveConsent(_));
    let room = |worker: &mut Worker| match until(worker, 10, is_consent) {
        Request::ReceiveConsent(room) => room,
        _ => unreachable!("just looked for"),
    };
    let first = room(&mut worker);
    let taken =
        (0..=LIMITS.burst).scan(first, |room, _| (!room.is_over()).then(|| room.fit(1))).count();
    assert_eq!(taken, LIMITS.burst);
    for _ in 0..LIMITS.consents {
        consent(&mut worker, 0, b"ann", ConsentReading::Erasure);
    }
    assert!(room(&mut worker).is_over());
}

#[test]
fn each_partition_has_its_turn_to_come_first() {
    let mut worker = worker(2);
    clicks(&mut worker, 0, 12);
    clicks(&mut worker, 1, 12);
    let mut firsts = Vec::new();
    for round in 0..4 {
        let now = 1_000 + round * 100;
        cover(&mut worker, now);
        firsts.push(decide(&mut worker, now));
        commit(&mut worker, now);
    }
    let sum = |partition: i32| firsts.iter().filter_map(|it| it.get(&partition)).sum::<usize>();
    assert_eq!((sum(0), sum(1)), (8, 8), "{firsts:?}");
}

#[test]
fn a_batch_is_due_at_once_where_somebody_may_opt_out() {
    let mut worker = worker(1);
    clicks(&mut worker, 0, 1);
    cover(&mut worker, 100);
    decide(&mut worker, 100);
    commit(&mut worker, 100);
    clicks(&mut worker, 0, 3);
    cover(&mut worker, 150);
    assert!(!turn(&mut worker, 199).contains(&Request::Decide), "with the next regular commit");
    consent(&mut worker, 0, b"ann", ConsentReading::Erasure);
    assert_eq!(decide(&mut worker, 160), [(0, LIMITS.clicks_with_urgent)].into());
}

#[test]
fn what_is_undone_runs_again_and_what_is_unclear_is_asked_for() {
    let mut worker = worker(1);
    clicks(&mut worker, 0, 1);
    cover(&mut worker, 100);
    decide(&mut worker, 100);
    for _ in 0..3 {
        worker.next(at(100));
        worker.performed(Event::Done, at(100));
    }
    worker.performed(Event::Failed(Fault::Replace), at(100));
    assert!(worker.in_hand().is_some() && worker.action().is_none());
    let action = until(&mut worker, 100, |it| matches!(it, Request::Perform(_)));
    assert_eq!(action, Request::Perform(Action::Initialize));
    worker.performed(Event::Done, at(100));
    assert_eq!(worker.next(at(100)), Request::Perform(Action::ReadBack));
    worker.performed(Event::Landed(false), at(100));
    assert_eq!(worker.next(at(100)), Request::Conclude(Ending::RolledBack));
    worker.conclude(at(100));
    assert_eq!(decide(&mut worker, 200), [(0, 1)].into(), "from memory");
}

#[test]
fn partitions_are_given_back_once_what_is_held_is_committed_or_time_is_over() {
    let mut worker = worker(1);
    clicks(&mut worker, 0, 1);
    cover(&mut worker, 50);
    worker.give_back(at(60));
    assert_eq!(decide(&mut worker, 60), [(0, 1)].into(), "whatever the interval");
    worker.performed(Event::Failed(Fault::Replace), at(60));
    assert_eq!(worker.deadline(), Some(Span(5_060)));
    worker.conclude(at(60));
    clicks(&mut worker, 0, 1);
    worker.give_back(at(4_000));
    assert_eq!(worker.next(at(5_060)), Request::GiveBack, "the first deadline holds");
    worker.surrender();
    assert!(worker.tasks().is_empty() && !worker.is_giving_back());
}

#[test]
fn nothing_at_hand_is_given_back_at_once() {
    let mut worker = worker(1);
    worker.give_back(at(60));
    assert_eq!(worker.next(at(60)), Request::GiveBack);
}

#[test]
fn who_surrenders_within_a_transaction_makes_another_producer() {
    let mut worker = worker(1);
    clicks(&mut worker, 0, 1);
    cover(&mut worker, 100);
    decide(&mut worker, 100);
    worker.next(at(100));
    worker.performed(Event::Done, at(100));
    worker.surrender();
    worker.assigned(vec![0], at(200));
    let action = until(&mut worker, 200, |it| matches!(it, Request::Perform(_)));
    assert_eq!(action, Request::Perform(Action::Initialize));
}

#[test]
fn a_partition_that_waits_for_the_registry_is_paused_at_its_share() {
    let mut worker = worker(1);
    let reader = ConsentReader::new(Partitioner::Murmur2, 1);
    let unknown = Arc::new(KnownSchemas::empty());
    worker.learn(Arc::clone(&unknown), &reader);
    clicks_under(&mut worker, 0, 1, Framing::Confluent(7));
    let lacks = worker.learn(Arc::clone(&unknown), &reader);
    assert_eq!(lacks.len(), 1);
    let is_pause = |it: &Request| matches!(it, Request::Pause(_) | Request::Resume(_));
    assert!(!turn(&mut worker, 10).iter().any(is_pause), "there is room");
    while worker.tasks()[&0].clicks.size() < LIMITS.share(1) {
        clicks(&mut worker, 0, 1);
    }
    for _ in 0..2 {
        until(&mut worker, 20, |it| *it == Request::Learn);
        worker.learn(Arc::clone(&unknown), &reader);
        assert_eq!(worker.next(at(20)), Request::Pause(0), "until it is done");
    }
    worker.paused(0);
    turn(&mut worker, 20);
    let mut known = KnownSchemas::empty();
    known.learn(7, assent_contract::wire::Registered::Absent);
    until(&mut worker, 30, |it| *it == Request::Learn);
    worker.learn(Arc::new(known), &reader);
    assert_eq!(worker.next(at(30)), Request::Resume(0));
}

#[test]
fn an_input_that_is_gone_is_followed_up_before_anything_is_decided() {
    for (ended, wanted) in [(Ended::OutOfRange, Request::FindLoss), (Ended::Gone, Request::Rejoin)]
    {
        let mut worker = worker(1);
        until(&mut worker, 10, |it| matches!(it, Request::ReceiveConsent(_)));
        worker.received_consent(0, ended);
        assert_eq!(worker.next(at(10)), wanted, "clicks are not polled before");
        let (_, intake) = worker.during_commit();
        intake.clicks_ended(ended);
        assert!(intake.room_during_commit(at(10)).is_none());
        turn(&mut worker, 10);
        assert_eq!(until(&mut worker, 11, |it| *it != Request::Learn), wanted, "during a commit");
    }
}
