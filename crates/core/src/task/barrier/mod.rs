//! The barrier (INV-2) and the consent-sync lag of a partition: pure arithmetic over the questions
//! that were asked of the broker, and over how far consent has come.
//!
//! A question asks for the end of the partition's consent. It covers the clicks that were received
//! before it was asked; it is reached once everything below its answer has been read.
//!
//! Ages are taken by the monotonic clock, so a wall clock that goes back while the broker is silent
//! does not make what is applied younger.

use std::collections::VecDeque;

use assent_contract::domain::time::{Moment, Span, Timestamp};

/// Lag is 0 while the last question that was reached is at most this old (docs/contract/batch.md#lag).
const SYNCED_FOR: Span = Span::SECOND;

/// Questions kept that are not reached yet. One is asked every 500 ms, or more often while clicks
/// wait; of a longer row the second newest goes, so the oldest, which the lag needs, stays.
const OPEN_MAX: usize = 256;

/// A question to the broker, and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    pub sent: Moment,
    /// The high watermark that the broker answered.
    pub end: i64,
    /// Clicks of the partition received before it was sent, counted from the assignment.
    pub clicks: u64,
}

/// When the broker appended a record, by its clock, and when it was received here (uptime).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrival {
    pub appended: Timestamp,
    pub received: Span,
}

impl Arrival {
    /// By the wall clock, and no less than has passed since it was received.
    pub fn age(self, now: Moment) -> Span {
        (now.wall - self.appended).max(now.uptime - self.received)
    }
}

/// The questions of a partition since its assignment.
#[derive(Clone, Debug)]
pub struct Barrier {
    assigned: Moment,
    /// Not reached yet, the oldest first; their answers never fall.
    open: VecDeque<Question>,
    reached: Option<Question>,
    /// The last record applied.
    applied: Option<Arrival>,
}

impl Barrier {
    pub fn new(assigned: Moment) -> Self {
        Self { assigned, open: VecDeque::new(), reached: None, applied: None }
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

    /// A record has been applied.
    pub fn applied(&mut self, record: Arrival) {
        self.applied = self.applied.max(Some(record));
    }

    /// What a batch that applies consent up to `consent_to` may rest on: the newest question that
    /// this reaches, asked after every click that it covers.
    pub fn covered(&self, consent_to: i64) -> Option<Question> {
        let open = self.open.iter().take_while(|question| question.end <= consent_to).last();
        open.copied().or(self.reached)
    }

    /// Is a question on its way that covers these clicks?
    pub fn will_cover(&self, clicks: u64) -> bool {
        self.newest().is_some_and(|newest| newest.clicks >= clicks)
    }

    pub fn has_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// The newest question that was answered, reached or not.
    pub fn newest(&self) -> Option<&Question> {
        self.open.back().or(self.reached.as_ref())
    }

    pub fn was_reached(&self) -> bool {
        self.reached.is_some()
    }

    /// Was a question reached that was sent at this uptime or later?
    pub fn has_reached_since(&self, uptime: Span) -> bool {
        self.reached.as_ref().is_some_and(|question| question.sent.uptime >= uptime)
    }

    /// Up to which moment consent is known to be applied, by the wall clock as it is now.
    pub fn synced(&self, now: Moment) -> Timestamp {
        now.wall - self.age(now)
    }

    /// Since the later of: when the last question that was reached was sent, and when the last record
    /// applied was appended; since the assignment before the first question was reached.
    fn age(&self, now: Moment) -> Span {
        let Some(question) = &self.reached else { return now.uptime - self.assigned.uptime };
        let since_sent = now.uptime - question.sent.uptime;
        self.applied.map_or(since_sent, |record| record.age(now).min(since_sent))
    }

    /// The consent-sync lag (docs/contract/batch.md#lag).
    pub fn lag(&self, now: Moment) -> Span {
        let since_sent = |question: &Question| now.uptime - question.sent.uptime;
        let fresh = self.reached.as_ref().is_some_and(|asked| since_sent(asked) <= SYNCED_FOR);
        if fresh { Span(0) } else { self.age(now).max(Span(0)) }
    }

    /// The lag and reach as they are once a batch up to `consent_to` is applied.
    #[must_use]
    pub fn ahead(&self, consent_to: i64, applied: Option<Arrival>) -> Self {
        let mut ahead = self.clone();
        drop(ahead.reach(consent_to));
        if let Some(record) = applied {
            ahead.applied(record);
        }
        ahead
    }
}

#[cfg(test)]
mod tests;
