//! When a request is honored: once the audit shows its record applied, and the tombstones of that transaction
//! can be read by everybody who reads committed records. The commit's own answer says less: its markers reach
//! each partition in their own time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::audit::{Answer, Decided};
use super::owner::{Merged, Owning, TurnError, Waiting};
use super::requests::received;
use crate::clock::{Clock, SystemClock};
use assent_contract::domain::outcome::Outcome;
use assent_contract::domain::request::RequestStatus;
use assent_intake::Change;

const ASKED_FOR: Duration = Duration::from_secs(2);
const READABLE_WITHIN: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(1);

/// Between two looks into the audit where nothing new was read.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A command whose record is outdone as often as that is given up: somebody else writes without end.
const ATTEMPTS_MAX: u32 = 5;

/// Requests that are settled in one transaction.
const TOGETHER_MAX: usize = 200;

/// Between two looks for requests that have been kept long enough.
const SWEEP_EVERY: Duration = Duration::from_mins(10);

impl Owning {
    /// Follows the audit; was there anything?
    pub(super) fn read_audit(&mut self) -> Result<bool, TurnError> {
        let Some(trail) = &mut self.trail else { return Ok(false) };
        trail.read().map_err(TurnError::Surrender)
    }

    /// Settles the requests whose records are decided; was there one?
    pub(super) fn honor_decided(&mut self, is_news: bool) -> Result<bool, TurnError> {
        let now = SystemClock.instant();
        let is_due = |at: Instant| now.saturating_duration_since(at) >= LOOK_AGAIN;
        if self.merged.is_empty() || !(is_news || self.looked_at.is_none_or(is_due)) {
            return Ok(false);
        }
        self.looked_at = Some(now);
        self.find_records();
        let decided = self.decided()?;
        if decided.is_empty() {
            return Ok(false);
        }
        let (settled, again): (Vec<_>, Vec<_>) =
            decided.into_iter().partition(|(request, decided)| self.is_settled(request, decided));
        for (request, decided) in again {
            self.merge_again(&request, &decided);
        }
        if settled.is_empty() {
            return Ok(true);
        }
        self.await_readable()?;
        self.write_settled(&settled)?;
        Ok(true)
    }

    /// Where the records of merged commands are.
    fn find_records(&mut self) {
        let changelog = &self.with.changelog;
        for merged in self.merged.values_mut().filter(|merged| merged.offset.is_none()) {
            if let Some(found) = &mut merged.found {
                match found.try_recv() {
                    Ok(found) => merged.offset = Some(found.offset),
                    Err(tokio::sync::oneshot::error::TryRecvError::Empty) => {}
                    Err(tokio::sync::oneshot::error::TryRecvError::Closed) => merged.found = None,
                }
            } else if changelog.progress().age().is_some() {
                // From before this owner: its subject's last record is this one, or came after it.
                merged.offset = changelog.last_offset(&merged.command.subject_id);
                merged.by_subject = true;
            }
        }
    }

    fn decided(&mut self) -> Result<Vec<(String, Decided)>, TurnError> {
        let held = self.wanted_from();
        let Some(trail) = &mut self.trail else { return Ok(Vec::new()) };
        trail.hold(held);
        let mut decided = Vec::new();
        let (mut earlier, mut before) = (false, Vec::new());
        for (request, merged) in &self.merged {
            let Some(offset) = merged.offset else { continue };
            match trail.find(merged.partition, offset) {
                Answer::Decided(found) => decided.push((request.clone(), found)),
                Answer::NotYet => {}
                Answer::Earlier if Self::is_earlier(merged) => before.push(request.clone()),
                Answer::Earlier => earlier = true,
            }
            if decided.len() == TOGETHER_MAX {
                break;
            }
        }
        for request in before {
            if let Some(merged) = self.merged.remove(&request) {
                self.note_unchanged(merged.partition, merged.command);
            }
        }
        if earlier {
            self.look_further_back()?;
        }
        Ok(decided)
    }

    /// The first record of each partition that is still looked for in the audit.
    fn wanted_from(&self) -> BTreeMap<i32, i64> {
        let mut from = BTreeMap::new();
        for merged in self.merged.values() {
            let Some(offset) = merged.offset else { continue };
            let first = from.entry(merged.partition).or_insert(offset);
            *first = offset.min(*first);
        }
        from
    }

    /// What is looked for was decided before the first batch that was read.
    fn look_further_back(&mut self) -> Result<(), TurnError> {
        let partitions = self.owned.keys().map(|&partition| {
            let waits = self.merged.values().any(|merged| merged.partition == partition);
            (partition, waits.then_some(assent_contract::domain::time::Timestamp(0)))
        });
        let since: BTreeMap<_, _> = partitions.collect();
        self.trail_from(&since)?;
        let held = self.wanted_from();
        if let Some(trail) = &mut self.trail {
            trail.hold(held);
        }
        Ok(())
    }

    /// Is there nothing more that the intake could do?
    fn is_settled(&self, request: &str, decided: &Decided) -> bool {
        let attempts = self.retries.get(request).map_or(0, |retry| retry.attempts);
        let is_lost = matches!(decided.outcome, Outcome::Superseded | Outcome::Unreadable);
        !is_lost || attempts >= ATTEMPTS_MAX
    }

    /// Another producer's version stands above this one, or contradicts it, or an erasure has a later time than
    /// the receipt by this host's clock: once more, above that and as of now.
    fn merge_again(&mut self, request: &str, decided: &Decided) {
        let Some(Merged { partition, mut command, .. }) = self.merged.remove(request) else {
            return;
        };
        // What a platform said is as old as it was: an erasure that came after it stands.
        if !matches!(command.change, Change::Heard(_)) {
            command.received_at = command.received_at.max(SystemClock.now());
        }
        let retry = self.retries.entry(request.to_owned()).or_default();
        retry.attempts += 1;
        retry.floor = retry.floor.max(decided.version.unwrap_or_default());
        self.waiting.push_back(Waiting { partition, command });
    }

    /// Waits until every segment topic is readable up to its end as it is now, which is past the tombstones.
    pub(super) fn await_readable(&self) -> Result<(), TurnError> {
        let config = &self.with.config;
        let mut ends = Vec::new();
        for (purpose, count) in self.with.purposes.iter().zip(self.with.copy.partitions()) {
            let topic = config.topics.segments_of(&purpose.id);
            let partitions: Vec<i32> = (0..count).collect();
            let of_purpose = self.probe.ends(&topic, &partitions, ASKED_FOR);
            ends.push(of_purpose.map_err(|error| TurnError::Again(error.to_string()))?);
        }
        let deadline = SystemClock.instant() + READABLE_WITHIN;
        while !self.with.copy.has_reached(&ends) {
            if SystemClock.instant() > deadline {
                return Err(TurnError::Again("the segment topics are not readable yet".to_owned()));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    fn write_settled(&mut self, settled: &[(String, Decided)]) -> Result<(), TurnError> {
        let (keys, now) = (self.with.keys.now(), SystemClock.now());
        let mut writes = Vec::new();
        for (request, decided) in settled {
            let Some(merged) = self.merged.get(request) else { continue };
            let mut entry = received(&merged.command, &keys);
            if is_applied(decided.outcome) {
                entry.status = RequestStatus::Honored;
                entry.honored_at = Some(now.max(entry.received_at));
            } else {
                entry.status = RequestStatus::Failed;
                entry.basis_of_denial = Some(decided.outcome.label().to_owned());
            }
            entry.chain = Some(decided.chain.clone());
            entry.sequence = Some(decided.sequence);
            writes.push(self.register_entry(&entry));
            writes.push(self.end_of(merged.partition, request));
        }
        let next = self.committed.clone();
        self.transact(&writes, &next)?;
        for (request, decided) in settled {
            self.retries.remove(request);
            let Some(merged) = self.merged.remove(request) else { continue };
            let label = if is_applied(decided.outcome) { "honored" } else { "failed" };
            let labels = [super::source_label(&merged.command.source), label];
            self.with.metrics.intake_commands_total.with_label_values(&labels).inc();
        }
        Ok(())
    }

    /// The owner of partition 0 removes requests that were kept for 24 months after their last change.
    pub(super) fn sweep_register(&mut self) -> Result<(), TurnError> {
        let now = SystemClock.instant();
        let is_due = |at: Instant| now.saturating_duration_since(at) >= SWEEP_EVERY;
        if !self.owned.contains_key(&0) || !self.swept_at.is_none_or(is_due) {
            return Ok(());
        }
        if self.with.register.progress().age().is_none() {
            return Ok(());
        }
        self.swept_at = Some(now);
        let ended = self.with.register.ended(SystemClock.now(), TOGETHER_MAX);
        if ended.is_empty() {
            return Ok(());
        }
        let writes: Vec<_> = ended.iter().map(|request| self.register_end(request)).collect();
        let next = self.committed.clone();
        self.transact(&writes, &next)
    }

    fn register_end(&self, request_id: &str) -> super::transaction::Write {
        let key = request_id.as_bytes().to_vec();
        let count = self.with.register.progress().partitions(0);
        super::transaction::Write {
            topic: self.with.config.topics.privacy_requests.clone(),
            partition: self.with.config.kafka.partitioner.partition(&key, count),
            key,
            value: None,
            header: None,
        }
    }
}

fn is_applied(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Applied | Outcome::Erased)
}
