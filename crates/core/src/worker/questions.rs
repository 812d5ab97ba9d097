//! When the broker is asked where consent ends, and what follows where nobody answers.

use std::collections::BTreeMap;

use super::request::Request;
use crate::task::Task;
use assent_contract::domain::time::{Moment, Span};

/// The broker is asked at least this often, also without clicks (docs/contract/batch.md#lag).
const ASK_EVERY: Span = Span(500);

/// Two questions are at least this far apart: one costs the broker some 100 µs.
const ASK_APART: Span = Span(2);

/// How long a question may take. Where one partition has no leader, the question for all fails, and
/// each is asked alone, so that the others go on.
const ASK_TIMEOUT: Span = Span(500);
const ASK_ONE_TIMEOUT: Span = Span(100);

/// Where nobody answers, it is asked up to so many times more rarely: librdkafka takes a fifth of a
/// core for a question that it has nobody to send to.
const ASK_LESS_OFTEN: u32 = 4;

/// After so many questions in a row without any answer, 10 s at most, another client asks: well below
/// a minute, the bound on consent sync that is usual.
const PROBE_PATIENCE: u32 = 5;

#[derive(Debug, Default)]
pub struct Questions {
    /// Uptime; `None`: not since the start.
    asked_at: Option<Span>,
    /// Questions in a row that nobody answered.
    unanswered: u32,
    /// A question is under way.
    asking: Option<Asking>,
}

#[derive(Debug)]
struct Asking {
    /// To be asked one by one, the last first, where nobody answers for all.
    alone: Vec<i32>,
    /// The last question was for all.
    is_of_all: bool,
    is_answered: bool,
}

impl Questions {
    pub fn next(
        &mut self,
        tasks: &BTreeMap<i32, Task>,
        commit_interval: Span,
        now: Moment,
    ) -> Option<Request> {
        let Some(asking) = &mut self.asking else {
            if !self.is_due(tasks, commit_interval, now) {
                return None;
            }
            self.asked_at = Some(now.uptime);
            let partitions: Vec<i32> = tasks.keys().copied().collect();
            let mut alone = partitions.clone();
            alone.reverse();
            if alone.len() < 2 {
                alone.clear();
            }
            self.asking = Some(Asking { alone, is_of_all: true, is_answered: false });
            return Some(Request::Ask { partitions, within: ASK_TIMEOUT });
        };
        asking.is_of_all = false;
        if let Some(one) = asking.alone.pop() {
            return Some(Request::Ask { partitions: vec![one], within: ASK_ONE_TIMEOUT });
        }
        let is_answered = asking.is_answered;
        self.asking = None;
        if is_answered {
            return None;
        }
        self.unanswered = self.unanswered.saturating_add(1);
        self.unanswered.is_multiple_of(PROBE_PATIENCE).then_some(Request::RenewProbe)
    }

    fn is_due(&self, tasks: &BTreeMap<i32, Task>, commit_interval: Span, now: Moment) -> bool {
        let Some(asked_at) = self.asked_at else { return true };
        let since = now.uptime - asked_at;
        if self.unanswered > 0 {
            let times = i64::from(self.unanswered.min(ASK_LESS_OFTEN));
            return since >= Span(ASK_EVERY.0 * times);
        }
        let clicks_wait =
            || tasks.values().any(|task| task.wants_question() && !task.barrier.has_open());
        since >= ASK_EVERY || (since >= commit_interval.max(ASK_APART) && clicks_wait())
    }

    /// Somebody answered the last question. Had nobody answered for long?
    pub fn answered(&mut self) -> bool {
        if let Some(asking) = &mut self.asking {
            asking.is_answered = true;
            if asking.is_of_all {
                asking.alone.clear();
            }
        }
        std::mem::take(&mut self.unanswered) >= PROBE_PATIENCE
    }

    /// The partitions are gone.
    pub fn forget(&mut self) {
        self.asking = None;
    }
}
