//! Random plans of histories: few subjects, times crowded around the instants that matter.
//!
//! A plan says everything by relation (an hour ago, a millisecond before the next edge), so that it
//! shrinks to something a person can read; `realize` turns it into inputs.

use assent_contract::domain::consent::{AgeBand, ConsentStatus};
use assent_contract::domain::event::EventKind;
use assent_contract::domain::time::Span;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::histories::{History, START, SUBJECTS};
use crate::realize::{SESSIONS, realize};
use crate::rulebooks::{self, PURPOSES};

#[derive(Clone, Debug)]
pub struct BatchPlan {
    pub step: Step,
    pub gate_open: bool,
    pub is_restart: bool,
    pub ops: Vec<Op>,
}

#[derive(Clone, Debug)]
pub enum Step {
    Forward(i64),
    /// The wall clock went back; `now` stays.
    Back(i64),
    /// To the n-th edge that lies ahead, give or take.
    Edge(usize, i64),
}

/// A moment, seen from `now`.
#[derive(Clone, Debug)]
pub enum When {
    By(i64),
    /// The n-th nearest edge, give or take.
    Edge(usize, i64),
}

#[derive(Clone, Debug)]
pub enum Op {
    Record(usize, Box<RecordPlan>),
    /// The subject's last record again, as it was.
    Again(usize),
    Erasure(usize),
    Unreadable(usize),
    Heartbeat,
    DeadLettered,
    Click(ClickPlan),
    BadClick,
}

#[derive(Clone, Debug)]
pub struct RecordPlan {
    /// What the version is past the last one's.
    pub version: i64,
    pub recorded: When,
    pub age_band: AgeBand,
    pub decisions: Vec<Option<(ConsentStatus, When, Option<When>)>>,
    /// Verified when; COPPA consent, COPPA disclosure, CCPA authorization.
    pub guardian: Option<(When, [bool; 3])>,
    pub second_step: Option<When>,
    pub signal: Option<When>,
}

#[derive(Clone, Debug)]
pub struct ClickPlan {
    pub subject: Option<usize>,
    pub session: usize,
    pub at: When,
    pub kind: EventKind,
    /// Places in the pools of category, product, age range and region; past their end: not named.
    pub fields: [usize; 4],
    pub cents: Option<i64>,
    pub signal: bool,
}

pub const MINUTE: i64 = 60_000;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;

fn nudge() -> impl Strategy<Value = i64> {
    prop_oneof![4 => Just(0), 1 => Just(-1), 1 => Just(1), 1 => Just(-1_000), 1 => Just(1_000)]
}

fn by(choices: &[i64]) -> impl Strategy<Value = i64> + use<> {
    prop::sample::select(choices.to_vec())
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(Step::Forward(0)),
        4 => by(&[1, 100, 1_000, 29_000, MINUTE]).prop_map(Step::Forward),
        2 => by(&[HOUR, 5 * HOUR, DAY, 2 * DAY]).prop_map(Step::Forward),
        6 => (0..6usize, nudge()).prop_map(|(at, nudge)| Step::Edge(at, nudge)),
        1 => (1..10_000i64).prop_map(Step::Back),
        1 => by(&[31 * DAY, 731 * DAY]).prop_map(Step::Forward),
    ]
}

/// Mostly the recent past.
fn when() -> impl Strategy<Value = When> {
    prop_oneof![
        4 => by(&[0, -1, -999, -5_000, -MINUTE]).prop_map(When::By),
        3 => by(&[-HOUR, -5 * HOUR, -DAY, -3 * DAY, -40 * DAY]).prop_map(When::By),
        2 => (0..8usize, nudge()).prop_map(|(at, nudge)| When::Edge(at, nudge)),
        2 => by(&[1, 1_500, MINUTE, 5 * MINUTE, 5 * MINUTE + 1, HOUR]).prop_map(When::By),
    ]
}

fn ahead() -> impl Strategy<Value = When> {
    prop_oneof![
        4 => by(&[1, 1_000, MINUTE, HOUR, DAY, 30 * DAY]).prop_map(When::By),
        1 => when(),
    ]
}

fn decision() -> impl Strategy<Value = Option<(ConsentStatus, When, Option<When>)>> {
    let status = prop_oneof![
        8 => Just(ConsentStatus::Granted),
        1 => Just(ConsentStatus::NotAsked),
        1 => Just(ConsentStatus::Denied),
        1 => Just(ConsentStatus::Withdrawn),
    ];
    prop::option::weighted(0.85, (status, when(), prop::option::weighted(0.4, ahead())))
}

fn record() -> impl Strategy<Value = RecordPlan> {
    let version = prop_oneof![9 => Just(1i64), 1 => Just(0), 1 => Just(-1), 1 => Just(3)];
    let long_ago = Just(When::By(-732 * DAY));
    let recorded = prop_oneof![12 => Just(When::By(-10)), 4 => when(), 1 => long_ago];
    let age_band = prop_oneof![
        4 => Just(AgeBand::From18),
        1 => Just(AgeBand::From16To17),
        2 => Just(AgeBand::From13To15),
        2 => Just(AgeBand::Under13),
        1 => Just(AgeBand::Unknown),
    ];
    let yes = || prop::bool::weighted(0.85);
    let guardian = prop::option::weighted(0.7, (when(), [yes(), yes(), yes()]));
    let decisions = vec(decision(), PURPOSES.len());
    let times = (prop::option::weighted(0.6, when()), prop::option::weighted(0.15, when()));
    (version, recorded, age_band, decisions, guardian, times).prop_map(
        |(version, recorded, age_band, decisions, guardian, (second_step, signal))| RecordPlan {
            version,
            recorded,
            age_band,
            decisions,
            guardian,
            second_step,
            signal,
        },
    )
}

fn click() -> impl Strategy<Value = ClickPlan> {
    let kind = prop::sample::select(vec![
        EventKind::ProductView,
        EventKind::PageView,
        EventKind::Purchase,
        EventKind::Search,
    ]);
    let subject = prop::option::weighted(0.93, subject());
    let cents = prop::option::weighted(0.7, by(&[100, 200, 50, -100]));
    let at = prop_oneof![4 => Just(When::By(-3)), 5 => when(), 1 => odd_time()];
    let fields = [0..4usize, 0..5, 0..3, 0..4];
    (subject, 0..SESSIONS.len(), at, kind, fields, cents, prop::bool::weighted(0.08)).prop_map(
        |(subject, session, at, kind, fields, cents, signal)| ClickPlan {
            subject,
            session,
            at,
            kind,
            fields,
            cents,
            signal,
        },
    )
}

/// Too late for most rulebooks, or at the edge of being too far ahead.
fn odd_time() -> impl Strategy<Value = When> {
    by(&[-31 * DAY, 5 * MINUTE, 5 * MINUTE + 1]).prop_map(When::By)
}

/// One that binds although it counts nowhere.
fn odd_signal() -> impl Strategy<Value = Op> {
    (click(), 0..SUBJECTS.len(), odd_time()).prop_map(|(click, subject, at)| {
        Op::Click(ClickPlan { subject: Some(subject), at, signal: true, ..click })
    })
}

/// Mostly of those who do the most: who appears for the first time does it once.
fn subject() -> impl Strategy<Value = usize> {
    prop_oneof![12 => 0..3usize, 1 => 3..SUBJECTS.len()]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        30 => click().prop_map(Op::Click),
        2 => odd_signal(),
        9 => (subject(), record()).prop_map(|(subject, it)| Op::Record(subject, Box::new(it))),
        1 => subject().prop_map(Op::Again),
        1 => subject().prop_map(Op::Erasure),
        1 => subject().prop_map(Op::Unreadable),
        1 => Just(Op::Heartbeat),
        1 => Just(Op::DeadLettered),
        1 => Just(Op::BadClick),
    ]
}

fn batch() -> impl Strategy<Value = BatchPlan> {
    let flags = (prop::bool::weighted(0.85), prop::bool::weighted(0.3));
    (step(), flags, vec(op(), 0..9)).prop_map(|(step, (gate_open, is_restart), ops)| BatchPlan {
        step,
        gate_open,
        is_restart,
        ops,
    })
}

/// A rulebook and what happens under it.
pub fn history() -> impl Strategy<Value = History> {
    let lease = by(&[2 * DAY, HOUR, 61_001, DAY]);
    let offset = by(&[0, 12 * HOUR, HOUR - 500, DAY - 1]);
    let signals_max = prop::sample::select(vec![1, 2, 1_000_000]);
    (rulebooks::text(), lease, signals_max, offset, vec(batch(), 1..16)).prop_map(
        |(text, lease, signals_max, offset, batches)| {
            realize(text, (Span(lease), signals_max), START + offset, &batches)
        },
    )
}
