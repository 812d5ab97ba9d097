//! Clicks and consent records into the two input topics, keyed as the contract says
//! (docs/contract/topics.md).
//!
//! What this writes is what the shop and its intake would write; the pipeline never does.

use super::write::{Position, Writer};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::failure::Result;
use crate::registry::{self, Framings};
use assent_contract::domain::consent::ConsentRecord;
use assent_contract::domain::event::ClickEvent;
use assent_contract::wire::{Framing, click_body, consent_body};

/// A producer of both topics. Nothing is sure before [`InputWriter::flush`] said so.
pub struct InputWriter {
    writer: Writer,
    clickstream: String,
    consent: String,
    click_framing: Framing,
    consent_framing: Framing,
}

/// Asks for a subject's erasure, which has no value, and so no schema: a registry that is out of
/// reach keeps nobody from it. Waits until that is acknowledged.
pub fn erase(config: &Config, subject: &str) -> Result<Position> {
    let topic = &config.topics.consent;
    Writer::open(config, &[topic])?.put(topic, subject.as_bytes(), None)
}

/// Writes a whole record, as somebody who may write nothing but consent, and waits until it is
/// acknowledged. With a schema registry, registers the contract's schema where it is not there.
pub fn put_consent(config: &Config, record: &ConsentRecord) -> Result<Position> {
    let topic = &config.topics.consent;
    let client = registry::client(config)?;
    let [_, subject] = registry::inputs(config);
    let framing = Framings::settle(client.as_ref(), &[subject], &SystemClock)?.of(topic);
    let value = framing.frame(&consent_body(record));
    Writer::open(config, &[topic])?.put(topic, record.subject_id.as_bytes(), Some(&value))
}

impl InputWriter {
    /// With a schema registry, registers the contract's schemas where they are not there.
    pub fn open(config: &Config) -> Result<Self> {
        let (clickstream, consent) = (&config.topics.clickstream, &config.topics.consent);
        let client = registry::client(config)?;
        let subjects = registry::inputs(config);
        let framings = Framings::settle(client.as_ref(), &subjects, &SystemClock)?;
        let writer = Writer::open(config, &[clickstream, consent])?;
        Ok(Self {
            writer,
            click_framing: framings.of(clickstream),
            consent_framing: framings.of(consent),
            clickstream: clickstream.clone(),
            consent: consent.clone(),
        })
    }

    /// Under the subject's id, or the session's where nobody is signed in.
    pub fn send_click(&self, click: &ClickEvent) -> Result<()> {
        let value = self.click_framing.frame(&click_body(click));
        self.writer.send(&self.clickstream, click.key().as_bytes(), Some(&value))
    }

    pub fn send_consent(&self, record: &ConsentRecord) -> Result<()> {
        let key = record.subject_id.as_bytes();
        let value = self.consent_framing.frame(&consent_body(record));
        self.writer.send(&self.consent, key, Some(&value))
    }

    /// Sends a whole record and waits until it is acknowledged.
    pub fn put_consent(&self, record: &ConsentRecord) -> Result<Position> {
        let key = record.subject_id.as_bytes();
        let value = self.consent_framing.frame(&consent_body(record));
        self.writer.put(&self.consent, key, Some(&value))
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
