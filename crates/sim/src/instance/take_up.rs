//! Taking partitions up, in the order of docs/contract/batch.md#assignment: the producer first, the
//! group's offsets, then the state to its end; the two must say the same.

use std::collections::BTreeMap;

use super::{Around, Instance, absence_bound};
use crate::broker::{Broker, Committed};
use crate::log::Topic;
use crate::restored::{RestoreError, restore_partition};
use assent_contract::domain::time::{Span, Timestamp};
use assent_core::engine::loss::{self, Losses, Range, TopicIds, View};
use assent_core::engine::{Partition, Refusal};
use assent_core::task::{Offsets, Task};

/// As the worker's: between two tries, and where a person has to bring something first.
const RETRY: Span = Span(500);
const WAIT: Span = Span(2_000);

impl Instance {
    /// One step of it a turn: the group's offsets, then the state.
    pub(super) fn restore(&mut self, partitions: &[i32], around: &mut Around<'_>) {
        if around.is_group_away() {
            return;
        }
        let Some(committed) = self.committed.take() else {
            self.committed = around.broker.committed(partitions);
            if self.committed.is_none() {
                self.worker.restore_after(RETRY, self.moment(around));
            }
            return;
        };
        if self.crashes_at("during_restore", around) {
            return;
        }
        match self.restored(partitions, &committed, around) {
            Ok(tasks) => {
                if self.crashes_at("after_restore", around) {
                    return;
                }
                let starts = |which: fn(Offsets) -> i64| -> BTreeMap<i32, i64> {
                    let each = tasks.iter();
                    each.map(|(&partition, task)| (partition, which(task.received()))).collect()
                };
                self.clicks_at = starts(|offsets| offsets.click);
                self.consent_at = starts(|offsets| offsets.consent);
                self.worker.restored(tasks);
            }
            Err(error) => self.outlast(error, around),
        }
    }

    /// What a person would do, or wait.
    fn outlast(&mut self, error: RestoreError, around: &mut Around<'_>) {
        let now = around.broker.now;
        match error {
            RestoreError::Again => self.worker.restore_after(RETRY, self.moment(around)),
            // The keyset file is on its way.
            RestoreError::Refused(Refusal::KeyMissing { .. }) => {
                self.keys = if now >= self.keys_arrive_at { around.terms.keys } else { self.keys };
                let rulebook = around.stage.rulebooks.iter();
                let place =
                    rulebook.clone().position(|(it, _)| it.sha256 == self.setup.rulebook.sha256);
                self.setup =
                    super::setup(around.stage, around.terms, place.unwrap_or(0), self.keys);
                self.worker.restore_after(WAIT, self.moment(around));
            }
            // A rolling restart brings the new rulebook.
            RestoreError::Refused(Refusal::RulebookLeft { .. }) => self.crash(around),
            RestoreError::Refused(refusal) => {
                around.witness.stops.push(refusal.to_string());
                self.kill(around.stage, around.terms, Timestamp::MAX);
            }
            RestoreError::Absent => self.stop_for_good(around),
            RestoreError::Damaged(detail) => {
                around.witness.stops.push(detail);
                self.kill(around.stage, around.terms, Timestamp::MAX);
            }
        }
    }

    fn restored(
        &self,
        partitions: &[i32],
        committed: &BTreeMap<i32, Committed>,
        around: &Around<'_>,
    ) -> Result<BTreeMap<i32, Task>, RestoreError> {
        let now = self.moment(around);
        let mut tasks = BTreeMap::new();
        for &partition in partitions {
            let mut engine = restore_partition(&self.setup, partition, around.broker)?;
            let group = committed.get(&partition).copied();
            let state = engine.positions().map(|it| (it.next_click, it.next_sequence));
            if group != state {
                return Err(RestoreError::Damaged(format!(
                    "partition {partition}: the group says {group:?}, the state {state:?}"
                )));
            }
            let unread_for = engine.consent_synced_at().map_or(Span(0), |at| now.wall - at);
            if !find_losses(partition, &engine, now.wall, around.broker).is_empty() {
                return Err(RestoreError::Absent);
            }
            let start = if let Some(at) = engine.positions() {
                Offsets { click: at.next_click, consent: at.next_consent }
            } else {
                engine.start_at(0, 0);
                Offsets { click: 0, consent: 0 }
            };
            let task = Task::new(partition, engine, start, now);
            tasks.insert(partition, task.bound_absence(Some(absence_bound()), unread_for));
        }
        Ok(tasks)
    }
}

/// What was lost of a partition. What can't be read is met later, where it is received, and no log loses
/// here what is needed next, but for its time.
fn find_losses(partition: i32, engine: &Partition, now: Timestamp, broker: &Broker) -> Losses {
    let range = |topic| Range { start: 0, end: broker.log.high_watermark(topic, partition) };
    loss::find(&View {
        state: Ok(engine.state_head()),
        group: None,
        audit: None,
        unreadable_audit: None,
        topics: TopicIds::default(),
        clicks: range(Topic::Clicks),
        consent: range(Topic::Consent),
        unreadable: None,
        now,
        absence: Some(absence_bound()),
    })
}
