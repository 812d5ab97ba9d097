//! What time alone, a new rulebook, or a segment that opened or closed asks for: subjects that no input of
//! the batch names.

use crate::engine::at_hand::AtHand;
use crate::engine::audience::SWEPT_PER_BATCH_MAX;
use crate::engine::batch::OpenBatch;
use crate::engine::partition::Partition;
use crate::engine::revise::Reviser;
use crate::engine::state::{Backlog, Schedule};
use crate::engine::subject::Subject;
use crate::engine::subjects::{Resting, Subjects};
use crate::engine::token::{StateToken, bucket_of, first_of_bucket};
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
    /// [`UPKEEP_PER_BATCH_MAX`] subjects whose live keys rest on an earlier rulebook, and as many of whom a
    /// segment opened or closed.
    pub fn timers(&mut self) {
        let (now, gate_open) = (self.log.now, self.log.gate_open);
        let Partition { state, schedule, .. } = &mut self.partition;
        let mut due = take_due(schedule, &mut state.subjects, &self.at_hand, now, gate_open);
        // In one order: whether a subject was looked at before, without an effect, no audit says.
        let swept = self.sweep_audiences();
        due.extend(&swept);
        due.sort_unstable();
        due.dedup();
        let mut scope = self.scope();
        for token in due {
            let place = scope.touch(token, None);
            // What it waits for may be allowed no more.
            if scope.at_hand[place].subject.agenda.deferred && swept.binary_search(&token).is_ok() {
                scope.settle(place, None);
            }
        }
        let Partition { state, backlog, .. } = &self.partition;
        let outdated = first_outdated(backlog, &state.subjects, &self.at_hand, gate_open);
        let mut scope = self.scope();
        for token in outdated {
            scope.touch(token, None);
        }
    }

    /// The next subjects of whom a segment opened or closed, each once, in the order of their tokens.
    fn sweep_audiences(&mut self) -> Vec<StateToken> {
        let Self { partition: Partition { policy, state, .. }, at_hand, log, .. } = self;
        let Some(from) = state.audiences.sweep else { return Vec::new() };
        let (mut bucket, mut next) = (bucket_of(from), Some(from));
        let subjects = &state.subjects;
        let reviser = Reviser { policy, log };
        let (mut found, mut looked_at) = (Vec::new(), 0);
        while let Some(from) = next.filter(|_| looked_at < SWEPT_PER_BATCH_MAX) {
            looked_at += subjects.len_of_bucket(bucket);
            let awaits = |(token, resting): &(StateToken, Resting<'_>)| {
                let looks = |subject: &Subject| {
                    reviser.awaits_audience(subject)
                        || (subject.agenda.deferred && is_in_audience(subject))
                };
                *token >= from && !at_hand.is_open(*token) && looks(&resting.unpack())
            };
            let mut of_bucket: Vec<StateToken> =
                subjects.bucket(bucket).filter(awaits).map(|(token, _)| token).collect();
            of_bucket.sort_unstable();
            let room = UPKEEP_PER_BATCH_MAX - found.len();
            found.extend(of_bucket.iter().take(room));
            if let Some(beyond) = of_bucket.get(room) {
                next = Some(*beyond);
                break;
            }
            bucket += 1;
            next = first_of_bucket(bucket);
        }
        state.audiences.sweep = next;
        found
    }
}

fn is_in_audience(subject: &Subject) -> bool {
    subject.purposes.iter().any(|state| state.qualified != 0)
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
