//! What arrives, what is asked, and new keys: what `pipeline::receive`, `commit` and `keys` execute.

use std::sync::Arc;

use super::{Around, Halt, Instance};
use crate::faults::Fault;
use crate::log::{Log, Record, Stored, Topic, dead_clicks};
use crate::stage::PARTITIONS;
use crate::workload::partition_of;
use assent_contract::domain::time::Span;
use assent_contract::wire::{ConsentReader, Inbound, KnownSchemas};
use assent_core::engine::audience::{Heard, Said};
use assent_core::engine::output::InputTopic;
use assent_core::task::Task;
use assent_core::task::barrier::Arrival;
use assent_core::task::clicks::ReceivedClick;
use assent_core::task::consent::HeldConsent;
use assent_core::worker::{Ended, Fit, Room, Swept};

/// The header of a record that was sent on (docs/contract/bad-input.md#consent).
const FORWARDED: &str = "assent-forwarded";

/// What a record takes besides its bytes, as the worker counts it.
const RECORD_BYTES: usize = size_of::<HeldConsent>();

impl Instance {
    /// Now and then the client refuses, and is asked again.
    pub(super) fn pause(&mut self, partition: i32, around: &mut Around<'_>) {
        if around.random.chance(80) {
            self.paused.insert(partition);
            self.worker.paused(partition);
        } else {
            self.refused.insert(partition);
        }
    }

    pub(super) fn resume(&mut self, partition: i32, around: &mut Around<'_>) {
        if around.random.chance(80) {
            self.paused.remove(&partition);
            self.worker.resumed(partition);
        }
    }

    pub(super) fn receive_consent(&mut self, mut room: Room, around: &mut Around<'_>) {
        let is_stalled =
            around.faults.is_in_force(Fault::StalledConsent, around.broker.now) || around.is_away();
        let (mut taken, mut largest) = (0, 0);
        self.settle_unreadable_consent(around);
        if !is_stalled && around.random.chance(85) {
            let most = around.random.pick(&[1, 2, 50]);
            let received = self.moment(around).uptime;
            let stale = &self.stale_consent;
            for (&partition, at) in self.consent_at.iter_mut().filter(|(it, _)| !stale.contains(it))
            {
                for _ in 0..most {
                    if room.is_over() {
                        break;
                    }
                    let Some((offset, stored)) = around.next(Topic::Consent, partition, at) else {
                        break;
                    };
                    if stored.damaged.is_some() {
                        if let Some(task) = self.worker.tasks_mut().get_mut(&partition) {
                            task.note_fault(InputTopic::Consent, "simulated damage");
                        }
                        continue;
                    }
                    if room.fit(size(stored)) != Fit::Taken {
                        *at = offset;
                        break;
                    }
                    taken += 1;
                    largest = largest.max(size(stored));
                    let known = self.worker.known();
                    let reader = (&self.consent_reader, &**known);
                    let held = hold(reader, (partition, offset), stored, received);
                    self.worker.receive_consent(partition, held);
                }
            }
        }
        self.watch_consent(largest, around);
        self.worker.received_consent(taken, Ended::Drained);
    }

    /// Consent that can't be read is fetched once more, or it is sure by now that nobody can read it: what
    /// was received before is still decided, then the process ends.
    fn settle_unreadable_consent(&mut self, around: &mut Around<'_>) {
        let mut is_sure = false;
        for (partition, task) in self.worker.tasks_mut() {
            if task.fault(InputTopic::Consent).is_none() {
                continue;
            }
            match around.random.index(6) {
                0 => {
                    task.end_fault(InputTopic::Consent);
                    self.consent_at.insert(*partition, task.received_of(InputTopic::Consent));
                }
                1 => is_sure = true,
                _ => {}
            }
        }
        if is_sure && self.halt.is_none() {
            self.halt = Some(Halt::GivesBack);
            self.worker.give_back(self.moment(around));
        }
    }

    /// What is not acknowledged holds its partition, and is tried again.
    pub(super) fn forward_misrouted(&mut self, partition: i32, around: &mut Around<'_>) {
        let misrouted: Vec<(i32, Record)> = self
            .worker
            .tasks()
            .get(&partition)
            .into_iter()
            .flat_map(Task::misrouted)
            .map(|held| {
                let source = format!("consent-changelog/{partition}/{}", held.offset);
                let record = Record {
                    key: Some(held.key().to_vec()),
                    value: held.payload().map(<[u8]>::to_vec),
                    headers: vec![(FORWARDED, source)],
                };
                (partition_of(held.key()), record)
            })
            .collect();
        let count = misrouted.len();
        let is_lost = around.is_away() || around.random.chance(40);
        let arrives = !around.is_away() && (!is_lost || around.random.chance(50));
        for (to, record) in misrouted.into_iter().filter(|_| arrives) {
            around.broker.log.append((Topic::Consent, to), record, around.broker.now, None);
        }
        self.worker.forwarded(partition, if is_lost { 0 } else { count });
    }

    pub(super) fn receive_clicks(&mut self, room: Room, around: &mut Around<'_>) {
        self.watch_pauses(around);
        let (taken, ended) = if around.random.chance(85) {
            self.take_clicks(room, around)
        } else {
            (0, Ended::Drained)
        };
        self.worker.received_clicks(taken, ended);
    }

    /// While a call of the commit protocol is on its way.
    pub(super) fn receive_during_commit(&mut self, around: &mut Around<'_>) {
        let now = self.moment(around);
        if let Some(room) = self.worker.during_commit().1.room_during_commit(now) {
            let (_, ended) = self.take_clicks(room, around);
            self.worker.during_commit().1.clicks_ended(ended);
        }
    }

    /// What lies behind a batch that nobody can read comes all the same, until it is settled.
    fn take_clicks(&mut self, mut room: Room, around: &mut Around<'_>) -> (usize, Ended) {
        let (before, mut taken, mut largest) = (self.held_clicks(), 0, 0);
        let mut ended = Ended::Drained;
        if around.is_away() {
            return (taken, ended);
        }
        let most = around.random.pick(&[1, 3, 50]);
        let (_, intake) = self.worker.during_commit();
        let fetched = self.clicks_at.iter_mut().filter(|(at, _)| !self.paused.contains(at));
        'all: for (&partition, at) in fetched {
            let Some(task) = intake.task_mut(partition) else { continue };
            if task.fault(InputTopic::Clickstream).is_some() && around.random.chance(50) {
                settle(task, around.broker.log.get(Topic::Clicks, partition));
                *at = task.received_of(InputTopic::Clickstream);
            }
            for _ in 0..most {
                if room.is_over() {
                    break;
                }
                let Some((offset, stored)) = around.next(Topic::Clicks, partition, at) else {
                    break;
                };
                if stored.damaged.is_some() {
                    task.note_fault(InputTopic::Clickstream, "simulated damage");
                    continue;
                }
                if room.fit(size(stored)) != Fit::Taken {
                    (*at, ended) = (offset, Ended::NoRoom);
                    break 'all;
                }
                taken += 1;
                largest = largest.max(size(stored));
                let (key, payload) = (stored.record.key.as_deref(), stored.record.value.as_deref());
                let (timestamp, dead) = (stored.appended_at, None);
                task.receive_click(&ReceivedClick { offset, timestamp, key, payload, dead });
            }
        }
        self.watch_clicks((before, taken, largest), around);
        (taken, ended)
    }

    /// The end of every partition's state is read now and then.
    pub(super) fn hear_audiences(&mut self, around: &mut Around<'_>) {
        if !around.is_away() && around.random.chance(20) {
            let said = (0..PARTITIONS).filter_map(|at| Some((at, said(&around.broker.log, at)?)));
            let as_of = self.moment(around).wall;
            self.heard = Some(Arc::new(Heard { as_of, said: said.collect() }));
        }
        let now = self.moment(around);
        self.worker.heard_audiences(self.heard.as_ref(), now);
    }

    pub(super) fn ask(&mut self, partitions: &[i32], around: &Around<'_>) {
        if around.is_away() || self.probe_is_stale {
            return;
        }
        let end = |&at: &i32| (at, around.broker.log.high_watermark(Topic::Consent, at));
        let ends = partitions.iter().map(end).collect();
        self.worker.answered(&ends, self.moment(around));
    }

    /// Where the consumers are, beyond what can be received.
    pub(super) fn advance(&mut self) {
        self.worker.advance(&self.clicks_at, &self.consent_at);
    }

    /// Where the keyset file with another key has come.
    pub(super) fn take_up_keys(&mut self, around: &mut Around<'_>) {
        if self.keys == around.terms.keys || around.broker.now < self.keys_arrive_at {
            return;
        }
        self.keys = around.terms.keys;
        self.setup = Arc::new(self.setup.with_keys(Arc::clone(&around.stage.keys[self.keys])));
        for (_, refusal) in self.worker.set_keys(&self.setup) {
            around.witness.stops.push(refusal.to_string());
        }
        self.reread.clear();
    }

    /// The changelog is read again, from its beginning to where it ends now.
    pub(super) fn start_sweep(&mut self, partitions: Vec<i32>, around: &Around<'_>) {
        let now = self.moment(around);
        if around.is_away() {
            return self.worker.put_sweep_off(now);
        }
        let end = |&at: &i32| (at, (0, around.broker.log.high_watermark(Topic::Consent, at)));
        self.reread = partitions.iter().map(end).collect();
        self.worker.sweep_begins(partitions, now);
    }

    pub(super) fn sweep(&mut self, around: &mut Around<'_>) {
        let mut brought = false;
        let mut left = if around.is_away() { 0 } else { around.random.pick(&[1, 5, 500]) };
        let mut swept = Swept::Nothing;
        for (&partition, (at, _)) in &mut self.reread {
            while left > 0 && swept == Swept::Nothing {
                if !self.worker.has_room_for_ids() {
                    swept = Swept::Full;
                    break;
                }
                let Some((_, stored)) = around.next(Topic::Consent, partition, at) else { break };
                (brought, left) = (true, left - 1);
                if let (Some(key), Some(_)) = (&stored.record.key, &stored.record.value) {
                    self.worker.hold_id(partition, key);
                }
            }
        }
        if !brought && self.reread.values().all(|(at, end)| at >= end) {
            swept = Swept::Over;
        }
        self.worker.swept(swept, brought, self.moment(around));
    }
}

fn size(stored: &Stored) -> usize {
    let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
    RECORD_BYTES + length(&stored.record.key) + length(&stored.record.value)
}

fn hold(
    (reader, known): (&ConsentReader, &KnownSchemas),
    (partition, offset): (i32, i64),
    stored: &Stored,
    received: Span,
) -> HeldConsent {
    let record = &stored.record;
    let (key, payload) = (record.key.as_deref(), record.value.as_deref());
    let inbound = Inbound { partition, key, payload };
    let header = |name| record.headers.iter().find(|header| header.0 == name);
    let source = header("source").map(|header| header.1.as_str());
    let is_forwarded = header(FORWARDED).is_some();
    let reading = reader.read_with(&inbound, is_forwarded, source, known);
    let arrival = Arrival { appended: stored.appended_at, received };
    HeldConsent::new(offset, arrival, &inbound, reading)
}

/// It is sure by now that nobody can read the batch that comes next.
fn settle(task: &mut Task, log: &[Stored]) {
    let from = task.received_of(InputTopic::Clickstream);
    let next = log.iter().skip(from as usize).find_map(|stored| stored.damaged);
    if let Some((_, last)) = next {
        task.receive_dead(&dead_clicks((from, last)));
    }
    task.end_fault(InputTopic::Clickstream);
}

/// What a partition's state says last, for a reader of committed records.
fn said(log: &Log, partition: i32) -> Option<Said> {
    let end = log.last_stable_offset(Topic::State, partition) as usize;
    let committed = log.get(Topic::State, partition)[..end].iter().rev();
    committed.filter(|stored| log.is_visible(stored)).find_map(|stored| {
        let Record { key, value, .. } = &stored.record;
        Said::read(key.as_deref().unwrap_or_default(), value.as_deref())
    })
}
