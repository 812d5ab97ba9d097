//! What the rim tells a worker: the facts that came of its requests.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::intake::Ended;
use super::request::Request;
use super::sweep::Swept;
use super::turn::Turn;
use super::{Giving, Taking, Worker};
use crate::commit::{Ending, Event};
use crate::engine::audience::Heard;
use crate::engine::output::BatchOutput;
use crate::engine::{Refusal, Setup};
use crate::task::barrier::Question;
use crate::task::consent::HeldConsent;
use crate::task::{Lack, Task};
use assent_contract::domain::time::{Moment, Span, Timestamp};
use assent_contract::wire::{ClickReader, ConsentReader, KnownSchemas};

/// What is in hand is committed within this when partitions are given back
/// (docs/contract/batch.md#revocation).
const REVOKE_WITHIN: Span = Span(5_000);

/// Of the group, and of the state.
impl Worker {
    /// The group gave these partitions; nothing is kept of any before.
    pub fn assigned(&mut self, partitions: Vec<i32>, now: Moment) {
        self.surrender();
        let is_some = !partitions.is_empty();
        self.taking = is_some.then_some(Taking { partitions, not_before: now.uptime });
    }

    /// They are not restored yet: to be tried again after so long.
    pub fn restore_after(&mut self, pause: Span, now: Moment) {
        if let Some(taking) = &mut self.taking {
            taking.not_before = now.uptime + pause;
        }
    }

    /// They are restored, and both consumers are where the tasks are.
    pub fn restored(&mut self, tasks: BTreeMap<i32, Task>) {
        self.taking = None;
        self.intake.tasks = tasks;
        self.sweep.begin_anew();
        self.turn.busy = true;
    }

    /// The partitions are to be given back soon; once is enough.
    pub fn give_back(&mut self, now: Moment) {
        self.taking = None;
        let until = now.uptime + REVOKE_WITHIN;
        self.intake.tasks.values_mut().for_each(Task::part);
        self.giving.get_or_insert(Giving { until, is_empty: false });
    }

    /// Uptime by which what is in hand is to be committed; `None`: there is no hurry.
    pub fn deadline(&self) -> Option<Span> {
        self.giving.map(|giving| giving.until)
    }

    /// Keeps nothing of any partition. A batch that is unclear stays so: who has its partition next reads
    /// what is committed.
    pub fn surrender(&mut self) {
        self.batches.forget();
        self.questions.forget();
        self.forwarding.forget();
        self.sweep.forget();
        self.intake.forget();
        (self.taking, self.giving) = (None, None);
        self.paused.clear();
        self.turn = Turn { busy: true, ..Turn::default() };
    }

    /// What a right clock shows now at the latest.
    pub fn note_clock(&mut self, latest: Timestamp) {
        self.intake.tasks.values_mut().for_each(|task| task.note_clock(latest));
    }
}

/// Of the schema registry.
impl Worker {
    /// This is known from now on; returns what the partitions lack, to be asked for.
    pub fn learn(&mut self, known: Arc<KnownSchemas>, reader: &ConsentReader) -> Vec<Lack> {
        self.known = known;
        self.turn.pauses.clear();
        if !self.known.has_registry() {
            return Vec::new();
        }
        let share = self.settings.limits.share(self.intake.tasks.len());
        let mut lacks = Vec::new();
        for (&partition, task) in &mut self.intake.tasks {
            task.know(&self.known, reader);
            lacks.extend(task.lack());
            let waits = task.first_click_waits();
            let is_paused = self.paused.contains(&partition);
            if waits && !is_paused && task.clicks.size() >= share {
                self.turn.pauses.push(Request::Pause(partition));
            } else if !waits && is_paused {
                self.turn.pauses.push(Request::Resume(partition));
            }
        }
        lacks
    }

    /// Its clicks are fetched no more. What failed is asked for again with the next turn.
    pub fn paused(&mut self, partition: i32) {
        self.paused.insert(partition);
    }

    /// They are fetched again.
    pub fn resumed(&mut self, partition: i32) {
        self.paused.remove(&partition);
    }

    /// The partitions that are paused.
    pub fn all_paused(&self) -> Vec<i32> {
        self.paused.iter().copied().collect()
    }
}

/// Of what comes in.
impl Worker {
    /// One of a partition that is not owned any more is passed over.
    pub fn receive_consent(&mut self, partition: i32, consent: HeldConsent) {
        if let Some(task) = self.intake.tasks.get_mut(&partition) {
            task.receive_consent(consent);
        }
    }

    /// So many records of consent were taken, and why no more.
    pub fn received_consent(&mut self, taken: usize, ended: Ended) {
        self.turn.busy |= taken > 0;
        self.turn.consent_came = taken > 0;
        self.intake.ended(ended);
    }

    /// The same of clicks.
    pub fn received_clicks(&mut self, taken: usize, ended: Ended) {
        self.turn.busy |= taken > 0;
        self.intake.clicks_ended(ended);
    }

    /// There was something to do that the worker does not know of.
    pub fn was_busy(&mut self) {
        self.turn.busy = true;
    }

    /// How many of what is misrouted in this partition its right one has acknowledged, from the first on;
    /// 0: it was not sent on.
    pub fn forwarded(&mut self, partition: i32, acknowledged: usize) {
        match self.intake.tasks.get_mut(&partition) {
            Some(task) if acknowledged > 0 => {
                task.set_forwarded(acknowledged);
                self.forwarding.done(task.misrouted().next().is_some());
            }
            _ => self.forwarding.failed(),
        }
    }
}

/// Of other partitions.
impl Worker {
    /// This is what they say of their audiences; `None`: nobody knows.
    pub fn heard_audiences(&mut self, heard: Option<&Arc<Heard>>, now: Moment) {
        let heard = heard.filter(|heard| now.wall < heard.ends_at());
        self.intake.tasks.values_mut().for_each(|task| task.engine.hear(heard));
    }
}

/// Of keys.
impl Worker {
    /// Other keys from now on; returns who refused them.
    pub fn set_keys(&mut self, setup: &Arc<Setup>) -> Vec<(i32, Refusal)> {
        let set = |(&partition, task): (&i32, &mut Task)| {
            task.set_keys(Arc::clone(setup)).err().map(|refusal| (partition, refusal))
        };
        let refusals = self.intake.tasks.iter_mut().filter_map(set).collect();
        self.sweep.begin_anew();
        refusals
    }

    /// The changelog of these partitions is read again from now on.
    pub fn sweep_begins(&mut self, partitions: Vec<i32>, now: Moment) {
        self.sweep.begins(partitions, now);
    }

    /// It can't be read now.
    pub fn put_sweep_off(&mut self, now: Moment) {
        self.sweep.put_off(now);
    }

    /// May more ids be held?
    pub fn has_room_for_ids(&self) -> bool {
        self.sweep.has_room(&self.intake.tasks)
    }

    /// A subject whom the changelog names.
    pub fn hold_id(&mut self, partition: i32, id: &[u8]) {
        if let Some(task) = self.intake.tasks.get_mut(&partition) {
            task.hold_id(id);
        }
    }

    /// How reading went; `brought`: there was at least one record.
    pub fn swept(&mut self, swept: Swept, brought: bool, now: Moment) {
        self.turn.busy |= brought;
        self.sweep.swept(&mut self.intake.tasks, swept, brought, now);
    }

    /// Is the changelog still to be read for a rotation, or to be read on?
    pub fn has_sweep_to_come(&self) -> bool {
        self.sweep.is_to_come()
    }

    /// Is it being read?
    pub fn is_sweeping(&self) -> bool {
        self.sweep.is_reading()
    }
}

/// Of questions and batches.
impl Worker {
    /// Where consent ended, when it was asked for at `sent`. A click received after that is not covered by
    /// it. Had nobody answered for long?
    pub fn answered(&mut self, ends: &BTreeMap<i32, i64>, sent: Moment) -> bool {
        for (partition, &end) in ends {
            if let Some(task) = self.intake.tasks.get_mut(partition) {
                let clicks = task.clicks.received();
                task.barrier.asked(Question { sent, end, clicks });
            }
        }
        self.turn.busy = true;
        self.questions.answered()
    }

    /// Where the consumers are, beyond what can be received.
    pub fn advance(&mut self, clicks: &BTreeMap<i32, i64>, consent: &BTreeMap<i32, i64>) {
        for (partition, task) in &mut self.intake.tasks {
            task.advance(clicks.get(partition), consent.get(partition));
        }
    }

    /// The questions that were reached.
    pub fn settle(&mut self) -> Vec<Question> {
        let reached: Vec<Question> =
            self.intake.tasks.values_mut().flat_map(Task::settle).collect();
        self.turn.busy |= !reached.is_empty();
        reached
    }

    /// Decides a batch; `decided` sees each partition's.
    pub fn decide(
        &mut self,
        clicks: &ClickReader,
        now: Moment,
        decided: impl FnMut(i32, &BatchOutput),
    ) {
        self.batches.decide(&mut self.intake.tasks, &self.settings, clicks, now, decided);
        if self.batches.in_hand().is_some() {
            self.turn.busy = true;
            if let Some(giving) = &mut self.giving {
                giving.is_empty = false;
            }
        }
    }

    /// What came of the protocol's action.
    pub fn performed(&mut self, event: Event, now: Moment) {
        self.batches.performed(event, now);
    }

    /// The batch at hand is counted: what its end asks for is done. After [`Ending::Surrendered`] the
    /// rim joins anew.
    pub fn conclude(&mut self, now: Moment) -> Option<Ending> {
        self.batches.conclude(&mut self.intake.tasks, now)
    }
}
