//! What waits in a worker's memory is bounded before a record is taken in, not after: a record that does not
//! fit stays where it is, in librdkafka's memory, until there is room. One that would never fit is not kept
//! at all; it is known by its hash.

use crate::domain::intake::{RECORD_BYTES_MAX, Rejection};
use crate::kafka::events::Received;
use crate::task::consent::HeldConsent;

/// Clicks held back take at most this a worker, and so does consent
/// (docs/contract/batch.md#when-it-commits).
pub const HELD_MAX: usize = RECORD_BYTES_MAX;

/// While memory is full, what of it is still taken to serve what the group decides is no larger than this, the
/// largest that a broker takes by default.
const TRICKLE_MAX: usize = 1024 * 1024;

/// What one more record means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    Taken,
    /// It has to wait until something of what is held is committed.
    Waits,
    /// It is too large for anybody.
    Outsized,
}

/// Room for one burst of receiving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    held: usize,
    /// Bytes after which the burst ends.
    left: usize,
    is_trickle: bool,
}

impl Room {
    /// `held`: what waits already. `burst`: after so many bytes something else has its turn.
    pub fn of(held: usize, burst: usize) -> Self {
        Self { held, left: burst.min(HELD_MAX.saturating_sub(held)), is_trickle: false }
    }

    /// For one small record, although memory is full.
    pub fn trickle(held: usize) -> Self {
        Self { held, left: 1, is_trickle: true }
    }

    pub fn is_over(&self) -> bool {
        self.left == 0
    }

    /// One more record of so many bytes.
    pub fn fit(&mut self, bytes: usize) -> Fit {
        if bytes > RECORD_BYTES_MAX {
            // Hashing it takes its time.
            self.left = 0;
            return Fit::Outsized;
        }
        let fits = self.held == 0 || self.held + bytes <= HELD_MAX;
        let trickles = self.is_trickle && bytes <= TRICKLE_MAX;
        if !fits && !trickles {
            return Fit::Waits;
        }
        self.held += bytes;
        self.left = self.left.saturating_sub(bytes);
        Fit::Taken
    }
}

/// Bytes of its key and value; a record without either still takes its place.
pub fn size(record: &Received<'_>) -> usize {
    bytes(record) + size_of::<HeldConsent>()
}

/// Why a record that is too large is no input.
pub fn outsized(record: &Received<'_>) -> Rejection {
    Rejection::outsized(bytes(record), record.payload())
}

fn bytes(record: &Received<'_>) -> usize {
    record.key().map_or(0, <[u8]>::len) + record.payload().map_or(0, <[u8]>::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_waits_and_what_never_fits_is_not_taken() {
        let mut room = Room::of(HELD_MAX - 100, HELD_MAX);
        assert_eq!(
            (room.fit(60), room.fit(60), room.fit(40)),
            (Fit::Taken, Fit::Waits, Fit::Taken)
        );
        assert!(room.is_over());
        let mut room = Room::of(0, 1_000);
        assert_eq!(room.fit(RECORD_BYTES_MAX + 1), Fit::Outsized);
        assert!(room.is_over(), "one a turn");
        let mut room = Room::of(0, 1_000);
        assert_eq!(room.fit(RECORD_BYTES_MAX), Fit::Taken, "the largest comes alone");
        assert!(room.is_over());
        assert_eq!(room.fit(1), Fit::Waits);
    }

    #[test]
    fn while_memory_is_full_small_records_alone_trickle_in() {
        assert!(Room::of(HELD_MAX, 1_000).is_over());
        let mut room = Room::trickle(HELD_MAX);
        assert_eq!(room.fit(TRICKLE_MAX + 1), Fit::Waits);
        assert_eq!(room.fit(TRICKLE_MAX), Fit::Taken);
        assert!(room.is_over());
    }
}
