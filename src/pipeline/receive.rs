//! A worker's receiving: consent first and whole, then clicks in bursts, within bounds.

use std::time::Duration;

use super::Shared;
use super::assignment;
use super::bounded::{Fit, HELD_MAX, Room, outsized, size};
use super::click_intake::ClickIntake;
use super::worker::Worker;
use crate::domain::clock_guard::Appended;
use crate::domain::foreign_text::shown;
use crate::domain::ids::ID_BYTES_MAX;
use crate::domain::time::{Span, Timestamp};
use crate::engine::output::InputTopic;
use crate::failure::Result;
use crate::kafka::consumer::Polled;
use crate::kafka::events::Received;
use crate::kafka::forwarder::{self, Misrouted};
use crate::pace;
use crate::task::barrier::Arrival;
use crate::task::consent::HeldConsent;
use crate::task::{CONSENTS_PER_BATCH, Task};
use crate::wire::{ConsentReading, Inbound};

/// Consent records taken before clicks have their turn.
const BURST: usize = 2_000;

/// How long a misrouted record may take to its right partition before the loop goes round again: each
/// try twice as long as the one before, up to the second, since each connects anew.
pub(super) const FORWARD: Duration = Duration::from_secs(2);
const FORWARD_MAX: Duration = Duration::from_secs(8);

/// What is sent on at one time, or one record: each is copied twice on its way.
const FORWARD_BYTES: usize = 8 * 1024 * 1024;

/// Between two tries.
const FORWARD_AGAIN: Duration = Duration::from_millis(500);

/// Why a burst of receiving ended.
pub(super) enum Ended {
    Drained,
    Full,
    /// The log does not hold the next offset.
    OutOfRange,
    /// The consumer can't go on.
    Gone,
}

impl Worker {
    /// Takes what has arrived; was there anything?
    pub(super) fn receive(&mut self) -> Result<bool> {
        self.learn_schemas();
        if let Some(ended) = self.met_in_commit.take() {
            self.follow_up(&ended)?;
        }
        let (consents, ended) = self.receive_consent();
        let now = self.shared.clock.instant();
        if self.forward_again_at.map_or(consents > 0, |at| at <= now) {
            self.forward_misrouted();
        }
        let (clicks, click_ended) = match ended {
            Ended::Drained | Ended::Full => self.receive_clicks(),
            _ => (0, ended),
        };
        self.follow_up(&click_ended)?;
        Ok(consents + clicks > 0)
    }

    fn follow_up(&mut self, ended: &Ended) -> Result<()> {
        match ended {
            Ended::OutOfRange => self.stop_for_loss(),
            Ended::Gone => self.rejoin(),
            Ended::Drained | Ended::Full => Ok(()),
        }
    }

    fn receive_consent(&mut self) -> (usize, Ended) {
        let held: usize = self.tasks.values().map(|task| task.consents().len()).sum();
        let room = (2 * CONSENTS_PER_BATCH * self.tasks.len().max(1)).saturating_sub(held);
        // 40,000 of the largest records that a broker takes by default would be 40 GB.
        let mut bytes = Room::of(self.tasks.values().map(Task::consent_bytes).sum(), HELD_MAX);
        for taken in 0..BURST.min(room) {
            if bytes.is_over() {
                return (taken, Ended::Full);
            }
            match self.consent.poll() {
                Polled::Message(message) => {
                    let Some(task) = self.tasks.get_mut(&message.partition()) else { continue };
                    let fit = bytes.fit(size(&message));
                    if fit == Fit::Waits {
                        self.consent.put_back(message);
                        return (taken, Ended::Full);
                    }
                    let reader = &self.shared.consent_reader;
                    let received = self.shared.clock.uptime();
                    witness(&self.shared, task, &message, received);
                    let read = |inbound: &Inbound<'_>, forwarded, source: Option<&str>| {
                        reader.read_with(inbound, forwarded, source, &self.known)
                    };
                    task.receive_consent(if fit == Fit::Outsized {
                        hold_outsized(&message, received, &read)
                    } else {
                        hold(&message, received, &read)
                    });
                }
                Polled::Nothing => return (taken, Ended::Drained),
                Polled::Unreadable { partition, error } => {
                    if let Some(task) = self.tasks.get_mut(&partition) {
                        task.note_fault(InputTopic::Consent, &error.reason);
                    }
                }
                Polled::OutOfRange { partition } if self.consent_has_fault(partition) => {}
                Polled::OutOfRange { .. } => return (taken, Ended::OutOfRange),
                Polled::Fatal(error) => {
                    tracing::error!(%error, "the consent consumer failed for good");
                    return (taken, Ended::Gone);
                }
            }
        }
        (BURST.min(room), Ended::Full)
    }

    fn consent_has_fault(&self, partition: Option<i32>) -> bool {
        let task = partition.and_then(|partition| self.tasks.get(&partition));
        task.is_some_and(|task| task.fault(InputTopic::Consent).is_some())
    }

    /// What can't be sent on now holds its partition, and is tried again, whether or not more comes.
    fn forward_misrouted(&mut self) {
        let (mut failed, mut is_more) = (false, false);
        for (&partition, task) in &mut self.tasks {
            let misrouted = some_misrouted(&self.shared, task);
            if misrouted.is_empty() {
                continue;
            }
            let count = misrouted.len();
            if let Some(repeated) = pace::may_say("misrouted") {
                tracing::warn!(
                    partition,
                    count,
                    repeated,
                    "a consent record lies on the wrong partition; forwarding it"
                );
            }
            self.shared.status.tick(self.number);
            match forwarder::forward(&self.shared.config, misrouted, self.forward_for) {
                Ok(true) => {
                    task.set_forwarded(count);
                    is_more |= task.misrouted().next().is_some();
                    continue;
                }
                Ok(false) => tell_not_sent_on(partition, "not acknowledged"),
                Err(error) => tell_not_sent_on(partition, &error.to_string()),
            }
            failed = true;
        }
        let now = self.shared.clock.instant();
        self.forward_again_at = match (failed, is_more) {
            (true, _) => Some(now + FORWARD_AGAIN),
            (false, true) => Some(now),
            (false, false) => None,
        };
        self.forward_for = if failed { (2 * self.forward_for).min(FORWARD_MAX) } else { FORWARD };
    }

    fn receive_clicks(&mut self) -> (usize, Ended) {
        self.click_intake().receive()
    }

    pub(super) fn click_intake(&mut self) -> ClickIntake<'_> {
        ClickIntake {
            clock: self.shared.clock.as_ref(),
            clicks: &self.clicks,
            tasks: &mut self.tasks,
            trickle_until: &mut self.trickle_until,
        }
    }

    /// An input no longer holds what is needed next: say what was lost. Where it holds it after
    /// all, the partitions are taken up anew.
    fn stop_for_loss(&mut self) -> Result<()> {
        match assignment::find_loss(&self.shared, &self.probe, &self.tasks) {
            Ok(Some(failure)) => {
                // What was received before is still decided: it may hold an opt-out.
                self.give_back()?;
                Err(failure)
            }
            Ok(None) | Err(_) => self.rejoin(),
        }
    }
}

/// The first of them, up to [`FORWARD_BYTES`].
fn some_misrouted(shared: &Shared, task: &Task) -> Vec<Misrouted> {
    let mut bytes = 0;
    let first = task.misrouted().take_while(|held| {
        let is_first = bytes == 0;
        bytes += held.size;
        is_first || bytes <= FORWARD_BYTES
    });
    let misrouted = first.map(|held| Misrouted {
        partition: shared.consent_partition(held.key()),
        key: held.key().to_vec(),
        payload: held.payload().map(<[u8]>::to_vec),
        is_outsized: held.is_outsized(),
        source: format!("{}/{}/{}", shared.config.topics.consent, task.partition, held.offset),
    });
    misrouted.collect()
}

fn tell_not_sent_on(partition: i32, error: &str) {
    if let Some(repeated) = pace::may_say("not forwarded") {
        tracing::warn!(partition, error, repeated, "can't forward misrouted consent; trying again");
    }
}

/// The broker's clock, where the record's time is the broker's.
fn witness(shared: &Shared, task: &Task, message: &Received<'_>, received: Span) {
    if let rdkafka::Timestamp::LogAppendTime(at) = message.timestamp() {
        let asked = task.barrier.newest().filter(|question| message.offset() >= question.end);
        shared.clock_watch.appended(Appended {
            at: Timestamp(at),
            received,
            asked: asked.map(|question| question.sent.uptime),
        });
    }
}

type Read<'r> = &'r dyn Fn(&Inbound<'_>, bool, Option<&str>) -> ConsentReading;

fn hold(message: &Received<'_>, received: Span, read: Read<'_>) -> HeldConsent {
    hold_as(message, message.payload(), received, read)
}

/// Of a record that is too large its key is kept, so that its subject is withheld, and its value's hash.
fn hold_outsized(message: &Received<'_>, received: Span, read: Read<'_>) -> HeldConsent {
    let nothing_of_it = message.payload().map(|_| &[][..]);
    let held = hold_as(message, nothing_of_it, received, read);
    held.outsized(outsized(message))
}

fn hold_as(
    message: &Received<'_>,
    payload: Option<&[u8]>,
    received: Span,
    read: Read<'_>,
) -> HeldConsent {
    let inbound = Inbound { partition: message.partition(), key: message.key(), payload };
    let text = |value: Option<&[u8]>| std::str::from_utf8(value?).ok().map(str::to_owned);
    let source = message.header(c"source").and_then(text);
    let forwarded = message.header(forwarder::FORWARDED_C);
    let mut reading = read(&inbound, forwarded.is_some(), source.as_deref());
    if let (Some(from), Some(forwarder::TOO_LARGE), ConsentReading::Unreadable(why)) =
        (forwarded, payload, &mut reading)
    {
        let from = shown(&text(from).unwrap_or_default());
        why.detail = format!("it stands for {from}, which was too large to be sent on from there");
    }
    let arrival = Arrival { appended: timestamp(message), received };
    // One that is no key is a dead letter, and nobody's.
    let key = inbound.key.filter(|key| key.len() <= ID_BYTES_MAX);
    HeldConsent::new(message.offset(), arrival, &Inbound { key, ..inbound }, reading)
}

pub(super) fn timestamp(message: &Received<'_>) -> Timestamp {
    Timestamp(message.timestamp().to_millis().unwrap_or(0))
}
