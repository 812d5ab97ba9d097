//! One run: a cluster, two or three processes, people, faults, and virtual time. When the last fault
//! is over, everything has to come to rest by itself (INV-12).

mod strike;

use super::broker::Broker;
use super::faults::{Fault, Faults, Planned};
use super::instance::{Around, Instance, Terms, Witness};
use super::person::Person;
use super::random::Random;
use super::stage::{PARTITIONS, SOURCE, Stage};
use super::workload::{self, Workload};
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::wire::KnownSchemas;
use assent_core::task::Bounds;
use assent_core::worker::Limits;

/// 2026-11-22T00:00:00Z.
const START: Timestamp = Timestamp(1_795_305_600_000);

/// Inputs come and faults strike for so long.
const ACTIVE: Span = Span(45_000);

/// After the last fault everything is done within this: sessions and transactions run out in 12 s, a
/// process that stands still or is down is back after 20 s.
const REST_WITHIN: Span = Span(60_000);

/// Where a person has to come first, stops every process, and waits until their sessions are over; and may be
/// interrupted.
const REST_WITHIN_OF_PERSON: Span = Span(120_000);

/// Where a clock was wrong, what it had decided while 290 s ahead is waited for.
const REST_WITHIN_OF_CLOCKS: Span = Span(400_000);

/// A clock that is wrong by more than 5 minutes decides nothing (`domain::clock_guard`).
const SKEW_MAX: Span = Span(290_000);

const MAX_SYNC_LAG: Span = Span(10_000);

/// A source that may not be silent says something this often, and may be silent for longer.
const HEARTBEAT_EVERY: Span = Span(4_000);
const MAX_SILENCE: Span = Span(15_000);

/// A producer that is not Assent's, with a transaction open on consent-changelog.
struct Foreign {
    transaction: usize,
    until: Timestamp,
    commits: bool,
}

/// So small that most histories meet some of them.
fn limits(random: &mut Random) -> Limits {
    Limits {
        clicks_per_transaction: random.pick(&[3, 20, 40]),
        clicks_with_urgent: random.pick(&[2, 10]),
        click_bytes: random.pick(&[1_500, 6_000, 1_000_000]),
        consent_bytes: random.pick(&[1_000, 1_000_000]),
        consents: random.pick(&[2, 40]),
        burst: random.pick(&[3, 100]),
    }
}

pub struct World<'s> {
    stage: &'s Stage,
    pub random: Random,
    pub broker: Broker,
    pub faults: Faults,
    pub witness: Witness,
    pub terms: Terms,
    pub workload: Workload,
    instances: Vec<Instance>,
    person: Person,
    next_input_at: Timestamp,
    next_heartbeat_at: Timestamp,
    foreign: Vec<Foreign>,
    restarts: Vec<(Timestamp, usize)>,
    /// An absence follows another one, if its loss is accepted until then.
    away_again_before: Option<Timestamp>,
}

impl<'s> World<'s> {
    pub fn new(seed: u64, stage: &'s Stage) -> Self {
        let mut random = Random::new(seed);
        let faults = Faults::planned(&mut random, START, START + Span(4_000), START + ACTIVE);
        let closes = faults.plan.iter().any(|planned| planned.fault == Fault::SilentSource);
        let terms = Terms {
            lease: Span(random.pick(&[20_000, 60_000, 7_200_000])),
            commit_interval: Span(100),
            signals_max: random.pick(&[1, 2, 4, 1_000_000]),
            bounds: Bounds {
                max_sync_lag: MAX_SYNC_LAG,
                closing_sources: closes
                    .then(|| (SOURCE.to_owned(), MAX_SILENCE))
                    .into_iter()
                    .collect(),
            },
            limits: limits(&mut random),
            has_registry: random.chance(50),
            keys: 0,
            rulebook: 0,
        };
        let has_registry = terms.has_registry;
        let instances = (0..random.pick(&[2, 2, 3]))
            .map(|name| Instance::new(name, stage, &terms, START + Span(i64::from(name) * 300)))
            .collect();
        Self {
            stage,
            random,
            broker: Broker::new(START, PARTITIONS),
            faults,
            witness: Witness::default(),
            terms,
            workload: Workload::new(has_registry),
            instances,
            person: Person::default(),
            next_input_at: START,
            next_heartbeat_at: START,
            foreign: Vec::new(),
            restarts: Vec::new(),
            away_again_before: None,
        }
    }

    /// All that a schema registry has, where there is one.
    pub fn known<'a>(&self, stage: &'a Stage) -> &'a KnownSchemas {
        if self.terms.has_registry { stage.all_schemas() } else { stage.no_schemas() }
    }

    /// After how long did everything come to rest? `None`: not in time.
    pub fn run(&mut self) -> Option<Span> {
        self.strike_due();
        self.workload.begin(&mut self.random, &mut self.broker);
        while self.is_active() {
            self.step();
            if self.broker.now >= self.next_input_at {
                let pause = self.workload.go_on(&mut self.random, &mut self.broker);
                self.next_input_at = self.broker.now + pause;
            }
            self.strike_due();
        }
        self.end_faults();
        let from = self.broker.now;
        let within = if self.faults.has_touched_clocks() {
            REST_WITHIN_OF_CLOCKS
        } else if self.faults.struck.contains_key(&Fault::DamagedConsent) {
            REST_WITHIN_OF_PERSON
        } else {
            REST_WITHIN
        };
        while self.broker.now - from < within {
            self.step();
            if self.is_at_rest() {
                return Some(self.broker.now - from);
            }
        }
        None
    }

    fn is_active(&self) -> bool {
        let now = self.broker.now;
        let is_before = |it| now < it;
        is_before(START + ACTIVE)
            || !self.faults.plan.is_empty()
            || self.away_again_before.is_some_and(is_before)
    }

    /// Time passes, and whoever runs may have a turn.
    fn step(&mut self) {
        let now = self.broker.now + Span(self.random.between(5, 70));
        let is_in_force = |fault| self.faults.is_in_force(fault, now);
        if is_in_force(Fault::BrokerAway) || is_in_force(Fault::GroupMoves) {
            self.hear_everybody(now);
        }
        self.broker.tick(now);
        self.end_foreign();
        self.heartbeat();
        self.restart();
        self.call_person();
        for place in 0..self.instances.len() {
            if self.random.chance(60) {
                self.turn(place);
            }
        }
    }

    fn turn(&mut self, place: usize) {
        let (instances, mut around) = self.parts();
        instances[place].turn(&mut around);
    }

    fn call_person(&mut self) {
        let mut person = std::mem::take(&mut self.person);
        let (instances, mut around) = self.parts();
        let has_accepted = person.act(instances, &mut around);
        self.person = person;
        if has_accepted {
            self.be_away_again();
        }
    }

    /// A coordinator that is away takes no member for dead.
    fn hear_everybody(&mut self, now: Timestamp) {
        for name in 0..self.instances.len() {
            self.broker.group.hear(name as u8, now);
        }
    }

    fn end_foreign(&mut self) {
        let now = self.broker.now;
        let (over, open) =
            std::mem::take(&mut self.foreign).into_iter().partition(|it| it.until <= now);
        self.foreign = open;
        for Foreign { transaction, commits, .. } in over {
            self.broker.log.end(transaction, commits, now);
        }
    }

    fn heartbeat(&mut self) {
        let now = self.broker.now;
        let is_silent = self.faults.is_in_force(Fault::SilentSource, now);
        if now < self.next_heartbeat_at || self.terms.bounds.closing_sources.is_empty() || is_silent
        {
            return;
        }
        self.next_heartbeat_at = now + HEARTBEAT_EVERY;
        for partition in 0..PARTITIONS {
            workload::heartbeat(&mut self.broker, partition);
        }
    }

    /// A rolling restart, one process after the other.
    fn restart(&mut self) {
        let now = self.broker.now;
        let (due, later) =
            std::mem::take(&mut self.restarts).into_iter().partition(|it| it.0 <= now);
        self.restarts = later;
        for (_, place) in due {
            self.instances[place].kill(self.stage, &self.terms, now + Span(500));
        }
    }

    /// Nobody runs until then.
    fn stop_all(&mut self, until: Timestamp) {
        for instance in &mut self.instances {
            instance.kill(self.stage, &self.terms, until);
        }
    }

    fn strike_due(&mut self) {
        while let Some(planned) = self.faults.next_due(self.broker.now) {
            self.strike(planned);
        }
    }

    fn strike(&mut self, Planned { fault, crash_at, .. }: Planned) {
        match fault {
            Fault::LostRequest
            | Fault::LostAnswer
            | Fault::LateEnd
            | Fault::Hang
            | Fault::Refusal
            | Fault::TornBatch => return self.faults.wait_for_call(fault, crash_at),
            _ => {}
        }
        let lasts = self.strike_now(fault);
        self.faults.strike(fault, self.broker.now, lasts);
        if let Some(point) = crash_at {
            self.crash_at(point);
        }
    }

    /// Someone is to end at this point soon; what leads there is set off.
    fn crash_at(&mut self, point: &'static str) {
        self.faults.arm(point);
        match point {
            "after_init" | "after_restore" | "during_restore" => self.kill(Span(200)),
            "during_revoke" => self.broker.group.disturb(),
            "during_sweep" => self.rotate(2_000),
            _ => {}
        }
    }

    fn end_faults(&mut self) {
        self.faults.end();
        for instance in &mut self.instances {
            instance.skew = Span(0);
        }
        for foreign in &mut self.foreign {
            foreign.until = self.broker.now;
        }
    }

    /// Where everybody stands, one a line.
    pub fn describe(&mut self) -> String {
        self.ask(Instance::describe).join("\n")
    }

    fn is_at_rest(&mut self) -> bool {
        self.restarts.is_empty()
            && self.foreign.is_empty()
            && self.ask(Instance::is_at_rest).into_iter().all(|at_rest| at_rest)
            && (0..PARTITIONS).all(|partition| self.instances.iter().any(|it| it.owns(partition)))
    }

    /// What each instance says, with its surroundings before it.
    fn ask<T>(&mut self, what: impl Fn(&Instance, &Around<'_>) -> T) -> Vec<T> {
        let (instances, around) = self.parts();
        instances.iter().map(|instance| what(instance, &around)).collect()
    }

    fn parts(&mut self) -> (&mut [Instance], Around<'_>) {
        let around = Around {
            broker: &mut self.broker,
            faults: &mut self.faults,
            random: &mut self.random,
            witness: &mut self.witness,
            stage: self.stage,
            terms: &self.terms,
        };
        (&mut self.instances, around)
    }
}
