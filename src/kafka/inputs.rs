//! Clicks and consent records into the two input topics, keyed as the contract says (section 3).
//!
//! What this writes is what the shop and its intake would write; the pipeline never does.

use super::write::{Position, Writer};
use crate::config::Config;
use crate::domain::consent::ConsentRecord;
use crate::domain::event::ClickEvent;
use crate::failure::Result;
use crate::wire::{encode_click, encode_consent};

/// A producer of both topics. Nothing is sure before [`InputWriter::flush`] said so.
pub struct InputWriter {
    writer: Writer,
    clickstream: String,
    consent: String,
}

impl InputWriter {
    pub fn open(config: &Config) -> Result<Self> {
        let (clickstream, consent) = (&config.topics.clickstream, &config.topics.consent);
        let writer = Writer::open(config, &[clickstream, consent])?;
        Ok(Self { writer, clickstream: clickstream.clone(), consent: consent.clone() })
    }

    /// Under the subject's id, or the session's where nobody is signed in.
    pub fn send_click(&self, click: &ClickEvent) -> Result<()> {
        self.writer.send(&self.clickstream, click.key().as_bytes(), Some(&encode_click(click)))
    }

    pub fn send_consent(&self, record: &ConsentRecord) -> Result<()> {
        let key = record.subject_id.as_bytes();
        self.writer.send(&self.consent, key, Some(&encode_consent(record)))
    }

    /// Sends a whole record and waits until it is acknowledged.
    pub fn put_consent(&self, record: &ConsentRecord) -> Result<Position> {
        let key = record.subject_id.as_bytes();
        self.writer.put(&self.consent, key, Some(&encode_consent(record)))
    }

    /// Asks for a subject's erasure and waits until that is acknowledged.
    pub fn put_erasure(&self, subject: &str) -> Result<Position> {
        self.writer.put(&self.consent, subject.as_bytes(), None)
    }

    /// Waits until all that was sent is acknowledged.
    pub fn flush(&self) -> Result<()> {
        self.writer.flush()
    }
}
