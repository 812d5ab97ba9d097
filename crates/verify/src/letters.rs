//! The dead letters of one input partition, by the coordinates that they name.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::inputs::Record;
use assent_contract::domain::audit::Sha256Hash;
use assent_contract::domain::dead_letter::DeadLetter;
use assent_contract::domain::outcome::{DeadLetterReason, InputKind};
use assent_contract::domain::time::Timestamp;
use assent_contract::wire::decode_dead_letter;

/// A letter and where it lies.
pub struct Letter {
    pub partition: i32,
    pub offset: i64,
    pub reason: DeadLetterReason,
    pub payload_sha256: Option<Sha256Hash>,
    detail: String,
    /// Written after the audit's end may have been taken: nobody need name it.
    is_late: bool,
}

impl Letter {
    /// Does its text repeat this?
    pub fn repeats(&self, id: &[u8]) -> bool {
        std::str::from_utf8(id).is_ok_and(|id| id.len() >= 4 && self.detail.contains(id))
    }
}

/// A letter that gives up all offsets from the one that it is known by to `last`.
pub struct BatchLetter {
    pub last: i64,
    /// Where the letter lies.
    pub lies_at: (i32, i64),
    pub reason: DeadLetterReason,
    pub is_late: bool,
    /// How many of the offsets the audit names as dead-lettered.
    pub named: i64,
    /// Is one of them in a batch that nobody can read now?
    pub is_true: bool,
}

impl BatchLetter {
    fn new(last: i64, lies_at: (i32, i64), reason: DeadLetterReason, is_late: bool) -> Self {
        Self { last, lies_at, reason, is_late, named: 0, is_true: false }
    }
}

/// Those of one input partition.
#[derive(Default)]
pub struct Letters {
    clickstream: String,
    consent: String,
    partition: i32,
    by_input: BTreeMap<(InputKind, i64), Letter>,
    /// Those of whole batches of clicks, by the first offset.
    pub(super) of_batches: BTreeMap<i64, BatchLetter>,
    /// A second letter of the same input.
    doubled: Vec<(i32, i64)>,
    /// Letters from before may have been deleted.
    pub complete_from: Timestamp,
}

impl Letters {
    pub fn of(clickstream: &str, consent: &str, partition: i32) -> Self {
        let (clickstream, consent) = (clickstream.to_owned(), consent.to_owned());
        let complete_from = Timestamp::MIN;
        Self { clickstream, consent, partition, complete_from, ..Self::default() }
    }

    /// Takes a letter if it is of this input partition. `partition`: where the letter lies.
    pub fn take(&mut self, partition: i32, record: &Record, is_late: bool) {
        let Some(letter) = read(record) else { return };
        let last = record.key.as_deref().and_then(|key| letter.last_offset(key));
        let DeadLetter { reason, payload_sha256, detail, .. } = letter;
        let kind = match &letter.topic {
            topic if *topic == self.clickstream => InputKind::Click,
            topic if *topic == self.consent => InputKind::Consent,
            _ => return,
        };
        if letter.partition != self.partition {
            return;
        }
        let offset = record.offset;
        if let (Some(last), InputKind::Click) = (last, kind) {
            let of_batch = BatchLetter::new(last, (partition, offset), reason, is_late);
            if self.of_batches.insert(letter.offset, of_batch).is_some() {
                self.doubled.push((partition, offset));
            }
            return;
        }
        let known = Letter { partition, offset, reason, payload_sha256, detail, is_late };
        match self.by_input.entry((kind, letter.offset)) {
            Entry::Vacant(place) => {
                place.insert(known);
            }
            Entry::Occupied(_) => self.doubled.push((partition, offset)),
        }
    }

    /// Why an input could not be used, as far as its letter is there.
    pub fn reason(&self, input: InputKind, offset: i64) -> Option<DeadLetterReason> {
        self.by_input.get(&(input, offset)).map(|letter| letter.reason)
    }

    /// The letter of an input, once.
    pub fn claim(&mut self, input: InputKind, offset: i64) -> Option<Letter> {
        self.by_input.remove(&(input, offset))
    }

    /// Where those lie that no outcome of these inputs names: partition and offset.
    pub fn unclaimed(&self, covered: impl Fn(InputKind, i64) -> bool) -> Vec<(i32, i64)> {
        let left = self.by_input.iter().filter(|(at, it)| !it.is_late && covered(at.0, at.1));
        left.map(|(_, it)| (it.partition, it.offset)).chain(self.doubled.iter().copied()).collect()
    }
}

/// The letter that a record holds.
pub fn read(record: &Record) -> Option<DeadLetter> {
    decode_dead_letter(record.value.as_deref()?, &record.known).ok()
}
