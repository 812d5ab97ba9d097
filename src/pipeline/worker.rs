//! A worker: one OS thread with its own click consumer, consent consumer, probe and producer, and
//! the tasks of the partitions that the group gives it.
//!
//! One loop does everything, in this order: what the group decided, consent, clicks, questions to
//! the broker, a transaction. Nothing else touches a task, so there is nothing to lock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, KafkaResult};

use super::Shared;
use super::assignment::{self, Trouble};
use super::keys::Sweep;
use super::receive::Ended;
use super::receive::FORWARD;
use super::report::{REPORT_EVERY, Report};
use super::standstill::Standstill;
use super::suspects::Suspects;
use super::transaction::Transactor;
use super::twin::Seat;
use crate::domain::time::Moment;
use crate::engine::commit::Event;
use crate::failure::{Failure, Result};
use crate::kafka::consumer::{Answers, ClickConsumer, Follower, Rebalance};
use crate::kafka::probe::Probe;
use crate::pace;
use crate::pipeline::crash::crash_point;
use crate::task::batch::Batch;
use crate::task::{Offsets, Task};
use crate::wire::KnownSchemas;

/// What is in hand is committed within this when partitions are given back
/// (docs/contract/batch.md#revocation).
const REVOKE_WITHIN: Duration = Duration::from_secs(5);

/// The pause of a loop that found nothing to do: short beside every latency that is promised, long
/// enough to cost a percent of a core.
const IDLE: Duration = Duration::from_millis(1);

/// Between two tries to take partitions up, or to join again.
const RETRY: Duration = Duration::from_millis(500);

/// Between two looks at whether a person brought what is missing.
const WAIT: Duration = Duration::from_secs(2);

/// How a worker parts with its partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parting {
    /// In good order: others have them at once.
    GivenBack,
    /// Without having given them back: others may have them, or nobody.
    Lost,
}

pub struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) number: usize,
    seat: Seat,
    pub(super) clicks: ClickConsumer,
    pub(super) consent: Follower,
    pub(super) standstill: Standstill,
    /// How large an answer both may take.
    pub(super) answers: Answers,
    pub(super) suspects: Suspects,
    pub(super) probe: Probe,
    pub(super) transactor: Transactor,
    /// As captured at assignment.
    pub(super) group: Option<Arc<ConsumerGroupMetadata>>,
    pub(super) tasks: BTreeMap<i32, Task>,
    /// What the group gave, from then until it is surrendered: restored or not.
    assigned: Vec<i32>,
    /// Decided, and not known to be committed or not.
    pub(super) in_hand: Option<Batch>,
    /// The last batch.
    pub(super) began_at: Instant,
    /// Batches decided: which partition comes first.
    pub(super) turns: usize,
    pub(super) asked_at: Instant,
    /// Questions in a row that nobody answered.
    pub(super) unanswered: u32,
    /// Clicks are polled one at a time until then: memory is full.
    pub(super) trickle_until: Instant,
    /// What ended the receiving beside a commit, to be followed up.
    pub(super) met_in_commit: Option<Ended>,
    /// Misrouted consent waits to be sent on until then.
    pub(super) forward_again_at: Option<Instant>,
    /// How long the next try of it may take.
    pub(super) forward_for: Duration,
    pub(super) report: Report,
    /// Of the set-up that the tasks have.
    pub(super) generation: u64,
    /// Live keys may be under a key that is no longer emitted.
    pub(super) wants_sweep: bool,
    pub(super) sweep_not_before: Instant,
    pub(super) sweep: Option<Sweep>,
    /// Of the schema registry, as of this turn.
    pub(super) known: Arc<KnownSchemas>,
    /// Partitions whose clicks wait for it, and of which no more are fetched meanwhile.
    pub(super) paused: BTreeSet<i32>,
}

impl Worker {
    /// Joins the group.
    pub fn new(shared: Arc<Shared>, number: usize, name: String) -> Result<Self> {
        let config = &shared.config;
        let made = |error: KafkaError| Failure::config(format!("kafka.properties: {error}"));
        let now = shared.clock.instant();
        let status = Arc::clone(&shared.status);
        let probe = Probe::new(config).map_err(made)?.on_question(move || status.tick(number));
        let seat = Seat::of_worker(&config.pipeline.state_dir, number, name.clone());
        let clicks = ClickConsumer::new(config, &name, Answers::Usual).map_err(made)?;
        await_seat(&shared, number, &seat, &probe)?;
        clicks.join().map_err(made)?;
        Ok(Self {
            clicks,
            consent: consent(&shared, Answers::Usual).map_err(made)?,
            standstill: Standstill::default(),
            answers: Answers::Usual,
            suspects: Suspects::default(),
            probe,
            transactor: Transactor::new(name, now),
            number,
            seat,
            group: None,
            tasks: BTreeMap::new(),
            assigned: Vec::new(),
            in_hand: None,
            began_at: now,
            turns: 0,
            asked_at: now,
            unanswered: 0,
            trickle_until: now,
            forward_again_at: None,
            forward_for: FORWARD,
            met_in_commit: None,
            report: Report::of(number),
            generation: 0,
            wants_sweep: false,
            sweep_not_before: now,
            sweep: None,
            known: shared.lookup.snapshot(),
            paused: BTreeSet::new(),
            shared,
        })
    }

    /// Works until it is told to stop, or has to.
    pub fn run(mut self) -> Result<()> {
        let ended = self.work();
        if ended.is_ok() {
            self.give_back()?;
        }
        // Also at a stop: a static member's partitions would wait for the end of its session.
        self.surrender(Parting::GivenBack);
        tracing::info!(worker = self.number, "leaving the group");
        self.clicks.leave(std::thread::sleep);
        ended
    }

    fn work(&mut self) -> Result<()> {
        while !self.shared.is_stopping() {
            let busy = self.turn()?;
            if !busy {
                std::thread::sleep(IDLE);
            }
        }
        Ok(())
    }

    /// Once round; was there anything to do?
    fn turn(&mut self) -> Result<bool> {
        self.shared.status.tick(self.number);
        let mut busy = self.receive()? | self.look_into_faults()?;
        if let Some(change) = self.clicks.rebalance() {
            self.rebalance(change)?;
            return Ok(true);
        }
        busy |= self.follow_keys();
        busy |= self.ask_and_settle();
        busy |= self.commit_what_is_due(None)?;
        self.refresh_report();
        Ok(busy)
    }

    fn refresh_report(&mut self) {
        let now = self.shared.clock.moment();
        if self.report.reported_at.is_none_or(|at| now.uptime - at >= REPORT_EVERY) {
            let may_decide = self.may_decide(now);
            self.report.refresh(&self.shared, &mut self.tasks, now, may_decide);
            self.transactor.serve();
        }
    }

    /// Do the clocks allow a batch? And of which partition no click, since its state is ahead of them?
    pub(super) fn may_decide(&mut self, now: Moment) -> bool {
        let allowed = self.shared.clock_watch.allows(now, &self.shared);
        let latest = self.shared.clock_watch.latest(now);
        self.tasks.values_mut().for_each(|task| task.note_clock(latest));
        allowed
    }

    fn rebalance(&mut self, change: Rebalance) -> Result<()> {
        match change {
            Rebalance::Assigned(partitions) => self.take_up(&partitions),
            Rebalance::Revoked { lost } => {
                if lost {
                    self.surrender(Parting::Lost);
                } else {
                    crash_point("during_revoke");
                    self.give_back()?;
                    self.surrender(Parting::GivenBack);
                }
                self.unassign();
                Ok(())
            }
        }
    }

    /// The group gave these partitions: restore them, and go on where they stopped.
    fn take_up(&mut self, partitions: &[i32]) -> Result<()> {
        self.shared.metrics.rebalances_total.inc();
        self.let_go();
        self.group = self.clicks.group_metadata().map(Arc::new);
        self.seat.note(self.clicks.member_id());
        if self.clicks.is_lost() || self.clicks.accept().is_err() {
            return self.rejoin();
        }
        tracing::info!(worker = self.number, ?partitions, "partitions assigned");
        self.report.begin(&self.shared, partitions);
        let assigned_at = self.shared.clock.instant();
        self.assigned = partitions.to_vec();
        if partitions.is_empty() {
            return Ok(());
        }
        loop {
            match self.restore(partitions) {
                Ok(tasks) => {
                    self.tasks = tasks;
                    self.report.tell_sweeps(&self.tasks);
                    self.learn_schemas();
                    self.wants_sweep = true;
                    break;
                }
                Err(Trouble::Stop(failure)) => return Err(failure),
                Err(Trouble::Unwanted) => return Ok(()),
                Err(Trouble::Wait(reason)) => {
                    if let Some(repeated) = pace::may_say("not ready") {
                        tracing::warn!(worker = self.number, repeated, "not ready: {reason}");
                    }
                    std::thread::sleep(WAIT);
                }
                Err(Trouble::Again(error)) => {
                    if let Some(repeated) = pace::may_say("restore") {
                        tracing::warn!(worker = self.number, %error, repeated, "can't restore yet");
                    }
                    self.probe.renew();
                    std::thread::sleep(RETRY);
                }
            }
            if !still_wanted(&self.shared, self.number, &self.clicks) {
                return Ok(());
            }
        }
        let took = self.shared.clock.instant() - assigned_at;
        self.shared.metrics.restore_duration_seconds.observe(took.as_secs_f64());
        tracing::info!(worker = self.number, ?partitions, ?took, "partitions restored");
        crash_point("after_restore");
        self.fetch()
    }

    fn restore(&mut self, partitions: &[i32]) -> std::result::Result<BTreeMap<i32, Task>, Trouble> {
        self.initialize_producer()?;
        let (shared, number, clicks) = (&self.shared, self.number, &self.clicks);
        assignment::take_up(shared, &self.probe, partitions, || {
            still_wanted(shared, number, clicks)
        })
    }

    /// Fences what a predecessor of this name left open, before the group's offsets are asked for.
    fn initialize_producer(&mut self) -> std::result::Result<(), Trouble> {
        while !self.transactor.is_ready() {
            if !still_wanted(&self.shared, self.number, &self.clicks) {
                return Err(Trouble::Unwanted);
            }
            if self.shared.clock.instant() < self.transactor.not_before {
                std::thread::sleep(IDLE);
                continue;
            }
            self.drive(Event::Resume, &Batch::default(), None);
        }
        Ok(())
    }

    /// Both consumers start where the tasks are.
    fn fetch(&mut self) -> Result<()> {
        let from = |which: fn(Offsets) -> i64| {
            self.tasks.iter().map(|(&p, task)| (p, which(task.received()))).collect()
        };
        let clicks: BTreeMap<i32, i64> = from(|offsets| offsets.click);
        let consent: BTreeMap<i32, i64> = from(|offsets| offsets.consent);
        let positioned =
            self.consent.fetch_from(&consent).and_then(|()| self.clicks.fetch_from(&clicks));
        match positioned {
            Ok(()) => Ok(()),
            Err(error) => {
                tracing::warn!(%error, "can't position the consumers");
                self.rejoin()
            }
        }
    }

    /// Commits what is in hand, within 5 s.
    pub(super) fn give_back(&mut self) -> Result<()> {
        let deadline = self.shared.clock.instant() + REVOKE_WITHIN;
        loop {
            let busy = self.commit_what_is_due(Some(deadline))?;
            let over = self.shared.clock.instant() >= deadline;
            if over || (!busy && self.in_hand.is_none()) {
                return Ok(());
            }
            if !busy {
                std::thread::sleep(IDLE);
            }
        }
    }

    /// Keeps nothing of any partition, and says how that came.
    pub(super) fn surrender(&mut self, parting: Parting) {
        let partitions = self.let_go();
        let worker = self.number;
        match parting {
            Parting::GivenBack => {
                if !partitions.is_empty() {
                    tracing::info!(worker, ?partitions, "partitions given back");
                }
                self.report.forget(&self.shared);
            }
            Parting::Lost => {
                if !partitions.is_empty() {
                    tracing::warn!(
                        worker,
                        ?partitions,
                        "partitions lost; not ready until the group answers"
                    );
                }
                self.report.freeze(&self.shared);
            }
        }
    }

    /// Drops all partitions, and returns which they were; what is open is aborted.
    fn let_go(&mut self) -> Vec<i32> {
        if let Some(batch) = self.in_hand.take() {
            self.drive(Event::Lost, &batch, None);
        }
        self.sweep = None;
        self.resume_all();
        self.met_in_commit = None;
        self.suspects.clear();
        self.tasks.clear();
        self.group = None;
        std::mem::take(&mut self.assigned)
    }

    fn unassign(&mut self) {
        for result in [self.clicks.unassign(), self.consent.unassign()] {
            if let Err(error) = result {
                tracing::warn!(worker = self.number, %error, "can't unassign");
            }
        }
    }

    /// The member is nobody any more: a new one takes its place, under the same static name.
    pub(super) fn rejoin(&mut self) -> Result<()> {
        self.surrender(Parting::Lost);
        self.unassign();
        if let Some(repeated) = pace::may_say("rejoin") {
            tracing::warn!(worker = self.number, repeated, "joining the group again");
        }
        std::thread::sleep(RETRY);
        let made = |error: KafkaError| Failure::config(format!("kafka.properties: {error}"));
        let config = &self.shared.config;
        self.consent = consent(&self.shared, self.answers).map_err(made)?;
        let successor = ClickConsumer::new(config, self.seat.name(), self.answers).map_err(made)?;
        self.seat.note(self.clicks.member_id());
        std::mem::replace(&mut self.clicks, successor).close();
        await_seat(&self.shared, self.number, &self.seat, &self.probe)?;
        self.clicks.join().map_err(made)
    }
}

/// A consumer of the changelog that was not told yet where to read.
pub(super) fn consent(shared: &Shared, answers: Answers) -> KafkaResult<Follower> {
    let config = &shared.config;
    Follower::of_input(config, "consent", &config.topics.consent, answers)
}

/// Before joining: is this worker's name its own? librdkafka's mock cluster can't say who is there.
fn await_seat(shared: &Shared, number: usize, seat: &Seat, probe: &Probe) -> Result<()> {
    if !shared.has_topic_ids {
        return Ok(());
    }
    seat.await_free(probe, &shared.config.kafka.group_id, &*shared.clock, || {
        shared.status.tick(number);
        !shared.is_stopping()
    })
}

/// Does nothing speak against going on with an assignment? Keeps the member alive meanwhile.
fn still_wanted(shared: &Shared, number: usize, clicks: &ClickConsumer) -> bool {
    shared.status.tick(number);
    clicks.poll();
    !clicks.is_disturbed() && !shared.is_stopping()
}
