//! What can't be read on is named at once, examined by another client, and settled once that is sure: clicks
//! that nobody can read become a dead letter and are passed over; consent that nobody can read is a stop, for
//! it may have been an opt-out (docs/contract/bad-input.md#sizes-and-foreign-text; INV-3, INV-8, INV-12).
//!
//! Where nothing comes although the broker has more, and nobody says why, it is examined too.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Clients, Runner};
use crate::failure::Result;
use crate::kafka::consumer::Answers;
use crate::kafka::examine::{Examination, Place, Verdict};
use crate::pace;
use crate::pipeline::loss_words::stop;
use crate::pipeline::suspects::Suspect;
use assent_contract::domain::intake::Rejection;
use assent_core::engine::input::DeadClicks;
use assent_core::engine::loss::{InputLoss, Losses};
use assent_core::engine::output::InputTopic;
use assent_core::task::Task;

/// For so long every examination must say the same before clicks are given up: another replica may become
/// the leader, whose copy is whole. Consent is given up by a person alone; they are not called for less.
const SURE_OF_CLICKS: Duration = Duration::from_secs(2);
const SURE_OF_CONSENT: Duration = Duration::from_secs(8);

/// Between two examinations.
const AGAIN: Duration = Duration::from_secs(1);

/// An input brings nothing for so long although the broker has more: what lies there is examined. Longer than
/// a batch takes that grows by a thousand, and within the 10 s in which a fault is to be named.
const STANDS_MAX: Duration = Duration::from_secs(8);

/// Between two examinations of an input that stands still and could be read: an open transaction holds it.
const STANDS_AGAIN: Duration = Duration::from_secs(30);

/// Between two looks at who stands still.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// It was found readable so often, and its consumer still does not read it: another consumer is made.
const TRIES_MAX: u32 = 3;

const INPUTS: [InputTopic; 2] = [InputTopic::Clickstream, InputTopic::Consent];

/// What a verdict asks of the worker.
enum Step {
    Wait,
    /// To be fetched anew.
    Refetch(InputTopic),
    /// By a consumer that is made anew.
    Remake(InputTopic),
    /// By consumers that take larger answers.
    Larger,
    /// Up to this offset consent is lost.
    Stop {
        to: i64,
    },
}

impl Runner {
    /// Goes on with whatever can't be read.
    pub(super) fn look_into_faults(&mut self) -> Result<()> {
        let now = self.shared.clock.instant();
        self.note_new_faults(now);
        self.note_standstills(now);
        let places: Vec<(InputTopic, i32)> = self.suspects.of.keys().copied().collect();
        for (input, partition) in places {
            match self.look_into(input, partition, now) {
                Step::Wait => continue,
                Step::Refetch(input) => self.refetch(input)?,
                Step::Remake(InputTopic::Clickstream) => self.rejoin()?,
                Step::Remake(InputTopic::Consent) => self.remake_consent(),
                Step::Larger => {
                    self.clients.answers = Answers::Larger;
                    self.rejoin()?;
                }
                Step::Stop { to } => return self.stop_for_consent(partition, to),
            }
            self.worker.was_busy();
            return Ok(());
        }
        Ok(())
    }

    fn note_new_faults(&mut self, now: Instant) {
        for (&partition, task) in self.worker.tasks() {
            for input in INPUTS {
                let Some(fault) = task.fault(input) else { continue };
                let known = self.suspects.of.get_mut(&(input, partition));
                if known.is_some_and(|suspect| {
                    suspect.is_quiet = false;
                    suspect.offset == fault.offset
                }) {
                    continue;
                }
                let topic = self.shared.destinations.input(input);
                tracing::warn!(
                    topic,
                    partition,
                    offset = fault.offset,
                    reason = fault.reason,
                    "what comes next can't be read; looking at what lies there"
                );
                let suspect = Suspect::new(fault.offset, false, now);
                self.suspects.of.insert((input, partition), suspect);
            }
        }
    }

    /// All that was received is committed, the broker has more, and nothing comes.
    fn note_standstills(&mut self, now: Instant) {
        let suspects = &mut self.suspects;
        if suspects.looked_at.is_some_and(|at| now.duration_since(at) < LOOK_EVERY) {
            return;
        }
        suspects.looked_at = Some(now);
        for (&partition, task) in self.worker.tasks() {
            for input in INPUTS {
                let at = task.received_of(input);
                let place = (input, partition);
                let end = last_known_end(&self.clients, place);
                let has_more = !holds(task, input) && end.is_some_and(|end| end > at);
                let stands = suspects.stands.entry(place).or_insert((at, now));
                if stands.0 != at || !has_more {
                    *stands = (at, now);
                    suspects.of.retain(|of, suspect| *of != place || suspect.offset == at);
                } else if now.duration_since(stands.1) > STANDS_MAX {
                    suspects.of.entry(place).or_insert_with(|| Suspect::new(at, true, now));
                }
            }
        }
    }

    fn look_into(&mut self, input: InputTopic, partition: i32, now: Instant) -> Step {
        let place = (input, partition);
        let Some(suspect) = self.suspects.of.get_mut(&place) else { return Step::Wait };
        let fault = self.worker.tasks().get(&partition).and_then(|task| task.fault(input));
        if suspect.examination.is_none() && !suspect.is_quiet && fault.is_none() {
            return Step::Wait; // it was found readable
        }
        let topic = self.shared.destinations.input(input).to_owned();
        let Some(examination) = &suspect.examination else {
            if now >= suspect.not_before {
                let place = Place { topic, partition, offset: suspect.offset };
                suspect.examination = Some(Examination::begin(&self.shared.config, place));
            }
            return Step::Wait;
        };
        let Some(verdict) = examination.verdict() else { return Step::Wait };
        suspect.examination = None;
        suspect.not_before = now + AGAIN;
        let Some(task) = self.worker.tasks_mut().get_mut(&partition) else { return Step::Wait };
        if task.received_of(input) != suspect.offset {
            self.suspects.of.remove(&place);
            return Step::Wait;
        }
        match verdict {
            Verdict::Unclear(why) => {
                if let Some(repeated) = pace::may_say("examination") {
                    tracing::warn!(
                        topic,
                        partition,
                        why,
                        repeated,
                        "can't tell yet what lies there"
                    );
                }
                Step::Wait
            }
            Verdict::Readable { larger } => {
                suspect.found = None;
                suspect.tries += 1;
                let was_named = task.fault(input).is_some();
                task.end_fault(input);
                if suspect.is_quiet && !larger {
                    suspect.not_before = now + STANDS_AGAIN;
                }
                if was_named {
                    tracing::info!(topic, partition, larger, "it can be read after all");
                }
                match suspect.tries {
                    _ if larger && self.clients.answers == Answers::Usual => Step::Larger,
                    _ if suspect.is_quiet => Step::Wait,
                    tries if tries >= TRIES_MAX => {
                        suspect.tries = 0;
                        Step::Remake(input)
                    }
                    _ => Step::Refetch(input),
                }
            }
            Verdict::Unreadable { last, reason } => {
                task.note_fault(input, &reason);
                self.give_up(input, partition, (last, &reason), now)
            }
        }
    }

    /// It can't be read up to `last`.
    fn give_up(
        &mut self,
        input: InputTopic,
        partition: i32,
        (last, reason): (i64, &str),
        now: Instant,
    ) -> Step {
        let place = (input, partition);
        let Some(suspect) = self.suspects.of.get_mut(&place) else { return Step::Wait };
        let topic = self.shared.destinations.input(input);
        let (offset, metrics) = (suspect.offset, &self.shared.metrics);
        if !std::mem::replace(&mut suspect.is_counted, true) {
            metrics.unreadable_batches_total.with_label_values(&[topic]).inc();
            tracing::error!(
                topic,
                partition,
                offset,
                last,
                reason,
                "no client can read this batch"
            );
        }
        let since = match suspect.found {
            Some((before, since)) if before == last => since,
            _ => now,
        };
        suspect.found = Some((last, since));
        let sure = match input {
            InputTopic::Clickstream => SURE_OF_CLICKS,
            InputTopic::Consent => SURE_OF_CONSENT,
        };
        if now.duration_since(since) < sure {
            return Step::Wait;
        }
        self.suspects.of.remove(&place);
        if input == InputTopic::Consent {
            return Step::Stop { to: last + 1 };
        }
        tracing::error!(
            topic,
            partition,
            offset,
            last,
            "clicks that nobody can read are a dead letter, and what follows goes on"
        );
        if let Some(task) = self.worker.tasks_mut().get_mut(&partition) {
            let rejection = Rejection::unreadable(reason);
            task.receive_dead(&DeadClicks { first: offset, last, is_batch: true, rejection });
            task.end_fault(input);
        }
        Step::Refetch(input)
    }

    /// What was fetched is thrown away: after a damaged batch it may be anything.
    fn refetch(&mut self, input: InputTopic) -> Result<()> {
        let at: BTreeMap<i32, i64> = self
            .worker
            .tasks()
            .iter()
            .map(|(&partition, task)| (partition, task.received_of(input)))
            .collect();
        let fetched = match input {
            InputTopic::Clickstream => {
                self.resume_all();
                self.clients.clicks.fetch_from(&at)
            }
            InputTopic::Consent => self.clients.consent.fetch_from(&at),
        };
        match fetched {
            Ok(()) => Ok(()),
            Err(error) => {
                tracing::warn!(%error, "can't position a consumer");
                self.rejoin()
            }
        }
    }

    fn remake_consent(&mut self) {
        let at = self
            .worker
            .tasks()
            .iter()
            .map(|(&partition, task)| (partition, task.received().consent));
        let at = at.collect();
        self.follow_consent_anew(&at);
    }

    /// What was received before is still decided: it may hold an opt-out.
    fn stop_for_consent(&mut self, partition: i32, to: i64) -> Result<()> {
        let from = self
            .worker
            .tasks()
            .get(&partition)
            .map_or(to, |task| task.received_of(InputTopic::Consent));
        self.give_back()?;
        let consent = Some(InputLoss::Unreadable { from, to });
        let losses = Losses { consent, ..Losses::default() };
        Err(stop(&Arc::clone(&self.shared.config), &BTreeMap::from([(partition, losses)])))
    }
}

/// Is something of this input still to be committed?
fn holds(task: &Task, input: InputTopic) -> bool {
    match input {
        InputTopic::Clickstream => !task.clicks.is_empty(),
        InputTopic::Consent => !task.consents().is_empty(),
    }
}

fn last_known_end(clients: &Clients, (input, partition): (InputTopic, i32)) -> Option<i64> {
    match input {
        InputTopic::Clickstream => clients.clicks.last_known_end(partition),
        InputTopic::Consent => clients.consent.last_known_end(partition),
    }
}
