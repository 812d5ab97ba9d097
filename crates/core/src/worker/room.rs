//! Bounds on what a worker holds in memory: room for one burst of receiving.

use std::collections::BTreeMap;

use super::settings::Limits;
use crate::task::Task;
use assent_contract::domain::intake::RECORD_BYTES_MAX;
use assent_contract::domain::time::{Moment, Span};

/// While memory is full, one poll in this long still serves what the group decides, which queues
/// behind the clicks: at 1 MiB each, the largest a broker takes by default, 10 MiB/s beyond.
pub const TRICKLE: Span = Span(100);

/// While memory is full, what of it is still taken to serve what the group decides is no larger than this,
/// the largest that a broker takes by default.
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

/// Room for one burst of receiving. What waits in memory is bounded before a record is taken in, not after:
/// one that does not fit stays with its consumer until there is room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    records: usize,
    /// Bytes that wait already, and the most that may.
    held: usize,
    most: usize,
    /// Bytes after which the burst ends.
    left: usize,
    is_trickle: bool,
}

impl Room {
    /// `burst`: after so many records and bytes something else has its turn.
    fn of(held: usize, most: usize, burst: (usize, usize)) -> Self {
        let left = burst.1.min(most.saturating_sub(held));
        Self { records: burst.0, held, most, left, is_trickle: false }
    }

    /// For one small record, although memory is full.
    fn trickle(held: usize, most: usize) -> Self {
        Self { records: 1, held, most, left: 1, is_trickle: true }
    }

    pub fn is_over(&self) -> bool {
        self.records == 0 || self.left == 0
    }

    /// One more record of so many bytes.
    pub fn fit(&mut self, bytes: usize) -> Fit {
        if bytes > RECORD_BYTES_MAX {
            // Hashing it takes its time.
            self.left = 0;
            return Fit::Outsized;
        }
        let fits = self.held == 0 || self.held + bytes <= self.most;
        let trickles = self.is_trickle && bytes <= TRICKLE_MAX;
        if !fits && !trickles {
            return Fit::Waits;
        }
        self.pass();
        self.held += bytes;
        self.left = self.left.saturating_sub(bytes);
        Fit::Taken
    }

    /// What came takes no room, but its time.
    pub fn pass(&mut self) {
        self.records = self.records.saturating_sub(1);
    }
}

/// Room for consent: so many records, and so many bytes, of all partitions.
pub fn for_consent(limits: &Limits, tasks: &BTreeMap<i32, Task>) -> Room {
    let count: usize = tasks.values().map(|task| task.consents().len()).sum();
    let bytes: usize = tasks.values().map(Task::consent_bytes).sum();
    let records = limits.burst.min((limits.consents * tasks.len().max(1)).saturating_sub(count));
    Room::of(bytes, limits.consent_bytes, (records, limits.consent_bytes))
}

/// Room for clicks. `full_at`: with so many bytes the last one found no room. `trickle_until`: while memory
/// is full, nothing is polled before.
pub fn for_clicks(
    limits: &Limits,
    tasks: &BTreeMap<i32, Task>,
    full_at: usize,
    trickle_until: &mut Span,
    now: Moment,
) -> Room {
    let (held, most) = (held_clicks(tasks), limits.click_bytes);
    if held < most.min(full_at) {
        return Room::of(held, most, (limits.burst, limits.share(tasks.len())));
    }
    if now.uptime < *trickle_until {
        return Room::of(held, most, (0, 0));
    }
    *trickle_until = now.uptime + TRICKLE;
    Room::trickle(held, most)
}

pub fn held_clicks(tasks: &BTreeMap<i32, Task>) -> usize {
    tasks.values().map(|task| task.clicks.size()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = RECORD_BYTES_MAX;

    #[test]
    fn what_does_not_fit_waits_and_what_never_fits_is_not_taken() {
        let mut room = Room::of(MOST - 100, MOST, (9, MOST));
        assert_eq!(
            (room.fit(60), room.fit(60), room.fit(40)),
            (Fit::Taken, Fit::Waits, Fit::Taken)
        );
        assert!(room.is_over());
        let mut room = Room::of(0, MOST, (9, 1_000));
        assert_eq!(room.fit(RECORD_BYTES_MAX + 1), Fit::Outsized);
        assert!(room.is_over(), "one a turn");
        let mut room = Room::of(0, MOST, (9, 1_000));
        assert_eq!(room.fit(RECORD_BYTES_MAX), Fit::Taken, "the largest comes alone");
        assert!(room.is_over());
        assert_eq!(room.fit(1), Fit::Waits);
    }

    #[test]
    fn while_memory_is_full_small_records_alone_trickle_in() {
        assert!(Room::of(MOST, MOST, (9, 1_000)).is_over());
        let mut room = Room::trickle(MOST, MOST);
        assert_eq!(room.fit(TRICKLE_MAX + 1), Fit::Waits);
        assert_eq!(room.fit(TRICKLE_MAX), Fit::Taken);
        assert!(room.is_over());
    }
}
