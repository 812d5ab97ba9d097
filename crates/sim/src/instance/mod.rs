//! A simulated process of Assent: what `pipeline::runner` executes on Kafka, executed on the simulated log.
//!
//! Its worker, with engine, tasks and commit protocol, and its judgment of what was read back are the
//! production ones. It goes once round the worker's turn, or executes one action of the protocol, so
//! that other processes, time and faults come between any two of them.

mod commit;
mod publish;
mod receive;
mod schemas;
mod take_up;
mod turn;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::broker::{Broker, Committed};
use super::faults::{Fault, Faults};
use super::group::Ticket;
use super::log::{DELETE_RETENTION, Stored, Topic};
use super::random::Random;
use super::stage::{GROUP, PARTITIONER, PARTITIONS, PURPOSES, SOURCE, Stage};
use super::steps::Step;
use assent_contract::domain::invariants::Violation;
use assent_contract::domain::time::{Moment, Span, Timestamp};
use assent_contract::wire::{ClickReader, ConsentReader};
use assent_core::commit::Action;
use assent_core::engine::Setup;
use assent_core::engine::absence::AbsenceBound;
use assent_core::engine::audience::Heard;
use assent_core::engine::input::Synced;
use assent_core::task::{Bounds, Task};
use assent_core::worker::{Limits, Settings, Worker};
pub use publish::record as record_of;
use schemas::Schemas;
use watch::Watch;

/// When all machines were started: their monotonic clocks count from here.
const BOOTED_AT: Timestamp = Timestamp(1_795_300_000_000);

/// What all processes of a run are started with; the last two change.
pub struct Terms {
    pub lease: Span,
    pub commit_interval: Span,
    pub signals_max: usize,
    pub bounds: Bounds,
    pub limits: Limits,
    pub has_registry: bool,
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
    /// Up to when consent was in sync with a transaction's share of a partition.
    pub synced: BTreeMap<(usize, i32), Option<Synced>>,
    /// What it was decided by of the audiences of other partitions.
    pub heard: BTreeMap<(usize, i32), Arc<Heard>>,
    /// The transactions by which a person went on after a loss.
    pub losses: BTreeMap<usize, Step>,
    /// What the engine itself found broken.
    pub violations: Vec<(i32, Violation)>,
    /// What a worker did beyond its bounds, or left undone.
    pub excesses: Vec<String>,
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
    /// The next record that a reader of committed records has, if there is one now.
    fn next(&self, topic: Topic, partition: i32, at: &mut i64) -> Option<(i64, &Stored)> {
        let (found, next) = self.broker.log.fetch(topic, partition, *at, 1);
        *at = next;
        let offset = *found.first()?;
        Some((offset, &self.broker.log.get(topic, partition)[offset as usize]))
    }

    pub fn is_away(&self) -> bool {
        self.faults.is_in_force(Fault::BrokerAway, self.broker.now)
    }

    /// Does nobody answer for the group?
    pub fn is_group_away(&self) -> bool {
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

/// What consent that nobody can read does to a process.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Halt {
    /// It gives back what it has, and ends.
    GivesBack,
    /// It has ended, and a person was called.
    WaitsForPerson,
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
    /// It can't go on by itself.
    halt: Option<Halt>,
    /// How far its wall clock is ahead of the truth.
    pub skew: Span,
    /// When the keyset file with the new key reaches it.
    pub keys_arrive_at: Timestamp,
    keys: usize,
    setup: Arc<Setup>,
    click_reader: ClickReader,
    consent_reader: ConsentReader,
    worker: Worker,
    member: Option<u64>,
    ticket: Option<Ticket>,
    /// The partitions that it has, and what the group had committed for them; to be restored.
    committed: Option<BTreeMap<i32, Committed>>,
    epoch: Option<u32>,
    decided_at: Timestamp,
    /// Where the two consumers are.
    clicks_at: BTreeMap<i32, i64>,
    consent_at: BTreeMap<i32, i64>,
    /// Where the reading of the changelog for a rotation is, and where it ends.
    reread: BTreeMap<i32, (i64, i64)>,
    /// Until another client asks.
    pub probe_is_stale: bool,
    /// Partitions of consent of which this client brings nothing, until another one follows.
    pub stale_consent: BTreeSet<i32>,
    schemas: Schemas,
    /// Partitions whose clicks are not fetched.
    paused: BTreeSet<i32>,
    /// Of those that were to be paused in this turn: the client refused.
    refused: BTreeSet<i32>,
    watch: Watch,
    /// Of the audiences of all partitions, as it read them last.
    heard: Option<Arc<Heard>>,
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
            halt: None,
            skew: Span(0),
            keys_arrive_at: Timestamp::MAX,
            keys: 0,
            click_reader: ClickReader::new(setup.rulebook.fields, PARTITIONER, PARTITIONS),
            consent_reader: ConsentReader::new(PARTITIONER, PARTITIONS),
            setup,
            worker: Worker::new(Settings {
                bounds: terms.bounds.clone(),
                commit_interval: terms.commit_interval,
                limits: terms.limits,
            }),
            member: None,
            ticket: None,
            committed: None,
            epoch: None,
            decided_at: starts_at,
            clicks_at: BTreeMap::new(),
            consent_at: BTreeMap::new(),
            reread: BTreeMap::new(),
            probe_is_stale: false,
            stale_consent: BTreeSet::new(),
            schemas: Schemas::default(),
            paused: BTreeSet::new(),
            refused: BTreeSet::new(),
            watch: Watch::default(),
            heard: None,
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

    /// It ended by itself, and a person has to act first.
    pub fn waits_for_person(&self) -> bool {
        self.halt == Some(Halt::WaitsForPerson)
    }

    /// Ended, until [`Self::start_at`].
    pub fn stop_for_good(&mut self, around: &mut Around<'_>) {
        self.kill(around.stage, around.terms, Timestamp::MAX);
        self.halt = Some(Halt::WaitsForPerson);
    }

    pub fn start_at(&mut self, at: Timestamp, around: &Around<'_>) {
        self.kill(around.stage, around.terms, at);
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

    /// Has everything that it owns been decided and committed, to these ends?
    pub fn is_at_rest(&self, around: &Around<'_>) -> bool {
        let now = self.moment(around);
        self.is_up()
            && !self.worker.is_taking_up()
            && self.worker.action().is_none()
            && self.worker.in_hand().is_none()
            && !self.worker.has_sweep_to_come()
            && self.keys == around.terms.keys
            && self.worker.tasks().values().all(|task| {
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
        let tasks = self.worker.tasks().values().map(|task| {
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
            self.worker.is_taking_up(),
            self.worker.action(),
            self.worker.in_hand().is_some(),
            self.worker.protocol(),
            tasks.collect::<Vec<_>>().join("; "),
        )
    }

    pub fn owns(&self, partition: i32) -> bool {
        self.worker.tasks().contains_key(&partition)
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

/// How long consent may go unread.
pub fn absence_bound() -> AbsenceBound {
    AbsenceBound::of_retention(DELETE_RETENTION)
}

pub fn setup(stage: &Stage, terms: &Terms, rulebook: usize, keys: usize) -> Arc<Setup> {
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
