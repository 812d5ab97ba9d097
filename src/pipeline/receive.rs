//! A worker's receiving: consent first and whole, then clicks in bursts, within bounds.

use std::time::{Duration, Instant};

use rdkafka::message::{BorrowedMessage, Headers, Message};

use super::Shared;
use super::assignment;
use super::worker::Worker;
use crate::domain::clock_guard::Appended;
use crate::domain::time::{Span, Timestamp};
use crate::failure::Result;
use crate::kafka::consumer::Polled;
use crate::kafka::forwarder::{self, FORWARDED, Misrouted};
use crate::task::barrier::Arrival;
use crate::task::held::{HeldConsent, ReceivedClick};
use crate::task::{CONSENTS_PER_BATCH, Task};
use crate::wire::Inbound;

/// Clicks held back take at most this a worker (design, section 7).
const CLICKS_HELD_MAX: usize = 64 * 1024 * 1024;

/// Consent held back takes at most this a worker beside: 40,000 of the largest records that a broker
/// takes would be 40 GB.
const CONSENT_HELD_MAX: usize = 64 * 1024 * 1024;

/// Records taken from one consumer before the other has its turn.
const BURST: usize = 2_000;

/// While memory is full, one poll in this long still serves what the group decides, which queues
/// behind the clicks: at 1 MiB each, the largest a broker takes by default, 10 MiB/s beyond.
const TRICKLE: Duration = Duration::from_millis(100);

/// How long a misrouted record may take to its right partition before the loop goes round again.
const FORWARD: Duration = Duration::from_secs(2);

enum Ended {
    Drained,
    Full,
    OutOfRange,
    Gone,
}

impl Worker {
    /// Takes what has arrived; was there anything?
    pub(super) fn receive(&mut self) -> Result<bool> {
        let (consents, ended) = self.receive_consent();
        if consents > 0 {
            self.forward_misrouted();
        }
        let (clicks, click_ended) = match ended {
            Ended::Drained | Ended::Full => self.receive_clicks(),
            _ => (0, ended),
        };
        match click_ended {
            Ended::OutOfRange => self.stop_for_loss()?,
            Ended::Gone => self.rejoin()?,
            Ended::Drained | Ended::Full => {}
        }
        Ok(consents + clicks > 0)
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
                            reader.read(inbound, fwd, source)
                        }));
                    }
                }
                Polled::Nothing => return (taken, Ended::Drained),
                Polled::OutOfRange => return (taken, Ended::OutOfRange),
                Polled::Fatal(error) => {
                    tracing::error!(%error, "the consent consumer can't go on");
                    return (taken, Ended::Gone);
                }
            }
        }
        (BURST.min(room), Ended::Full)
    }

    /// What can't be sent on now holds its partition, and is tried with the next records.
    fn forward_misrouted(&mut self) {
        let config = &self.shared.config;
        for (&partition, task) in &mut self.tasks {
            let misrouted: Vec<Misrouted<'_>> = task
                .misrouted()
                .map(|held| Misrouted {
                    partition: self.shared.consent_partition(held.key()),
                    key: held.key(),
                    payload: held.payload(),
                    source: format!("{}/{partition}/{}", config.topics.consent, held.offset),
                })
                .collect();
            if misrouted.is_empty() {
                continue;
            }
            let count = misrouted.len();
            tracing::warn!(partition, count, "consent lies on a wrong partition; sending it on");
            match forwarder::forward(config, &misrouted, FORWARD) {
                Ok(true) => task.set_forwarded(),
                Ok(false) => tracing::warn!(partition, "not acknowledged; trying again"),
                Err(error) => tracing::warn!(partition, %error, "can't send consent on"),
            }
        }
    }

    fn receive_clicks(&mut self) -> (usize, Ended) {
        let (room, mut bytes_left) = self.room_for_clicks(self.shared.clock.instant());
        for taken in 0..room {
            if bytes_left == 0 {
                return (taken, Ended::Full);
            }
            match self.clicks.poll() {
                Polled::Message(message) => {
                    bytes_left = bytes_left.saturating_sub(size(&message));
                    if let Some(task) = self.tasks.get_mut(&message.partition()) {
                        task.receive_click(&ReceivedClick {
                            offset: message.offset(),
                            timestamp: timestamp(&message),
                            key: message.key(),
                            payload: message.payload(),
                        });
                    }
                }
                Polled::Nothing => return (taken, Ended::Drained),
                Polled::OutOfRange => return (taken, Ended::OutOfRange),
                Polled::Fatal(error) => {
                    tracing::error!(%error, "the group does not know this member any more");
                    return (taken, Ended::Gone);
                }
            }
        }
        (room, Ended::Full)
    }

    /// How many clicks may be taken, and after how many bytes of them no more.
    fn room_for_clicks(&mut self, now: Instant) -> (usize, usize) {
        let held: usize = self.tasks.values().map(|task| task.clicks.size()).sum();
        if held < CLICKS_HELD_MAX {
            (BURST, CLICKS_HELD_MAX - held)
        } else if now >= self.trickle_until {
            self.trickle_until = now + TRICKLE;
            (1, 1)
        } else {
            (0, 0)
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
fn size(message: &BorrowedMessage<'_>) -> usize {
    message.key_len() + message.payload_len() + size_of::<HeldConsent>()
}

fn timestamp(message: &BorrowedMessage<'_>) -> Timestamp {
    Timestamp(message.timestamp().to_millis().unwrap_or(0))
}
