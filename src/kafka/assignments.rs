//! A record of a segment topic as its readers see it: an assignment, or a tombstone and its reason.
//!
//! Knows topics and headers, and no rule. What it holds is what marketing may see: pseudonyms.

use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, Headers};

use crate::config::Config;
use crate::failure::Result;
use crate::registry::Reading;
use assent_contract::domain::segment::SegmentAssignment;
use assent_contract::domain::time::Timestamp;
use assent_contract::wire::decode_assignment;

/// The segment topics of these purposes.
#[derive(Clone, Debug)]
pub struct SegmentTopics {
    purposes: Vec<String>,
    topics: Vec<String>,
}

/// What a record says.
pub enum Change {
    Assigned(SegmentAssignment),
    Removed(Removal),
    /// As good as a tombstone (docs/readers.md, R7).
    Unreadable(Unreadable),
}

/// A value that can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    pub purpose: String,
    pub pseudonym: String,
    pub why: String,
}

/// A tombstone and its headers (docs/contract/topics.md#tombstones).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    pub purpose: String,
    pub pseudonym: String,
    pub reason: String,
    pub decided_at: Option<Timestamp>,
}

impl SegmentTopics {
    pub fn new(config: &Config, purposes: &[String]) -> Self {
        let topics = purposes.iter().map(|purpose| config.topics.segments_of(purpose)).collect();
        Self { purposes: purposes.to_vec(), topics }
    }

    pub fn names(&self) -> &[String] {
        &self.topics
    }

    /// `None`: the record is of another topic.
    pub fn purpose_of(&self, topic: &str) -> Option<&str> {
        let index = self.topics.iter().position(|name| name == topic)?;
        Some(&self.purposes[index])
    }

    /// What a record of these topics says. Fails where the schema registry has to be asked, and does
    /// not answer.
    pub fn read(&self, message: &BorrowedMessage<'_>, schemas: &mut Reading) -> Result<Change> {
        let Some(purpose) = self.purpose_of(message.topic()) else {
            return Ok(unreadable("", message, "it belongs to another topic".to_owned()));
        };
        Ok(match message.payload() {
            Some(value) => match schemas.read(|known| decode_assignment(value, known))? {
                Ok(assignment) => Change::Assigned(assignment),
                Err(rejection) => unreadable(purpose, message, rejection.detail),
            },
            None => Change::Removed(removal(purpose, message)),
        })
    }
}

fn unreadable(purpose: &str, message: &BorrowedMessage<'_>, why: String) -> Change {
    Change::Unreadable(Unreadable { purpose: purpose.to_owned(), pseudonym: key_of(message), why })
}

fn key_of(message: &BorrowedMessage<'_>) -> String {
    String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned()
}

fn removal(purpose: &str, message: &BorrowedMessage<'_>) -> Removal {
    let header = |name: &str| {
        let headers = message.headers()?;
        let found = headers.iter().find(|header| header.key == name)?;
        found.value.and_then(|value| std::str::from_utf8(value).ok()).map(str::to_owned)
    };
    Removal {
        purpose: purpose.to_owned(),
        pseudonym: key_of(message),
        reason: header("reason").unwrap_or_else(|| "unknown".to_owned()),
        decided_at: header("decided_at").and_then(|at| at.parse().ok()).map(Timestamp),
    }
}
