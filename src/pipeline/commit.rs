//! A worker's batches: questions to the broker, when to cut, one transaction over all partitions
//! that have something, and what follows from its end.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use super::Shared;
use super::assignment::{self, Trouble};
use super::click_intake::ClickIntake;
use super::crash::crash_point;
use super::receive::Ended;
use super::report;
use super::transaction::Surroundings;
use super::worker::Worker;
use crate::domain::time::Moment;
use crate::engine::commit::{Ending, Event, Fault};
use crate::failure::Result;
use crate::kafka::context::AWAY;
use crate::kafka::group_offsets::committed;
use crate::kafka::probe::Probe;
use crate::pace;
use crate::task::barrier::Question;
use crate::task::batch::{Batch, Found, Part};
use crate::task::{Task, Urgency};

/// The broker is asked at least this often, also without clicks (docs/contract/batch.md#lag).
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Two questions are at least this far apart: one costs the broker some 100 µs.
const ASK_APART: Duration = Duration::from_millis(2);

/// How long a question may take. Where one partition has no leader, the question for all fails, and
/// each is asked alone, so that the others go on.
const ASK_TIMEOUT: Duration = Duration::from_millis(500);
const ASK_ONE_TIMEOUT: Duration = Duration::from_millis(100);

/// Where nobody answers, it is asked up to so many times more rarely: librdkafka takes a fifth of a
/// core for a question that it has nobody to send to.
const ASK_LESS_OFTEN: u32 = 4;

/// After so many questions in a row without any answer, 10 s at most, another client asks: well below
/// a minute, the bound on consent sync that is usual.
const PROBE_PATIENCE: u32 = 5;

/// Clicks of all partitions in one transaction: 100 ms of deciding at 1.6 µs each. What has piled up
/// is caught up with in steps of that, since whoever opts out meanwhile waits for a whole one.
const CLICKS_PER_TRANSACTION: usize = 60_000;

/// Clicks that go along with an opt-out: a third of it.
const CLICKS_BESIDE_URGENT: usize = 20_000;

/// How long reading back may ask for the group's offsets.
const READ_BACK: Duration = Duration::from_secs(5);

impl Worker {
    /// Asks the broker for the ends of consent where that is due, and takes note of what was
    /// reached; did anything happen?
    pub(super) fn ask_and_settle(&mut self) -> bool {
        if self.tasks.is_empty() {
            return false;
        }
        let asked = self.ask_due(self.shared.clock.instant()) && self.ask();
        let waits = self.tasks.values().any(|task| task.barrier.has_open());
        if waits {
            self.advance();
        }
        let now = self.shared.clock.moment();
        let mut settled = false;
        for task in self.tasks.values_mut() {
            for question in task.settle() {
                settled = true;
                report::count_barrier_wait(&self.shared, &question, now);
            }
        }
        self.look_after_consent();
        asked || settled
    }

    fn ask_due(&self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.asked_at);
        if self.unanswered > 0 {
            return since >= ASK_EVERY * self.unanswered.min(ASK_LESS_OFTEN);
        }
        let clicks_wait =
            || self.tasks.values().any(|t| t.wants_question() && !t.barrier.has_open());
        let interval = self.shared.config.pipeline.commit_interval.max(ASK_APART);
        since >= ASK_EVERY || (since >= interval && clicks_wait())
    }

    /// One question for all partitions. A click received after it was sent is not covered by it.
    fn ask(&mut self) -> bool {
        self.asked_at = self.shared.clock.instant();
        let partitions: Vec<i32> = self.tasks.keys().copied().collect();
        let all = self.ask_about(&partitions, ASK_TIMEOUT);
        let one_by_one = partitions.iter().filter(|_| !all && partitions.len() > 1);
        let answered = one_by_one.filter(|&&one| self.ask_about(&[one], ASK_ONE_TIMEOUT)).count();
        if all || answered > 0 {
            if std::mem::take(&mut self.unanswered) >= PROBE_PATIENCE {
                tracing::info!(worker = self.number, "the brokers answer again");
            }
            return true;
        }
        self.unanswered = self.unanswered.saturating_add(1);
        if self.unanswered.is_multiple_of(PROBE_PATIENCE) {
            // Where librdkafka can't connect, it has said so.
            if !pace::was_said(AWAY)
                && let Some(repeated) = pace::may_say("no answer")
            {
                tracing::warn!(
                    worker = self.number,
                    repeated,
                    "no broker answers where consent ends; consent-sync lag grows until one does"
                );
            }
            self.probe.renew();
        }
        false
    }

    fn ask_about(&mut self, partitions: &[i32], timeout: Duration) -> bool {
        let sent = self.shared.clock.moment();
        match self.probe.ends(&self.shared.config.topics.consent, partitions, timeout) {
            Ok(ends) => {
                for (partition, end) in ends {
                    if let Some(task) = self.tasks.get_mut(&partition) {
                        let clicks = task.clicks.received();
                        task.barrier.asked(Question { sent, end, clicks });
                    }
                }
                true
            }
            Err(error) => {
                tracing::debug!(?partitions, %error, "no broker answered where consent ends");
                false
            }
        }
    }

    /// Where the consumers are, beyond what can be received.
    fn advance(&mut self) {
        let (Ok(clicks), Ok(consent)) = (self.clicks.positions(), self.consent.positions()) else {
            return;
        };
        for (partition, task) in &mut self.tasks {
            task.advance(clicks.get(partition), consent.get(partition));
        }
    }

    /// Runs a transaction where one is due, or goes on with one that is in hand. With a deadline
    /// everything that can be committed is due. Did anything happen?
    pub(super) fn commit_what_is_due(&mut self, deadline: Option<Instant>) -> Result<bool> {
        if self.shared.clock.instant() < self.transactor.not_before {
            return Ok(false);
        }
        if let Some(batch) = self.in_hand.take() {
            self.go_on(Event::Resume, batch, deadline)?;
            return Ok(true);
        }
        if self.tasks.is_empty() {
            return Ok(false);
        }
        if !self.transactor.is_ready() {
            self.drive(Event::Resume, &Batch::default(), deadline);
            return Ok(true);
        }
        let now = self.shared.clock.moment();
        if !self.is_due(deadline.is_some(), now) || !self.may_decide(now) {
            return Ok(false);
        }
        self.advance();
        self.began_at = self.shared.clock.instant();
        let batch = self.decide(now);
        if batch.parts.is_empty() {
            return Ok(false);
        }
        self.go_on(Event::Start, batch, deadline)?;
        Ok(true)
    }

    fn is_due(&self, everything: bool, now: Moment) -> bool {
        let bounds = &self.shared.bounds;
        let urgency = self.tasks.values().map(|task| task.commit_urgency(bounds, now)).max();
        let since = self.shared.clock.instant().saturating_duration_since(self.began_at);
        match urgency {
            None | Some(Urgency::Nothing) => false,
            Some(Urgency::AtOnce) => true,
            Some(Urgency::Regular) => {
                let ready =
                    || self.tasks.values().map(|task| task.ready(bounds, now)).sum::<usize>();
                everything
                    || since >= self.shared.config.pipeline.commit_interval
                    || ready() >= CLICKS_PER_TRANSACTION
            }
        }
    }

    /// Cuts and decides a batch of every partition that wants one.
    fn decide(&mut self, now: Moment) -> Batch {
        let mut batch = Batch::default();
        let urgent = self.tasks.values().any(Task::is_urgent);
        let mut room = if urgent { CLICKS_BESIDE_URGENT } else { CLICKS_PER_TRANSACTION };
        for partition in self.in_turn() {
            let Some(task) = self.tasks.get_mut(&partition) else { continue };
            if task.commit_urgency(&self.shared.bounds, now) == Urgency::Nothing {
                continue;
            }
            let cut = task.cut(&self.shared.bounds, now, room);
            room -= cut.clicks;
            let sequence_before = task.engine.positions().map(|p| p.next_sequence);
            let output = task.decide(&cut, &self.shared.click_reader, now.wall);
            report::count_violations(&self.shared, partition, &output);
            if output.is_broken() {
                task.isolate(&cut, now);
                continue;
            }
            if output.outputs.is_empty() {
                task.confirm(&cut, now);
                continue;
            }
            batch.parts.insert(partition, Part { cut, output, sequence_before });
        }
        crash_point("after_decide");
        if batch.parts.values().any(|part| part.cut.is_of_sweep()) {
            crash_point("during_sweep");
        }
        batch
    }

    /// The partitions, each time from another one on: the first has the most room.
    fn in_turn(&mut self) -> Vec<i32> {
        let mut partitions: Vec<i32> = self.tasks.keys().copied().collect();
        self.turns += 1;
        let first = self.turns % partitions.len().max(1);
        partitions.rotate_left(first);
        partitions
    }

    /// Runs the protocol with a batch, and does what its end asks for.
    fn go_on(&mut self, event: Event, batch: Batch, deadline: Option<Instant>) -> Result<()> {
        let began = self.shared.clock.instant();
        match self.drive(event, &batch, deadline) {
            None => self.in_hand = Some(batch),
            Some(Ending::Committed) => {
                let took = self.shared.clock.instant() - began;
                self.shared.metrics.transaction_duration_seconds.observe(took.as_secs_f64());
                self.confirm(&batch);
            }
            Some(Ending::RolledBack) => {
                for partition in batch.parts.keys() {
                    if let Some(task) = self.tasks.get_mut(partition) {
                        task.rollback();
                    }
                }
            }
            Some(Ending::Surrendered) => self.rejoin()?,
        }
        Ok(())
    }

    fn confirm(&mut self, batch: &Batch) {
        let now = self.shared.clock.moment();
        report::count_batch(&self.shared, batch, &self.tasks, now.wall);
        for (partition, part) in &batch.parts {
            report::count_opt_outs(&self.shared, part, now.wall);
            if let Some(task) = self.tasks.get_mut(partition) {
                task.confirm(&part.cut, now);
            }
        }
    }

    /// One run of the commit protocol, up to its rest or its end.
    pub(super) fn drive(
        &mut self,
        event: Event,
        batch: &Batch,
        deadline: Option<Instant>,
    ) -> Option<Ending> {
        let (shared, clicks, probe) = (&self.shared, &self.clicks, &self.probe);
        let intake = RefCell::new(ClickIntake {
            clock: shared.clock.as_ref(),
            clicks,
            tasks: &mut self.tasks,
            trickle_until: &mut self.trickle_until,
        });
        let met = RefCell::new(&mut self.met_in_commit);
        let receive = || take_in(&mut intake.borrow_mut(), &mut met.borrow_mut());
        self.transactor.drive(
            event,
            batch,
            &Surroundings {
                shared,
                worker: self.number,
                group: self.group.as_ref(),
                read_back: &|batch| landed(shared, probe, batch),
                meanwhile: if deadline.is_none() { &receive } else { &|| false },
                deadline,
            },
        )
    }
}

/// A burst of clicks beside a commit, unless the last one met what is to be followed up first. Was
/// there any?
fn take_in(intake: &mut ClickIntake<'_>, met: &mut Option<Ended>) -> bool {
    if met.is_some() || intake.tasks.is_empty() {
        return false;
    }
    let (taken, ended) = intake.receive();
    if matches!(ended, Ended::OutOfRange | Ended::Gone) {
        *met = Some(ended);
    }
    taken > 0
}

/// Did the batch land? The group's metadata is the sequence that was committed with the offsets;
/// a group without any is asked through the state instead.
fn landed(shared: &Shared, probe: &Probe, batch: &Batch) -> std::result::Result<bool, Fault> {
    let partitions: Vec<i32> = batch.parts.keys().copied().collect();
    let committed = committed(&shared.config, &partitions, READ_BACK).map_err(|error| {
        if let Some(repeated) = pace::may_say("read back") {
            tracing::warn!(%error, repeated, "can't read back yet");
        }
        Fault::Replace
    })?;
    let mut found: Found = committed
        .iter()
        .map(|(&partition, committed)| {
            let sequence = committed.metadata.parse();
            (partition, sequence.ok().map(|sequence| (committed.offset, sequence)))
        })
        .collect();
    if found.len() < partitions.len() {
        found = positions_of_state(shared, probe, &partitions)?;
    }
    batch.landed(&found).inspect_err(|_| {
        tracing::error!(
            "the committed offsets are neither those before nor those after the current batch"
        );
    })
}

fn positions_of_state(
    shared: &Shared,
    probe: &Probe,
    partitions: &[i32],
) -> std::result::Result<Found, Fault> {
    match assignment::restore(shared, probe, partitions, || !shared.is_stopping()) {
        Ok(engines) => {
            let positions = |(partition, engine): (i32, crate::engine::Partition)| {
                (partition, engine.positions().map(|p| (p.next_click, p.next_sequence)))
            };
            Ok(engines.into_iter().map(positions).collect())
        }
        Err(Trouble::Stop(failure)) => {
            tracing::error!("can't read back: {failure}");
            Err(Fault::Evicted)
        }
        Err(Trouble::Again(_) | Trouble::Wait(_) | Trouble::Unwanted) => Err(Fault::Replace),
    }
}
