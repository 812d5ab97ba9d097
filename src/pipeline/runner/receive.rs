//! Executes a worker's receiving: consent first, then clicks, as far as it has room; misrouted consent is
//! sent on.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Runner, consent};
use crate::failure::Result;
use crate::kafka::consumer::{ClickConsumer, Polled};
use crate::kafka::events::Received;
use crate::kafka::forwarder::{self, Misrouted};
use crate::pace;
use crate::pipeline::assignment;
use crate::pipeline::bounded::{outsized, size};
use crate::pipeline::shared::Shared;
use assent_contract::domain::clock_guard::Appended;
use assent_contract::domain::foreign_text::shown;
use assent_contract::domain::ids::ID_BYTES_MAX;
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::wire::{ConsentReading, Inbound};
use assent_core::engine::input::DeadClicks;
use assent_core::engine::output::InputTopic;
use assent_core::task::Task;
use assent_core::task::barrier::Arrival;
use assent_core::task::clicks::ReceivedClick;
use assent_core::task::consent::HeldConsent;
use assent_core::worker::{Ended, Fit, Intake, Room, STANDS_MAX};

/// What is sent on at one time, or one record: each is copied twice on its way.
const FORWARD_BYTES: usize = 8 * 1024 * 1024;

impl Runner {
    pub(super) fn receive_consent(&mut self, mut room: Room) {
        let mut taken = 0;
        let ended = loop {
            if room.is_over() {
                break Ended::Full;
            }
            match self.clients.consent.poll() {
                Polled::Message(message) => {
                    let (shared, partition) = (&self.shared, message.partition());
                    let Some(task) = self.worker.tasks().get(&partition) else {
                        room.pass();
                        continue;
                    };
                    let fit = room.fit(size(&message));
                    if fit == Fit::Waits {
                        self.clients.consent.put_back(message);
                        break Ended::NoRoom;
                    }
                    taken += 1;
                    let received = shared.clock.uptime();
                    witness(shared, task, &message, received);
                    let known = self.worker.known();
                    let read = |inbound: &Inbound<'_>, forwarded, source: Option<&str>| {
                        shared.consent_reader.read_with(inbound, forwarded, source, known)
                    };
                    let held = if fit == Fit::Outsized {
                        hold_outsized(&message, received, &read)
                    } else {
                        hold(&message, received, &read)
                    };
                    self.worker.receive_consent(partition, held);
                }
                Polled::Nothing => break Ended::Drained,
                Polled::Unreadable { partition, error } => {
                    room.pass();
                    if let Some(task) = self.worker.tasks_mut().get_mut(&partition) {
                        task.note_fault(InputTopic::Consent, &error.reason);
                    }
                }
                Polled::OutOfRange { partition } if self.consent_has_fault(partition) => {
                    room.pass();
                }
                Polled::OutOfRange { .. } => break Ended::OutOfRange,
                Polled::Fatal(error) => {
                    tracing::error!(%error, "the consent consumer failed for good");
                    break Ended::Gone;
                }
            }
        };
        self.worker.received_consent(taken, ended);
    }

    fn consent_has_fault(&self, partition: Option<i32>) -> bool {
        let task = partition.and_then(|partition| self.worker.tasks().get(&partition));
        task.is_some_and(|task| task.fault(InputTopic::Consent).is_some())
    }

    pub(super) fn receive_clicks(&mut self, room: Room) {
        let (_, intake) = self.worker.during_commit();
        let (taken, ended) = receive_clicks(&self.clients.clicks, intake, room);
        self.worker.received_clicks(taken, ended);
    }

    /// What can't be sent on now holds its partition, and is tried again.
    pub(super) fn forward_misrouted(&mut self, partition: i32, within: Span) {
        let Some(task) = self.worker.tasks().get(&partition) else { return };
        let misrouted = some_misrouted(&self.shared, task);
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
        let within = Duration::from_millis(within.0 as u64);
        let acknowledged = match forwarder::forward(&self.shared.config, misrouted, within) {
            Ok(true) => count,
            Ok(false) => tell_not_sent_on(partition, "not acknowledged"),
            Err(error) => tell_not_sent_on(partition, &error.to_string()),
        };
        self.worker.forwarded(partition, acknowledged);
    }

    pub(super) fn leave_standstill(&mut self, at: &BTreeMap<i32, i64>) {
        let stands = STANDS_MAX.0 / 1_000;
        tracing::warn!(
            worker = self.number,
            "consent has made no progress for {stands} s; reading again"
        );
        self.follow_consent_anew(at);
    }

    /// By another client, from where the tasks are.
    pub(super) fn follow_consent_anew(&mut self, at: &BTreeMap<i32, i64>) {
        let made = consent(&self.shared, self.clients.answers);
        match made.and_then(|follower| follower.fetch_from(at).map(|()| follower)) {
            Ok(follower) => self.clients.consent = follower,
            Err(error) => tracing::warn!(%error, "can't read consent again"),
        }
    }

    /// An input no longer holds what is needed next: say what was lost. Where it holds it after
    /// all, the partitions are taken up anew.
    pub(super) fn stop_for_loss(&mut self) -> Result<()> {
        match assignment::find_loss(&self.shared, &self.clients.probe, self.worker.tasks()) {
            Ok(Some(failure)) => {
                // What was received before is still decided: it may hold an opt-out.
                self.give_back()?;
                Err(failure)
            }
            Ok(None) | Err(_) => self.rejoin(),
        }
    }
}

/// Takes a burst of clicks that have arrived: in a turn, and while a commit is on its way to the broker.
pub(super) fn receive_clicks(
    clicks: &ClickConsumer,
    intake: &mut Intake,
    mut room: Room,
) -> (usize, Ended) {
    let mut taken = 0;
    while !room.is_over() {
        match clicks.poll() {
            Polled::Message(message) => {
                if !take_click(clicks, intake, message, &mut room) {
                    return (taken, Ended::NoRoom);
                }
                taken += 1;
            }
            Polled::Nothing => return (taken, Ended::Drained),
            Polled::Unreadable { partition, error } => {
                room.pass();
                if let Some(task) = intake.task_mut(partition) {
                    task.note_fault(InputTopic::Clickstream, &error.reason);
                }
            }
            Polled::OutOfRange { partition } if clicks_have_fault(intake, partition) => room.pass(),
            Polled::OutOfRange { .. } => return (taken, Ended::OutOfRange),
            Polled::Fatal(error) => {
                tracing::error!(%error, "the group no longer knows this member");
                return (taken, Ended::Gone);
            }
        }
    }
    (taken, Ended::Full)
}

/// False: there is no room for it, and it comes again.
fn take_click(
    clicks: &ClickConsumer,
    intake: &mut Intake,
    message: Received<'_>,
    room: &mut Room,
) -> bool {
    let Some(task) = intake.task_mut(message.partition()) else {
        room.pass();
        return true;
    };
    let offset = message.offset();
    match room.fit(size(&message)) {
        Fit::Taken => task.receive_click(&ReceivedClick {
            offset,
            timestamp: timestamp(&message),
            key: message.key(),
            payload: message.payload(),
            dead: None,
        }),
        Fit::Outsized if task.fault(InputTopic::Clickstream).is_none() => {
            let rejection = outsized(&message);
            let (first, last) = (offset, offset);
            task.receive_dead(&DeadClicks { first, last, is_batch: false, rejection });
        }
        Fit::Outsized => {}
        Fit::Waits => {
            clicks.put_back(message);
            return false;
        }
    }
    true
}

fn clicks_have_fault(intake: &mut Intake, partition: Option<i32>) -> bool {
    let task = partition.and_then(|partition| intake.task_mut(partition));
    task.is_some_and(|task| task.fault(InputTopic::Clickstream).is_some())
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

/// How many are acknowledged: none.
fn tell_not_sent_on(partition: i32, error: &str) -> usize {
    if let Some(repeated) = pace::may_say("not forwarded") {
        tracing::warn!(partition, error, repeated, "can't forward misrouted consent; trying again");
    }
    0
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

fn timestamp(message: &Received<'_>) -> Timestamp {
    Timestamp(message.timestamp().to_millis().unwrap_or(0))
}
