//! Deciding, and the actions of the commit protocol, each with whatever a fault makes of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Around, Instance, publish};
use crate::broker::{Committed, Refused, Request};
use crate::faults::Fault;
use crate::restored::restore_partition;
use assent_contract::domain::time::Span;
use assent_core::commit::point_after;
use assent_core::commit::{Action, Ending, Event, Fault as Consequence};
use assent_core::commit::{Batch, Found, Part};

impl From<Refused> for Consequence {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Evicted => Self::Evicted,
            Refused::Fenced | Refused::Invalid => Self::Replace,
        }
    }
}

impl Instance {
    pub(super) fn decide(&mut self, around: &mut Around<'_>) {
        let now = self.moment(around);
        self.advance();
        self.decided_at = around.broker.now;
        let ready = self.ready(around);
        let found = &mut around.witness.violations;
        self.worker.decide(&self.click_reader, now, |partition, output| {
            let all = output.violations.repaired.iter().chain(&output.violations.broken);
            found.extend(all.map(|it| (partition, it.clone())));
        });
        self.watch_fairness(&ready, around);
        if !self.crashes_at("after_decide", around)
            && self.worker.in_hand().is_some_and(Batch::is_of_sweep)
        {
            self.crashes_at("during_sweep", around);
        }
    }

    pub(super) fn conclude(&mut self, ending: Ending, around: &mut Around<'_>) {
        let witness = &mut *around.witness;
        let count = match ending {
            Ending::Committed => &mut witness.committed,
            Ending::RolledBack => &mut witness.rolled_back,
            Ending::Surrendered => &mut witness.surrendered,
        };
        *count += 1;
        if self.worker.conclude(self.moment(around)) == Some(Ending::Surrendered) {
            self.rejoin(around);
        }
    }

    /// One action; what came of it goes to the protocol.
    pub(super) fn perform(&mut self, action: Action, around: &mut Around<'_>) {
        let waits = matches!(action, Action::Produce | Action::SendOffsets | Action::Commit);
        if waits && self.worker.deadline().is_none() && around.random.chance(50) {
            self.receive_during_commit(around);
        }
        let half_way = point_after(action).filter(|it| around.faults.is_armed(it));
        if action == Action::Produce
            && let Some(point) = half_way
            && around.random.chance(50)
        {
            let _ = self.produce(around, true);
            self.crashes_at(point, around);
            return;
        }
        let result = self.attempt(action, around);
        let event = match result {
            Ok(event) => {
                if point_after(action).is_some_and(|point| self.crashes_at(point, around)) {
                    return;
                }
                event
            }
            Err(consequence) => Event::Failed(consequence),
        };
        self.worker.performed(event, self.moment(around));
    }

    fn attempt(&mut self, action: Action, around: &mut Around<'_>) -> Result<Event, Consequence> {
        let now = around.broker.now;
        let anywhere = around.random.chance(35);
        let strike = around.faults.strike_call(now, |fault| fits(fault, action, anywhere));
        if around.is_away() || strike == Some(Fault::LostRequest) {
            return Err(self.time_out(around));
        }
        if around.moves(action) {
            return Err(self.meet_a_move(action, around));
        }
        match strike {
            Some(Fault::Hang) => return Err(self.leave_behind(action, around)),
            Some(Fault::Refusal) => return Err(Consequence::Abortable),
            Some(Fault::TornBatch) => {
                self.produce(around, true)?;
                return Err(Consequence::Abortable);
            }
            Some(Fault::LateEnd) => {
                let delay = Span(around.random.between(50, 9_000));
                let epoch = self.epoch.ok_or(Consequence::Replace)?;
                let request = Request::End { commit: action == Action::Commit };
                around.broker.later(self.name, epoch, request, delay);
                return Err(self.time_out(around));
            }
            _ => {}
        }
        let event = self.call(action, around)?;
        if strike == Some(Fault::LostAnswer) {
            self.epoch = self.epoch.filter(|_| action != Action::Initialize);
            return Err(self.time_out(around));
        }
        Ok(event)
    }

    /// A call that was not answered in its time.
    fn time_out(&mut self, around: &mut Around<'_>) -> Consequence {
        let took = Span(around.random.between(100, 3_000));
        self.waits_until = around.broker.now + took;
        Consequence::Replace
    }

    /// A coordinator on its way refuses, says nothing, or holds the call up for good.
    fn meet_a_move(&mut self, action: Action, around: &mut Around<'_>) -> Consequence {
        match around.random.index(3) {
            0 => self.leave_behind(action, around),
            1 if action == Action::SendOffsets => Consequence::Abortable,
            _ => self.time_out(around),
        }
    }

    /// The call never comes back, and its producer is let go of. What it asked for may still arrive, long
    /// after the next producer has begun.
    fn leave_behind(&mut self, action: Action, around: &mut Around<'_>) -> Consequence {
        let request = match action {
            Action::Initialize => Some(Request::Init),
            Action::SendOffsets => {
                self.ticket.map(|ticket| Request::SendOffsets(self.offsets_in_hand(), ticket))
            }
            Action::Commit | Action::Abort => {
                Some(Request::End { commit: action == Action::Commit })
            }
            _ => None,
        };
        if let Some(request) = request.filter(|_| around.random.chance(60)) {
            let delay = Span(around.random.between(50, 20_000));
            around.broker.later(self.name, self.epoch.unwrap_or(0), request, delay);
        }
        self.waits_until = around.broker.now + Span(around.random.between(1_000, 8_500));
        Consequence::Replace
    }

    fn call(&mut self, action: Action, around: &mut Around<'_>) -> Result<Event, Consequence> {
        match action {
            Action::Initialize => self.epoch = Some(around.broker.init(self.name)),
            Action::Produce => self.produce(around, false)?,
            Action::SendOffsets => self.send_offsets(around)?,
            Action::Commit => self.end(true, around)?,
            Action::Abort => self.end(false, around)?,
            Action::ReadBack => return Ok(Event::Landed(self.read_back(around)?)),
            Action::Begin | Action::Rest | Action::Conclude(_) => {}
        }
        Ok(Event::Done)
    }

    fn end(&self, commit: bool, around: &mut Around<'_>) -> Result<(), Consequence> {
        let epoch = self.epoch.ok_or(Consequence::Replace)?;
        match around.broker.end(self.name, epoch, commit) {
            // The client does not ask for the end of a transaction that sent nothing.
            Err(Refused::Invalid) if !commit => Ok(()),
            answer => answer.map_err(Consequence::from),
        }
    }

    /// All records of the batch, or some.
    fn produce(&self, around: &mut Around<'_>, torn: bool) -> Result<(), Consequence> {
        let epoch = self.epoch.ok_or(Consequence::Replace)?;
        let Some(batch) = self.worker.in_hand() else { return Ok(()) };
        let all: usize = batch.parts.values().map(|part| part.output.outputs.len()).sum();
        let mut left = if torn { around.random.index(all) } else { all };
        for (&partition, part) in &batch.parts {
            for output in part.output.outputs.iter().take(left) {
                let (place, record) = publish::record(partition, &part.output.purposes, output);
                let produced = around.broker.produce(self.name, epoch, place, record);
                let transaction = produced.map_err(Consequence::from)?;
                around.witness.decided_at.insert(transaction, self.decided_at);
                around.witness.synced.insert((transaction, partition), part.cut.coverage.synced);
                let heard = self.worker.tasks().get(&partition).and_then(|it| it.engine.heard());
                if let Some(heard) = heard {
                    around.witness.heard.insert((transaction, partition), Arc::clone(heard));
                }
                self.witness_consents(transaction, partition, &mut around.witness.consents);
            }
            left = left.saturating_sub(part.output.outputs.len());
        }
        Ok(())
    }

    /// Which consent records the batch holds.
    fn witness_consents(
        &self,
        transaction: usize,
        partition: i32,
        consents: &mut BTreeMap<(usize, i32), Vec<i64>>,
    ) {
        let part = self.worker.in_hand().and_then(|batch| batch.parts.get(&partition));
        if let (Some(part), Some(task)) = (part, self.worker.tasks().get(&partition)) {
            consents.entry((transaction, partition)).or_insert_with(|| {
                task.consents().iter().take(part.cut.consents).map(|held| held.offset).collect()
            });
        }
    }

    fn send_offsets(&self, around: &mut Around<'_>) -> Result<(), Consequence> {
        let epoch = self.epoch.ok_or(Consequence::Replace)?;
        let ticket = self.ticket.ok_or(Consequence::Evicted)?;
        let sent = around.broker.send_offsets(self.name, epoch, self.offsets_in_hand(), ticket);
        sent.map_err(Consequence::from)
    }

    fn offsets_in_hand(&self) -> BTreeMap<i32, Committed> {
        let offset = |part: &Part| (part.output.next_click, part.output.next_sequence);
        let parts = self.worker.in_hand().into_iter().flat_map(|batch| &batch.parts);
        parts.map(|(&partition, part)| (partition, offset(part))).collect()
    }

    /// Did the batch land? The group is asked, and the state where the group knows nothing.
    fn read_back(&self, around: &Around<'_>) -> Result<bool, Consequence> {
        let Some(batch) = self.worker.in_hand() else { return Ok(false) };
        let partitions: Vec<i32> = batch.parts.keys().copied().collect();
        let committed = around.broker.committed(&partitions).ok_or(Consequence::Replace)?;
        let mut found: Found = committed.iter().map(|(&at, &value)| (at, Some(value))).collect();
        if found.len() < partitions.len() {
            found = self.positions_of_state(&partitions, around)?;
        }
        batch.landed(&found)
    }

    fn positions_of_state(
        &self,
        partitions: &[i32],
        around: &Around<'_>,
    ) -> Result<Found, Consequence> {
        let position = |&partition: &i32| {
            let engine = restore_partition(&self.setup, partition, around.broker)
                .map_err(|_| Consequence::Replace)?;
            let at = engine.positions().map(|it| (it.next_click, it.next_sequence));
            Ok((partition, at))
        };
        partitions.iter().map(position).collect::<Result<BTreeMap<_, _>, _>>()
    }
}

/// Which calls a fault can strike. `anywhere`: a lost answer takes the first that comes; most wait for
/// one whose answer leaves the batch unclear.
fn fits(fault: Fault, action: Action, anywhere: bool) -> bool {
    match fault {
        Fault::LostRequest => !matches!(action, Action::Begin | Action::ReadBack),
        Fault::LostAnswer => match action {
            Action::Initialize | Action::Produce => anywhere,
            Action::SendOffsets | Action::Commit | Action::Abort => true,
            _ => false,
        },
        Fault::LateEnd => matches!(action, Action::Commit | Action::Abort),
        Fault::Hang => match action {
            Action::Initialize => anywhere,
            Action::SendOffsets | Action::Commit | Action::Abort => true,
            _ => false,
        },
        Fault::Refusal => matches!(action, Action::SendOffsets | Action::Commit),
        Fault::TornBatch => action == Action::Produce,
        _ => false,
    }
}
