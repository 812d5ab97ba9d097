//! The subjects that Assent writes under, `<topic>-value`, and the ids that they give its values.

use std::collections::BTreeMap;

use super::client::{Client, RegistryError};
use super::{Refusal, out_of_reach, patiently, refused};
use crate::clock::Clock;
use crate::config::{Config, Topics};
use crate::failure::{Failure, Result};
use assent_contract::wire::{Framing, Registered, SchemaName};

/// A topic, and the schema of its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    pub topic: String,
    pub schema: SchemaName,
}

impl Subject {
    fn new(topic: &str, schema: SchemaName) -> Self {
        Self { topic: topic.to_owned(), schema }
    }

    /// As the registry knows it.
    pub fn name(&self) -> String {
        format!("{}-value", self.topic)
    }
}

/// Of what the pipeline writes. The state is private, and its format no schema.
pub fn outputs(config: &Config, purposes: &[String]) -> Vec<Subject> {
    let topics = &config.topics;
    let mut subjects = vec![
        Subject::new(&topics.contextual, SchemaName::ContextualSegment),
        Subject::new(&topics.audit, SchemaName::AuditBatch),
        Subject::new(&topics.dead_letters, SchemaName::DeadLetter),
    ];
    subjects.extend(
        purposes.iter().map(|purpose| {
            Subject::new(&topics.segments_of(purpose), SchemaName::SegmentAssignment)
        }),
    );
    subjects
}

/// Of what the shop writes; and the commands that stand in for it.
pub fn inputs(config: &Config) -> [Subject; 2] {
    [
        Subject::new(&config.topics.clickstream, SchemaName::ClickEvent),
        Subject::new(&config.topics.consent, SchemaName::ConsentRecord),
    ]
}

/// Of the record of questions to the audit, which commands write.
pub fn audit_access(config: &Config) -> [Subject; 1] {
    [Subject::new(&config.topics.audit_access, SchemaName::AuditAccess)]
}

/// Of what `assent serve` writes besides inputs, where it has clients. What the intake keeps for itself is
/// sealed, and its format no schema.
pub fn served(config: &Config) -> Vec<Subject> {
    let requests = || Subject::new(&config.topics.privacy_requests, SchemaName::PrivacyRequest);
    config.is_served().then(requests).into_iter().collect()
}

/// Of which of the contract's schemas the values are that a subject is about; `None`: it is of none of
/// Assent's topics.
pub(super) fn schema_of(topics: &Topics, subject: &str) -> Option<SchemaName> {
    let topic = subject.strip_suffix("-value")?;
    let single = [
        (&topics.clickstream, SchemaName::ClickEvent),
        (&topics.consent, SchemaName::ConsentRecord),
        (&topics.contextual, SchemaName::ContextualSegment),
        (&topics.audit, SchemaName::AuditBatch),
        (&topics.dead_letters, SchemaName::DeadLetter),
        (&topics.audit_access, SchemaName::AuditAccess),
        (&topics.privacy_requests, SchemaName::PrivacyRequest),
        (&topics.reader_acks, SchemaName::ReaderAck),
    ];
    let found = single.into_iter().find(|(name, _)| *name == topic).map(|(_, schema)| schema);
    found.or_else(|| topics.purpose_of(topic).map(|_| SchemaName::SegmentAssignment))
}

/// What stands before the values of each topic.
#[derive(Clone, Debug, Default)]
pub struct Framings(BTreeMap<String, Framing>);

impl Framings {
    /// The ids of these subjects, registered where they are not yet; without a registry, single-object
    /// encoding. 69: no answer for 30 s; 78: refused.
    pub fn settle(
        client: Option<&Client>,
        subjects: &[Subject],
        clock: &dyn Clock,
    ) -> Result<Self> {
        let Some(client) = client else { return Ok(Self::unregistered(subjects)) };
        let framing = |subject: &Subject| register(client, subject, clock).map(Framing::Confluent);
        let each = subjects.iter().map(|subject| Ok((subject.topic.clone(), framing(subject)?)));
        each.collect::<Result<_>>().map(Self)
    }

    /// Single-object encoding, whatever registry is configured: for what asks it nothing.
    pub fn unregistered(subjects: &[Subject]) -> Self {
        let framing = |subject: &Subject| Framing::SingleObject(subject.schema);
        Self(subjects.iter().map(|subject| (subject.topic.clone(), framing(subject))).collect())
    }

    /// Of a topic that was settled.
    pub fn of(&self, topic: &str) -> Framing {
        self.0[topic]
    }

    pub fn find(&self, topic: &str) -> Option<Framing> {
        self.0.get(topic).copied()
    }
}

/// The id of a subject's schema, registered where it is not yet.
pub fn register(client: &Client, subject: &Subject, clock: &dyn Clock) -> Result<u32> {
    let (name, text) = (subject.name(), subject.schema.json());
    let id = patiently(client, clock, || match client.look_up(&name, text)? {
        Some(id) => Ok(id),
        None => client.register(&name, text),
    });
    id.map_err(|refusal| match refusal {
        Refusal::Everything(failure) => {
            Failure::new(failure.exit, format!("{} (asked for subject {name})", failure.message))
        }
        Refusal::Schema(why) => incompatible(client, &name, &why),
    })
}

fn incompatible(client: &Client, subject: &str, why: &str) -> Failure {
    Failure::config(format!(
        "schema_registry.url {}: the registry rejects the schema of assent for subject {subject} \
         ({why}), because another schema is registered there; remove that one, relax the \
         compatibility of the subject, or give the topic another name",
        client.url()
    ))
}

/// How a subject stands, asked without changing anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaStatus {
    /// Assent's schema is there, under this id.
    Registered(u32),
    /// It is not, and could be.
    Free,
    /// What is there does not go with it: why.
    Contradicts(String),
}

impl SchemaStatus {
    /// Of a subject that Assent writes.
    pub fn of_output(client: &Client, subject: &Subject) -> Result<Self> {
        let (name, text) = (subject.name(), subject.schema.json());
        let asked = client.look_up(&name, text).and_then(|found| match found {
            Some(id) => Ok(Self::Registered(id)),
            None if client.is_compatible(&name, text)? => Ok(Self::Free),
            None => Ok(Self::Contradicts("the registry calls them incompatible".to_owned())),
        });
        asked.or_else(|error| match error {
            RegistryError::Conflict(why) => Ok(Self::Contradicts(why)),
            error => Err(failed(client, &error)),
        })
    }

    /// Of a subject that others write: can what it newest holds be read?
    pub fn of_input(client: &Client, subject: &Subject) -> Result<Self> {
        let failed = |error| failed(client, &error);
        let Some(id) = client.newest(&subject.name()).map_err(failed)? else {
            return Ok(Self::Free);
        };
        Ok(match client.schema(id).map_err(failed)? {
            Registered::Avro(schema) => match schema.reads_as(subject.schema) {
                Ok(()) => Self::Registered(id),
                Err(why) => Self::Contradicts(format!("id {id}: {why}")),
            },
            Registered::Unusable(why) => Self::Contradicts(format!("id {id}: {why}")),
            Registered::Absent | Registered::Elsewhere | Registered::Unanswered => Self::Free,
        })
    }
}

fn failed(client: &Client, error: &RegistryError) -> Failure {
    match error {
        RegistryError::Refused(why) | RegistryError::Conflict(why) => refused(client, why),
        RegistryError::Unreachable(why) | RegistryError::Broken(why) => out_of_reach(client, why),
    }
}

/// For `check`: does the registry answer at all, within its time?
pub fn reach(client: &Client, clock: &dyn Clock) -> Result<()> {
    patiently(client, clock, || client.answers()).map_err(|refusal| match refusal {
        Refusal::Everything(failure) => failure,
        Refusal::Schema(why) => refused(client, &why),
    })
}
