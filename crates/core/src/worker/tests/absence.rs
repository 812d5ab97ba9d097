//! When a worker writes that consent is in sync, and when it takes consent for lost.

use super::*;
use crate::engine::absence::AbsenceBound;

/// A partition where two clicks were decided at uptime 0, and nothing has come since.
fn at_rest() -> Worker {
    let mut worker = worker(1);
    clicks(&mut worker, 0, 2);
    cover(&mut worker, 0);
    assert_eq!(decide(&mut worker, 0), BTreeMap::from([(0, 2)]));
    commit(&mut worker, 0);
    worker
}

fn synced_at(worker: &Worker) -> Option<Timestamp> {
    worker.tasks()[&0].engine.consent_synced_at()
}

#[test]
fn that_consent_is_in_sync_is_written_hourly_where_nothing_else_is() {
    let mut worker = at_rest();
    let hour = Span::HOUR.0;
    for asked in [1_000, hour - 1] {
        cover(&mut worker, asked);
        assert!(!turn(&mut worker, asked).contains(&Request::Decide), "at {asked}");
    }
    assert!(!turn(&mut worker, hour + 5).contains(&Request::Decide), "it was asked before that");
    cover(&mut worker, hour);
    decide(&mut worker, hour);
    commit(&mut worker, hour);
    assert_eq!(synced_at(&worker), Some(at(hour).wall));
    cover(&mut worker, 2 * hour - 1);
    assert!(!turn(&mut worker, 2 * hour - 1).contains(&Request::Decide));
}

#[test]
fn whoever_has_a_partition_next_is_told_until_when_consent_was_read() {
    let mut worker = at_rest();
    cover(&mut worker, 59_000);
    worker.give_back(at(59_000));
    assert_eq!(worker.next(at(59_000)), Request::GiveBack, "well known");

    let mut worker = at_rest();
    cover(&mut worker, 61_000);
    worker.give_back(at(61_000));
    decide(&mut worker, 61_000);
    commit(&mut worker, 61_000);
    assert_eq!(worker.next(at(61_000)), Request::GiveBack);
    assert_eq!(synced_at(&worker), Some(at(61_000).wall));
}

#[test]
fn a_partition_that_nothing_was_decided_of_has_nothing_to_say() {
    let mut worker = worker(1);
    cover(&mut worker, 2 * Span::HOUR.0);
    assert!(!turn(&mut worker, 2 * Span::HOUR.0).contains(&Request::Decide));
}

#[test]
fn consent_that_stays_unread_for_too_long_is_a_loss_however_the_wall_clock_goes() {
    let bound = AbsenceBound::of_retention(Span(2 * Span::DAY.0));
    let restored = |before| {
        let mut worker = worker(1);
        let task = task(0).bound_absence(Some(bound), before);
        worker.restored(BTreeMap::from([(0, task)]));
        worker
    };
    let day = Span::DAY.0;
    let is_loss = |worker: &mut Worker, now| turn(worker, now).contains(&Request::FindLoss);
    let mut worker = restored(Span(day / 2));
    assert!(!is_loss(&mut worker, day / 2));
    assert!(is_loss(&mut worker, day / 2 + 1), "half a day before, and half since");

    let mut worker = restored(Span(day / 2));
    cover(&mut worker, day / 2);
    assert!(!is_loss(&mut worker, day / 2 + day), "it was in sync meanwhile");
    assert!(is_loss(&mut worker, day / 2 + day + 1));
    let unread = |now| worker.tasks()[&0].unread_too_long(now);
    let set_forward = Moment { wall: Timestamp(i64::MAX), uptime: Span(day) };
    assert_eq!(unread(set_forward), None);
    let set_back = Moment { wall: Timestamp(0), uptime: Span(2 * day) };
    assert_eq!(unread(set_back), Some(Span(day + day / 2)));
}
