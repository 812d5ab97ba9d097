//! When misrouted consent is sent on to its right partition: as it comes, and where it was not
//! acknowledged again and again, whether or not more comes.

use std::collections::BTreeMap;

use super::request::Request;
use crate::task::Task;
use assent_contract::domain::time::{Moment, Span};

/// How long a misrouted record may take to its right partition before the loop goes round again: each
/// try twice as long as the one before, up to the second, since each connects anew.
const FORWARD: Span = Span(2_000);
const FORWARD_MAX: Span = Span(8_000);

/// Between two tries.
const FORWARD_AGAIN: Span = Span(500);

#[derive(Debug)]
pub struct Forwarding {
    /// Uptime: what was not acknowledged is sent again then.
    again_at: Option<Span>,
    /// How long the next try may take.
    within: Span,
    /// One partition after the other.
    round: Option<Round>,
}

#[derive(Debug, Default)]
struct Round {
    /// The partition that was asked for last.
    last: Option<i32>,
    /// Some of it was not acknowledged.
    has_failed: bool,
    /// There is more than was sent on at once.
    has_more: bool,
}

impl Default for Forwarding {
    fn default() -> Self {
        Self { again_at: None, within: FORWARD, round: None }
    }
}

impl Forwarding {
    /// `came`: consent was received in this turn.
    pub fn next(
        &mut self,
        tasks: &BTreeMap<i32, Task>,
        came: bool,
        now: Moment,
    ) -> Option<Request> {
        if self.round.is_none() && self.again_at.map_or(came, |at| at <= now.uptime) {
            self.round = Some(Round::default());
        }
        let round = self.round.as_mut()?;
        let is_next = |partition: i32| round.last.is_none_or(|last| partition > last);
        let mut all = tasks.iter().filter(|(partition, _)| is_next(**partition));
        if let Some((&partition, _)) = all.find(|(_, task)| task.misrouted().next().is_some()) {
            round.last = Some(partition);
            return Some(Request::Forward { partition, within: self.within });
        }
        let Round { has_failed, has_more, .. } = self.round.take()?;
        self.again_at = match (has_failed, has_more) {
            (true, _) => Some(now.uptime + FORWARD_AGAIN),
            (false, true) => Some(now.uptime),
            (false, false) => None,
        };
        self.within = if has_failed { Span(2 * self.within.0).min(FORWARD_MAX) } else { FORWARD };
        None
    }

    /// Some of it was not acknowledged.
    pub fn failed(&mut self) {
        if let Some(round) = &mut self.round {
            round.has_failed = true;
        }
    }

    /// What was sent on was acknowledged; is there more?
    pub fn done(&mut self, has_more: bool) {
        if let Some(round) = &mut self.round {
            round.has_more |= has_more;
        }
    }

    /// The partitions are gone.
    pub fn forget(&mut self) {
        self.round = None;
    }
}
