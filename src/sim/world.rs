//! One run: a cluster, two or three processes, people, faults, and virtual time. When the last fault
//! is over, everything has to come to rest by itself (INV-12).

use super::broker::Broker;
use super::faults::{Fault, Faults, Planned};
use super::instance::{Around, Instance, Terms, Witness};
use super::log::{Outdated, Topic};
use super::random::Random;
use super::stage::{PARTITIONS, PURPOSES, SOURCE, Stage};
use super::workload::{self, Workload};
use crate::domain::time::{Span, Timestamp};
use crate::task::Bounds;
use crate::wire::{KnownSchemas, read_back_audit_batch};
use crate::worker::Limits;

/// 2026-11-22T00:00:00Z.
const START: Timestamp = Timestamp(1_795_305_600_000);

/// Inputs come and faults strike for so long.
const ACTIVE: Span = Span(45_000);

/// After the last fault everything is done within this: sessions and transactions run out in 12 s, a
/// process that stands still or is down is back after 20 s.
const REST_WITHIN: Span = Span(60_000);

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
        clicks_beside_urgent: random.pick(&[2, 10]),
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
    next_input_at: Timestamp,
    next_heartbeat_at: Timestamp,
    foreign: Vec<Foreign>,
    restarts: Vec<(Timestamp, usize)>,
}

impl<'s> World<'s> {
    pub fn new(seed: u64, stage: &'s Stage) -> Self {
        let mut random = Random::new(seed);
        let faults = Faults::planned(&mut random, START + Span(4_000), START + ACTIVE);
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
            next_input_at: START,
            next_heartbeat_at: START,
            foreign: Vec::new(),
            restarts: Vec::new(),
        }
    }

    /// All that a schema registry has, where there is one.
    pub fn known<'a>(&self, stage: &'a Stage) -> &'a KnownSchemas {
        if self.terms.has_registry { stage.all_schemas() } else { stage.no_schemas() }
    }

    /// After how long did everything come to rest? `None`: not in time.
    pub fn run(&mut self) -> Option<Span> {
        self.workload.begin(&mut self.random, &mut self.broker);
        while self.broker.now < START + ACTIVE || !self.faults.plan.is_empty() {
            self.step();
            if self.broker.now >= self.next_input_at {
                let pause = self.workload.go_on(&mut self.random, &mut self.broker);
                self.next_input_at = self.broker.now + pause;
            }
            while let Some(planned) = self.faults.next_due(self.broker.now) {
                self.strike(planned);
            }
        }
        self.end_faults();
        let from = self.broker.now;
        let within =
            if self.faults.has_touched_clocks() { REST_WITHIN_OF_CLOCKS } else { REST_WITHIN };
        while self.broker.now - from < within {
            self.step();
            if self.is_at_rest() {
                return Some(self.broker.now - from);
            }
        }
        None
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

    fn kill(&mut self, down: Span) {
        let place = self.random.index(self.instances.len());
        let until = self.broker.now + down;
        self.instances[place].kill(self.stage, &self.terms, until);
    }

    /// Returns how long it is in force.
    fn strike_now(&mut self, fault: Fault) -> Span {
        let now = self.broker.now;
        let (random, broker) = (&mut self.random, &mut self.broker);
        match fault {
            Fault::BrokerAway => return Span(random.between(500, 8_000)),
            Fault::GroupMoves => {
                // Whoever asked to join on the way has to ask again, and so have all.
                if random.chance(30) {
                    broker.group.disturb();
                }
                return Span(random.between(300, 6_000));
            }
            Fault::TransactionsMove => return Span(random.between(300, 6_000)),
            Fault::StalledConsent => return Span(random.pick(&[1_000, 5_000, 20_000])),
            Fault::SilentSource => return Span(MAX_SILENCE.0 + random.between(2_000, 10_000)),
            Fault::Zombie => {
                let lasts = Span(random.between(8_000, 20_000));
                let place = random.index(self.instances.len());
                self.instances[place].stop_for(lasts);
                return lasts;
            }
            Fault::Rebalance => broker.group.disturb(),
            Fault::Kill => {
                let down = Span(random.pick(&[100, 3_000, 15_000]));
                self.kill(down);
                return down;
            }
            Fault::OpenTransaction | Fault::AbortedTransaction => {
                let lasts = Span(random.pick(&[1_000, 4_000, 16_000]));
                self.open_foreign(now + lasts, fault == Fault::OpenTransaction);
                return lasts;
            }
            Fault::Misrouted => self.workload.misroute(random, broker),
            Fault::Unreadable => self.workload.unreadable(random, broker),
            Fault::BadClick => self.workload.bad_click(random, broker),
            Fault::DamagedClicks => self.workload.damaged_clicks(random, broker),
            Fault::ForgedSignals => self.workload.forge_signals(random, broker),
            Fault::Flood => self.workload.flood(random, broker),
            Fault::Compaction => self.compact(now - Span(30_000)),
            Fault::Retention => {
                self.compact(now);
                self.delete_decided_clicks();
                if self.random.chance(60) {
                    self.delete_decided_consent();
                }
            }
            Fault::ClockForward | Fault::ClockBack => {
                let by = random.pick(&[500, 5_000, 45_000, 200_000]);
                self.move_clock(if fault == Fault::ClockBack { -by } else { by });
            }
            Fault::Leap => self.leap(),
            Fault::KeyRotation => {
                self.rotate(9_000);
                return Span(10_000);
            }
            Fault::StaleProbe => {
                let place = random.index(self.instances.len());
                self.instances[place].probe_is_stale = true;
            }
            Fault::StaleConsumer => {
                let place = random.index(self.instances.len());
                self.instances[place].consumer_is_stale = true;
            }
            Fault::RegistryAway => return Span(random.pick(&[1_000, 5_000, 20_000])),
            Fault::RulebookChange if self.terms.rulebook > 0 => {}
            Fault::RulebookChange => {
                self.terms.rulebook = random.pick(&[1, 2]);
                let places = 0..self.instances.len();
                let after = |place: usize| now + Span(1 + place as i64 * 4_000);
                self.restarts = places.map(|place| (after(place), place)).collect();
                return Span(10_000);
            }
            Fault::LostRequest
            | Fault::LostAnswer
            | Fault::LateEnd
            | Fault::Hang
            | Fault::Refusal
            | Fault::TornBatch => {}
        }
        Span(1_000)
    }

    fn move_clock(&mut self, by: i64) {
        let place = self.random.index(self.instances.len());
        let skew = &mut self.instances[place].skew;
        *skew = Span((skew.0 + by).clamp(-SKEW_MAX.0, SKEW_MAX.0));
    }

    /// The new keyset file comes to each process within so many milliseconds.
    fn rotate(&mut self, within: i64) {
        self.terms.keys = 1;
        for instance in &mut self.instances {
            let arrives = self.broker.now + Span(self.random.between(0, within));
            instance.keys_arrive_at = instance.keys_arrive_at.min(arrives);
        }
    }

    fn open_foreign(&mut self, until: Timestamp, commits: bool) {
        let transaction = self.broker.log.begin();
        for _ in 0..self.random.between(1, 2) {
            self.workload.in_transaction(&mut self.random, &mut self.broker, transaction);
        }
        self.foreign.push(Foreign { transaction, until, commits });
    }

    /// `delete.retention` is 30 days, and no process is away for so long: of consent only those tombstones
    /// go that were decided.
    fn compact(&mut self, tombstones_before: Timestamp) {
        let before = tombstones_before;
        let segments = (0..PURPOSES.len()).map(|place| Topic::Segments(place as u8));
        for partition in 0..PARTITIONS {
            for topic in segments.clone().chain([Topic::State]) {
                self.broker.log.compact(topic, partition, Outdated { before, below: i64::MAX });
            }
            let below = self.decided_consent(partition);
            self.broker.log.compact(Topic::Consent, partition, Outdated { before, below });
        }
    }

    /// Up to where the consent of a partition is decided, and committed.
    fn decided_consent(&self, partition: i32) -> i64 {
        let log = &self.broker.log;
        let last = log.get(Topic::Audit, partition).iter().rfind(|it| log.is_committed(it));
        let batch = last.and_then(|it| read_back_audit_batch(it.record.value.as_deref()?).ok());
        batch.map_or(0, |batch| batch.consent_to)
    }

    /// What a cleanup policy with `delete` does, or DeleteRecords under it: `assent check` finds one. The
    /// state still knows what was decided, and no record names the raw ids.
    fn delete_decided_consent(&mut self) {
        for partition in 0..PARTITIONS {
            let decided = self.decided_consent(partition);
            self.broker.log.delete_below(Topic::Consent, partition, decided);
        }
    }

    fn delete_decided_clicks(&mut self) {
        for partition in 0..PARTITIONS {
            let committed = self.broker.committed(&[partition]).unwrap_or_default();
            if let Some((next_click, _)) = committed.get(&partition) {
                self.broker.log.delete_below(Topic::Clicks, partition, *next_click);
            }
        }
    }

    /// Nothing happens for long, but time goes by.
    fn leap(&mut self) {
        let by = Span(self.random.pick(&[90_000, 3_600_000, 72_000_000]));
        self.broker.now = self.broker.now + by;
        self.hear_everybody(self.broker.now);
        for planned in &mut self.faults.plan {
            planned.at = planned.at + by;
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
