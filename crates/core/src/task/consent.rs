//! A consent record that was received and is not committed yet: it stays in memory until then, so
//! that a batch that aborts runs again from here and nothing is ever sought.
//!
//! Holds raw identifiers: no `Debug`, nothing of it is logged (INV-6).

use super::barrier::Arrival;
use crate::engine::input::ConsentInput;
use assent_contract::domain::consent::ConsentStatus;
use assent_contract::domain::intake::Rejection;
use assent_contract::wire::{ConsentReader, ConsentReading, Inbound, KnownSchemas, UnknownId};

/// A consent record, decoded when it was received.
pub struct HeldConsent {
    pub offset: i64,
    pub arrival: Arrival,
    /// About what it takes in memory: of the bytes that it was received as.
    pub size: usize,
    key: Vec<u8>,
    /// Kept where something of it is still needed: to hash it for a dead letter, to forward it, or to
    /// read it once its schema is known.
    payload: Option<Vec<u8>>,
    pub reading: ConsentReading,
    /// It was too large to be kept: what is known of it.
    outsized: Option<Rejection>,
    /// It lies on a wrong partition, and the right one does not have it yet.
    misrouted: bool,
    /// Something of its subject was live when it was received.
    is_of_live: bool,
}

impl HeldConsent {
    pub fn new(
        offset: i64,
        arrival: Arrival,
        inbound: &Inbound<'_>,
        reading: ConsentReading,
    ) -> Self {
        let needed = needs_payload(&reading);
        Self {
            offset,
            arrival,
            size: size_of::<Self>()
                + inbound.key.map_or(0, <[u8]>::len)
                + inbound.payload.map_or(0, <[u8]>::len),
            key: inbound.key.unwrap_or_default().to_vec(),
            payload: inbound.payload.filter(|_| needed).map(<[u8]>::to_vec),
            outsized: None,
            misrouted: matches!(reading, ConsentReading::Forwarded),
            is_of_live: false,
            reading,
        }
    }

    /// It was too large, and it was read as an empty value: whoever its key names is withheld for this.
    #[must_use]
    pub fn outsized(mut self, why: Rejection) -> Self {
        if matches!(self.reading, ConsentReading::Waits(_) | ConsentReading::Unreadable(_)) {
            self.reading = ConsentReading::Unreadable(why.clone());
        } else if let ConsentReading::DeadLettered(rejection) = &mut self.reading {
            rejection.payload_sha256 = why.payload_sha256;
        }
        self.payload = None;
        self.outsized = Some(why);
        self
    }

    pub fn is_outsized(&self) -> bool {
        self.outsized.is_some()
    }

    /// Something of its subject is live.
    pub fn set_of_live(&mut self) {
        self.is_of_live = true;
    }

    /// The id that must be known before it can be read.
    pub fn unknown_id(&self) -> Option<UnknownId> {
        match self.reading {
            ConsentReading::Waits(id) => Some(id),
            _ => None,
        }
    }

    pub fn waits(&self) -> bool {
        self.unknown_id().is_some()
    }

    /// Where it waited for its schema: more is known now.
    pub fn read_again(&mut self, reader: &ConsentReader, known: &KnownSchemas) {
        let payload = self.payload.as_deref().unwrap_or_default();
        self.reading = reader.read_again(&self.key, payload, known);
        if !needs_payload(&self.reading) {
            self.payload = None;
        }
    }

    /// It can't be decided yet, nor can what follows it.
    pub fn must_wait(&self) -> bool {
        self.misrouted || self.waits()
    }

    /// Must it still be sent on to its right partition?
    pub fn is_misrouted(&self) -> bool {
        self.misrouted
    }

    /// Its right partition has it.
    pub fn set_forwarded(&mut self) {
        self.misrouted = false;
    }

    pub fn key(&self) -> &[u8] {
        &self.key
    }

    pub fn payload(&self) -> Option<&[u8]> {
        self.payload.as_deref()
    }

    pub fn input(&self) -> ConsentInput<'_> {
        ConsentInput {
            offset: self.offset,
            append_time: self.arrival.appended,
            key: &self.key,
            payload: self.payload.as_deref(),
            body: self.reading.body(),
        }
    }

    /// May it take something away from somebody? Then its batch is committed at once. Only a
    /// heartbeat can wait, and a record that grants everything and carries no signal, of somebody
    /// who is in no segment: of another, what it does not say any more may be what allowed it.
    pub fn is_urgent(&self) -> bool {
        match &self.reading {
            ConsentReading::Heartbeat { .. } => false,
            ConsentReading::Record(record) => {
                self.is_of_live
                    || record.opt_out_signal_at.is_some()
                    || record.decisions.values().any(|d| d.status != ConsentStatus::Granted)
            }
            _ => true,
        }
    }
}

fn needs_payload(reading: &ConsentReading) -> bool {
    matches!(
        reading,
        ConsentReading::Unreadable(_)
            | ConsentReading::DeadLettered(_)
            | ConsentReading::Forwarded
            | ConsentReading::Waits(_)
    )
}
