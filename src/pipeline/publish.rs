//! What a batch wants written, as records: topic, partition, framing and headers.
//!
//! segments.*, contextual segments and dead letters go where their key belongs: a tombstone must
//! reach the partition of what it removes. Audit and state go to the input's partition.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use rdkafka::message::{Header, OwnedHeaders};

use crate::config::Topics;
use crate::kafka::producer::Record;
use crate::kafka::topics::Counts;
use crate::registry::Framings;
use assent_contract::domain::audit::chain;
use assent_contract::domain::dead_letter::DeadLetter;
use assent_contract::domain::outcome::TombstoneReason;
use assent_contract::domain::partitioner::Partitioner;
use assent_contract::domain::time::Timestamp;
use assent_contract::wire::{Framing, SchemaName};
use assent_core::commit::Fault;
use assent_core::engine::output::{BatchOutput, DeadLetterNote, InputTopic, Output};

/// A topic that is written by key.
struct Keyed {
    topic: String,
    partitions: i32,
    framing: Framing,
}

/// Where everything goes.
pub struct Destinations {
    topics: Topics,
    partitioner: Partitioner,
    group_id: String,
    /// By purpose: the rulebook's, and those of earlier ones that partitions still have live keys of.
    segments: RwLock<BTreeMap<String, Arc<Keyed>>>,
    contextual: Keyed,
    dead_letters: Keyed,
    audit_framing: Framing,
}

impl Destinations {
    /// `purposes`: the rulebook's ids, in its order.
    pub fn new(
        topics: &Topics,
        partitioner: Partitioner,
        group_id: &str,
        purposes: &[String],
        counts: &Counts,
        framings: &Framings,
    ) -> Self {
        let keyed =
            |topic: String, partitions| Keyed { framing: framings.of(&topic), topic, partitions };
        Self {
            segments: RwLock::new(
                purposes
                    .iter()
                    .map(|id| {
                        (id.clone(), Arc::new(keyed(topics.segments_of(id), counts.segments[id])))
                    })
                    .collect(),
            ),
            contextual: keyed(topics.contextual.clone(), counts.contextual),
            dead_letters: keyed(topics.dead_letters.clone(), counts.dead_letters),
            audit_framing: framings.of(&topics.audit),
            topics: topics.clone(),
            partitioner,
            group_id: group_id.to_owned(),
        }
    }

    /// From now on this stands before the values.
    pub fn reframe(&mut self, framings: &Framings) {
        for keyed in [&mut self.contextual, &mut self.dead_letters] {
            keyed.framing = framings.of(&keyed.topic);
        }
        self.audit_framing = framings.of(&self.topics.audit);
        let segments = self.segments.get_mut().unwrap_or_else(PoisonError::into_inner);
        for keyed in segments.values_mut() {
            // Of a purpose that the rulebook lacks, tombstones alone are written.
            if let Some(framing) = framings.find(&keyed.topic) {
                let Keyed { topic, partitions, .. } = &**keyed;
                *keyed = Arc::new(Keyed { topic: topic.clone(), partitions: *partitions, framing });
            }
        }
    }

    /// The topic that an input came from.
    pub fn input(&self, topic: InputTopic) -> &str {
        match topic {
            InputTopic::Clickstream => &self.topics.clickstream,
            InputTopic::Consent => &self.topics.consent,
        }
    }

    /// A purpose that the rulebook lacks, and its topic's partitions as the state recorded them.
    pub fn learn(&self, purpose: &str, partitions: i32) {
        let mut segments = self.segments.write().unwrap_or_else(PoisonError::into_inner);
        segments.entry(purpose.to_owned()).or_insert_with(|| {
            // Tombstones alone go there: nothing is framed.
            let framing = Framing::SingleObject(SchemaName::SegmentAssignment);
            Arc::new(Keyed { topic: self.topics.segments_of(purpose), partitions, framing })
        });
    }

    /// How many records of a batch each topic takes.
    pub fn count(&self, batch: &BatchOutput) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for output in &batch.outputs {
            let topic = match output {
                Output::Assignment { purpose, .. } | Output::Tombstone { purpose, .. } => {
                    self.topics.segments_of(&batch.purposes[usize::from(*purpose)])
                }
                Output::Contextual { .. } => self.contextual.topic.clone(),
                Output::DeadLetter(_) => self.dead_letters.topic.clone(),
                Output::Audit { .. } => self.topics.audit.clone(),
                Output::State { .. } => self.topics.state.clone(),
            };
            *counts.entry(topic).or_default() += 1;
        }
        counts
    }

    /// Hands one output of an input partition over as a record.
    pub fn publish(
        &self,
        partition: i32,
        purposes: &[String],
        output: &Output,
        send: &mut dyn FnMut(Record<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        match output {
            Output::Assignment { purpose, pseudonym, body } => {
                let to = self.of_purpose(&purposes[usize::from(*purpose)])?;
                let value = to.framing.frame(body);
                send(self.keyed(&to, pseudonym.as_bytes(), Some(&value)))
            }
            Output::Tombstone { purpose, pseudonym, reason, decided_at } => {
                let to = self.of_purpose(&purposes[usize::from(*purpose)])?;
                let headers = tombstone_headers(*reason, *decided_at);
                let record = self.keyed(&to, pseudonym.as_bytes(), None);
                send(Record { headers: Some(headers), ..record })
            }
            Output::Contextual { session_token, body } => {
                let value = self.contextual.framing.frame(body);
                send(self.keyed(&self.contextual, session_token.as_bytes(), Some(&value)))
            }
            Output::DeadLetter(note) => {
                let letter = self.dead_letter(partition, note);
                let mut body = Vec::new();
                letter.encode(&mut body);
                let value = self.dead_letters.framing.frame(&body);
                let key = note.last.map_or_else(|| letter.key(), |last| letter.range_key(last));
                send(self.keyed(&self.dead_letters, key.as_bytes(), Some(&value)))
            }
            Output::Audit { body } => {
                let value = self.audit_framing.frame(body);
                let key = chain::name(&self.group_id, partition);
                let topic = &self.topics.audit;
                send(of_partition(topic, partition, key.as_bytes(), Some(&value)))
            }
            Output::State { key, value } => {
                send(of_partition(&self.topics.state, partition, key, value.as_deref()))
            }
        }
    }

    fn of_purpose(&self, purpose: &str) -> Result<Arc<Keyed>, Fault> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        segments.get(purpose).cloned().ok_or(Fault::Abortable)
    }

    fn keyed<'a>(&self, to: &'a Keyed, key: &'a [u8], value: Option<&'a [u8]>) -> Record<'a> {
        let partition = self.partitioner.partition(key, to.partitions);
        Record { topic: &to.topic, partition, key, value, headers: None }
    }

    fn dead_letter(&self, partition: i32, note: &DeadLetterNote) -> DeadLetter {
        DeadLetter {
            reason: note.reason,
            topic: self.input(note.topic).to_owned(),
            partition,
            offset: note.offset,
            payload_sha256: note.payload_sha256,
            failed_at: note.failed_at,
            detail: note.detail.clone(),
        }
    }
}

fn of_partition<'a>(
    topic: &'a str,
    partition: i32,
    key: &'a [u8],
    value: Option<&'a [u8]>,
) -> Record<'a> {
    Record { topic, partition, key, value, headers: None }
}

/// Text headers (docs/contract/topics.md#tombstones).
fn tombstone_headers(reason: TombstoneReason, decided_at: Timestamp) -> OwnedHeaders {
    OwnedHeaders::new_with_capacity(2)
        .insert(Header { key: "reason", value: Some(reason.label()) })
        .insert(Header { key: "decided_at", value: Some(&decided_at.to_string()) })
}
