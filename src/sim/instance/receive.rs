//! What arrives, what is asked, and new keys: as `pipeline::receive`, `commit` and `keys` do it.

use std::sync::Arc;

use super::{Around, Instance};
use crate::domain::time::Span;
use crate::engine::output::InputTopic;
use crate::sim::faults::Fault;
use crate::sim::log::{Record, Stored, Topic, dead_clicks};
use crate::sim::workload::partition_of;
use crate::task::Task;
use crate::task::barrier::{Arrival, Question};
use crate::task::clicks::ReceivedClick;
use crate::task::consent::HeldConsent;
use crate::wire::Inbound;

/// The header of a record that was sent on (docs/contract/bad-input.md#consent).
const FORWARDED: &str = "assent-forwarded";

/// As the worker's.
const ASK_EVERY: Span = Span(500);

impl Instance {
    pub(super) fn receive(&mut self, around: &mut Around<'_>) {
        if around.is_away() {
            return;
        }
        let now = around.broker.now;
        if !around.faults.is_in_force(Fault::StalledConsent, now) && around.random.chance(85) {
            self.receive_consent(around);
            self.forward_misrouted(around);
        }
        if around.random.chance(85) {
            self.receive_clicks(around);
        }
    }

    fn receive_consent(&mut self, around: &mut Around<'_>) {
        let most = around.random.pick(&[1, 2, 50]);
        let received = self.moment(around).uptime;
        for (&partition, task) in &mut self.tasks {
            let Some(at) = self.consent_at.get_mut(&partition) else { continue };
            let (offsets, next) = around.broker.log.fetch(Topic::Consent, partition, *at, most);
            *at = next;
            for offset in offsets {
                let stored = &around.broker.log.get(Topic::Consent, partition)[offset as usize];
                let record = &stored.record;
                let (key, payload) = (record.key.as_deref(), record.value.as_deref());
                let inbound = Inbound { partition, key, payload };
                let header = |name| record.headers.iter().find(|header| header.0 == name);
                let source = header("source").map(|header| header.1.as_str());
                let is_forwarded = header(FORWARDED).is_some();
                let reading = self.consent_reader.read(&inbound, is_forwarded, source);
                let arrival = Arrival { appended: stored.appended_at, received };
                let held = HeldConsent::new(offset, arrival, &inbound, reading);
                task.receive_consent(held);
            }
        }
    }

    /// What is not acknowledged holds its partition, and is tried again.
    fn forward_misrouted(&mut self, around: &mut Around<'_>) {
        for (&partition, task) in &mut self.tasks {
            let misrouted: Vec<(i32, Record)> = task
                .misrouted()
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
            let is_lost = around.random.chance(40) && !misrouted.is_empty();
            let arrives = !is_lost || around.random.chance(50);
            for (to, record) in misrouted.into_iter().filter(|_| arrives) {
                around.broker.log.append((Topic::Consent, to), record, around.broker.now, None);
            }
            if !is_lost {
                task.set_forwarded(usize::MAX);
            }
        }
    }

    /// What lies behind a batch that nobody can read comes all the same, until it is settled.
    fn receive_clicks(&mut self, around: &mut Around<'_>) {
        let most = around.random.pick(&[1, 3, 50]);
        for (&partition, task) in &mut self.tasks {
            let Some(at) = self.clicks_at.get_mut(&partition) else { continue };
            let log = &around.broker.log;
            if task.fault(InputTopic::Clickstream).is_some() && around.random.chance(50) {
                settle(task, log.get(Topic::Clicks, partition));
                *at = task.received_of(InputTopic::Clickstream);
            }
            let (offsets, next) = log.fetch(Topic::Clicks, partition, *at, most);
            *at = next;
            for offset in offsets {
                let stored = &log.get(Topic::Clicks, partition)[offset as usize];
                if stored.damaged.is_some() {
                    task.note_fault(InputTopic::Clickstream, "simulated damage");
                    continue;
                }
                task.receive_click(&ReceivedClick {
                    offset,
                    timestamp: stored.appended_at,
                    key: stored.record.key.as_deref(),
                    payload: stored.record.value.as_deref(),
                    dead: None,
                });
            }
        }
    }

    pub(super) fn ask_and_settle(&mut self, around: &Around<'_>) {
        let since = around.broker.now - self.asked_at;
        let waits = self.tasks.values().any(|it| it.wants_question() && !it.barrier.has_open());
        let is_due = since >= ASK_EVERY || (waits && since >= around.terms.commit_interval);
        if is_due && !around.is_away() {
            self.asked_at = around.broker.now;
            let sent = self.moment(around);
            for (&partition, task) in &mut self.tasks {
                let end = around.broker.log.high_watermark(Topic::Consent, partition);
                let clicks = task.clicks.received();
                task.barrier.asked(Question { sent, end, clicks });
            }
        }
        if self.tasks.values().any(|task| task.barrier.has_open()) {
            self.advance();
        }
        for task in self.tasks.values_mut() {
            drop(task.settle());
        }
    }

    /// Where the consumers are, beyond what can be received.
    pub(super) fn advance(&mut self) {
        for (partition, task) in &mut self.tasks {
            task.advance(self.clicks_at.get(partition), self.consent_at.get(partition));
        }
    }

    /// Takes up new keys between two batches, and moves what is live to the active one.
    pub(super) fn follow_keys(&mut self, around: &mut Around<'_>) {
        if self.in_hand.is_some() {
            return;
        }
        if self.keys < around.terms.keys && around.broker.now >= self.keys_arrive_at {
            self.keys = around.terms.keys;
            self.setup = Arc::new(self.setup.with_keys(Arc::clone(&around.stage.keys[self.keys])));
            for task in self.tasks.values_mut() {
                if let Err(refusal) = task.set_keys(Arc::clone(&self.setup)) {
                    around.witness.stops.push(refusal.to_string());
                }
            }
            self.wants_sweep = true;
        }
        if std::mem::take(&mut self.wants_sweep) {
            self.sweep(around);
        }
    }

    /// Reads the changelog again, for the raw ids that state and audit don't hold.
    fn sweep(&mut self, around: &Around<'_>) {
        let now = self.moment(around);
        for (&partition, task) in self.tasks.iter_mut().filter(|it| it.1.engine.has_old_keys()) {
            let log = &around.broker.log;
            let (offsets, _) = log.fetch(Topic::Consent, partition, 0, usize::MAX);
            for offset in offsets {
                let record = &log.get(Topic::Consent, partition)[offset as usize].record;
                if let (Some(key), Some(_)) = (&record.key, &record.value) {
                    task.hold_id(key);
                }
            }
            task.complete_ids(now);
        }
    }
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
