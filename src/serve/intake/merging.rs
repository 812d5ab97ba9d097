//! Commands that wait, and what the changelog holds: the records to write.
//!
//! A merge rests on every record of the partition below the high watermark, as the broker answered after the
//! commands were received; its own last transaction is among them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::COMMAND;
use super::owner::{Merged, Owning, Retry, TurnError, Waiting};
use super::requests::received;
use super::transaction::Write;
use crate::clock::{Clock, SystemClock};
use crate::serve::changelog::{Changelog, REQUEST};
use crate::serve::follow::Progress;
use assent_contract::domain::consent::ConsentRecord;
use assent_contract::domain::request::{PrivacyRequest, RequestStatus};
use assent_contract::wire::consent_body;
use assent_intake::{Change, Command, CurrentConsent, Refusal, Terms, merge};

const ASKED_FOR: Duration = Duration::from_secs(2);

/// An open transaction of another producer holds the changelog back for so long at most before commands are
/// tried again: a turn must not take longer.
const REACHED_WITHIN: Duration = Duration::from_secs(3);

const LOOK: Duration = Duration::from_millis(1);

/// What one command comes to.
struct Outcome {
    waiting: Waiting,
    written: Result<Written, Refusal>,
}

enum Written {
    Record(Box<ConsentRecord>),
    Erasure,
    /// What stands says it already.
    Nothing,
}

impl Owning {
    /// Merges what waits, in one transaction; was there anything?
    pub(super) fn merge_waiting(&mut self) -> Result<bool, TurnError> {
        if self.waiting.is_empty() {
            // What was passed over needs no transaction of its own: the next one covers it.
            return Ok(false);
        }
        self.reach_the_changelogs_end()?;
        let waiting: Vec<Waiting> = self.waiting.drain(..).collect();
        let (changelog, purposes) = (&self.with.changelog, &self.with.purposes);
        let outcomes = merge_all(changelog, purposes, waiting, &self.retries);
        let found: Vec<_> = outcomes
            .iter()
            .map(|it| changelog.await_request(&it.waiting.command.request_id))
            .collect();
        let writes = self.writes(&outcomes);
        let next = self.owned.clone();
        if let Err(error) = self.transact(&writes, &next) {
            // In their order, for the next try.
            self.waiting.extend(outcomes.into_iter().map(|outcome| outcome.waiting));
            return Err(error);
        }
        self.committed = next;
        for (outcome, found) in outcomes.into_iter().zip(found) {
            self.note_merged(outcome, found);
        }
        Ok(true)
    }

    fn note_merged(
        &mut self,
        outcome: Outcome,
        found: tokio::sync::oneshot::Receiver<crate::serve::changelog::Found>,
    ) {
        let Waiting { partition, command } = outcome.waiting;
        let is_unchanged = matches!(outcome.written, Ok(Written::Nothing));
        let label = match outcome.written {
            Ok(Written::Nothing) => "unchanged",
            Ok(_) => "merged",
            Err(_) => "refused",
        };
        let labels = [super::source_label(&command.source), label];
        self.with.metrics.intake_commands_total.with_label_values(&labels).inc();
        if is_unchanged {
            self.note_unchanged(partition, command);
        } else if outcome.written.is_ok() {
            let request = command.request_id.clone();
            let merged =
                Merged { partition, command, found: Some(found), offset: None, by_subject: false };
            self.merged.insert(request, merged);
        }
    }

    fn reach_the_changelogs_end(&self) -> Result<(), TurnError> {
        let partitions: BTreeSet<i32> = self.waiting.iter().map(|it| it.partition).collect();
        let partitions: Vec<i32> = partitions.into_iter().collect();
        let topics = &self.with.config.topics;
        if self.waiting.iter().any(|it| matches!(it.command.change, Change::Erase)) {
            // An erasure takes every identifier along that was mapped before it.
            let progress = self.with.identities.progress();
            let all: Vec<i32> = (0..progress.partitions(0)).collect();
            self.reach_the_end(&topics.identity_map, &all, progress)?;
        }
        self.reach_the_end(&topics.consent, &partitions, self.with.changelog.progress())
    }

    fn reach_the_end(
        &self,
        topic: &str,
        partitions: &[i32],
        progress: &Progress,
    ) -> Result<(), TurnError> {
        let ends = self.probe.ends(topic, partitions, ASKED_FOR);
        let ends = ends.map_err(|error| TurnError::Again(error.to_string()))?;
        let deadline = SystemClock.instant() + REACHED_WITHIN;
        // Before it was read at all, nothing is known of anybody.
        while progress.age().is_none()
            || !ends.iter().all(|(&partition, &end)| progress.position(0, partition) >= end)
        {
            if SystemClock.instant() > deadline {
                return Err(TurnError::Again(format!(
                    "{topic} is not read to its end; a transaction may be open on it"
                )));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    fn writes(&self, outcomes: &[Outcome]) -> Vec<Write> {
        let keys = self.with.keys.now();
        let writes = |Outcome { waiting: Waiting { partition, command }, written }: &Outcome| {
            match written {
                Ok(Written::Record(record)) => {
                    vec![self.consent(*partition, command, Some(record))]
                }
                Ok(Written::Erasure) => {
                    let known = self.with.identities.of_subject(&command.subject_id);
                    let mut writes = self.ends_of_identities(known);
                    writes.push(self.consent(*partition, command, None));
                    writes
                }
                Ok(Written::Nothing) => Vec::new(),
                Err(refusal) => {
                    let mut request = received(command, &keys);
                    request.status = RequestStatus::Failed;
                    request.basis_of_denial = Some(refusal.label().to_owned());
                    vec![
                        self.register_entry(&request),
                        self.end_of(*partition, &command.request_id),
                    ]
                }
            }
        };
        outcomes.iter().flat_map(writes).collect()
    }

    fn consent(&self, partition: i32, command: &Command, record: Option<&ConsentRecord>) -> Write {
        Write {
            topic: self.with.config.topics.consent.clone(),
            partition,
            key: command.subject_id.clone().into_bytes(),
            value: record.map(|record| self.with.consent.frame(&consent_body(record))),
            header: Some((REQUEST, command.request_id.clone())),
        }
    }

    /// A request as it stands now.
    pub(super) fn register_entry(&self, request: &PrivacyRequest) -> Write {
        let key = request.request_id.clone().into_bytes();
        let count = self.with.register.progress().partitions(0);
        Write {
            topic: self.with.config.topics.privacy_requests.clone(),
            partition: self.with.config.kafka.partitioner.partition(&key, count),
            key,
            value: Some(self.with.requests.frame(&request.body())),
            header: None,
        }
    }

    /// The command has done what it was for.
    pub(super) fn end_of(&self, partition: i32, request_id: &str) -> Write {
        Write {
            topic: self.with.config.topics.intake_state.clone(),
            partition,
            key: format!("{COMMAND}{request_id}").into_bytes(),
            value: None,
            header: None,
        }
    }
}

/// In the order of the commands; each subject's own build on each other.
fn merge_all(
    changelog: &Changelog,
    purposes: &[Terms],
    waiting: Vec<Waiting>,
    retries: &BTreeMap<String, Retry>,
) -> Vec<Outcome> {
    let mut current: HashMap<String, CurrentConsent> = HashMap::new();
    let outcome = |waiting: Waiting| {
        let command = &waiting.command;
        let stands = current
            .entry(command.subject_id.clone())
            .or_insert_with(|| changelog.current(&command.subject_id));
        let retry = retries.get(&command.request_id).copied().unwrap_or_default();
        stands.highest = stands.highest.max(retry.floor);
        let written = merge(stands, command, purposes).map(|merged| match merged {
            assent_intake::Merged::Record(record) => {
                stands.highest = record.version;
                stands.record = Some(ConsentRecord::clone(&record));
                Written::Record(record)
            }
            assent_intake::Merged::Erasure => {
                stands.record = None;
                Written::Erasure
            }
            assent_intake::Merged::Unchanged => Written::Nothing,
        });
        Outcome { waiting, written }
    };
    waiting.into_iter().map(outcome).collect()
}
