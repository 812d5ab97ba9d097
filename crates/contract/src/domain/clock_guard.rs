//! May decisions be made by the wall clock? One that runs ahead would end every grant, write leases
//! that outlive themselves, and be latched by `now` for ever (INV-10, INV-13).
//!
//! Two witnesses check it: the monotonic clock since the start, and the broker's append times.
//! A record says that the broker's clock had come that far when it was received; one that lies at or
//! beyond the end that the broker had answered before says also that it had not come further when the
//! question was sent. So a clock that was wrong at the start is found, and one that was set right is
//! believed again, with the next consent record or heartbeat.

use super::time::{Moment, Span, Timestamp};

/// A wall clock further ahead of its witnesses than this is not decided by.
pub const AHEAD_MAX: Span = Span(5 * Span::MINUTE.0);

/// How fast a wall clock may legitimately win on the monotonic one: 500 ppm, the most that NTP
/// corrects a crystal by (RFC 5905, MAXFREQ), here by many small steps. 43 s a day: without it a
/// machine that steps its clock instead of slewing it would be stopped after weeks of uptime.
const DRIFT_DIVISOR: i64 = 2_000;

/// Drift is allowed for in pieces of this much uptime, 5 ms each.
const DRIFT_STEP: Span = Span(10_000);

/// What is known of the true time, apart from what the wall clock says now.
#[derive(Clone, Debug)]
pub struct ClockGuard {
    /// What a right wall clock showed at uptime 0, by what was witnessed.
    origin: Timestamp,
    /// The same without what only the broker's clock says: that less time had passed.
    unaided: Timestamp,
    /// Up to which uptime drift has been allowed for.
    drifted_to: Span,
    last: Option<Upper>,
}

/// No later than this can the broker's clock have been at uptime 0, says a record.
#[derive(Clone, Copy, Debug)]
struct Upper {
    origin: Timestamp,
    received: Span,
}

/// A consent record's append time, when it was received, and the newest question before it.
#[derive(Clone, Copy, Debug)]
pub struct Appended {
    /// The broker's clock.
    pub at: Timestamp,
    pub received: Span,
    /// When the question was sent at whose answer or beyond the record lies; `None`: below it.
    pub asked: Option<Span>,
}

impl ClockGuard {
    /// The wall clock at the start is believed until a record says otherwise.
    pub fn started(at: Moment) -> Self {
        let origin = at.wall - at.uptime;
        Self { origin, unaided: origin, drifted_to: at.uptime, last: None }
    }

    /// How far the wall clock is ahead of its witnesses, where that is more than [`AHEAD_MAX`].
    pub fn too_far_ahead(&mut self, now: Moment) -> Option<Span> {
        let ahead = (now.wall - now.uptime) - self.origin;
        if ahead > AHEAD_MAX {
            return Some(ahead);
        }
        let since = now.uptime - self.drifted_to;
        if since >= DRIFT_STEP {
            let allowed = Span(since.0 / DRIFT_DIVISOR);
            let drifted = ahead.min(allowed).max(Span(0));
            self.origin = self.origin + drifted;
            self.unaided = self.unaided + drifted;
            self.drifted_to = now.uptime;
        }
        None
    }

    /// Is the broker's clock the only witness against the wall clock? Then it may be the wrong one.
    pub fn rests_on_broker(&self, now: Moment) -> bool {
        (now.wall - now.uptime) - self.unaided <= AHEAD_MAX
    }

    /// What a right clock shows now at the latest: a wall clock that went back may be wrong, too.
    pub fn latest(&self, now: Moment) -> Timestamp {
        now.wall.max(self.origin + now.uptime)
    }

    /// A record's word on the broker's clock. That the clock had come no further is believed only of
    /// two records in a row, the second one's question sent after the first was received: a record
    /// may have waited long for its replicas, beyond the end that was answered meanwhile.
    pub fn appended(&mut self, record: Appended) {
        let come_so_far = record.at - record.received;
        self.origin = self.origin.max(come_so_far);
        self.unaided = self.unaided.max(come_so_far);
        let Some(asked) = record.asked else { return };
        let upper = Upper { origin: record.at - asked, received: record.received };
        if let Some(last) = self.last.filter(|last| last.received <= asked) {
            self.origin = self.origin.min(last.origin.max(upper.origin));
        }
        self.last = Some(upper);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_700_000_000_000;
    const MINUTE: i64 = Span::MINUTE.0;

    /// Uptime is 7 s at the start.
    fn started() -> ClockGuard {
        ClockGuard::started(moment(0, 0))
    }

    /// So long after the start, by a wall clock this far ahead.
    fn moment(after: i64, ahead: i64) -> Moment {
        Moment { wall: Timestamp(START + after + ahead), uptime: Span(7_000 + after) }
    }

    /// A record appended so long after the start by a right clock, received then too.
    fn live(after: i64, asked: i64) -> Appended {
        old(after, after, Some(asked))
    }

    fn old(appended: i64, received: i64, asked: Option<i64>) -> Appended {
        Appended {
            at: Timestamp(START + appended),
            received: Span(7_000 + received),
            asked: asked.map(|asked| Span(7_000 + asked)),
        }
    }

    #[test]
    fn five_minutes_ahead_pass_and_a_millisecond_more_does_not() {
        let mut guard = started();
        assert_eq!(guard.too_far_ahead(moment(1_000, 5 * MINUTE)), None);
        assert_eq!(guard.too_far_ahead(moment(1_000, 5 * MINUTE + 1)), Some(Span(5 * MINUTE + 1)));
        assert_eq!(guard.too_far_ahead(moment(1_001, 0)), None, "it goes on by itself");
    }

    #[test]
    fn a_clock_that_goes_back_is_no_matter_and_its_return_neither() {
        let mut guard = started();
        assert_eq!(guard.too_far_ahead(moment(60_000, -60 * MINUTE)), None);
        assert_eq!(guard.latest(moment(60_000, -60 * MINUTE)), Timestamp(START + 60_000));
        assert_eq!(guard.too_far_ahead(moment(120_000, 4 * MINUTE)), None);
    }

    #[test]
    fn a_wrong_clock_is_not_believed_however_long_it_stays_wrong() {
        let mut guard = started();
        for hour in 0..1_000 {
            assert!(guard.too_far_ahead(moment(hour * 60 * MINUTE, 6 * MINUTE)).is_some());
            assert!(!guard.rests_on_broker(moment(hour * 60 * MINUTE, 6 * MINUTE)));
        }
    }

    #[test]
    fn a_drift_that_ntp_would_correct_never_adds_up() {
        let mut guard = started();
        for day in 0..400 {
            let by_100_ppm = day * 8_640;
            assert_eq!(guard.too_far_ahead(moment(day * 1_440 * MINUTE, by_100_ppm)), None);
        }
    }

    #[test]
    fn steps_of_four_minutes_do_not_add_up_unseen() {
        let mut guard = started();
        assert_eq!(guard.too_far_ahead(moment(60 * MINUTE, 4 * MINUTE)), None);
        assert!(guard.too_far_ahead(moment(120 * MINUTE, 8 * MINUTE)).is_some());
    }

    #[test]
    fn a_clock_that_was_set_right_is_believed_with_the_next_record() {
        let mut guard = started();
        // The start was an hour behind, as after a snapshot: true time is 60 minutes on.
        assert!(guard.too_far_ahead(moment(MINUTE, 60 * MINUTE)).is_some());
        guard.appended(old(61 * MINUTE, MINUTE, None));
        assert_eq!(guard.too_far_ahead(moment(MINUTE, 60 * MINUTE)), None);
    }

    #[test]
    fn an_old_record_proves_nothing() {
        let mut guard = started();
        guard.appended(old(-500 * MINUTE, MINUTE, None));
        assert_eq!(guard.too_far_ahead(moment(MINUTE, 4 * MINUTE)), None);
        assert!(guard.too_far_ahead(moment(MINUTE, 6 * MINUTE)).is_some());
    }

    #[test]
    fn a_clock_wrong_from_the_start_is_found_by_two_records() {
        let mut guard = ClockGuard::started(moment(0, 60 * MINUTE));
        guard.appended(live(1_200, 1_000));
        assert_eq!(guard.too_far_ahead(moment(1_300, 60 * MINUTE)), None);
        guard.appended(live(1_700, 1_500));
        assert!(guard.too_far_ahead(moment(1_800, 60 * MINUTE)).is_some());
        assert!(guard.rests_on_broker(moment(1_800, 60 * MINUTE)));
        assert_eq!(guard.too_far_ahead(moment(1_900, 0)), None);
        let asked_before = Timestamp(START + 2_100); // 200 ms before the record was received
        assert_eq!(guard.latest(moment(1_900, 0)), asked_before);
    }

    #[test]
    fn records_that_waited_for_their_replicas_do_not_stop_a_right_clock() {
        let mut guard = started();
        for record in 0..5 {
            // An hour old, and beyond the end of the question asked just before.
            guard.appended(old(record, 60 * MINUTE + record, Some(60 * MINUTE - 200)));
        }
        assert_eq!(guard.too_far_ahead(moment(60 * MINUTE, 0)), None);
        guard.appended(live(61 * MINUTE, 61 * MINUTE - 100));
        assert_eq!(guard.too_far_ahead(moment(61 * MINUTE, 0)), None);
        // And one that waited comes after one that did not.
        guard.appended(old(MINUTE, 62 * MINUTE, Some(62 * MINUTE - 100)));
        assert_eq!(guard.too_far_ahead(moment(62 * MINUTE, 0)), None);
    }
}
