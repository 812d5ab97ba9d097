//! Records as they lie in a topic, and the readers of both inputs.

use std::sync::Arc;

use assent_contract::domain::event::Click;
use assent_contract::domain::intake::{Rejection, payload_hash};
use assent_contract::domain::outcome::DeadLetterReason;
use assent_contract::domain::time::Timestamp;
use assent_contract::wire::{
    ClickReader, ConsentReader, ConsentReading, Inbound, KnownSchemas, Unread,
};

/// A record of any topic. May hold raw identifiers: never log it (no `Debug`).
#[derive(Clone, Default)]
pub struct Record {
    pub offset: i64,
    pub timestamp: Timestamp,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    /// Of a value that is too large to be an input's: the value here is empty.
    pub unkept_sha256: Option<[u8; 32]>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Of the schema registry: what its value's id names is among it.
    pub known: Arc<KnownSchemas>,
}

impl Record {
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let found = self.headers.iter().find(|(key, _)| key == name)?;
        found.1.as_deref()
    }

    pub fn has_header(&self, name: &str) -> bool {
        self.headers.iter().any(|(key, _)| key == name)
    }

    pub fn header_text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.header(name)?).ok()
    }

    pub fn inbound(&self, partition: i32) -> Inbound<'_> {
        Inbound { partition, key: self.key.as_deref(), payload: self.value.as_deref() }
    }

    pub fn payload_sha256(&self) -> Option<[u8; 32]> {
        self.unkept_sha256.or_else(|| payload_hash(self.value.as_deref()))
    }

    pub fn bytes(&self) -> usize {
        let of = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        of(&self.key) + of(&self.value)
    }
}

/// What reads the two inputs: the contract's codecs, which the writer shares.
pub struct Readers {
    pub clicks: ClickReader,
    pub consent: ConsentReader,
}

/// Who sent a misplaced record on says so here (docs/contract/bad-input.md#consent).
const FORWARDED: &str = "assent-forwarded";

impl Readers {
    pub fn read_click<'a>(
        &self,
        partition: i32,
        record: &'a Record,
        known: &KnownSchemas,
    ) -> Result<Click<'a>, Rejection> {
        if record.unkept_sha256.is_some() {
            return Err(outsized());
        }
        let read = self.clicks.read_with(&record.inbound(partition), known);
        read.map_err(Unread::into_rejection)
    }

    pub fn read_consent(
        &self,
        partition: i32,
        record: &Record,
        known: &KnownSchemas,
    ) -> ConsentReading {
        let forwarded = record.has_header(FORWARDED);
        let source = record.header_text("source");
        let reading = self.consent.read_with(&record.inbound(partition), forwarded, source, known);
        let is_read = |it: &ConsentReading| {
            matches!(it, ConsentReading::Unreadable(_) | ConsentReading::Waits(_))
        };
        if record.unkept_sha256.is_some() && is_read(&reading) {
            return ConsentReading::Unreadable(outsized());
        }
        reading
    }
}

fn outsized() -> Rejection {
    Rejection::new(DeadLetterReason::Undecodable, "too large once it is decompressed")
}

/// A schema that is not known here may have been known to who decided.
pub fn is_foreign_schema(reason: DeadLetterReason) -> bool {
    reason == DeadLetterReason::UnknownSchema
}
