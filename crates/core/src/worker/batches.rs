//! A worker's batches: when one is due, what of which partition it holds, and where its commit stands.
//!
//! Keeps INV-5 with [`Commit`]: what a batch held is forgotten only where that says it is committed, and
//! undone where it says it is not.

use std::collections::BTreeMap;

use super::request::Request;
use super::settings::Settings;
use crate::commit::{Action, Commit, Ending, Event, Fault};
use crate::commit::{Batch, Part};
use crate::engine::output::BatchOutput;
use crate::task::{Task, Urgency};
use assent_contract::domain::time::{Moment, Span};
use assent_contract::wire::ClickReader;

#[derive(Default)]
pub struct Batches {
    protocol: Commit,
    /// What the protocol asks for next, until it was done.
    action: Option<Action>,
    /// The batch at hand is over, and not concluded yet.
    ending: Option<Ending>,
    /// Uptime: the protocol does nothing before.
    not_before: Span,
    /// Decided, and not known to be committed or not.
    in_hand: Option<Batch>,
    /// Uptime of the last batch; `None`: not since the start.
    began_at: Option<Span>,
    /// Batches decided: which partition comes first.
    turns: usize,
}

impl Batches {
    pub fn in_hand(&self) -> Option<&Batch> {
        self.in_hand.as_ref()
    }

    pub fn protocol(&self) -> &Commit {
        &self.protocol
    }

    pub fn action(&self) -> Option<Action> {
        self.action
    }

    /// What was begun goes first.
    pub fn under_way(&self) -> Option<Request> {
        let action = self.action.map(Request::Perform);
        self.ending.map(Request::Conclude).or(action)
    }

    /// Goes on with what waits, or makes a producer where `is_wanted`. Is there one now?
    pub fn go_on(&mut self, is_wanted: bool, now: Moment) -> bool {
        if now.uptime < self.not_before {
            return false;
        }
        if self.in_hand.is_none() && (self.protocol.is_ready() || !is_wanted) {
            return self.protocol.is_ready();
        }
        let action = self.protocol.on(Event::Resume);
        self.follow(action, now);
        false
    }

    /// Is a batch due? With `everything`: whatever can be committed is.
    pub fn is_due(
        &self,
        tasks: &BTreeMap<i32, Task>,
        settings: &Settings,
        everything: bool,
        now: Moment,
    ) -> bool {
        let bounds = &settings.bounds;
        match tasks.values().map(|task| task.commit_urgency(bounds, now)).max() {
            None | Some(Urgency::Nothing) => false,
            Some(Urgency::AtOnce) => true,
            Some(Urgency::Regular) => {
                let ready = || tasks.values().map(|task| task.ready(bounds, now)).sum::<usize>();
                everything
                    || self.began_at.is_none_or(|at| now.uptime - at >= settings.commit_interval)
                    || ready() >= settings.limits.clicks_per_transaction
            }
        }
    }

    /// Cuts and decides a batch of every partition that wants one, and begins its commit; `decided` sees
    /// each. Nothing is at hand afterwards where nothing is to be written.
    pub fn decide(
        &mut self,
        tasks: &mut BTreeMap<i32, Task>,
        settings: &Settings,
        clicks: &ClickReader,
        now: Moment,
        mut decided: impl FnMut(i32, &BatchOutput),
    ) {
        self.began_at = Some(now.uptime);
        let mut batch = Batch::default();
        let urgent = tasks.values().any(Task::is_urgent);
        let limits = &settings.limits;
        let mut room =
            if urgent { limits.clicks_with_urgent } else { limits.clicks_per_transaction };
        for partition in self.in_turn(tasks) {
            change(tasks, partition, |task| {
                if task.commit_urgency(&settings.bounds, now) == Urgency::Nothing {
                    return task;
                }
                let cut = task.cut(&settings.bounds, now, room);
                room -= cut.clicks;
                let sequence_before = task.engine.positions().map(|p| p.next_sequence);
                let (task, output) = task.decide(&cut, clicks, now.wall);
                decided(partition, &output);
                if output.is_broken() {
                    return task.isolate(&cut, now);
                }
                if output.outputs.is_empty() {
                    return task.confirm(&cut, now);
                }
                batch.parts.insert(partition, Part { cut, output, sequence_before });
                task
            });
        }
        if !batch.parts.is_empty() {
            self.in_hand = Some(batch);
            let action = self.protocol.on(Event::Start);
            self.follow(action, now);
        }
    }

    /// The partitions, each time from another one on: the first has the most room.
    fn in_turn(&mut self, tasks: &BTreeMap<i32, Task>) -> Vec<i32> {
        let mut partitions: Vec<i32> = tasks.keys().copied().collect();
        self.turns += 1;
        let first = self.turns % partitions.len().max(1);
        partitions.rotate_left(first);
        partitions
    }

    /// What came of the action.
    pub fn performed(&mut self, event: Event, now: Moment) {
        self.action = None;
        let action = self.protocol.on(event);
        self.follow(action, now);
    }

    fn follow(&mut self, action: Action, now: Moment) {
        match action {
            Action::Rest => {}
            Action::Conclude(ending) => self.ending = Some(ending),
            _ => {
                self.action = Some(action);
                return;
            }
        }
        self.not_before = now.uptime + self.protocol.pause();
    }

    /// Does what the end of the batch asks for; returns how it ended.
    pub fn conclude(&mut self, tasks: &mut BTreeMap<i32, Task>, now: Moment) -> Option<Ending> {
        let ending = self.ending.take()?;
        for (partition, part) in self.in_hand.take().unwrap_or_default().parts {
            change(tasks, partition, |task| match ending {
                Ending::Committed => task.confirm(&part.cut, now),
                Ending::RolledBack => task.rollback(),
                Ending::Surrendered => task,
            });
        }
        Some(ending)
    }

    /// The partitions are gone. What is still open ends with the next initialization.
    pub fn forget(&mut self) {
        let was_acting = self.action.take().is_some();
        self.ending = None;
        if (self.in_hand.take().is_some() || was_acting)
            && self.protocol.on(Event::Lost) == Action::Abort
        {
            self.protocol.on(Event::Failed(Fault::Replace));
        }
    }
}

/// A task that goes from one stage to another is out of the map meanwhile.
fn change(tasks: &mut BTreeMap<i32, Task>, partition: i32, to: impl FnOnce(Task) -> Task) {
    if let Some(task) = tasks.remove(&partition) {
        tasks.insert(partition, to(task));
    }
}
