//! Executes what a worker's batches ask for: questions to the broker, deciding, the commit protocol's
//! actions, and what is counted at a batch's end.

use std::cell::RefCell;
use std::time::Duration;

use super::Runner;
use super::receive::receive_clicks;
use crate::failure::Result;
use crate::kafka::context::AWAY;
use crate::kafka::group_offsets::committed;
use crate::kafka::probe::Probe;
use crate::pace;
use crate::pipeline::assignment;
use crate::pipeline::crash::crash_point;
use crate::pipeline::report;
use crate::pipeline::shared::Shared;
use crate::pipeline::take_up_error::TakeUpError;
use crate::pipeline::transaction::TransactionContext;
use assent_contract::domain::time::Span;
use assent_core::commit::{Action, Ending, Fault};
use assent_core::commit::{Batch, Found};

/// How long reading back may ask for the group's offsets.
const READ_BACK: Duration = Duration::from_secs(5);

impl Runner {
    /// What do the partitions say of their audiences?
    pub(super) fn hear_audiences(&mut self) {
        let heard = self.shared.audiences.heard();
        self.worker.heard_audiences(heard.as_ref(), self.shared.clock.moment());
    }

    /// Where does consent end?
    pub(super) fn ask(&mut self, partitions: &[i32], within: Span) {
        let sent = self.shared.clock.moment();
        let within = Duration::from_millis(within.0 as u64);
        match self.clients.probe.ends(&self.shared.config.topics.consent, partitions, within) {
            Ok(ends) => {
                if self.worker.answered(&ends, sent) {
                    tracing::info!(worker = self.number, "the brokers answer again");
                }
            }
            Err(error) => {
                tracing::debug!(?partitions, %error, "no broker answered where consent ends");
            }
        }
    }

    pub(super) fn renew_probe(&self) {
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
        self.clients.probe.renew();
    }

    pub(super) fn settle(&mut self, locate: bool) {
        if locate {
            self.advance();
        }
        let now = self.shared.clock.moment();
        for question in self.worker.settle() {
            report::count_barrier_wait(&self.shared, &question, now);
        }
    }

    /// Where the consumers are, beyond what can be received.
    fn advance(&mut self) {
        let clients = &self.clients;
        if let (Ok(clicks), Ok(consent)) = (clients.clicks.positions(), clients.consent.positions())
        {
            self.worker.advance(&clicks, &consent);
        }
    }

    pub(super) fn decide(&mut self) {
        let now = self.shared.clock.moment();
        if !self.may_decide(now) {
            return;
        }
        self.advance();
        let shared = &self.shared;
        self.worker.decide(&shared.click_reader, now, |partition, output| {
            report::count_violations(shared, partition, output);
        });
        crash_point("after_decide");
        if self.worker.in_hand().is_some_and(Batch::is_of_sweep) {
            crash_point("during_sweep");
        }
    }

    /// One action of the commit protocol. Without a deadline clicks are taken in meanwhile.
    pub(super) fn perform(&mut self, action: Action) {
        self.shared.status.tick(self.number);
        if action == Action::Begin {
            self.began_at = self.shared.clock.instant();
        }
        let (shared, clients) = (&self.shared, &mut self.clients);
        let deadline = self.worker.deadline();
        let (batch, intake) = self.worker.during_commit();
        let (clicks, probe, intake) = (&clients.clicks, &clients.probe, RefCell::new(intake));
        let receive = || {
            let mut intake = intake.borrow_mut();
            let Some(room) = intake.room_during_commit(shared.clock.moment()) else { return false };
            let (taken, ended) = receive_clicks(clicks, &mut intake, room);
            intake.clicks_ended(ended);
            taken > 0
        };
        let event = clients.transactor.perform(
            action,
            batch.into_iter().flat_map(Batch::outputs),
            &TransactionContext {
                shared,
                group: clients.group.as_ref(),
                read_back: &|| batch.map_or(Ok(false), |batch| landed(shared, probe, batch)),
                meanwhile: if deadline.is_none() { &receive } else { &|| false },
                deadline,
            },
        );
        self.worker.performed(event, self.shared.clock.moment());
    }

    /// What a batch did is counted before its inputs are forgotten.
    pub(super) fn conclude(&mut self, ending: Ending) -> Result<()> {
        let (shared, now) = (&self.shared, self.shared.clock.moment());
        if let (Ending::Committed, Some(batch)) = (ending, self.worker.in_hand()) {
            let took = shared.clock.instant() - self.began_at;
            shared.metrics.transaction_duration_seconds.observe(took.as_secs_f64());
            report::count_batch(shared, batch, self.worker.tasks(), now.wall);
            for part in batch.parts.values() {
                report::count_opt_outs(shared, part, now.wall);
            }
        }
        match self.worker.conclude(now) {
            Some(Ending::Surrendered) => self.rejoin(),
            _ => Ok(()),
        }
    }
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
            let positions = |(partition, engine): (i32, assent_core::engine::Partition)| {
                (partition, engine.positions().map(|p| (p.next_click, p.next_sequence)))
            };
            Ok(engines.into_iter().map(positions).collect())
        }
        Err(TakeUpError::Stop(failure)) => {
            tracing::error!("can't read back: {failure}");
            Err(Fault::Evicted)
        }
        Err(
            TakeUpError::Again(_)
            | TakeUpError::Unsure(..)
            | TakeUpError::Wait(_)
            | TakeUpError::Unwanted,
        ) => Err(Fault::Replace),
    }
}
