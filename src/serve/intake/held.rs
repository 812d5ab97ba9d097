//! What is held of somebody whom the identity map has not: applied once the mapping comes, never guessed.
//!
//! Whoever owns the partition in which it lies writes the command, in the transaction that ends it.

use std::time::{Duration, Instant};

use super::kept::{Held, identity_of};
use super::owner::{Owning, TurnError};
use super::requests::received;
use super::transaction::Write;
use super::{COMMAND, seal};
use crate::clock::{Clock, SystemClock};
use assent_contract::domain::request::RequestStatus;
use assent_intake::{Change, Command};

const TOGETHER_MAX: usize = 200;

/// Between two looks for what has been held long enough.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Between two looks for identities of subjects that somebody else erased.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

impl Owning {
    /// Applies what can be mapped now, ends what was held long enough; was there anything?
    pub(super) fn look_at_held(&mut self) -> Result<bool, TurnError> {
        let (now, changes) = (SystemClock.instant(), self.with.identities.changes());
        let is_due = |at: Instant| now.saturating_duration_since(at) >= LOOK_AGAIN;
        if self.held.is_empty()
            || (self.identities_seen == Some(changes) && !self.held_seen_at.is_none_or(is_due))
        {
            return Ok(false);
        }
        let ends = self.ended_holds();
        if ends.is_empty() {
            (self.identities_seen, self.held_seen_at) = (Some(changes), Some(now));
            return Ok(false);
        }
        self.end_holds(ends)?;
        Ok(true)
    }

    /// By key; with the subject where one is mapped now.
    fn ended_holds(&self) -> Vec<(String, Option<String>)> {
        let now = SystemClock.now();
        let end = |(key, (_, held)): (&String, &(i32, Held))| {
            let subject = identity_of(key).and_then(|key| self.with.identities.subject(key));
            let is_over = held.ends_at() <= now;
            (subject.is_some() || is_over).then(|| (key.clone(), subject))
        };
        self.held.iter().filter_map(end).take(TOGETHER_MAX).collect()
    }

    fn end_holds(&mut self, ends: Vec<(String, Option<String>)>) -> Result<(), TurnError> {
        let mut writes = Vec::new();
        for (key, subject) in &ends {
            let Some((partition, held)) = self.held.get(key) else { continue };
            if let Some(subject) = subject {
                writes.extend(self.command_of(held, subject)?);
            }
            writes.push(self.end_of_hold(*partition, key));
        }
        let next = self.committed.clone();
        self.transact(&writes, &next)?;
        for (key, subject) in ends {
            let Some((_, held)) = self.held.remove(&key) else { continue };
            let outcome = if subject.is_some() { "applied" } else { "expired" };
            let labels = [super::source_label(&held.source), outcome];
            self.with.metrics.intake_held_total.with_label_values(&labels).inc();
        }
        Ok(())
    }

    /// The command, and its request; nothing where the register has the request already.
    fn command_of(&self, held: &Held, subject: &str) -> Result<Vec<Write>, TurnError> {
        let before = self.with.register.find(&held.request_id);
        if before.is_some_and(|request| request.status != RequestStatus::Failed) {
            return Ok(Vec::new());
        }
        let command = Command {
            request_id: held.request_id.clone(),
            subject_id: subject.to_owned(),
            source: held.source.clone(),
            received_at: held.received_at,
            change: Change::Heard(held.heard.clone()),
        };
        let keys = self.with.keys.now();
        let key = format!("{COMMAND}{}", command.request_id).into_bytes();
        let sealed = seal::seal(&keys.ring, &key, &command.encode())
            .map_err(|error| TurnError::Again(format!("no randomness: {error}")))?;
        let write = Write {
            topic: self.with.config.topics.intake_state.clone(),
            partition: self.with.changelog.partition_of(subject),
            key,
            value: Some(sealed),
            header: None,
        };
        Ok(vec![write, self.register_entry(&received(&command, &keys))])
    }

    fn end_of_hold(&self, partition: i32, key: &str) -> Write {
        Write {
            topic: self.with.config.topics.intake_state.clone(),
            partition,
            key: key.as_bytes().to_vec(),
            value: None,
            header: None,
        }
    }

    /// The ends of these identities.
    pub(super) fn ends_of_identities(&self, identities: Vec<String>) -> Vec<Write> {
        let count = self.with.identities.progress().partitions(0);
        let end = |identity: String| {
            let key = identity.into_bytes();
            Write {
                topic: self.with.config.topics.identity_map.clone(),
                partition: self.with.config.kafka.partitioner.partition(&key, count),
                key,
                value: None,
                header: None,
            }
        };
        identities.into_iter().map(end).collect()
    }

    /// Whoever erases a subject by another way than this one does not know their identifiers: the owner of
    /// partition 0 removes them.
    pub(super) fn sweep_identities(&mut self) -> Result<(), TurnError> {
        let now = SystemClock.instant();
        let is_due = |at: Instant| now.saturating_duration_since(at) >= SWEEP_EVERY;
        if !self.owned.contains_key(&0) || !self.identities_swept_at.is_none_or(is_due) {
            return Ok(());
        }
        let (identities, changelog) = (&self.with.identities, &self.with.changelog);
        if identities.progress().age().is_none() || changelog.progress().age().is_none() {
            return Ok(());
        }
        let outdated = identities.outdated(|subject| changelog.erased_at(subject), TOGETHER_MAX);
        if outdated.len() < TOGETHER_MAX {
            self.identities_swept_at = Some(now);
        }
        if outdated.is_empty() {
            return Ok(());
        }
        let (writes, next) = (self.ends_of_identities(outdated), self.committed.clone());
        self.transact(&writes, &next)
    }
}
