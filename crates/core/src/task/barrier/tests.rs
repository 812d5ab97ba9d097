//! When clicks are covered, and how far consent is behind by two clocks.

use super::*;

/// So many ms after a fixed moment, by a wall clock that is right.
fn at(ms: i64) -> Moment {
    Moment { wall: Timestamp(ms), uptime: Span(ms - 500) }
}

/// The same, by a wall clock that is ahead.
fn ahead(ms: i64, by: i64) -> Moment {
    Moment { wall: Timestamp(ms + by), ..at(ms) }
}

fn question(sent: i64, end: i64, clicks: u64) -> Question {
    Question { sent: at(sent), end, clicks }
}

/// Appended and received at once.
fn record(ms: i64) -> Arrival {
    Arrival { appended: Timestamp(ms), received: at(ms).uptime }
}

fn assigned_at_1000() -> Barrier {
    Barrier::new(at(1_000))
}

#[test]
fn before_the_first_answer_lag_counts_from_the_assignment() {
    let mut barrier = assigned_at_1000();
    barrier.applied(record(1_900));
    barrier.asked(question(1_500, 10, 0));
    assert!(!barrier.was_reached());
    assert_eq!(barrier.lag(at(3_000)), Span(2_000));
}

#[test]
fn a_question_that_is_a_second_old_at_most_is_in_sync() {
    let mut barrier = assigned_at_1000();
    barrier.asked(question(2_000, 10, 0));
    assert_eq!(barrier.reach(10).count(), 1);
    assert_eq!(barrier.lag(at(3_000)), Span(0));
    assert_eq!(barrier.lag(at(3_001)), Span(1_001));
}

#[test]
fn what_was_applied_later_than_the_question_counts() {
    let mut barrier = assigned_at_1000();
    barrier.asked(question(2_000, 10, 0));
    drop(barrier.reach(11));
    barrier.applied(record(7_000));
    assert_eq!(barrier.lag(at(9_500)), Span(2_500));
    barrier.applied(record(6_000));
    assert_eq!(barrier.synced(at(9_500)), Timestamp(7_000));
}

#[test]
fn an_old_record_received_late_is_as_old_as_it_is() {
    let mut barrier = assigned_at_1000();
    barrier.asked(question(2_000, 10, 0));
    drop(barrier.reach(11));
    barrier.applied(Arrival { appended: Timestamp(4_000), received: at(7_000).uptime });
    assert_eq!(barrier.lag(at(9_500)), Span(5_500));
}

#[test]
fn a_wall_clock_that_goes_back_makes_nothing_younger() {
    let mut barrier = assigned_at_1000();
    barrier.asked(question(2_000, 10, 0));
    drop(barrier.reach(11));
    barrier.applied(record(7_000));
    assert_eq!(barrier.lag(ahead(9_500, -3_600_000)), Span(2_500));
    assert_eq!(barrier.lag(ahead(90_000, -3_600_000)), Span(83_000), "the broker is silent");
}

#[test]
fn a_jump_ahead_does_not_close_what_is_in_sync() {
    let mut barrier = assigned_at_1000();
    barrier.asked(question(2_000, 10, 0));
    drop(barrier.reach(10));
    assert_eq!(barrier.lag(ahead(2_900, 240_000)), Span(0));
    assert_eq!(barrier.lag(ahead(4_000, 240_000)), Span(2_000));
    assert_eq!(barrier.synced(ahead(4_000, 240_000)), Timestamp(242_000));
}

#[test]
fn a_brokers_clock_that_is_ahead_makes_no_negative_lag() {
    let mut barrier = assigned_at_1000();
    barrier.asked(question(2_000, 1, 0));
    drop(barrier.reach(1));
    barrier.applied(Arrival { appended: Timestamp(90_000), received: at(4_000).uptime });
    assert_eq!(barrier.lag(at(4_000)), Span(0));
    assert_eq!(barrier.lag(at(6_000)), Span(2_000));
}

#[test]
fn clicks_are_covered_by_a_question_asked_after_them_and_reached() {
    let mut barrier = assigned_at_1000();
    barrier.asked(question(1_100, 5, 3));
    barrier.asked(question(1_200, 9, 8));
    assert_eq!(barrier.covered(4), None);
    assert_eq!(barrier.covered(5).unwrap().clicks, 3);
    assert_eq!(barrier.covered(9).unwrap().clicks, 8);
    assert!(barrier.will_cover(8) && !barrier.will_cover(9));
    drop(barrier.reach(5));
    assert_eq!(barrier.covered(5).unwrap().clicks, 3);
    assert!(barrier.has_open());
}

#[test]
fn a_long_row_keeps_its_oldest_and_its_newest() {
    let mut barrier = assigned_at_1000();
    for i in 0..1_000 {
        barrier.asked(question(i, i, i as u64));
    }
    assert_eq!(barrier.covered(0).unwrap().sent, at(0));
    assert_eq!(barrier.newest().unwrap().end, 999);
}

#[test]
fn looking_ahead_changes_nothing() {
    let mut barrier = assigned_at_1000();
    barrier.asked(question(5_000, 5, 0));
    let ahead = barrier.ahead(5, Some(record(4_900)));
    assert_eq!(ahead.lag(at(5_500)), Span(0));
    assert!(!barrier.was_reached());
}
