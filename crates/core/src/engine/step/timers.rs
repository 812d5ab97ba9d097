//! What time alone, or a new rulebook, asks for: subjects that no input of the batch names.

use crate::engine::at_hand::AtHand;
use crate::engine::batch::OpenBatch;
use crate::engine::partition::Partition;
use crate::engine::state::{Backlog, Schedule};
use crate::engine::subjects::Subjects;
use crate::engine::token::StateToken;
use assent_contract::domain::time::Timestamp;

/// Most subjects whose timers one batch settles: bounds the transaction; the rest follow at once.
pub const TIMERS_PER_BATCH_MAX: usize = 10_000;

/// Deferred subjects come after everything that is due: a grant's end does not wait for them.
const AFTER_ALL_DUE: Timestamp = Timestamp::MAX;

/// Most subjects that one batch of a sweep revises: at two live keys each, some 4,000 records.
pub const UPKEEP_PER_BATCH_MAX: usize = 1_000;

impl OpenBatch {
    /// Settles subjects whose time has come: the earliest are chosen, and settled in the order of their
    /// tokens, so that a restored partition settles them in the same order (INV-10). Then at most
    /// [`UPKEEP_PER_BATCH_MAX`] subjects whose live keys rest on an earlier rulebook.
    pub fn timers(&mut self) {
        let (now, gate_open) = (self.log.now, self.log.gate_open);
        let Partition { state, schedule, .. } = &mut self.partition;
        let due = take_due(schedule, &mut state.subjects, &self.at_hand, now, gate_open);
        let mut scope = self.scope();
        for token in due {
            scope.touch(token, None);
        }
        let Partition { state, backlog, .. } = &self.partition;
        let outdated = first_outdated(backlog, &state.subjects, &self.at_hand, gate_open);
        let mut scope = self.scope();
        for token in outdated {
            scope.touch(token, None);
        }
    }
}

fn first_outdated(
    backlog: &Backlog,
    subjects: &Subjects,
    at_hand: &AtHand,
    gate_open: bool,
) -> Vec<StateToken> {
    let waits = |token: &StateToken| {
        let resting = subjects.get(*token);
        !at_hand.is_open(*token)
            && resting.is_some_and(|resting| gate_open || !resting.agenda.deferred)
    };
    backlog.outdated.iter().copied().filter(waits).take(UPKEEP_PER_BATCH_MAX).collect()
}

/// The subjects whose own time has come and that this batch has not touched yet.
fn take_due(
    schedule: &mut Schedule,
    subjects: &mut Subjects,
    at_hand: &AtHand,
    now: Timestamp,
    gate_open: bool,
) -> Vec<StateToken> {
    let mut due = Vec::new();
    while let Some((at, token)) = schedule.timers.pop(now) {
        let Some(mut agenda) = subjects.get(token).map(|it| it.agenda) else { continue };
        if agenda.scheduled != at || at_hand.is_open(token) {
            continue;
        }
        if agenda.due <= now {
            due.push((agenda.due, token));
        } else {
            agenda.scheduled = Timestamp::MAX;
            schedule.timers.schedule(token, &mut agenda);
            subjects.set_agenda(token, agenda);
        }
    }
    if gate_open {
        let waits = |token: &StateToken| {
            let agenda = subjects.get(*token).map(|resting| resting.agenda);
            agenda.is_some_and(|agenda| agenda.deferred && agenda.due > now)
                && !at_hand.is_open(*token)
        };
        let deferred = schedule.deferred.iter().copied().filter(waits);
        due.extend(deferred.map(|token| (AFTER_ALL_DUE, token)));
    }
    due.sort_unstable();
    for (at, token) in due.split_off(due.len().min(TIMERS_PER_BATCH_MAX)) {
        if at != AFTER_ALL_DUE
            && let Some(resting) = subjects.get(token)
        {
            schedule.timers.reinstate(token, &resting.agenda);
        }
    }
    let mut tokens: Vec<StateToken> = due.into_iter().map(|(_, token)| token).collect();
    tokens.sort_unstable();
    tokens
}
