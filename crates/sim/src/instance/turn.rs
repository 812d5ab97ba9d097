//! Once round the worker's turn: each of its requests executed on the simulated cluster.

use super::{Around, Instance, setup};
use crate::group::Told;
use crate::stage::{PARTITIONER, PARTITIONS};
use assent_contract::domain::time::Span;
use assent_contract::wire::ClickReader;
use assent_core::commit::Action;
use assent_core::worker::Request;

/// As the worker's: before it joins the group again.
const REJOIN: Span = Span(500);

/// Requests of one turn are far fewer.
const REQUESTS_MAX: usize = 200;

impl Instance {
    /// Once round the turn, or one action of the protocol.
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
        if matches!(
            self.worker.action(),
            Some(Action::Produce | Action::SendOffsets | Action::Commit)
        ) && let Some(span) = self.stops_for.take()
        {
            self.stopped_until = now + span;
            return;
        }
        if let Some(action) = self.worker.action() {
            self.perform(action, around);
            // How it ended is dealt with at once; another action waits for another turn.
            if self.worker.action().is_some() || self.is_down_or_waits(around) {
                return;
            }
            if let Request::Conclude(ending) = self.worker.next(self.moment(around)) {
                self.conclude(ending, around);
            }
            return;
        }
        for _ in 0..REQUESTS_MAX {
            let request = self.worker.next(self.moment(around));
            if matches!(request, Request::Rest { .. }) {
                self.watch_rest(around);
            }
            if matches!(request, Request::Rest { .. } | Request::Perform(_)) {
                return;
            }
            self.execute(request, around);
            if self.is_down_or_waits(around) {
                return;
            }
        }
        around.witness.stops.push("a turn without an end".to_owned());
    }

    fn is_down_or_waits(&self, around: &Around<'_>) -> bool {
        self.down_until.is_some() || around.broker.now < self.waits_until
    }

    fn execute(&mut self, request: Request, around: &mut Around<'_>) {
        match request {
            Request::Learn => self.learn(around),
            Request::Pause(partition) => self.pause(partition, around),
            Request::Resume(partition) => self.resume(partition, around),
            Request::ReceiveConsent(room) => self.receive_consent(room, around),
            Request::Forward { partition, .. } => self.forward_misrouted(partition, around),
            Request::ReceiveClicks(room) => self.receive_clicks(room, around),
            Request::HearGroup => self.hear_group(around),
            Request::Restore(partitions) => self.restore(&partitions, around),
            Request::TakeUpKeys => self.take_up_keys(around),
            Request::StartSweep(partitions) => self.start_sweep(partitions, around),
            Request::Sweep => self.sweep(around),
            Request::HearAudiences => self.hear_audiences(around),
            Request::Ask { partitions, .. } => self.ask(&partitions, around),
            Request::Settle { locate } => {
                if locate {
                    self.advance();
                }
                self.worker.settle();
            }
            Request::RenewProbe => self.probe_is_stale = false,
            Request::FollowConsentAnew(at) => {
                self.stale_consent.clear();
                self.consent_at = at;
            }
            Request::Decide => self.decide(around),
            Request::Conclude(ending) => self.conclude(ending, around),
            Request::Rejoin => self.rejoin(around),
            Request::GiveBack if self.halt.is_some() => self.end_for_person(around),
            Request::GiveBack => {
                self.surrender();
                if let Some(member) = self.member {
                    around.broker.group.rejoin(self.name, member);
                }
            }
            // No log loses what is needed, and what can't be read is met where it is received.
            Request::FindLoss
            | Request::LookIntoFaults
            | Request::Perform(_)
            | Request::Rest { .. } => {}
        }
    }

    fn start(&mut self, around: &Around<'_>) {
        self.keys = if around.broker.now >= self.keys_arrive_at { around.terms.keys } else { 0 };
        self.setup = setup(around.stage, around.terms, around.terms.rulebook, self.keys);
        self.click_reader = ClickReader::new(self.setup.rulebook.fields, PARTITIONER, PARTITIONS);
    }

    fn hear_group(&mut self, around: &mut Around<'_>) {
        let now = around.broker.now;
        if around.is_group_away() {
            return;
        }
        let told = match self.member {
            Some(member) => around.broker.group.poll(self.name, member, now),
            None => Told::Lost,
        };
        match told {
            Told::Nothing => {}
            Told::Lost => self.rejoin(around),
            Told::Revoked => {
                if !self.crashes_at("during_revoke", around) {
                    self.worker.give_back(self.moment(around));
                }
            }
            Told::Assigned(partitions, ticket) => {
                self.surrender();
                self.ticket = Some(ticket);
                self.worker.assigned(partitions, self.moment(around));
            }
        }
    }

    /// Keeps nothing of any partition.
    fn surrender(&mut self) {
        self.worker.surrender();
        self.paused.clear();
        self.committed = None;
        self.ticket = None;
    }

    /// It leaves the group, and says why it stops.
    fn end_for_person(&mut self, around: &mut Around<'_>) {
        around.broker.group.leave(self.name);
        self.stop_for_good(around);
    }

    /// A new member takes its place, under the same static name.
    pub(super) fn rejoin(&mut self, around: &mut Around<'_>) {
        if self.halt.is_some() {
            return self.end_for_person(around);
        }
        self.surrender();
        let now = around.broker.now;
        self.member = Some(around.broker.group.join(self.name, now));
        self.stale_consent.clear();
        self.waits_until = now + REJOIN;
    }
}
