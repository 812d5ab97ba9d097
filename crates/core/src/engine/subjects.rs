//! The subjects of a partition at rest, each as the state topic has it: one packed piece of an [`Arena`], found
//! by its token through a table of handles. In 256 tables by the token's first byte: one is also a bucket of the
//! state topic, and none grows to a size at which growing is a pause.
//!
//! ```text
//! piece   token, 16 bytes, big-endian | flags | due, 8 bytes, scheduled, 8 bytes (where there is a time) | packed
//! ```
//!
//! A batch works on its own copies ([`super::at_hand`]) until it is committed; of a subject here it
//! changes only the time of its timer. Subjects that have only a signal are kept apart
//! ([`super::signals`]): they have no timer, and nothing to unpack.

use hashbrown::HashTable;

use super::arena::{Arena, Handle};
use super::ledger::FORMAT;
use super::pack::{pack_subject, unpack_subject};
use super::signals::{Minute, Signals};
use super::subject::{Agenda, Subject};
use super::token::{BUCKETS, StateToken, bucket_of, hash};
use assent_contract::domain::binary::Reader;
use assent_contract::domain::time::Timestamp;

const TOKEN_BYTES: usize = 16;

const DEFERRED: u8 = 1;
const TIMES: u8 = 2;

/// What a handle takes in its table.
const HANDLE_BYTES: usize = size_of::<Handle>() + 1;

/// A subject at rest.
#[derive(Clone, Copy, Debug)]
pub struct Resting<'a> {
    pub packed: &'a [u8],
    pub agenda: Agenda,
}

/// What is kept of a subject, as it rests.
#[derive(Clone, Copy, Debug)]
pub enum Kept<'a> {
    Resting(Resting<'a>),
    /// A signal, and nothing else.
    Signal(Minute),
}

#[derive(Clone, Debug)]
pub struct Subjects {
    pieces: Arena,
    tables: Vec<HashTable<Handle>>,
    pub signals: Signals,
}

impl Default for Subjects {
    fn default() -> Self {
        let (pieces, signals) = (Arena::default(), Signals::default());
        Self { pieces, tables: vec![HashTable::new(); BUCKETS], signals }
    }
}

impl Resting<'_> {
    /// # Panics
    /// Where the bytes are not what this process packed, which no input can bring about.
    pub fn unpack(self) -> Subject {
        let any_slot = |_| usize::from(u16::MAX) + 1;
        let unpacked = unpack_subject(&mut Reader::new(self.packed), FORMAT, any_slot);
        let mut subject = unpacked.expect("packed by this process");
        subject.agenda = self.agenda;
        subject
    }
}

impl<'a> Kept<'a> {
    pub fn resting(self) -> Option<Resting<'a>> {
        if let Self::Resting(resting) = self { Some(resting) } else { None }
    }

    pub fn signal(self) -> Option<Minute> {
        if let Self::Signal(minute) = self { Some(minute) } else { None }
    }

    pub fn unpack(self) -> Subject {
        match self {
            Self::Resting(resting) => resting.unpack(),
            Self::Signal(minute) => Subject::of_signal(minute),
        }
    }
}

/// What comes before the packed bytes.
struct Head {
    bytes: [u8; TOKEN_BYTES + 1 + 16],
    length: usize,
}

impl Head {
    fn of(token: StateToken, agenda: Agenda) -> Self {
        let mut head = Self { bytes: [0; TOKEN_BYTES + 1 + 16], length: TOKEN_BYTES + 1 };
        head.bytes[..TOKEN_BYTES].copy_from_slice(&token.to_be_bytes());
        let has_times = agenda.due != Timestamp::MAX || agenda.scheduled != Timestamp::MAX;
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        head.bytes[TOKEN_BYTES] = flag(agenda.deferred, DEFERRED) | flag(has_times, TIMES);
        if has_times {
            let times = &mut head.bytes[TOKEN_BYTES + 1..];
            times[..8].copy_from_slice(&agenda.due.0.to_le_bytes());
            times[8..].copy_from_slice(&agenda.scheduled.0.to_le_bytes());
            head.length = head.bytes.len();
        }
        head
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

fn token_of(piece: &[u8]) -> [u8; TOKEN_BYTES] {
    *piece.first_chunk().expect("a piece begins with a token")
}

fn resting(piece: &[u8]) -> Resting<'_> {
    let (flags, rest) = piece[TOKEN_BYTES..].split_first().expect("flags follow the token");
    let mut agenda = Agenda { deferred: flags & DEFERRED != 0, ..Agenda::default() };
    if flags & TIMES == 0 {
        return Resting { packed: rest, agenda };
    }
    let (due, rest) = rest.split_first_chunk().expect("times where the flag says so");
    let (scheduled, packed) = rest.split_first_chunk().expect("two of them");
    agenda.due = Timestamp(i64::from_le_bytes(*due));
    agenda.scheduled = Timestamp(i64::from_le_bytes(*scheduled));
    Resting { packed, agenda }
}

/// Unless a method says otherwise: subjects that have more than a signal.
impl Subjects {
    /// Of anybody.
    pub fn find(&self, token: StateToken) -> Option<Kept<'_>> {
        let resting = self.get(token).map(Kept::Resting);
        resting.or_else(|| self.signals.get(token).map(Kept::Signal))
    }

    pub fn get(&self, token: StateToken) -> Option<Resting<'_>> {
        self.handle(token).map(|at| resting(self.pieces.get(at)))
    }

    /// Of a subject that is here.
    pub fn set_agenda(&mut self, token: StateToken, agenda: Agenda) {
        let Some(at) = self.handle(token) else { return };
        let piece = self.pieces.get_mut(at);
        let head = Head::of(token, agenda);
        if head.length == piece.len() - resting(piece).packed.len() {
            piece[..head.length].copy_from_slice(head.bytes());
        } else {
            let packed = resting(piece).packed.to_vec();
            self.insert(token, &packed, agenda);
        }
    }

    pub fn insert(&mut self, token: StateToken, packed: &[u8], agenda: Agenda) {
        let head = Head::of(token, agenda);
        let (pieces, key) = (&mut self.pieces, token.to_be_bytes());
        let table = &mut self.tables[bucket_of(token)];
        if let Some(at) = table.find_mut(hash(&key), |at| token_of(pieces.get(*at)) == key) {
            *at = pieces.replace(*at, &[head.bytes(), packed]);
        } else {
            let at = pieces.insert(&[head.bytes(), packed]);
            table.insert_unique(hash(&key), at, |at| hash(&token_of(pieces.get(*at))));
        }
    }

    pub fn remove(&mut self, token: StateToken) {
        let (pieces, key) = (&self.pieces, token.to_be_bytes());
        let table = &mut self.tables[bucket_of(token)];
        if let Ok(entry) = table.find_entry(hash(&key), |at| token_of(pieces.get(*at)) == key) {
            let (at, _) = entry.remove();
            self.pieces.remove(at);
        }
    }

    pub fn len(&self) -> usize {
        self.tables.iter().map(HashTable::len).sum()
    }

    pub fn len_of_bucket(&self, bucket: usize) -> usize {
        self.tables[bucket].len()
    }

    /// Memory that they take; the room to spare of pages and tables not counted.
    pub fn bytes(&self) -> usize {
        self.pieces.used_bytes() + self.len() * HANDLE_BYTES
    }

    /// A bucket's subjects, in no order.
    pub fn bucket(&self, bucket: usize) -> impl Iterator<Item = (StateToken, Resting<'_>)> {
        self.tables[bucket].iter().map(|&at| self.entry(at))
    }

    pub fn iter(&self) -> impl Iterator<Item = (StateToken, Resting<'_>)> {
        self.tables.iter().flatten().map(|&at| self.entry(at))
    }

    fn entry(&self, at: Handle) -> (StateToken, Resting<'_>) {
        let piece = self.pieces.get(at);
        (StateToken::from_be_bytes(token_of(piece)), resting(piece))
    }

    fn handle(&self, token: StateToken) -> Option<Handle> {
        let key = token.to_be_bytes();
        let is_it = |at: &Handle| token_of(self.pieces.get(*at)) == key;
        self.tables[bucket_of(token)].find(hash(&key), is_it).copied()
    }
}

/// A subject as [`Subjects`] keeps it.
pub fn packed(subject: &Subject) -> Vec<u8> {
    let mut packed = Vec::new();
    pack_subject(subject, &mut packed);
    packed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(number: u128) -> StateToken {
        7 << 120 | number
    }

    #[test]
    fn a_timer_that_is_set_and_goes_leaves_the_subject_as_it_was() {
        let mut subjects = Subjects::default();
        let (one, other) = (token(1), token(2));
        subjects.insert(one, b"one", Agenda::default());
        subjects.insert(other, b"other", Agenda::default());
        let without_times = subjects.bytes();
        let set = Agenda { deferred: true, due: Timestamp(5), scheduled: Timestamp(3) };
        subjects.set_agenda(one, set);
        assert!(subjects.bytes() > without_times);
        let kept = subjects.get(one).unwrap();
        assert_eq!((kept.packed, kept.agenda), (&b"one"[..], set));
        subjects.set_agenda(one, Agenda { deferred: true, ..Agenda::default() });
        let kept = subjects.get(one).unwrap();
        assert_eq!(
            (kept.packed, kept.agenda.deferred, kept.agenda.due),
            (&b"one"[..], true, Timestamp::MAX)
        );
        assert_eq!(subjects.bytes(), without_times);
        subjects.set_agenda(token(3), set);
        assert_eq!(subjects.len(), 2, "nobody is made of a time");
        subjects.remove(one);
        assert!(subjects.get(one).is_none());
        assert_eq!(subjects.get(other).unwrap().packed, b"other");
    }

    #[test]
    fn a_dormant_subject_takes_less_than_its_bytes_and_forty_more() {
        let mut subjects = Subjects::default();
        let packed = [7; 77];
        for number in 0..10_000_u128 {
            let token = number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
            subjects.insert(token, &packed, Agenda::default());
        }
        assert_eq!(subjects.len(), 10_000);
        let each = subjects.bytes() / 10_000;
        assert!(each < packed.len() + 40, "{each}");
    }
}
