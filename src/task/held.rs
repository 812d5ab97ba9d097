//! What was received of a partition and is not committed yet: it stays in memory until then, so
//! that a batch that aborts runs again from here and nothing is ever sought.
//!
//! Holds raw identifiers: no `Debug`, nothing of it is logged (INV-6).

use super::barrier::Arrival;
use crate::domain::consent::ConsentStatus;
use crate::domain::time::Timestamp;
use crate::engine::input::ConsentInput;
use crate::wire::{ConsentReader, ConsentReading, Inbound, KnownSchemas, UnknownId};

/// Clicks in the order of their offsets, their bytes in one arena: no allocation a click.
///
/// What is forgotten stays at the front until it is half of everything: so each byte is moved once
/// at most, however often a batch takes a part of what is held.
#[derive(Default)]
pub struct Clicks {
    /// Each click's key, then its payload, one click after the other.
    bytes: Vec<u8>,
    held: Vec<HeldClick>,
    /// Of `held`, how many are forgotten, and where the bytes of the others begin.
    forgotten: usize,
    forgotten_bytes: usize,
    /// Clicks received since the assignment, held or not.
    received: u64,
}

struct HeldClick {
    offset: i64,
    timestamp: Timestamp,
    /// [`ABSENT`]: null.
    key_len: u32,
    payload_len: u32,
}

/// No Kafka record is that long.
const ABSENT: u32 = u32::MAX;

/// One click, as it was received.
pub struct ReceivedClick<'a> {
    pub offset: i64,
    /// The record's timestamp.
    pub timestamp: Timestamp,
    pub key: Option<&'a [u8]>,
    pub payload: Option<&'a [u8]>,
}

impl Clicks {
    pub fn push(&mut self, click: &ReceivedClick<'_>) {
        self.held.push(HeldClick {
            offset: click.offset,
            timestamp: click.timestamp,
            key_len: append(&mut self.bytes, click.key),
            payload_len: append(&mut self.bytes, click.payload),
        });
        self.received += 1;
    }

    fn held(&self) -> &[HeldClick] {
        &self.held[self.forgotten..]
    }

    pub fn len(&self) -> usize {
        self.held().len()
    }

    pub fn is_empty(&self) -> bool {
        self.held().is_empty()
    }

    /// Memory that is held, in bytes.
    pub fn size(&self) -> usize {
        self.bytes.len() + self.held.len() * size_of::<HeldClick>()
    }

    /// Clicks received since the assignment.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// How many of the held are among the first `received` of the assignment.
    pub fn held_of(&self, received: u64) -> usize {
        let forgotten = self.received - self.len() as u64;
        (received.saturating_sub(forgotten) as usize).min(self.len())
    }

    /// One past the offset of the first `count`; `None`: of none.
    pub fn end_of(&self, count: usize) -> Option<i64> {
        count.checked_sub(1).map(|last| self.held()[last].offset + 1)
    }

    /// The record timestamps of the first `count`.
    pub fn timestamps(&self, count: usize) -> impl Iterator<Item = Timestamp> {
        self.held()[..count].iter().map(|held| held.timestamp)
    }

    /// The first `count`, in order.
    pub fn first(&self, count: usize) -> impl Iterator<Item = ReceivedClick<'_>> {
        let mut rest = &self.bytes[self.forgotten_bytes..];
        self.held()[..count].iter().map(move |held| ReceivedClick {
            offset: held.offset,
            timestamp: held.timestamp,
            key: take(&mut rest, held.key_len),
            payload: take(&mut rest, held.payload_len),
        })
    }

    /// The first `count` are committed.
    pub fn forget(&mut self, count: usize) {
        let bytes = self.held()[..count].iter().map(HeldClick::size).sum::<usize>();
        self.forgotten += count;
        self.forgotten_bytes += bytes;
        if 2 * self.forgotten >= self.held.len() {
            self.held.drain(..self.forgotten);
            self.bytes.drain(..self.forgotten_bytes);
            (self.forgotten, self.forgotten_bytes) = (0, 0);
        }
    }
}

impl HeldClick {
    /// Bytes in the arena.
    fn size(&self) -> usize {
        [self.key_len, self.payload_len]
            .iter()
            .filter(|&&len| len != ABSENT)
            .map(|&l| l as usize)
            .sum()
    }
}

/// Returns the length, or [`ABSENT`].
fn append(arena: &mut Vec<u8>, bytes: Option<&[u8]>) -> u32 {
    let Some(bytes) = bytes else { return ABSENT };
    arena.extend_from_slice(bytes);
    bytes.len() as u32
}

fn take<'a>(arena: &mut &'a [u8], len: u32) -> Option<&'a [u8]> {
    if len == ABSENT {
        return None;
    }
    let (taken, rest) = arena.split_at(len as usize);
    *arena = rest;
    Some(taken)
}

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
            misrouted: matches!(reading, ConsentReading::Forwarded),
            is_of_live: false,
            reading,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn click<'a>(
        offset: i64,
        key: Option<&'a [u8]>,
        payload: Option<&'a [u8]>,
    ) -> ReceivedClick<'a> {
        ReceivedClick { offset, timestamp: Timestamp(offset), key, payload }
    }

    type Owned = (i64, Option<Vec<u8>>, Option<Vec<u8>>);

    fn offsets(clicks: &Clicks) -> Vec<Owned> {
        let own = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
        clicks.first(clicks.len()).map(|c| (c.offset, own(c.key), own(c.payload))).collect()
    }

    #[test]
    fn what_is_kept_after_a_commit_is_what_was_received() {
        let mut clicks = Clicks::default();
        clicks.push(&click(3, Some(b"a"), Some(b"one")));
        clicks.push(&click(4, None, None));
        clicks.push(&click(9, None, Some(b"two")));
        clicks.push(&click(10, Some(b"bb"), None));
        assert_eq!((clicks.end_of(0), clicks.end_of(3)), (None, Some(10)));
        clicks.forget(1);
        assert_eq!(
            offsets(&clicks),
            [(4, None, None), (9, None, Some(b"two".to_vec())), (10, Some(b"bb".to_vec()), None)]
        );
        clicks.forget(1);
        clicks.forget(1);
        assert_eq!(offsets(&clicks), [(10, Some(b"bb".to_vec()), None)]);
        assert_eq!((clicks.received(), clicks.held_of(3), clicks.held_of(4)), (4, 0, 1));
        clicks.forget(1);
        assert_eq!((clicks.len(), clicks.size()), (0, 0));
    }

    #[test]
    fn a_click_without_bytes_at_the_front_keeps_the_others() {
        let mut clicks = Clicks::default();
        clicks.push(&click(0, Some(b"k"), None));
        clicks.push(&click(1, None, None));
        clicks.push(&click(2, Some(b"key"), Some(b"value")));
        clicks.forget(1);
        assert_eq!(offsets(&clicks)[1], (2, Some(b"key".to_vec()), Some(b"value".to_vec())));
    }
}
