//! Who is due when. Entries are hints: a subject's own `scheduled` says which one counts, so that an
//! entry that was overtaken, or a batch that was undone, costs nothing to take back.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::subject::Agenda;
use super::token::StateToken;
use assent_contract::domain::time::Timestamp;

#[derive(Clone, Debug, Default)]
pub struct Timers {
    heap: BinaryHeap<Reverse<Entry>>,
}

/// A token as its bytes, big-endian: in the order of the tokens, and 8 bytes less than as a number, with its
/// alignment.
type Entry = (Timestamp, [u8; 16]);

impl Timers {
    /// Sees to it that a subject is looked at no later than when it is due. An entry that stands
    /// earlier is kept: most clicks only move the due time on.
    pub fn schedule(&mut self, token: StateToken, agenda: &mut Agenda) {
        if agenda.due < agenda.scheduled {
            agenda.scheduled = agenda.due;
            self.heap.push(Reverse((agenda.due, token.to_be_bytes())));
        }
    }

    /// Puts a subject's entry back after its batch was undone.
    pub fn reinstate(&mut self, token: StateToken, agenda: &Agenda) {
        if agenda.scheduled != Timestamp::MAX {
            self.heap.push(Reverse((agenda.scheduled, token.to_be_bytes())));
        }
    }

    /// The next entry at or before `now`.
    pub fn pop(&mut self, now: Timestamp) -> Option<(Timestamp, StateToken)> {
        let Reverse((at, _)) = self.heap.peek()?;
        if *at > now {
            return None;
        }
        let Reverse((at, token)) = self.heap.pop()?;
        Some((at, StateToken::from_be_bytes(token)))
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    pub fn peek(&self) -> Option<Timestamp> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }
}
