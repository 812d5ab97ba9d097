//! What the look-ups remember, within bounds: whoever writes random ids costs no more than this.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::PATIENCE;
use assent_contract::wire::{KnownSchemas, Registered};

/// Schemas that read as one of the contract's: as many as a topic has versions, many times over.
const KEPT_MAX: usize = 256;

/// Ids that name nothing of use: some 100 bytes each. More than are asked for in the time that they
/// are remembered.
const PASSING_MAX: usize = 1_000;

/// An id that nobody registered may be registered later.
const PASSING_FOR: Duration = Duration::from_mins(1);

/// Ids that the registry fails to answer for, and that are asked for again.
const UNANSWERED_MAX: usize = 100;

/// Look-ups in a row, and a minute: more than all topics together have versions. A burst holds clicks
/// for a second where a look-up takes 5 ms, and for half a minute where the registry is slow. After it
/// what is not known is refused unasked, whoever writes it, until there is room for a few again: the
/// rate is below what a slow registry answers, so that a flood does not go on at its pace.
const BURST: u32 = 200;
const PER_MINUTE: u32 = 20;
const ROOM: u32 = 10;

/// Between two refills, so that none of them is rounded away.
const REFILL_MS: u64 = 1_000;

const _: () = assert!(PASSING_MAX as u64 > (BURST + PER_MINUTE) as u64);

/// Between the first two questions for an id that is not there; between the later ones it doubles.
const DOUBT: Duration = Duration::from_secs(1);

/// The registry's silence after which consent waits no more (docs/contract/bad-input.md#schemas); and
/// how long ids may fail while others are answered: all together, not each.
pub const SILENCE: Duration = Duration::from_secs(30);

pub struct Memory {
    known: KnownSchemas,
    kept: VecDeque<u32>,
    passing: VecDeque<(Instant, u32)>,
    /// Look-ups that may be made now, in thousandths of one.
    allowance: u64,
    refilled_at: Instant,
    /// When the first question was put that no answer came to since.
    silent_since: Option<Instant>,
    /// Ids without an answer, although the registry answers others: those that are wanted, and those
    /// that nobody waits for any more, the longest untried first.
    failing: BTreeSet<u32>,
    unanswered: VecDeque<u32>,
    /// When the first question of them was put, of all that fail without a time when none did.
    failing_since: Option<Instant>,
    /// Ids that are not there, which is not believed yet: each was paid for with its first question, so
    /// there are no more of them than questions.
    doubted: BTreeMap<u32, Doubt>,
    changed: bool,
}

struct Doubt {
    since: Instant,
    ask_again_at: Instant,
}

impl Memory {
    pub fn new(now: Instant) -> Self {
        Self {
            known: KnownSchemas::empty(),
            kept: VecDeque::new(),
            passing: VecDeque::new(),
            allowance: u64::from(BURST) * 1_000,
            refilled_at: now,
            silent_since: None,
            failing: BTreeSet::new(),
            unanswered: VecDeque::new(),
            failing_since: None,
            doubted: BTreeMap::new(),
            changed: false,
        }
    }

    /// The next snapshot, where anything changed.
    pub fn take_change(&mut self) -> Option<KnownSchemas> {
        std::mem::take(&mut self.changed).then(|| self.known.clone())
    }

    pub fn knows(&self, id: u32) -> bool {
        self.known.knows(id)
    }

    /// No more is asked for now.
    pub fn is_flooded(&self) -> bool {
        self.known.is_flooded()
    }

    fn refill(&mut self, now: Instant) {
        let millis = now.saturating_duration_since(self.refilled_at).as_millis() as u64;
        if millis < REFILL_MS {
            return;
        }
        self.refilled_at = now;
        let more = millis * u64::from(PER_MINUTE) / 60;
        self.allowance = (self.allowance + more).min(u64::from(BURST) * 1_000);
    }

    fn pay(&mut self) {
        self.allowance = self.allowance.saturating_sub(1_000);
    }

    /// The registry does not have this id where it should be: is that to be asked once more, since one of
    /// its replicas may lag? One question of the allowance, the first time.
    pub fn doubts(&mut self, id: u32, asked_at: Instant) -> bool {
        self.forget_failure(id);
        let first = Doubt { since: asked_at, ask_again_at: asked_at + DOUBT };
        let Some(doubt) = self.doubted.get_mut(&id) else {
            self.doubted.insert(id, first);
            self.pay();
            return true;
        };
        let elapsed = asked_at.saturating_duration_since(doubt.since);
        doubt.ask_again_at = (asked_at + elapsed.max(DOUBT)).min(doubt.since + PATIENCE);
        elapsed < PATIENCE
    }

    /// Not before a doubted id's time has come.
    pub fn may_ask(&self, id: u32, now: Instant) -> bool {
        self.is_flooded() || self.doubted.get(&id).is_none_or(|doubt| doubt.ask_again_at <= now)
    }

    /// The registry said this of the id: one question of the allowance.
    pub fn learn(&mut self, id: u32, registered: Registered, now: Instant) {
        if self.doubted.remove(&id).is_none() {
            self.pay();
        }
        self.forget(id);
        if matches!(registered, Registered::Avro(_)) {
            self.kept.push_back(id);
        } else {
            self.passing.push_back((now, id));
        }
        self.known.learn(id, registered);
        if self.kept.len() > KEPT_MAX
            && let Some(oldest) = self.kept.pop_front()
        {
            self.known.forget(oldest);
        }
        if self.passing.len() > PASSING_MAX
            && let Some((_, oldest)) = self.passing.pop_front()
        {
            self.known.forget(oldest);
        }
        self.changed = true;
    }

    /// Forgets what is to be asked for again, and sees how many questions there were, and how long the
    /// registry has been silent.
    pub fn pass(&mut self, now: Instant) {
        while let Some(&(since, id)) = self.passing.front()
            && now.saturating_duration_since(since) >= PASSING_FOR
        {
            self.passing.pop_front();
            self.known.forget(id);
            self.changed = true;
        }
        // Whoever waited for it is gone.
        let is_wanted = |doubt: &Doubt| now.saturating_duration_since(doubt.since) < PATIENCE * 4;
        self.doubted.retain(|_, doubt| is_wanted(doubt));
        self.refill(now);
        let least = if self.is_flooded() { u64::from(ROOM) * 1_000 } else { 1_000 };
        let flooded = self.allowance < least;
        if flooded != self.is_flooded() {
            self.known.set_flooded(flooded);
            self.changed = true;
            if flooded {
                tracing::warn!(
                    "more than {BURST} unknown schema ids arrived; further ones are refused for a \
                     while"
                );
            }
        }
        let gave_up = self.silent_since.is_some_and(|since| now - since >= SILENCE);
        if gave_up != self.known.is_given_up() {
            self.known.set_given_up(gave_up);
            self.changed = true;
        }
    }

    /// The registry answered something; returns for how long it had not.
    pub fn answered(&mut self, now: Instant) -> Option<Duration> {
        self.silent_since.take().map(|since| now.saturating_duration_since(since))
    }

    /// It did not; is that news?
    pub fn is_silent(&mut self, asked_at: Instant) -> bool {
        let is_news = self.silent_since.is_none();
        self.silent_since.get_or_insert(asked_at);
        is_news
    }

    /// This id had no answer, although the registry answers others. Where ids have failed for so long
    /// that nobody waits any more: is it news of this one? Then it counts as refused from now on, and
    /// is one of those to be asked for again.
    pub fn fails(&mut self, id: u32, asked_at: Instant, now: Instant) -> Option<bool> {
        self.failing.insert(id);
        let began = self.silent_since.unwrap_or(asked_at);
        let since = *self.failing_since.get_or_insert(began);
        if now.saturating_duration_since(since) < SILENCE {
            return None;
        }
        if self.unanswered.contains(&id) {
            return Some(false);
        }
        self.unanswered.push_back(id);
        self.known.learn(id, Registered::Unanswered);
        self.pay();
        self.changed = true;
        if self.unanswered.len() > UNANSWERED_MAX
            && let Some(oldest) = self.unanswered.pop_front()
        {
            self.failing.remove(&oldest);
            self.known.forget(oldest);
        }
        Some(true)
    }

    /// One of those that fail, to be asked for again.
    pub fn next_unanswered(&mut self) -> Option<u32> {
        let id = self.unanswered.pop_front()?;
        self.unanswered.push_back(id);
        Some(id)
    }

    /// Nobody asks for it any more.
    pub fn forget(&mut self, id: u32) {
        self.doubted.remove(&id);
        self.forget_failure(id);
    }

    /// It is answered.
    fn forget_failure(&mut self, id: u32) {
        self.failing.remove(&id);
        self.unanswered.retain(|&other| other != id);
        if self.failing.is_empty() {
            self.failing_since = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, SystemClock};
    use assent_contract::wire::SchemaName;

    fn own() -> Registered {
        Registered::avro(SchemaName::ClickEvent.json(), &[SchemaName::ClickEvent])
    }

    #[test]
    fn random_ids_cost_bounded_memory_and_questions() {
        let start = SystemClock.instant();
        let mut memory = Memory::new(start);
        memory.learn(1, own(), start);
        let (mut asked, mut now) = (1, start);
        for id in 10..60_000 {
            now += Duration::from_millis(1);
            memory.pass(now);
            if !memory.is_flooded() {
                asked += 1;
                assert!(memory.doubts(id, now));
            }
            if id % 1_000 == 0 {
                let ids: Vec<u32> = memory.doubted.keys().copied().collect();
                let due = ids.into_iter().filter(|&id| memory.doubted[&id].since + PATIENCE <= now);
                due.collect::<Vec<_>>().into_iter().for_each(|id| {
                    assert!(!memory.doubts(id, now));
                    memory.learn(id, Registered::Absent, now);
                });
            }
        }
        let allowed = (BURST + PER_MINUTE) as usize;
        assert!((BURST as usize..=allowed).contains(&asked), "{asked}");
        let known = memory.take_change().unwrap();
        assert!(known.len() <= PASSING_MAX, "{}", known.len());
        assert!(known.knows(1), "what is of use is not pushed out");
    }

    #[test]
    fn a_flood_is_over_when_there_is_room_for_a_few() {
        let start = SystemClock.instant();
        let mut memory = Memory::new(start);
        for id in 0..BURST {
            memory.learn(id, Registered::Absent, start);
        }
        let flooded = |memory: &mut Memory, seconds| {
            memory.pass(start + Duration::from_secs(seconds));
            memory.is_flooded()
        };
        assert!(flooded(&mut memory, 0) && flooded(&mut memory, 29));
        assert!(!flooded(&mut memory, 31));
    }

    #[test]
    fn an_absent_id_is_asked_for_again_and_a_schema_is_not() {
        let start = SystemClock.instant();
        let mut memory = Memory::new(start);
        memory.learn(1, own(), start);
        memory.learn(2, Registered::Absent, start);
        memory.pass(start + PASSING_FOR * 9 / 10);
        assert!(memory.knows(2));
        memory.pass(start + PASSING_FOR);
        assert!(memory.knows(1) && !memory.knows(2));
    }

    #[test]
    fn an_id_that_is_not_there_is_asked_for_until_half_a_minute_is_over() {
        let start = SystemClock.instant();
        let mut memory = Memory::new(start);
        let (mut asked, mut now) = (Vec::new(), start);
        loop {
            if memory.may_ask(7, now) {
                asked.push((now - start).as_secs());
                if !memory.doubts(7, now) {
                    break;
                }
            }
            now += Duration::from_millis(100);
        }
        assert_eq!(asked, [0, 1, 2, 4, 8, 16, 30]);
        memory.learn(7, Registered::Absent, now);
        assert!(memory.knows(7));
        let spent = u64::from(BURST) * 1_000 - memory.allowance;
        assert_eq!(spent, 1_000, "seven questions are one of the allowance");
    }

    #[test]
    fn an_id_that_comes_late_is_known_at_once_and_doubts_are_each_ids_own() {
        let start = SystemClock.instant();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut memory = Memory::new(start);
        assert!(memory.doubts(1, at(0)) && memory.doubts(2, at(20)));
        assert!(!memory.may_ask(1, at(0)) && memory.may_ask(3, at(0)));
        memory.learn(1, own(), at(2));
        assert!(memory.knows(1));
        assert!(memory.doubts(2, at(31)) && !memory.doubts(2, at(50)));
        memory.pass(at(20) + PATIENCE * 4);
        assert!(memory.doubted.is_empty(), "of an id that nobody wants any more nothing is kept");
    }

    #[test]
    fn silence_is_counted_from_the_first_question_and_ends_with_an_answer() {
        let start = SystemClock.instant();
        let at = |seconds| start + Duration::from_secs(seconds);
        let given_up = |memory: &mut Memory, now| {
            memory.pass(now);
            memory.known.is_given_up()
        };
        let mut memory = Memory::new(start);
        assert!(memory.is_silent(at(5)) && !memory.is_silent(at(20)));
        assert!(!given_up(&mut memory, at(34)));
        assert!(given_up(&mut memory, at(35)));
        assert_eq!(memory.answered(at(40)), Some(Duration::from_secs(35)));
        assert!(!given_up(&mut memory, at(90)));
    }

    #[test]
    fn ids_that_fail_share_one_half_minute() {
        let start = SystemClock.instant();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut memory = Memory::new(start);
        assert_eq!(memory.fails(1, at(0), at(1)), None);
        assert_eq!(memory.fails(1, at(29), at(29)), None);
        assert_eq!(memory.fails(1, at(30), at(30)), Some(true));
        assert_eq!(memory.fails(2, at(31), at(31)), Some(true), "not half a minute for each");
        memory.learn(1, own(), at(32));
        assert_eq!(memory.fails(3, at(33), at(33)), Some(true), "2 still fails");
        for id in [2, 3] {
            memory.learn(id, own(), at(34));
        }
        assert_eq!(memory.fails(4, at(35), at(36)), None, "a new error has its own");
    }

    #[test]
    fn silence_counts_for_the_ids_that_fail_after_it() {
        let start = SystemClock.instant();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut memory = Memory::new(start);
        memory.is_silent(at(0));
        assert_eq!(memory.fails(1, at(31), at(31)), Some(true));
    }

    #[test]
    fn an_id_that_fails_is_remembered_until_it_is_answered() {
        let start = SystemClock.instant();
        let mut memory = Memory::new(start);
        let given_up = start + SILENCE;
        assert_eq!(memory.fails(1, start, given_up), Some(true));
        memory.pass(given_up + PASSING_FOR * 60);
        assert!(memory.knows(1), "no further record with it waits");
        assert_eq!(memory.next_unanswered(), Some(1));
        let again = given_up + PASSING_FOR * 61;
        assert_eq!(memory.fails(1, again, again), Some(false));
        memory.learn(1, own(), again);
        assert_eq!(memory.next_unanswered(), None);
        let value = assent_contract::wire::Framing::Confluent(1).frame(&[]);
        let known = memory.take_change().unwrap();
        assert!(known.knows(1) && known.lacks(&value).is_none());
    }

    #[test]
    fn more_failing_ids_than_are_remembered_wait_no_half_minute() {
        let start = SystemClock.instant();
        let mut memory = Memory::new(start);
        let given_up = start + SILENCE;
        for id in 0..=UNANSWERED_MAX as u32 {
            memory.fails(id, start, given_up);
        }
        assert!(!memory.knows(0) && memory.knows(1));
        assert_eq!(memory.unanswered.len(), UNANSWERED_MAX);
        assert_eq!(memory.fails(0, given_up, given_up), Some(true));
    }
}
