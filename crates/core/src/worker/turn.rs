//! The order of a turn, and what of it is next.

use super::intake::Ended;
use super::request::Request;
use super::standstill::Place;
use super::{Giving, Worker, room};
use crate::task::Task;
use assent_contract::domain::time::Moment;

/// Where a turn stands: what is looked at next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    #[default]
    Learn,
    Pauses,
    /// What ended the receiving during a commit is followed up.
    Before,
    Consent,
    Forward,
    Clicks,
    /// What ended the receiving in this turn is followed up.
    After,
    Faults,
    Group,
    Restore,
    Keys,
    StartSweep,
    Sweep,
    Audiences,
    Ask,
    Settle,
    Standstill,
    Batch,
    Over,
}

#[derive(Debug, Default)]
pub struct Turn {
    pub stage: Stage,
    /// There was something to do.
    pub busy: bool,
    /// Consent was received.
    pub consent_came: bool,
    /// Partitions to pause or to resume.
    pub pauses: Vec<Request>,
}

impl Worker {
    /// What is to be done next. An action of the commit protocol stays the next until it was done.
    pub fn next(&mut self, now: Moment) -> Request {
        if let Some(request) = self.batches.under_way() {
            return request;
        }
        if let Some(giving) = self.giving {
            return self.next_of_giving(giving, now);
        }
        loop {
            if let Some(request) = self.look(now) {
                return request;
            }
        }
    }

    /// What is in hand is committed, and what can be; then the partitions may go.
    fn next_of_giving(&mut self, giving: Giving, now: Moment) -> Request {
        if giving.is_empty || now.uptime >= giving.until {
            return Request::GiveBack;
        }
        match self.next_of_batch(true, now) {
            Some(Request::Decide) => {
                self.giving = Some(Giving { is_empty: true, ..giving });
                Request::Decide
            }
            Some(request) => request,
            None if self.batches.in_hand().is_none() => Request::GiveBack,
            None => Request::Rest { busy: false },
        }
    }

    /// One stage of the turn. Most lead on to the next one, whether or not there is something to do.
    fn look(&mut self, now: Moment) -> Option<Request> {
        let tasks = &self.intake.tasks;
        let (next, request) = match self.turn.stage {
            Stage::Learn => (Stage::Pauses, Some(Request::Learn)),
            Stage::Pauses => stay(Stage::Pauses, Stage::Before, self.turn.pauses.pop()),
            Stage::Before => (Stage::Consent, self.follow_up()),
            Stage::Consent => {
                let room = room::for_consent(&self.settings.limits, tasks);
                (Stage::Forward, Some(Request::ReceiveConsent(room)))
            }
            Stage::Forward => {
                let request = self.forwarding.next(tasks, self.turn.consent_came, now);
                stay(Stage::Forward, Stage::Clicks, request)
            }
            Stage::Clicks => {
                let may = self.intake.met.is_none();
                let room = may.then(|| self.intake.room_for_clicks(now));
                (Stage::After, room.map(Request::ReceiveClicks))
            }
            Stage::After => (Stage::Faults, self.follow_up()),
            Stage::Faults => (Stage::Group, Some(Request::LookIntoFaults)),
            Stage::Group => (Stage::Restore, Some(Request::HearGroup)),
            Stage::Restore => (Stage::Keys, self.next_of_taking(now)),
            Stage::Keys => {
                let is_free = self.batches.in_hand().is_none();
                let next = if is_free { Stage::StartSweep } else { Stage::Audiences };
                (next, is_free.then_some(Request::TakeUpKeys))
            }
            Stage::StartSweep => {
                let bounds = &self.settings.bounds;
                (Stage::Sweep, self.sweep.next(&mut self.intake.tasks, bounds, now))
            }
            Stage::Audiences => {
                let asks = tasks.values().any(|task| task.engine.has_audiences());
                (Stage::Ask, asks.then_some(Request::HearAudiences))
            }
            Stage::Sweep => (Stage::Audiences, self.sweep.is_reading().then_some(Request::Sweep)),
            Stage::Ask if tasks.is_empty() => (Stage::Batch, None),
            Stage::Ask => {
                let interval = self.settings.commit_interval;
                match self.questions.next(tasks, interval, now) {
                    Some(Request::RenewProbe) => (Stage::Settle, Some(Request::RenewProbe)),
                    request => stay(Stage::Ask, Stage::Settle, request),
                }
            }
            Stage::Settle => {
                let locate = tasks.values().any(|task| task.barrier.has_open());
                (Stage::Standstill, Some(Request::Settle { locate }))
            }
            Stage::Standstill => (Stage::Batch, self.look_after_consent(now)),
            Stage::Batch => (Stage::Over, self.next_of_batch(false, now)),
            Stage::Over => {
                let busy = self.turn.busy;
                self.turn = Turn::default();
                return Some(Request::Rest { busy });
            }
        };
        self.turn.stage = next;
        request
    }

    fn follow_up(&mut self) -> Option<Request> {
        match self.intake.met.take()? {
            Ended::OutOfRange => Some(Request::FindLoss),
            Ended::Gone => Some(Request::Rejoin),
            Ended::Drained | Ended::Full | Ended::NoRoom => None,
        }
    }

    fn next_of_taking(&mut self, now: Moment) -> Option<Request> {
        let taking = self.taking.as_ref().filter(|taking| taking.not_before <= now.uptime)?;
        // A producer first: it ends what a predecessor of this name left open.
        self.batches.protocol().is_ready().then(|| Request::Restore(taking.partitions.clone()))
    }

    /// Clicks and consent are where the tasks are; does consent stand there for too long, or for so long
    /// that what comes next may be gone?
    fn look_after_consent(&mut self, now: Moment) -> Option<Request> {
        let tasks = &self.intake.tasks;
        if tasks.values().any(|task| task.unread_too_long(now).is_some()) {
            return Some(Request::FindLoss);
        }
        let next = |task: &Task| task.received().consent;
        let places = tasks.iter().map(|(&partition, task)| Place {
            partition,
            next: next(task),
            waits: task.barrier.has_open(),
        });
        let all = || tasks.iter().map(|(&at, task)| (at, next(task))).collect();
        self.standstill.look(places, now).then(|| Request::FollowConsentAnew(all()))
    }

    fn next_of_batch(&mut self, everything: bool, now: Moment) -> Option<Request> {
        let (tasks, settings) = (&self.intake.tasks, &self.settings);
        let is_wanted = !tasks.is_empty() || self.taking.is_some();
        let is_ready = self.batches.go_on(is_wanted, now);
        if let Some(request) = self.batches.under_way() {
            self.turn.busy = true;
            return Some(request);
        }
        let is_due = is_ready && self.batches.is_due(tasks, settings, everything, now);
        is_due.then_some(Request::Decide)
    }
}

/// A stage with several requests leads on once there is none.
fn stay(stage: Stage, next: Stage, request: Option<Request>) -> (Stage, Option<Request>) {
    (if request.is_some() { stage } else { next }, request)
}
