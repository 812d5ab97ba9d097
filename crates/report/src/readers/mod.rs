//! What readers of segments have applied: of each reader the oldest tombstone that it has not, how far past its time
//! limit that is, and which keys it may have used between a request and the tombstone (11 CCR 7026(f)).
//!
//! Where a reader stands is its own word, or its consumer group's. Either is taken only as far as the topic goes, and
//! where there is none, nothing was applied: a figure is never better than the truth.

mod document;
mod following;
mod position;

pub use following::{Following, Requests, Segment};
pub use position::{Faulty, Position, Source, trusted};

use serde::Serialize;

use assent_contract::domain::time::Timestamp;
use assent_contract::rulebook::ReaderKind;

/// 11 CCR 7026(f)(1).
const BUSINESS_DAYS: u32 = 15;

/// The whole report.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Readers {
    pub at: Timestamp,
    /// Records of `reader-acks` that say nothing that can be believed; some of them.
    pub unreadable_acks: Vec<Faulty>,
    pub unreadable_acks_count: u64,
    /// Records of readers, topics or partitions that the rulebook does not have.
    pub undeclared_acks_count: u64,
    pub purposes: Vec<OfPurpose>,
    pub notes: Vec<String>,
}

#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct OfPurpose {
    pub purpose: String,
    pub sale_or_share: bool,
    pub readers: Vec<OfReader>,
    /// Keys with a request, in the order of their tombstones; the first of them.
    pub keys: Vec<Key>,
    pub keys_count: u64,
}

#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct OfReader {
    pub reader: String,
    #[serde(serialize_with = "label")]
    pub kind: ReaderKind,
    pub group_id: String,
    pub partitions: Vec<Position>,
    pub unapplied_tombstones: u64,
    pub oldest: Option<Unapplied>,
    /// Keys that it may have used after a request to opt out.
    pub keys_count: u64,
}

/// A tombstone that a reader has not applied.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Unapplied {
    pub partition: i32,
    pub offset: i64,
    pub reason: String,
    /// When the person acted; `None`: it was no request, or the record of it is gone.
    pub requested_at: Option<Timestamp>,
    pub removed_at: Timestamp,
    /// The end of the fifteenth business day.
    pub due_at: Timestamp,
    pub overdue_business_days: u64,
}

/// A key whose person asked to be left out.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Key {
    pub key: String,
    pub reason: String,
    pub requested_at: Option<Timestamp>,
    pub removed_at: Timestamp,
    /// Was an assignment of it written after the request? `None`: not known any more.
    pub written_after_request: Option<bool>,
    /// Who may have used it between request and tombstone.
    pub readers: Vec<Told>,
}

/// One of these.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Told {
    pub reader: String,
    pub has_applied: bool,
}

impl Readers {
    /// Is a reader past a time limit?
    pub fn is_overdue(&self) -> bool {
        let readers = self.purposes.iter().flat_map(|purpose| &purpose.readers);
        readers.filter_map(|reader| reader.oldest.as_ref()).any(|it| it.overdue_business_days > 0)
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's shape
fn label<S: serde::Serializer>(kind: &ReaderKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.label())
}
