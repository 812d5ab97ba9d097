//! What the audit says of consent records: which batch decided a record, and what came of it.
//!
//! Follows the chains of the owned partitions. A batch that is read is committed, and with it the tombstones
//! of the same transaction. The latest batches are kept, for a record whose offset becomes known after them.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rdkafka::error::KafkaResult;

use crate::config::Config;
use crate::kafka::consumer::{Follower, Polled};
use crate::kafka::probe::Probe;
use crate::registry::Reading;
use assent_contract::domain::audit::{AuditBatch, chain};
use assent_contract::domain::outcome::{InputKind, Outcome};
use assent_contract::domain::time::Timestamp;
use assent_contract::wire::decode_audit_batch;

/// Batches with consent that are kept of each partition: at 10 a second, half a minute.
const KEPT_MAX: usize = 300;

const ASKED_FOR: Duration = Duration::from_secs(5);

const BURST: usize = 200;

/// What was decided about a record, and where that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    pub outcome: Outcome,
    /// The version that stands after it.
    pub version: Option<i64>,
    pub chain: String,
    pub sequence: i64,
}

/// What a look into the audit gives.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    Decided(Decided),
    /// The audit does not reach so far yet.
    NotYet,
    /// Its batch came before the first that was read.
    Earlier,
}

/// The part of a batch that is about consent.
struct Covered {
    sequence: i64,
    from: i64,
    to: i64,
    entries: Vec<(i64, Outcome, Option<i64>)>,
}

pub struct AuditTrail {
    group_id: String,
    follower: Follower,
    schemas: Reading,
    covered: BTreeMap<i32, VecDeque<Covered>>,
    /// Batches from this offset of consent on are looked for, and kept however many there are.
    held_from: BTreeMap<i32, i64>,
}

impl AuditTrail {
    /// From `since`, by partition; `None`: only what comes from now on.
    pub fn follow(
        config: &Config,
        probe: &Probe,
        since: &BTreeMap<i32, Option<Timestamp>>,
    ) -> KafkaResult<Self> {
        let topic = &config.topics.audit;
        let partitions: Vec<i32> = since.keys().copied().collect();
        let mut from = probe.ends(topic, &partitions, ASKED_FOR)?;
        for (&partition, since) in since {
            let Some(since) = since else { continue };
            let found = probe.since(topic, partition, since.0, ASKED_FOR)?;
            if let Some(&offset) = found.get(&partition) {
                from.insert(partition, offset);
            }
        }
        let follower = Follower::new(config, "intake-audit", topic)?;
        follower.fetch_from(&from)?;
        let refused = |_| rdkafka::error::KafkaError::ClientCreation("no registry".to_owned());
        Ok(Self {
            group_id: config.kafka.group_id.clone(),
            follower,
            schemas: Reading::open(config).map_err(refused)?.for_ever(),
            covered: BTreeMap::new(),
            held_from: BTreeMap::new(),
        })
    }

    /// Takes in what is there; was there anything? `Err`: it has to be followed anew.
    pub fn read(&mut self) -> Result<bool, String> {
        let mut came = false;
        for _ in 0..BURST {
            match self.follower.poll() {
                Polled::Message(message) => {
                    came = true;
                    let partition = message.partition();
                    let name = chain::name(&self.group_id, partition);
                    let value =
                        message.payload().filter(|_| message.key() == Some(name.as_bytes()));
                    let Some(value) = value else { continue };
                    let read = self.schemas.read(|known| decode_audit_batch(value, known));
                    if let Ok(Ok(batch)) = read {
                        let held_from = self.held_from.get(&partition).copied();
                        keep(self.covered.entry(partition).or_default(), &batch, held_from);
                    }
                }
                Polled::Nothing => break,
                Polled::OutOfRange { .. } => return Err("an offset is not there any more".into()),
                Polled::Unreadable { error, .. } => return Err(error.reason),
                Polled::Fatal(error) => return Err(error.to_string()),
            }
        }
        Ok(came)
    }

    /// From which offset of consent on batches are looked for, by partition.
    pub fn hold(&mut self, from: BTreeMap<i32, i64>) {
        self.held_from = from;
    }

    /// What was decided about the consent record at this offset.
    pub fn find(&self, partition: i32, offset: i64) -> Answer {
        let Some(covered) = self.covered.get(&partition) else { return Answer::NotYet };
        if covered.front().is_some_and(|first| offset < first.from) {
            return Answer::Earlier;
        }
        let Some(batch) = covered.iter().find(|it| it.from <= offset && offset < it.to) else {
            return Answer::NotYet;
        };
        let entry = batch.entries.iter().find(|(at, ..)| *at == offset);
        match entry {
            Some(&(_, outcome, version)) => Answer::Decided(Decided {
                outcome,
                version,
                chain: chain::name(&self.group_id, partition),
                sequence: batch.sequence,
            }),
            None => Answer::NotYet,
        }
    }
}

fn keep(kept: &mut VecDeque<Covered>, batch: &AuditBatch, held_from: Option<i64>) {
    if batch.consent_from == batch.consent_to {
        return;
    }
    let of_consent = batch.entries.iter().filter(|entry| entry.input == InputKind::Consent);
    let entries = of_consent
        .filter_map(|entry| Some((entry.offset?, entry.outcome, entry.consent_version)))
        .collect();
    let (sequence, from, to) = (batch.sequence, batch.consent_from, batch.consent_to);
    kept.push_back(Covered { sequence, from, to, entries });
    let is_wanted = |first: &Covered| held_from.is_some_and(|from| first.to > from);
    while kept.len() > KEPT_MAX && !kept.front().is_some_and(is_wanted) {
        kept.pop_front();
    }
}
