//! The commit protocol: what follows what, and what a crash at each line leaves.
//!
//! A machine without I/O: the rim performs an [`Action`], answers with an [`Event`], and is told the
//! next. Recovery is the same function as the normal path. It must not know Kafka, clocks or what a
//! batch holds. It keeps INV-5: a batch's memory is confirmed only when its records are known to be
//! visible, and undone only when they are known never to be.

use assent_contract::domain::time::Span;

/// What the rim is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing can be done before [`Commit::pause`] has passed; then [`Event::Resume`].
    Rest,
    /// Drop the producer, make one with the same transactional.id, initialize it. A crash here
    /// leaves at most an open transaction, which the next initialization aborts.
    Initialize,
    /// Open a transaction. A crash here leaves nothing: the broker has not heard of it.
    Begin,
    /// Decide the batch, hand its records over, wait until the brokers have them. A crash here
    /// leaves records of an open transaction, which no reader of committed records ever sees.
    Produce,
    /// Offsets of every touched partition, with the group's metadata as it was at assignment: the
    /// group coordinator refuses them where the partitions are another's. A crash: as before.
    SendOffsets,
    /// Ask for the commit. A crash before it reached the coordinator: as before. After it: all of
    /// the batch is visible, and who restores reads it.
    Commit,
    /// Ask for the abort. A crash here: as before; the next initialization aborts.
    Abort,
    /// Learn from what is committed whether the batch landed. A crash here: a restore does the same.
    ReadBack,
    /// The batch is over.
    Conclude(Ending),
}

/// How a batch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All of it is visible: confirm, forget the inputs, publish the metrics.
    Committed,
    /// None of it is or will be visible: undo, and run again from memory.
    RolledBack,
    /// The partitions are another's, or may be: keep nothing of them.
    Surrendered,
}

/// Everything that can happen to the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A batch waits to be committed.
    Start,
    /// The pause is over.
    Resume,
    /// The last action succeeded.
    Done,
    /// The last action failed.
    Failed(Fault),
    /// What [`Action::ReadBack`] found: did the batch land?
    Landed(bool),
    /// The partitions were taken away, or the time to give them up is over.
    Lost,
}

/// Why an action failed, by what follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The transaction can't succeed, the producer is sound.
    Abortable,
    /// A time-out or an unclear answer, or the producer is unusable (fenced, fatal). A late request
    /// of the old producer is fenced by its successor's epoch.
    Replace,
    /// The group does not know this member with this generation.
    Evicted,
}

/// Where the protocol stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No usable producer. `unclear`: a batch whose fate is not known hangs on it.
    Unready {
        unclear: bool,
    },
    Initializing {
        unclear: bool,
    },
    /// A producer, no transaction.
    Ready,
    Beginning,
    Producing,
    SendingOffsets,
    Committing,
    /// `evicted`: the partitions go once the transaction is gone.
    Aborting {
        evicted: bool,
    },
    ReadingBack,
    /// The read-back failed and is tried again.
    Blind,
}

/// The protocol of one producer.
#[derive(Debug)]
pub struct Commit {
    state: State,
    /// Faults since the last commit: the pause grows with it.
    faults: u32,
}

impl Default for Commit {
    fn default() -> Self {
        Self::new()
    }
}

impl Commit {
    /// Starts without a producer: the first [`Event::Resume`] makes one.
    pub fn new() -> Self {
        Self { state: State::Unready { unclear: false }, faults: 0 }
    }

    /// May a batch start?
    pub fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// Does a batch wait to learn whether it landed?
    pub fn is_unclear(&self) -> bool {
        matches!(
            self.state,
            State::Unready { unclear: true }
                | State::Initializing { unclear: true }
                | State::ReadingBack
                | State::Blind
        )
    }

    /// How long to wait before the next [`Event::Resume`] or [`Event::Start`].
    pub fn pause(&self) -> Span {
        /// The second try comes at once, then 100 ms, 200 ms, … up to 2 s: short enough that
        /// recovery is over within the 10 s that docs/contract/batch.md#identity grants, long enough
        /// for a broker.
        const LIMIT: i64 = 2_000;
        match self.faults {
            0 | 1 => Span(0),
            faults => Span((50_i64 << faults.min(6)).min(LIMIT)),
        }
    }

    /// Takes what happened and says what to do.
    pub fn on(&mut self, event: Event) -> Action {
        let (state, action) = self.next(event);
        match (event, action) {
            (_, Action::Conclude(Ending::Committed)) => self.faults = 0,
            (Event::Failed(_), _) => self.faults = self.faults.saturating_add(1),
            _ => {}
        }
        self.state = state;
        action
    }

    fn next(&self, event: Event) -> (State, Action) {
        match (self.state, event) {
            (_, Event::Lost) => self.lost(),
            (state, Event::Failed(fault)) => failed(state, fault),

            (State::Unready { unclear }, Event::Resume) => {
                (State::Initializing { unclear }, Action::Initialize)
            }
            (State::Initializing { unclear: true }, Event::Done)
            | (State::Blind, Event::Resume) => (State::ReadingBack, Action::ReadBack),
            (State::Initializing { unclear: false }, Event::Done) => (State::Ready, Action::Rest),

            (State::Ready, Event::Start) => (State::Beginning, Action::Begin),
            (State::Beginning, Event::Done) => (State::Producing, Action::Produce),
            (State::Producing, Event::Done) => (State::SendingOffsets, Action::SendOffsets),
            (State::SendingOffsets, Event::Done) => (State::Committing, Action::Commit),
            (State::Committing, Event::Done) | (State::ReadingBack, Event::Landed(true)) => {
                (State::Ready, Action::Conclude(Ending::Committed))
            }
            (State::Aborting { evicted: false }, Event::Done)
            | (State::ReadingBack, Event::Landed(false)) => {
                (State::Ready, Action::Conclude(Ending::RolledBack))
            }
            (State::Aborting { evicted: true }, Event::Done) => {
                (State::Ready, Action::Conclude(Ending::Surrendered))
            }
            // An event that the state does not expect changes nothing.
            (state, _) => (state, Action::Rest),
        }
    }

    /// The partitions are gone. What is unclear stays so: whoever has them reads what is committed.
    fn lost(&self) -> (State, Action) {
        let gone = Action::Conclude(Ending::Surrendered);
        match self.state {
            State::Ready | State::ReadingBack | State::Blind => (State::Ready, gone),
            State::Unready { .. } | State::Initializing { .. } => {
                (State::Unready { unclear: false }, gone)
            }
            State::Beginning
            | State::Producing
            | State::SendingOffsets
            | State::Committing
            | State::Aborting { .. } => (State::Aborting { evicted: true }, Action::Abort),
        }
    }
}

fn failed(state: State, fault: Fault) -> (State, Action) {
    let replace = |unclear| (State::Unready { unclear }, Action::Rest);
    match (state, fault) {
        (State::Initializing { unclear }, _) => replace(unclear),
        (State::ReadingBack, Fault::Evicted) => {
            (State::Ready, Action::Conclude(Ending::Surrendered))
        }
        (State::ReadingBack, _) => (State::Blind, Action::Rest),
        // Nothing was sent yet, so nothing can have landed.
        (State::Beginning, _) => {
            (State::Unready { unclear: false }, Action::Conclude(Ending::RolledBack))
        }
        // An abort for a partition that is no longer ours need not be read back: its new owner
        // waits until the transaction is over.
        (State::Aborting { evicted: true }, _) => {
            (State::Unready { unclear: false }, Action::Conclude(Ending::Surrendered))
        }
        (State::Aborting { .. }, _)
        | (State::Producing | State::SendingOffsets | State::Committing, Fault::Replace) => {
            replace(true)
        }
        (State::Producing | State::SendingOffsets | State::Committing, Fault::Abortable) => {
            (State::Aborting { evicted: false }, Action::Abort)
        }
        (State::Producing | State::SendingOffsets | State::Committing, Fault::Evicted) => {
            (State::Aborting { evicted: true }, Action::Abort)
        }
        (state @ (State::Unready { .. } | State::Ready | State::Blind), _) => (state, Action::Rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLACE: Event = Event::Failed(Fault::Replace);
    const ABORTABLE: Event = Event::Failed(Fault::Abortable);
    const EVICTED: Event = Event::Failed(Fault::Evicted);
    const COMMITTED: Action = Action::Conclude(Ending::Committed);
    const ROLLED_BACK: Action = Action::Conclude(Ending::RolledBack);
    const SURRENDERED: Action = Action::Conclude(Ending::Surrendered);

    /// Runs a script from a ready producer; each event must bring its action.
    fn check(script: &[(Event, Action)]) -> Commit {
        let mut commit = Commit::new();
        assert_eq!(commit.on(Event::Resume), Action::Initialize);
        assert_eq!(commit.on(Event::Done), Action::Rest);
        assert!(commit.is_ready());
        for (step, (event, action)) in script.iter().enumerate() {
            assert_eq!(commit.on(*event), *action, "step {step}: {event:?}");
        }
        commit
    }

    fn up_to(action: Action) -> Vec<(Event, Action)> {
        let path = [
            (Event::Start, Action::Begin),
            (Event::Done, Action::Produce),
            (Event::Done, Action::SendOffsets),
            (Event::Done, Action::Commit),
        ];
        let end = path.iter().position(|(_, a)| *a == action).expect("an action of the path");
        path[..=end].to_vec()
    }

    fn after(action: Action, rest: &[(Event, Action)]) -> Commit {
        let mut script = up_to(action);
        script.extend_from_slice(rest);
        check(&script)
    }

    #[test]
    fn a_batch_commits() {
        assert!(after(Action::Commit, &[(Event::Done, COMMITTED)]).is_ready());
    }

    #[test]
    fn what_can_be_aborted_is_aborted_and_runs_again() {
        for action in [Action::Produce, Action::SendOffsets, Action::Commit] {
            let end = [(ABORTABLE, Action::Abort), (Event::Done, ROLLED_BACK)];
            assert!(after(action, &end).is_ready());
        }
    }

    #[test]
    fn an_unclear_answer_is_read_back_through_a_new_producer() {
        for (landed, ending) in [(true, COMMITTED), (false, ROLLED_BACK)] {
            for action in [Action::Produce, Action::SendOffsets, Action::Commit] {
                let end = [
                    (REPLACE, Action::Rest),
                    (Event::Resume, Action::Initialize),
                    (Event::Done, Action::ReadBack),
                    (Event::Landed(landed), ending),
                ];
                assert!(after(action, &end).is_ready());
            }
        }
    }

    #[test]
    fn a_failed_abort_is_read_back_too() {
        for fault in [REPLACE, ABORTABLE, EVICTED] {
            let commit =
                after(Action::SendOffsets, &[(ABORTABLE, Action::Abort), (fault, Action::Rest)]);
            assert!(commit.is_unclear());
        }
    }

    #[test]
    fn initialization_and_read_back_are_tried_until_they_succeed() {
        let commit = after(
            Action::Commit,
            &[
                (REPLACE, Action::Rest),
                (Event::Resume, Action::Initialize),
                (REPLACE, Action::Rest),
                (Event::Resume, Action::Initialize),
                (Event::Done, Action::ReadBack),
                (REPLACE, Action::Rest),
                (Event::Resume, Action::ReadBack),
                (Event::Landed(true), COMMITTED),
            ],
        );
        assert!(commit.is_ready());
        assert_eq!(commit.pause(), Span(0));
    }

    #[test]
    fn a_begin_that_fails_has_sent_nothing() {
        let commit = after(Action::Begin, &[(REPLACE, ROLLED_BACK)]);
        assert!(!commit.is_ready() && !commit.is_unclear());
    }

    #[test]
    fn an_evicted_member_keeps_nothing() {
        let end = [(EVICTED, Action::Abort), (Event::Done, SURRENDERED)];
        assert!(after(Action::SendOffsets, &end).is_ready());
        let end = [(EVICTED, Action::Abort), (REPLACE, SURRENDERED)];
        assert!(!after(Action::SendOffsets, &end).is_unclear());
    }

    #[test]
    fn partitions_that_are_lost_on_the_way_are_surrendered() {
        for action in [Action::Begin, Action::Produce, Action::SendOffsets, Action::Commit] {
            after(action, &[(Event::Lost, Action::Abort), (Event::Done, SURRENDERED)]);
        }
        let waiting = [(REPLACE, Action::Rest), (Event::Lost, SURRENDERED)];
        assert!(!after(Action::Commit, &waiting).is_unclear());
    }

    #[test]
    fn pauses_grow_to_a_bound() {
        let mut commit = Commit::new();
        let mut pauses = Vec::new();
        for _ in 0..9 {
            pauses.push(commit.pause().0);
            commit.on(Event::Resume);
            commit.on(REPLACE);
        }
        assert_eq!(pauses, [0, 0, 200, 400, 800, 1_600, 2_000, 2_000, 2_000]);
    }

    #[test]
    fn nothing_starts_without_a_producer() {
        let mut commit = Commit::new();
        assert_eq!(commit.on(Event::Start), Action::Rest);
        assert!(!commit.is_ready());
    }

    /// Whatever happens in whatever order, only a commit that was answered or read back confirms.
    #[test]
    fn no_path_confirms_without_knowing() {
        let events = [
            Event::Start,
            Event::Resume,
            Event::Done,
            REPLACE,
            ABORTABLE,
            EVICTED,
            Event::Lost,
            Event::Landed(true),
            Event::Landed(false),
        ];
        let mut seed = 7_u64;
        let mut commit = Commit::new();
        for _ in 0..200_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let event = events[(seed >> 33) as usize % events.len()];
            let before = commit.state;
            if commit.on(event) == COMMITTED {
                let known = (before == State::Committing && event == Event::Done)
                    || (before == State::ReadingBack && event == Event::Landed(true));
                assert!(known, "{before:?} {event:?}");
            }
        }
    }
}
