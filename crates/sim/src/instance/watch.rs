//! What a worker is held to while it runs, and no topic shows afterwards: bounds on memory, pauses, and
//! that no partition waits behind another. Read from its tasks, not from what it says.

use std::collections::BTreeMap;

use super::{Around, Instance};
use assent_contract::domain::time::Span;
use assent_core::task::Task;

/// While memory is full, one click in this long, as docs/contract/batch.md#when-it-commits has it.
const TRICKLE: Span = Span(100);

/// Batches in a row that a partition may be left out of, although it has clicks that could be decided:
/// with two partitions it comes first in every other one.
const LEFT_OUT_MAX: u32 = 2;

/// Turns at whose end a worker that may begin a batch rests, although one would hold clicks of a partition, and
/// none does: at some 60 ms a turn, this is ten times the commit interval and more.
const IDLE_MAX: u32 = 25;

#[derive(Default)]
pub struct Watch {
    /// Uptime at which the last click was taken while memory was full.
    trickled_at: Option<Span>,
    /// By partition: batches without any of its clicks, though some could be decided.
    left_out: BTreeMap<i32, u32>,
    /// By partition: turns since its last batch, while the next one would hold clicks of it.
    idle: BTreeMap<i32, u32>,
}

/// Clicks held, and how many of them a batch would hold: asked of the cut itself, since what a task says to
/// be ready is what is checked.
pub type Ready = BTreeMap<i32, (usize, usize)>;

impl Instance {
    fn click_bytes(&self) -> usize {
        self.worker.tasks().values().map(|task| task.clicks.size()).sum()
    }

    /// Before and after a burst of clicks: `before` is what was held, `largest` the largest of them.
    pub(super) fn watch_clicks(
        &mut self,
        (before, taken, largest): (usize, usize, usize),
        around: &mut Around<'_>,
    ) {
        let (most, now) = (around.terms.limits.click_bytes, self.moment(around).uptime);
        if taken == 0 {
            return;
        }
        if before >= most || self.click_bytes() > most.max(largest) {
            let is_early = self.watch.trickled_at.is_some_and(|at| now - at < TRICKLE);
            if taken > 1 || is_early {
                around.witness.excesses.push(format!("{taken} clicks although memory is full"));
            }
            self.watch.trickled_at = Some(now);
        } else if self.click_bytes() > most.max(largest) {
            let held = self.click_bytes();
            around.witness.excesses.push(format!("clicks of {held} bytes are held, of {most}"));
        }
    }

    pub(super) fn held_clicks(&self) -> usize {
        self.click_bytes()
    }

    /// After a burst of consent; `largest` is the largest of them, 0 where there was none.
    pub(super) fn watch_consent(&self, largest: usize, around: &mut Around<'_>) {
        if largest == 0 {
            return;
        }
        let (tasks, limits) = (self.worker.tasks(), around.terms.limits);
        let bytes: usize = tasks.values().map(Task::consent_bytes).sum();
        let count: usize = tasks.values().map(|task| task.consents().len()).sum();
        if bytes > limits.consent_bytes.max(largest) || count > limits.consents * tasks.len().max(1)
        {
            let detail = format!("{count} consent records of {bytes} bytes are held");
            around.witness.excesses.push(detail);
        }
    }

    /// Before clicks are received in a turn: one whose first click waits for the registry, and that holds
    /// its share, is not fetched.
    pub(super) fn watch_pauses(&self, around: &mut Around<'_>) {
        let tasks = self.worker.tasks();
        let share = around.terms.limits.click_bytes / (2 * tasks.len().max(1));
        for (partition, task) in tasks {
            let is_to_pause = task.first_click_waits() && task.clicks.size() >= share;
            let is_paused = self.paused.contains(partition) || self.refused.contains(partition);
            if is_to_pause && !is_paused {
                let detail =
                    format!("partition {partition} waits, and is fetched beyond its share");
                around.witness.excesses.push(detail);
            }
        }
    }

    pub(super) fn ready(&self, around: &Around<'_>) -> Ready {
        let (now, bounds) = (self.moment(around), &around.terms.bounds);
        let fit = |task: &Task| task.cut(bounds, now, usize::MAX).clicks;
        let each = self.worker.tasks().iter();
        each.map(|(&at, task)| (at, (task.clicks.len(), fit(task)))).collect()
    }

    /// At the end of a turn that left nothing under way.
    pub(super) fn watch_rest(&mut self, around: &mut Around<'_>) {
        let protocol = self.worker.protocol();
        if !protocol.is_ready() || protocol.pause() > Span(0) || self.worker.in_hand().is_some() {
            return; // nothing may begin, after faults for a while
        }
        let ready = self.ready(around);
        self.watch.idle.retain(|partition, _| ready.contains_key(partition));
        for (partition, (_, clicks)) in ready {
            let idle = self.watch.idle.entry(partition).or_default();
            *idle = if clicks == 0 { 0 } else { *idle + 1 };
            if *idle > IDLE_MAX {
                let detail = format!("{clicks} clicks of partition {partition} wait for no reason");
                around.witness.excesses.push(detail);
            }
        }
    }

    /// After a batch was decided.
    pub(super) fn watch_fairness(&mut self, before: &Ready, around: &mut Around<'_>) {
        let batch = self.worker.in_hand();
        self.watch.left_out.retain(|partition, _| before.contains_key(partition));
        for (&partition, &(held, ready)) in before {
            let part = batch.and_then(|batch| batch.parts.get(&partition));
            let now = self.worker.tasks().get(&partition).map_or(0, |task| task.clicks.len());
            let is_in = now < held || part.is_some_and(|part| part.cut.clicks > 0);
            if is_in {
                self.watch.idle.remove(&partition);
            }
            let left_out = self.watch.left_out.entry(partition).or_default();
            *left_out = if ready == 0 || is_in { 0 } else { *left_out + 1 };
            if *left_out > LEFT_OUT_MAX {
                let detail = format!("partition {partition} was left out of {left_out} batches");
                around.witness.excesses.push(detail);
            }
        }
    }
}
