//! The barrier (INV-2) and the consent-sync lag of a partition: pure arithmetic over the questions
//! that were asked of the broker, and over how far consent has come.
//!
//! A question asks for the end of the partition's consent. It covers the clicks that were received
//! before it was asked; it is reached once everything below its answer has been read.

use std::collections::VecDeque;

use crate::domain::time::{Span, Timestamp};

/// Lag is 0 while the last question that was reached is at most this old (design, section 7).
const SYNCED_FOR: Span = Span::SECOND;

/// Questions kept that are not reached yet. One is asked every 500 ms, or more often while clicks
/// wait; of a longer row the second newest goes, so the oldest, which the lag needs, stays.
const OPEN_MAX: usize = 256;

/// A question to the broker, and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// When it was sent.
    pub sent_at: Timestamp,
    /// The high watermark that the broker answered.
    pub end: i64,
    /// Clicks of the partition received before it was sent, counted from the assignment.
    pub clicks: u64,
}

/// The questions of a partition since its assignment.
#[derive(Clone, Debug)]
pub struct Barrier {
    assigned_at: Timestamp,
    /// Not reached yet, the oldest first; their answers never fall.
    open: VecDeque<Question>,
    reached: Option<Question>,
    /// Append time of the last record applied.
    applied_at: Option<Timestamp>,
}

impl Barrier {
    pub fn new(assigned_at: Timestamp) -> Self {
        Self { assigned_at, open: VecDeque::new(), reached: None, applied_at: None }
    }

    pub fn asked(&mut self, question: Question) {
        if self.open.len() >= OPEN_MAX {
            self.open.pop_back();
        }
        self.open.push_back(question);
    }

    /// Consent below this offset has been read and applied; returns the questions reached by it.
    pub fn reach(&mut self, position: i64) -> impl Iterator<Item = Question> + use<> {
        let count = self.open.iter().take_while(|question| question.end <= position).count();
        let reached: Vec<Question> = self.open.drain(..count).collect();
        self.reached = reached.last().copied().or(self.reached);
        reached.into_iter()
    }

    /// A record with this append time has been applied.
    pub fn applied(&mut self, append_time: Timestamp) {
        self.applied_at = self.applied_at.max(Some(append_time));
    }

    /// What a batch that applies consent up to `consent_to` may rest on: the newest question that
    /// this reaches, asked after every click that it covers.
    pub fn covered(&self, consent_to: i64) -> Option<Question> {
        let open = self.open.iter().take_while(|question| question.end <= consent_to).last();
        open.copied().or(self.reached)
    }

    /// Is a question on its way that covers these clicks?
    pub fn will_cover(&self, clicks: u64) -> bool {
        self.open.back().or(self.reached.as_ref()).is_some_and(|newest| newest.clicks >= clicks)
    }

    pub fn has_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// The newest answer, reached or not.
    pub fn newest_end(&self) -> Option<i64> {
        self.open.back().or(self.reached.as_ref()).map(|question| question.end)
    }

    pub fn was_reached(&self) -> bool {
        self.reached.is_some()
    }

    /// Up to which moment consent is known to be applied; the assignment before the first answer
    /// was reached.
    pub fn synced(&self) -> Timestamp {
        match self.reached {
            None => self.assigned_at,
            Some(question) => {
                self.applied_at.map_or(question.sent_at, |at| at.max(question.sent_at))
            }
        }
    }

    /// The consent-sync lag (design, section 7).
    pub fn lag(&self, now: Timestamp) -> Span {
        let fresh = self.reached.is_some_and(|question| now - question.sent_at <= SYNCED_FOR);
        if fresh { Span(0) } else { (now - self.synced()).max(Span(0)) }
    }

    /// The lag and reach as they are once a batch up to `consent_to` is applied.
    #[must_use]
    pub fn ahead(&self, consent_to: i64, append_time: Option<Timestamp>) -> Self {
        let mut ahead = self.clone();
        drop(ahead.reach(consent_to));
        if let Some(append_time) = append_time {
            ahead.applied(append_time);
        }
        ahead
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(sent_at: i64, end: i64, clicks: u64) -> Question {
        Question { sent_at: Timestamp(sent_at), end, clicks }
    }

    fn assigned_at_1000() -> Barrier {
        Barrier::new(Timestamp(1_000))
    }

    #[test]
    fn before_the_first_answer_lag_counts_from_the_assignment() {
        let mut barrier = assigned_at_1000();
        barrier.applied(Timestamp(1_900));
        barrier.asked(at(1_500, 10, 0));
        assert!(!barrier.was_reached());
        assert_eq!(barrier.lag(Timestamp(3_000)), Span(2_000));
    }

    #[test]
    fn a_question_that_is_a_second_old_at_most_is_in_sync() {
        let mut barrier = assigned_at_1000();
        barrier.asked(at(2_000, 10, 0));
        assert_eq!(barrier.reach(10).count(), 1);
        assert_eq!(barrier.lag(Timestamp(3_000)), Span(0));
        assert_eq!(barrier.lag(Timestamp(3_001)), Span(1_001));
    }

    #[test]
    fn what_was_applied_later_than_the_question_counts() {
        let mut barrier = assigned_at_1000();
        barrier.asked(at(2_000, 10, 0));
        drop(barrier.reach(11));
        barrier.applied(Timestamp(7_000));
        assert_eq!(barrier.lag(Timestamp(9_500)), Span(2_500));
        barrier.applied(Timestamp(6_000));
        assert_eq!(barrier.synced(), Timestamp(7_000));
    }

    #[test]
    fn a_clock_that_went_back_makes_no_negative_lag() {
        let mut barrier = assigned_at_1000();
        barrier.asked(at(9_000, 1, 0));
        drop(barrier.reach(1));
        assert_eq!(barrier.lag(Timestamp(10)), Span(0));
    }

    #[test]
    fn clicks_are_covered_by_a_question_asked_after_them_and_reached() {
        let mut barrier = assigned_at_1000();
        barrier.asked(at(1_100, 5, 3));
        barrier.asked(at(1_200, 9, 8));
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
            barrier.asked(at(i, i, i as u64));
        }
        assert_eq!(barrier.covered(0).unwrap().sent_at, Timestamp(0));
        assert_eq!(barrier.newest_end(), Some(999));
    }

    #[test]
    fn looking_ahead_changes_nothing() {
        let mut barrier = assigned_at_1000();
        barrier.asked(at(5_000, 5, 0));
        let ahead = barrier.ahead(5, Some(Timestamp(4_900)));
        assert_eq!(ahead.lag(Timestamp(5_500)), Span(0));
        assert!(!barrier.was_reached());
    }
}
