//! A simulated process of Assent: what `pipeline::worker` does on Kafka, on the simulated log.
//!
//! Its engine, its tasks, its commit protocol and its judgment of what was read back are the
//! production ones. One turn is one step of the worker's loop, or one action of the protocol, so
//! that other processes, time and faults come between any two of them.

mod commit;
mod publish;
mod receive;
mod take_up;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::broker::Broker;
use super::faults::{Fault, Faults};
use super::group::{Ticket, Told};
use super::log::Topic;
use super::random::Random;
use super::stage::{GROUP, PARTITIONER, PARTITIONS, PURPOSES, SOURCE, Stage};
use crate::domain::invariants::Violation;
use crate::domain::time::{Moment, Span, Timestamp};
use crate::engine::Setup;
use crate::engine::commit::{Action, Commit, Ending, Event};
use crate::task::batch::Batch;
use crate::task::{Bounds, Task};
use crate::wire::{ClickReader, ConsentReader};
pub use publish::record as record_of;
use take_up::TakingUp;

/// When all machines were started: their monotonic clocks count from here.
const BOOTED_AT: Timestamp = Timestamp(1_795_300_000_000);

/// As the worker's: what is in hand is committed within this when partitions are given back.
const REVOKE_WITHIN: Span = Span(5_000);

/// What all processes of a run are started with; the last two change.
pub struct Terms {
    pub lease: Span,
    pub commit_interval: Span,
    pub signals_max: usize,
    pub bounds: Bounds,
    /// Places in [`Stage`].
    pub keys: usize,
    pub rulebook: usize,
}

/// What only the simulator knows: for the auditor.
#[derive(Default)]
pub struct Witness {
    /// The true time at which what a transaction holds was decided.
    pub decided_at: BTreeMap<usize, Timestamp>,
    /// The consent records that a transaction holds of a partition, heartbeats too.
    pub consents: BTreeMap<(usize, i32), Vec<i64>>,
    /// What the engine itself found broken.
    pub violations: Vec<(i32, Violation)>,
    /// Why a process refused to go on, where that is no fault's doing.
    pub stops: Vec<String>,
    pub rolled_back: u64,
    pub committed: u64,
    pub surrendered: u64,
}

/// Everything outside a process.
pub struct Around<'a> {
    pub broker: &'a mut Broker,
    pub faults: &'a mut Faults,
    pub random: &'a mut Random,
    pub witness: &'a mut Witness,
    pub stage: &'a Stage,
    pub terms: &'a Terms,
}

impl Around<'_> {
    fn is_away(&self) -> bool {
        self.faults.is_in_force(Fault::BrokerAway, self.broker.now)
    }

    /// Does nobody answer for the group?
    fn is_group_away(&self) -> bool {
        self.is_away() || self.faults.is_in_force(Fault::GroupMoves, self.broker.now)
    }

    /// Is the coordinator on its way that this action needs?
    fn moves(&self, action: Action) -> bool {
        let group = || self.faults.is_in_force(Fault::GroupMoves, self.broker.now);
        let transactions = || self.faults.is_in_force(Fault::TransactionsMove, self.broker.now);
        match action {
            Action::SendOffsets => group() || transactions(),
            Action::ReadBack => group(),
            Action::Initialize | Action::Commit | Action::Abort => transactions(),
            Action::Begin | Action::Produce | Action::Rest | Action::Conclude(_) => false,
        }
    }
}

pub struct Instance {
    /// Its static name, in the group and towards transactions.
    name: u8,
    /// `None`: it runs.
    down_until: Option<Timestamp>,
    /// SIGSTOP.
    stopped_until: Timestamp,
    /// SIGSTOP in the middle of its next transaction, for so long.
    stops_for: Option<Span>,
    /// A call takes its time; the client's own thread keeps the member alive meanwhile.
    waits_until: Timestamp,
    /// How far its wall clock is ahead of the truth.
    pub skew: Span,
    /// When the keyset file with the new key reaches it.
    pub keys_arrive_at: Timestamp,
    keys: usize,
    setup: Arc<Setup>,
    click_reader: ClickReader,
    consent_reader: ConsentReader,
    member: Option<u64>,
    ticket: Option<Ticket>,
    taking_up: Option<TakingUp>,
    giving_back_until: Option<Timestamp>,
    protocol: Commit,
    epoch: Option<u32>,
    /// What the protocol asks for next.
    action: Option<Action>,
    not_before: Timestamp,
    in_hand: Option<Batch>,
    decided_at: Timestamp,
    tasks: BTreeMap<i32, Task>,
    /// Where the two consumers are.
    clicks_at: BTreeMap<i32, i64>,
    consent_at: BTreeMap<i32, i64>,
    asked_at: Timestamp,
    committed_at: Timestamp,
    wants_sweep: bool,
}

impl Instance {
    pub fn new(name: u8, stage: &Stage, terms: &Terms, starts_at: Timestamp) -> Self {
        let setup = setup(stage, terms, 0, 0);
        Self {
            name,
            down_until: Some(starts_at),
            stopped_until: starts_at,
            stops_for: None,
            waits_until: starts_at,
            skew: Span(0),
            keys_arrive_at: Timestamp::MAX,
            keys: 0,
            click_reader: ClickReader::new(setup.rulebook.fields, PARTITIONER, PARTITIONS),
            consent_reader: ConsentReader::new(PARTITIONER, PARTITIONS),
            setup,
            member: None,
            ticket: None,
            taking_up: None,
            giving_back_until: None,
            protocol: Commit::new(),
            epoch: None,
            action: None,
            not_before: starts_at,
            in_hand: None,
            decided_at: starts_at,
            tasks: BTreeMap::new(),
            clicks_at: BTreeMap::new(),
            consent_at: BTreeMap::new(),
            asked_at: Timestamp(0),
            committed_at: Timestamp(0),
            wants_sweep: false,
        }
    }

    pub fn is_up(&self) -> bool {
        self.down_until.is_none()
    }

    /// It stands still in the middle of its next transaction.
    pub fn stop_for(&mut self, span: Span) {
        self.stops_for = Some(span);
    }

    /// It ends without a word and is started again then; nothing of its memory stays.
    pub fn kill(&mut self, stage: &Stage, terms: &Terms, until: Timestamp) {
        let (skew, keys_arrive_at) = (self.skew, self.keys_arrive_at);
        *self = Self::new(self.name, stage, terms, until);
        (self.skew, self.keys_arrive_at) = (skew, keys_arrive_at);
    }

    /// What its two clocks say.
    fn moment(&self, around: &Around<'_>) -> Moment {
        let now = around.broker.now;
        Moment { wall: now + self.skew, uptime: now - BOOTED_AT }
    }

    fn crash(&mut self, around: &mut Around<'_>) {
        let pause = Span(around.random.pick(&[200, 1_000, 4_000, 14_000]));
        self.kill(around.stage, around.terms, around.broker.now + pause);
    }

    /// Ends here where a crash was planned at this point.
    fn crashes_at(&mut self, point: &'static str, around: &mut Around<'_>) -> bool {
        let crashes = around.faults.crashes_at(point, around.broker.now);
        if crashes {
            self.crash(around);
        }
        crashes
    }

    /// Once round the loop, or one action of the protocol.
    pub fn turn(&mut self, around: &mut Around<'_>) {
        let now = around.broker.now;
        if self.down_until.is_some_and(|until| now < until) || now < self.stopped_until {
            return;
        }
        if self.down_until.take().is_some() {
            self.start(around);
        }
        if now < self.waits_until {
            around.broker.group.hear(self.name, now);
            return;
        }
        if matches!(self.action, Some(Action::Produce | Action::SendOffsets | Action::Commit))
            && let Some(span) = self.stops_for.take()
        {
            self.stopped_until = now + span;
            return;
        }
        if let Some(action) = self.action.take() {
            self.perform(action, around);
            return;
        }
        if !around.is_group_away() {
            match self.poll(around) {
                Told::Nothing => {}
                Told::Lost => return self.rejoin(around),
                Told::Revoked => return self.give_back(around),
                Told::Assigned(partitions, ticket) => {
                    self.surrender();
                    self.ticket = Some(ticket);
                    self.taking_up = (!partitions.is_empty()).then(|| TakingUp::of(partitions));
                    return;
                }
            }
        }
        if self.taking_up.is_some() {
            return self.take_up(around);
        }
        self.receive(around);
        self.follow_keys(around);
        self.ask_and_settle(around);
        self.commit_what_is_due(false, around);
    }

    fn poll(&self, around: &mut Around<'_>) -> Told {
        let now = around.broker.now;
        match self.member {
            Some(member) => around.broker.group.poll(self.name, member, now),
            None => Told::Lost,
        }
    }

    fn start(&mut self, around: &Around<'_>) {
        self.keys = if around.broker.now >= self.keys_arrive_at { around.terms.keys } else { 0 };
        self.setup = setup(around.stage, around.terms, around.terms.rulebook, self.keys);
        self.click_reader = ClickReader::new(self.setup.rulebook.fields, PARTITIONER, PARTITIONS);
    }

    /// What is in hand is committed, then the partitions are given back.
    fn give_back(&mut self, around: &mut Around<'_>) {
        let now = around.broker.now;
        if self.giving_back_until.is_none() && self.crashes_at("during_revoke", around) {
            return;
        }
        let until = *self.giving_back_until.get_or_insert(now + REVOKE_WITHIN);
        let busy = now < until && self.commit_what_is_due(true, around);
        if self.down_until.is_some() || self.action.is_some() {
            return;
        }
        if now >= until || (!busy && self.in_hand.is_none()) {
            self.surrender();
            if let Some(member) = self.member {
                around.broker.group.rejoin(self.name, member);
            }
        }
    }

    /// Keeps nothing of any partition.
    fn surrender(&mut self) {
        if self.in_hand.take().is_some() {
            let action = self.protocol.on(Event::Lost);
            debug_assert_eq!(action, Action::Conclude(Ending::Surrendered));
        }
        self.giving_back_until = None;
        self.taking_up = None;
        self.tasks.clear();
        self.ticket = None;
        self.wants_sweep = false;
    }

    /// A new member takes its place, under the same static name.
    fn rejoin(&mut self, around: &mut Around<'_>) {
        self.surrender();
        let now = around.broker.now;
        self.member = Some(around.broker.group.join(self.name, now));
        self.waits_until = now + Span(500);
    }

    /// Has everything that it owns been decided and committed, to these ends?
    pub fn is_at_rest(&self, around: &Around<'_>) -> bool {
        let now = self.moment(around);
        self.is_up()
            && self.taking_up.is_none()
            && self.action.is_none()
            && self.in_hand.is_none()
            && self.keys == around.terms.keys
            && self.tasks.values().all(|task| {
                task.clicks.is_empty()
                    && task.consents().is_empty()
                    && task.gate_open(&around.terms.bounds, now)
                    && !task.engine.has_deferred()
                    && !task.engine.is_outdated()
                    && !task.moves_keys()
                    && task.engine.next_due().is_none_or(|due| due > now.wall)
                    && is_covered(task, around.broker)
            })
    }

    /// Where it stands: for the message that a run did not come to rest.
    pub fn describe(&self, around: &Around<'_>) -> String {
        let now = self.moment(around);
        let tasks = self.tasks.values().map(|task| {
            format!(
                "partition {}: {} clicks, {} consents, {} ids, gate {}, deferred {}, outdated {}, covered {}",
                task.partition,
                task.clicks.len(),
                task.consents().len(),
                task.ids_to_rotate().len(),
                task.gate_open(&around.terms.bounds, now),
                task.engine.has_deferred(),
                task.engine.is_outdated(),
                is_covered(task, around.broker),
            )
        });
        format!(
            "process {}: down until {:?}, taking up {}, action {:?}, in hand {}, protocol {:?}; {}",
            self.name,
            self.down_until,
            self.taking_up.is_some(),
            self.action,
            self.in_hand.is_some(),
            self.protocol,
            tasks.collect::<Vec<_>>().join("; "),
        )
    }

    pub fn owns(&self, partition: i32) -> bool {
        self.tasks.contains_key(&partition)
    }
}

fn is_covered(task: &Task, broker: &Broker) -> bool {
    let ends = [Topic::Clicks, Topic::Consent]
        .map(|topic| broker.log.high_watermark(topic, task.partition));
    let at = task.engine.positions().map_or([0, 0], |it| [it.next_click, it.next_consent]);
    at == ends
}

/// Under the first rulebook and the first keys.
pub fn first_setup(stage: &Stage, terms: &Terms) -> Arc<Setup> {
    setup(stage, terms, 0, 0)
}

fn setup(stage: &Stage, terms: &Terms, rulebook: usize, keys: usize) -> Arc<Setup> {
    let (rulebook, rulebook_yaml) = stage.rulebooks[rulebook].clone();
    Arc::new(Setup {
        rulebook,
        rulebook_yaml,
        keys: Arc::clone(&stage.keys[keys]),
        group_id: GROUP.to_owned(),
        lease: terms.lease,
        partitioner: PARTITIONER,
        input_partitions: PARTITIONS,
        segment_partitions: PURPOSES.map(|id| (id.to_owned(), PARTITIONS)).into(),
        sources: vec![SOURCE.to_owned()],
        made_with: BTreeMap::new(),
        signals_max: terms.signals_max,
    })
}
