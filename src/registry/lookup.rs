//! Look-ups of schema ids on a thread of their own: workers say what they want to know and take the
//! newest snapshot; none of them ever waits for HTTP.
//!
//! An id that has no answer is asked for until it has one. What cost this has is bounded in
//! `memory.rs`. An id that nobody registered is four bytes of a payload, and never logged (INV-6).

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::client::{Client, Trouble};
use super::memory::{Memory, SILENCE};
use crate::clock::Clock;
use crate::task::Lack;
use crate::wire::{KnownSchemas, Registered, UnknownId};

/// Ids wanted at one time: a second's worth of answers.
const WANTED_MAX: usize = 1_024;

/// How long the thread sleeps where nothing is wanted, and after a question without an answer.
const NAP: Duration = Duration::from_millis(200);

/// Between two questions for ids that failed so long that nobody waits for them any more.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// While more is wanted, workers see what was answered at least this often: a snapshot is a copy.
const PUBLISH_EVERY: Duration = Duration::from_millis(5);

/// What is known, and what is wanted. Shared by the workers and the thread that asks.
pub struct Lookup {
    known: RwLock<Arc<KnownSchemas>>,
    wanted: Mutex<Wanted>,
    more: Condvar,
}

#[derive(Default)]
struct Wanted {
    order: VecDeque<u32>,
    /// The same ids.
    all: HashSet<u32>,
}

impl Lookup {
    pub fn new(has_registry: bool) -> Self {
        let known = if has_registry { KnownSchemas::empty() } else { KnownSchemas::none() };
        Self {
            known: RwLock::new(Arc::new(known)),
            wanted: Mutex::new(Wanted::default()),
            more: Condvar::new(),
        }
    }

    /// What is known by now.
    pub fn snapshot(&self) -> Arc<KnownSchemas> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks for what a partition lacks; at once back. Who still waits asks again. Consent goes first.
    pub fn want(&self, lack: &Lack) {
        let mut wanted = self.wanted();
        for &UnknownId(id) in &lack.clicks {
            if wanted.all.len() < WANTED_MAX && wanted.all.insert(id) {
                wanted.order.push_back(id);
            }
        }
        if let Some(UnknownId(id)) = lack.consent
            && wanted.all.insert(id)
        {
            wanted.order.push_front(id);
        }
        self.more.notify_one();
    }

    fn wanted(&self) -> std::sync::MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, known: KnownSchemas) {
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(known);
    }

    /// The next id, when there is one within a nap.
    fn next(&self) -> Option<u32> {
        let wanted = self.wanted();
        let (wanted, _) = self
            .more
            .wait_timeout_while(wanted, NAP, |wanted| wanted.order.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        wanted.order.front().copied()
    }

    /// It is answered. Returns whether others are wanted.
    fn settled(&self, id: u32) -> bool {
        let mut wanted = self.wanted();
        wanted.order.retain(|&other| other != id);
        wanted.all.remove(&id);
        !wanted.order.is_empty()
    }

    /// The others go first: one id that fails keeps none from being answered.
    fn put_last(&self) {
        let mut wanted = self.wanted();
        if let Some(id) = wanted.order.pop_front() {
            wanted.order.push_back(id);
        }
    }
}

/// Answers what is wanted until `is_over`.
pub fn follow(client: &Client, lookup: &Lookup, clock: &dyn Clock, is_over: impl Fn() -> bool) {
    let mut memory = Memory::new(clock.instant());
    let mut published_at = clock.instant();
    let mut retried_at = clock.instant();
    while !is_over() {
        let next = lookup.next();
        let answered = next.map(|id| answer(client, &mut memory, clock, id));
        let more = match (next, answered) {
            (Some(id), Some(true)) => lookup.settled(id),
            (Some(_), _) => {
                lookup.put_last();
                std::thread::sleep(NAP);
                false
            }
            (None, _) => false,
        };
        if clock.instant() - retried_at >= RETRY_EVERY
            && let Some(id) = memory.next_unanswered()
        {
            ask(client, &mut memory, clock, id);
            retried_at = clock.instant();
        }
        memory.pass(clock.instant());
        let now = clock.instant();
        if (!more || now - published_at >= PUBLISH_EVERY)
            && let Some(known) = memory.take_change()
        {
            lookup.publish(known);
            published_at = now;
        }
    }
}

/// Has this id an answer now?
fn answer(client: &Client, memory: &mut Memory, clock: &dyn Clock, id: u32) -> bool {
    if memory.knows(id) {
        return true;
    }
    if memory.is_flooded() {
        memory.forget_failure(id);
        return true;
    }
    ask(client, memory, clock, id)
}

fn ask(client: &Client, memory: &mut Memory, clock: &dyn Clock, id: u32) -> bool {
    let asked_at = clock.instant();
    match client.schema(id) {
        Ok(registered) => {
            note_answer(memory, clock.instant());
            note(id, &registered);
            memory.learn(id, registered, clock.instant());
            true
        }
        Err(trouble) => fails(client, memory, clock, id, asked_at, &trouble),
    }
}

/// No answer for this id: is it the registry, or the id alone?
fn fails(
    client: &Client,
    memory: &mut Memory,
    clock: &dyn Clock,
    id: u32,
    asked_at: Instant,
    trouble: &Trouble,
) -> bool {
    let said_something = !matches!(trouble, Trouble::Unreachable(_));
    if said_something && client.answers().is_ok() {
        let given_up = memory.fails(id, asked_at, clock.instant());
        note_answer(memory, clock.instant());
        if given_up == Some(true) {
            tracing::error!(
                "the schema registry has no answer for one id, which is asked for again: {}",
                trouble.why()
            );
        }
        return given_up.is_some();
    }
    if memory.is_silent(asked_at) {
        tracing::warn!(
            "the schema registry is out of reach: {}; known ids go on, clicks of others wait, and so \
             does consent for {} s",
            trouble.why(),
            SILENCE.as_secs()
        );
    }
    false
}

fn note_answer(memory: &mut Memory, now: Instant) {
    if let Some(silence) = memory.answered(now) {
        tracing::info!(?silence, "the schema registry answers again");
    }
}

fn note(id: u32, registered: &Registered) {
    match registered {
        Registered::Avro(_) => tracing::info!(id, "a schema of the registry is known now"),
        Registered::Unusable(why) => tracing::warn!(id, "a schema can't be read: {why}"),
        // A hostile producer makes one a record: the dead letters say it.
        _ => tracing::debug!("the schema registry does not have an id"),
    }
}
