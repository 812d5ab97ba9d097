//! A worker's receiving: consent first and whole, then clicks in bursts, within bounds.

use std::time::Duration;

use rdkafka::message::{BorrowedMessage, Headers, Message};

use super::Shared;
use super::assignment;
use super::click_intake::ClickIntake;
use super::worker::Worker;
use crate::domain::clock_guard::Appended;
use crate::domain::time::{Span, Timestamp};
use crate::failure::Result;
use crate::kafka::consumer::Polled;
use crate::kafka::forwarder::{self, FORWARDED, Misrouted};
use crate::pace;
use crate::task::barrier::Arrival;
use crate::task::consent::HeldConsent;
use crate::task::{CONSENTS_PER_BATCH, Task};
use crate::wire::Inbound;

/// Consent held back takes at most this a worker beside: 40,000 of the largest records that a broker
/// takes would be 40 GB.
const CONSENT_HELD_MAX: usize = 64 * 1024 * 1024;

/// Consent records taken before clicks have their turn.
const BURST: usize = 2_000;

/// How long a misrouted record may take to its right partition before the loop goes round again: each
/// try twice as long as the one before, up to the second, since each connects anew.
pub(super) const FORWARD: Duration = Duration::from_secs(2);
const FORWARD_MAX: Duration = Duration::from_secs(8);

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
        let bytes: usize = self.tasks.values().map(Task::consent_bytes).sum();
        let mut bytes_left = CONSENT_HELD_MAX.saturating_sub(bytes);
        for taken in 0..BURST.min(room) {
            if bytes_left == 0 {
                return (taken, Ended::Full);
            }
            match self.consent.poll() {
                Polled::Message(message) => {
                    bytes_left = bytes_left.saturating_sub(size(&message));
                    if let Some(task) = self.tasks.get_mut(&message.partition()) {
                        let reader = &self.shared.consent_reader;
                        let received = self.shared.clock.uptime();
                        witness(&self.shared, task, &message, received);
                        task.receive_consent(hold(&message, received, |inbound, fwd, source| {
                            reader.read_with(inbound, fwd, source, &self.known)
                        }));
                    }
                }
                Polled::Nothing => return (taken, Ended::Drained),
                Polled::OutOfRange => return (taken, Ended::OutOfRange),
                Polled::Fatal(error) => {
                    tracing::error!(%error, "the consent consumer failed for good");
                    return (taken, Ended::Gone);
                }
            }
        }
        (BURST.min(room), Ended::Full)
    }

    /// What can't be sent on now holds its partition, and is tried again, whether or not more comes.
    fn forward_misrouted(&mut self) {
        let mut failed = false;
        let config = &self.shared.config;
        for (&partition, task) in &mut self.tasks {
            let misrouted: Vec<Misrouted> = task
                .misrouted()
                .map(|held| Misrouted {
                    partition: self.shared.consent_partition(held.key()),
                    key: held.key().to_vec(),
                    payload: held.payload().map(<[u8]>::to_vec),
                    source: format!("{}/{partition}/{}", config.topics.consent, held.offset),
                })
                .collect();
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
            match forwarder::forward(config, misrouted, self.forward_for) {
                Ok(true) => {
                    task.set_forwarded();
                    continue;
                }
                Ok(false) => tell_not_sent_on(partition, "not acknowledged"),
                Err(error) => tell_not_sent_on(partition, &error.to_string()),
            }
            failed = true;
        }
        let again = self.shared.clock.instant() + FORWARD_AGAIN;
        self.forward_again_at = failed.then_some(again);
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

fn tell_not_sent_on(partition: i32, error: &str) {
    if let Some(repeated) = pace::may_say("not forwarded") {
        tracing::warn!(partition, error, repeated, "can't forward misrouted consent; trying again");
    }
}

/// The broker's clock, where the record's time is the broker's.
fn witness(shared: &Shared, task: &Task, message: &BorrowedMessage<'_>, received: Span) {
    if let rdkafka::Timestamp::LogAppendTime(at) = message.timestamp() {
        let asked = task.barrier.newest().filter(|question| message.offset() >= question.end);
        shared.clock_watch.appended(Appended {
            at: Timestamp(at),
            received,
            asked: asked.map(|question| question.sent.uptime),
        });
    }
}

fn hold(
    message: &BorrowedMessage<'_>,
    received: Span,
    read: impl FnOnce(&Inbound<'_>, bool, Option<&str>) -> crate::wire::ConsentReading,
) -> HeldConsent {
    let inbound =
        Inbound { partition: message.partition(), key: message.key(), payload: message.payload() };
    let header = |name: &str| {
        let headers = message.headers()?;
        headers.iter().find(|header| header.key == name).map(|header| header.value)
    };
    let source = header("source").flatten().and_then(|value| std::str::from_utf8(value).ok());
    let reading = read(&inbound, header(FORWARDED).is_some(), source);
    let arrival = Arrival { appended: timestamp(message), received };
    HeldConsent::new(message.offset(), arrival, &inbound, reading)
}

/// Bytes of its key and value; a record without either still takes its place.
pub(super) fn size(message: &BorrowedMessage<'_>) -> usize {
    message.key_len() + message.payload_len() + size_of::<HeldConsent>()
}

pub(super) fn timestamp(message: &BorrowedMessage<'_>) -> Timestamp {
    Timestamp(message.timestamp().to_millis().unwrap_or(0))
}
