//! Runs a worker on Kafka: one OS thread with its own click consumer, consent consumer, probe and producer.
//!
//! What is to be done next, [`Worker`] says; here it is executed, and what came of it is told. Nothing else
//! touches a worker's partitions, so there is nothing to lock.

mod commit;
mod damaged;
mod faults;
mod receive;
mod schemas;
mod sweep;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, KafkaResult};

use crate::failure::{Failure, Result};
use crate::kafka::consumer::{Answers, ClickConsumer, Follower, Rebalance};
use crate::kafka::probe::Probe;
use crate::pace;
use crate::pipeline::assignment;
use crate::pipeline::crash::crash_point;
use crate::pipeline::report::{REPORT_EVERY, Report};
use crate::pipeline::reread::Reread;
use crate::pipeline::shared::Shared;
use crate::pipeline::suspects::Suspects;
use crate::pipeline::take_up_error::TakeUpError;
use crate::pipeline::transaction::Transactor;
use crate::pipeline::twin::StaticMember;
use assent_contract::domain::time::{Moment, Span};
use assent_core::worker::{Limits, Request, Settings, Worker};
use damaged::Unsure;

/// The pause of a loop that found nothing to do: short compared with every latency that is promised, long
/// enough to cost a percent of a core.
const IDLE: Duration = Duration::from_millis(1);

/// Between two tries to join again.
const REJOIN: Duration = Duration::from_millis(500);

/// Between two tries to take partitions up.
const RETRY: Span = Span(500);

/// Between two looks at whether a person brought what is missing.
const WAIT: Span = Span(2_000);

/// How a worker parts with its partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parting {
    /// In good order: others have them at once.
    GivenBack,
    /// Without having given them back: others may have them, or nobody.
    Lost,
}

pub struct Runner {
    pub(super) shared: Arc<Shared>,
    pub(super) number: usize,
    pub(super) worker: Worker,
    pub(super) clients: Clients,
    member: Member,
    /// When the transaction of the batch in hand began; it may be resumed by another producer.
    pub(super) began_at: Instant,
    pub(super) suspects: Suspects,
    /// Of state or audit, while partitions wait to be taken up.
    pub(super) unsure: Option<Unsure>,
    pub(super) report: Report,
    /// Of the set-up that the tasks have.
    pub(super) generation: u64,
}

/// What talks to the brokers.
pub(super) struct Clients {
    pub clicks: ClickConsumer,
    pub consent: Follower,
    pub probe: Probe,
    pub transactor: Transactor,
    /// As captured at assignment: this fences a zombie. `None`: no commit.
    pub group: Option<Arc<ConsumerGroupMetadata>>,
    /// Reads the changelog again, while a rotation asks for it.
    pub reread: Option<Reread>,
    /// How large an answer both consumers may take.
    pub answers: Answers,
}

/// This thread as a member of the group.
struct Member {
    identity: StaticMember,
    /// What the group gave, from then until it is surrendered: restored or not.
    assigned: Vec<i32>,
    assigned_at: Instant,
}

impl Runner {
    /// Joins the group.
    pub fn new(shared: Arc<Shared>, number: usize, name: String) -> Result<Self> {
        let config = &shared.config;
        let made = |error: KafkaError| Failure::config(format!("kafka.properties: {error}"));
        let status = Arc::clone(&shared.status);
        let probe = Probe::new(config).map_err(made)?.on_question(move || status.tick(number));
        let identity = StaticMember::of_worker(&config.pipeline.state_dir, number, name.clone());
        let clicks = ClickConsumer::new(config, &name, Answers::Usual).map_err(made)?;
        await_membership(&shared, number, &identity, &probe)?;
        let transactor = Transactor::new(name);
        if !shared.config.kafka.is_embedded {
            transactor.ask_in(config)?;
        }
        clicks.join().map_err(made)?;
        let consent = consent(&shared, Answers::Usual).map_err(made)?;
        let now = shared.clock.instant();
        Ok(Self {
            number,
            worker: Worker::new(Settings {
                bounds: shared.bounds.clone(),
                commit_interval: Span(config.pipeline.commit_interval.as_millis() as i64),
                limits: Limits::default(),
            }),
            clients: Clients {
                clicks,
                consent,
                probe,
                transactor,
                group: None,
                reread: None,
                answers: Answers::Usual,
            },
            member: Member { identity, assigned: Vec::new(), assigned_at: now },
            began_at: now,
            suspects: Suspects::default(),
            unsure: None,
            report: Report::of(number),
            generation: 0,
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
        self.clients.clicks.leave(std::thread::sleep);
        ended
    }

    fn work(&mut self) -> Result<()> {
        while !self.shared.is_stopping() {
            self.shared.status.tick(self.number);
            let busy = self.turn()?;
            self.refresh_report();
            if !busy {
                std::thread::sleep(IDLE);
            }
        }
        Ok(())
    }

    /// Once round; was there anything to do?
    fn turn(&mut self) -> Result<bool> {
        loop {
            match self.worker.next(self.shared.clock.moment()) {
                Request::Rest { busy } => return Ok(busy),
                request => self.execute(request)?,
            }
        }
    }

    fn execute(&mut self, request: Request) -> Result<()> {
        match request {
            Request::Learn => self.learn_schemas(),
            Request::Pause(partition) => self.pause(partition),
            Request::Resume(partition) => self.resume(partition),
            Request::ReceiveConsent(room) => self.receive_consent(room),
            Request::Forward { partition, within } => self.forward_misrouted(partition, within),
            Request::ReceiveClicks(room) => self.receive_clicks(room),
            Request::LookIntoFaults => return self.look_into_faults(),
            Request::HearGroup => return self.hear_group(),
            Request::Restore(partitions) => return self.restore(&partitions),
            Request::TakeUpKeys => self.take_up_keys(),
            Request::StartSweep(partitions) => self.start_sweep(partitions),
            Request::Sweep => self.sweep(),
            Request::HearAudiences => self.hear_audiences(),
            Request::Ask { partitions, within } => self.ask(&partitions, within),
            Request::RenewProbe => self.renew_probe(),
            Request::Settle { locate } => self.settle(locate),
            Request::FollowConsentAnew(at) => self.leave_standstill(&at),
            Request::Decide => self.decide(),
            Request::Perform(action) => self.perform(action),
            Request::Conclude(ending) => return self.conclude(ending),
            Request::FindLoss => return self.stop_for_loss(),
            Request::Rejoin => return self.rejoin(),
            Request::GiveBack | Request::Rest { .. } => {}
        }
        Ok(())
    }

    fn refresh_report(&mut self) {
        let now = self.shared.clock.moment();
        if self.report.reported_at.is_none_or(|at| now.uptime - at >= REPORT_EVERY) {
            let may_decide = self.may_decide(now);
            self.report.refresh(&self.shared, self.worker.tasks_mut(), now, may_decide);
            self.clients.transactor.serve();
        }
    }

    /// Do the clocks allow a batch? And of which partition no click, since its state is ahead of them?
    pub(super) fn may_decide(&mut self, now: Moment) -> bool {
        let allowed = self.shared.clock_watch.allows(now, &self.shared);
        self.worker.note_clock(self.shared.clock_watch.latest(now));
        allowed
    }

    fn hear_group(&mut self) -> Result<()> {
        match self.clients.clicks.rebalance() {
            None => Ok(()),
            Some(Rebalance::Assigned(partitions)) => self.take_up(&partitions),
            Some(Rebalance::Revoked { lost }) => {
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

    /// The group gave these partitions, and nothing of before counts.
    fn take_up(&mut self, partitions: &[i32]) -> Result<()> {
        self.shared.metrics.rebalances_total.inc();
        self.let_go();
        let clicks = &self.clients.clicks;
        self.clients.group = clicks.group_metadata().map(Arc::new);
        self.member.identity.note(clicks.member_id());
        if clicks.is_lost() || clicks.accept().is_err() {
            return self.rejoin();
        }
        tracing::info!(worker = self.number, ?partitions, "partitions assigned");
        self.report.begin(&self.shared, partitions);
        self.member.assigned_at = self.shared.clock.instant();
        self.member.assigned = partitions.to_vec();
        self.worker.assigned(partitions.to_vec(), self.shared.clock.moment());
        Ok(())
    }

    /// They go on where they stopped.
    fn restore(&mut self, partitions: &[i32]) -> Result<()> {
        let (shared, number, clicks) = (&self.shared, self.number, &self.clients.clicks);
        let restored = assignment::take_up(shared, &self.clients.probe, partitions, || {
            still_wanted(shared, number, clicks)
        });
        let tasks = match restored {
            Ok(tasks) => tasks,
            Err(TakeUpError::Stop(failure)) => return Err(failure),
            Err(TakeUpError::Unwanted) => {
                self.worker.restore_after(RETRY, self.shared.clock.moment());
                return Ok(());
            }
            Err(TakeUpError::Wait(reason)) => {
                if let Some(repeated) = pace::may_say("not ready") {
                    tracing::warn!(worker = self.number, repeated, "not ready: {reason}");
                }
                self.worker.restore_after(WAIT, self.shared.clock.moment());
                return Ok(());
            }
            Err(TakeUpError::Unsure(doubtful, stop)) => {
                return self.outlast_damage(doubtful, stop);
            }
            Err(TakeUpError::Again(error)) => {
                if let Some(repeated) = pace::may_say("restore") {
                    tracing::warn!(worker = self.number, %error, repeated, "can't restore yet");
                }
                self.clients.probe.renew();
                self.worker.restore_after(RETRY, self.shared.clock.moment());
                return Ok(());
            }
        };
        self.unsure = None;
        self.worker.restored(tasks);
        self.report.tell_sweeps(self.worker.tasks());
        let took = self.shared.clock.instant() - self.member.assigned_at;
        self.shared.metrics.restore_duration_seconds.observe(took.as_secs_f64());
        tracing::info!(worker = self.number, ?partitions, ?took, "partitions restored");
        crash_point("after_restore");
        self.fetch()
    }

    /// Both consumers start where the tasks are.
    fn fetch(&mut self) -> Result<()> {
        let received = self.worker.tasks().iter().map(|(&at, task)| (at, task.received()));
        let (clicks, consent) = received.map(|(at, to)| ((at, to.click), (at, to.consent))).unzip();
        let positioned = self
            .clients
            .consent
            .fetch_from(&consent)
            .and_then(|()| self.clients.clicks.fetch_from(&clicks));
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
        self.worker.give_back(self.shared.clock.moment());
        while self.worker.is_giving_back() {
            match self.worker.next(self.shared.clock.moment()) {
                Request::GiveBack => break,
                Request::Rest { .. } => std::thread::sleep(IDLE),
                request => self.execute(request)?,
            }
        }
        Ok(())
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

    /// Drops all partitions, and returns which they were.
    fn let_go(&mut self) -> Vec<i32> {
        self.resume_all();
        self.worker.surrender();
        self.suspects.clear();
        self.unsure = None;
        self.clients.reread = None;
        self.clients.group = None;
        std::mem::take(&mut self.member.assigned)
    }

    fn unassign(&mut self) {
        for result in [self.clients.clicks.unassign(), self.clients.consent.unassign()] {
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
        std::thread::sleep(REJOIN);
        let made = |error: KafkaError| Failure::config(format!("kafka.properties: {error}"));
        let (config, identity) = (&self.shared.config, &mut self.member.identity);
        let answers = self.clients.answers;
        self.clients.consent = consent(&self.shared, answers).map_err(made)?;
        let successor = ClickConsumer::new(config, identity.name(), answers).map_err(made)?;
        identity.note(self.clients.clicks.member_id());
        std::mem::replace(&mut self.clients.clicks, successor).close();
        await_membership(&self.shared, self.number, identity, &self.clients.probe)?;
        self.clients.clicks.join().map_err(made)
    }
}

/// A consumer of the changelog that was not told yet where to read.
pub(super) fn consent(shared: &Shared, answers: Answers) -> KafkaResult<Follower> {
    let config = &shared.config;
    Follower::of_input(config, "consent", &config.topics.consent, answers)
}

/// Before joining: is this worker's name its own? librdkafka's mock cluster can't say who is there.
fn await_membership(
    shared: &Shared,
    number: usize,
    identity: &StaticMember,
    probe: &Probe,
) -> Result<()> {
    if shared.config.kafka.is_embedded {
        return Ok(());
    }
    identity.await_free(probe, &shared.config.kafka.group_id, &*shared.clock, || {
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
