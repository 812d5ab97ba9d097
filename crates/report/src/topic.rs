//! The topics of Assent as a person is told of them: what is in each, of whom, and why. And what a topic is set to.

use std::collections::BTreeMap;

use assent_contract::domain::time::Span;

/// What a topic holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holding {
    Clicks,
    Consent,
    State,
    Audit,
    /// The assignments of this purpose.
    Segments(String),
    Contextual,
    DeadLetters,
    AuditAccess,
    ReaderAcks,
    Requests,
    Identities,
    IntakeState,
}

/// A topic as the cluster has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicFacts {
    pub name: String,
    /// The configuration key that names it.
    pub key: &'static str,
    pub holding: Holding,
    pub found: Found,
    /// `name=value, not value`, of each setting that is not as Assent needs it.
    pub differences: Vec<String>,
}

/// What the brokers said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// By Kafka's names, defaults included.
    As(BTreeMap<String, String>),
    /// There is none, or this user may not see it.
    Missing,
    /// It is there, and this user may not read its settings.
    Forbidden,
}

impl Holding {
    pub fn what(&self) -> String {
        match self {
            Self::Clicks => "clicks as the shop sends them: id of the subject or the session, time, kind, page, \
                product, value, region, opt-out signal",
            Self::Consent => "consent records: age band, decisions by purpose, what a guardian allowed, opt-out \
                signal, source",
            Self::State => "consent, counters and live keys as Assent has them, under a token; the rulebooks that \
                decided",
            Self::Audit => "what became of each input: outcome, verdicts, effects, under a token, in a hash chain",
            Self::Segments(purpose) => {
                return format!("the segments of each pseudonym for the purpose {purpose}, with basis and end");
            }
            Self::Contextual => "segments of the page at hand, under a token of the session for a day",
            Self::DeadLetters => "where an input lay that could not be used, and why; never its content",
            Self::AuditAccess => "who asked what of the audit, when and why",
            Self::ReaderAcks => "how far each reader has applied the segments of a purpose: offsets and times",
            Self::Requests => "the register of requests: kind, scope, manner, times, how it ended, under a token",
            Self::Identities => "which subject an identifier of a consent platform belongs to: hashed and sealed",
            Self::IntakeState => "statements about consent that are being merged, or wait for their subject; sealed",
        }
        .to_owned()
    }

    pub fn of_whom(&self) -> &'static str {
        match self {
            Self::Clicks => "visitors, children among them, by raw ids",
            Self::Consent => "subjects, children among them, by raw ids",
            Self::State | Self::Audit => "subjects, children among them, by tokens",
            Self::Segments(_) => {
                "subjects who are in a segment, by pseudonyms of this purpose alone"
            }
            Self::Contextual => "sessions, by tokens of a day",
            Self::DeadLetters | Self::ReaderAcks => "nobody: offsets only",
            Self::AuditAccess => "operators by name; subjects by tokens",
            Self::Requests => "whoever made a request, by tokens",
            Self::Identities | Self::IntakeState => "subjects, by hashes and sealed ids",
        }
    }

    pub fn why(&self) -> &'static str {
        match self {
            Self::Clicks => "the rules of the rulebook are evaluated on them",
            Self::Consent => "the gate decides on it",
            Self::State => {
                "decisions go on after a restart; an opt-out finds every key that it has to remove"
            }
            Self::Audit => "each decision can be explained and proved",
            Self::Segments(_) => "the readers of the purpose use them",
            Self::Contextual => "the page shows what suits it, without a profile",
            Self::DeadLetters => "whoever sent such an input can find and fix it",
            Self::AuditAccess => "questions about people leave a trace",
            Self::ReaderAcks => {
                "it is seen whether an opt-out has reached everybody who uses segments"
            }
            Self::Requests => "11 CCR 7101 wants records of requests",
            Self::Identities => "a statement of a consent platform reaches the right subject",
            Self::IntakeState => "no statement is lost or applied twice",
        }
    }

    pub fn deletion(&self) -> &'static str {
        match self {
            Self::Clicks => {
                "by age (retention); Assent deletes nothing here. An erasure does not reach into it"
            }
            Self::Consent => {
                "a newer record of the subject replaces the older one; an erasure is a null value"
            }
            Self::State => {
                "an opt-out, a withdrawal and an erasure remove counters and keys in the transaction that \
                records them; after an erasure one residue is left, and goes after 24 months"
            }
            Self::Audit | Self::AuditAccess => {
                "by age (retention); an erasure leaves the tokens in it"
            }
            Self::Segments(_) => {
                "a tombstone: opt-out, withdrawal, erasure, end of consent, segments left, changed \
                rulebook, retired key; and each value ends by itself with its lease"
            }
            Self::Contextual | Self::DeadLetters => "by age (retention)",
            Self::ReaderAcks => {
                "a newer one of the same reader and partition replaces the older one"
            }
            Self::Requests => "a tombstone 24 months after the last change",
            Self::Identities => "a null value that the shop writes",
            Self::IntakeState => "a tombstone once merged; what waits for its subject after 7 days",
        }
    }
}

impl TopicFacts {
    pub fn setting(&self, name: &str) -> Option<&str> {
        match &self.found {
            Found::As(settings) => settings.get(name).map(String::as_str),
            Found::Missing | Found::Forbidden => None,
        }
    }

    pub fn is_compacted(&self) -> bool {
        self.has_policy("compact")
    }

    pub fn is_deleted_by_age(&self) -> bool {
        self.has_policy("delete")
    }

    fn has_policy(&self, policy: &str) -> bool {
        let policies = self.setting("cleanup.policy").unwrap_or_default();
        policies.split(',').any(|it| it.trim() == policy)
    }

    /// `None`: not known, or for ever.
    pub fn span(&self, name: &str) -> Option<Span> {
        let value = self.setting(name)?.parse().ok()?;
        (0..i64::MAX).contains(&value).then_some(Span(value))
    }

    /// For how long a record stays at least, where age alone removes it.
    pub fn retention(&self) -> Option<Retention> {
        if !self.is_deleted_by_age() {
            return None;
        }
        let value: i64 = self.setting("retention.ms")?.parse().ok()?;
        let is_bounded = (0..i64::MAX).contains(&value);
        Some(if is_bounded { Retention::For(Span(value)) } else { Retention::ForEver })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    For(Span),
    ForEver,
}
