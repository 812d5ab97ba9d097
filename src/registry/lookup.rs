//! Look-ups of schema ids on a thread of their own: workers say what they want to know and take the
//! newest snapshot; none of them ever waits for HTTP.
//!
//! An id that has no answer is asked for until it has one. What cost this has is bounded in
//! `memory.rs`. An id that nobody registered is four bytes of a payload, and never logged (INV-6).

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::client::{Client, RegistryError};
use super::memory::{Memory, SILENCE};
use crate::clock::Clock;
use assent_contract::wire::{KnownSchemas, Registered, UnknownId};
use assent_core::task::Lack;

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
        for &UnknownId(id) in &lack.consent {
            if wanted.all.insert(id) {
                wanted.order.push_front(id);
            }
        }
        self.more.notify_one();
    }

    fn wanted(&self) -> std::sync::MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, known: KnownSchemas) {
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(known);
    }

    /// The next id that may be asked for, when there is one within a nap.
    fn next(&self, may_ask: impl Fn(u32) -> bool) -> Option<u32> {
        let first = |wanted: &Wanted| wanted.order.iter().copied().find(|&id| may_ask(id));
        let wanted = self.wanted();
        let (wanted, _) = self
            .more
            .wait_timeout_while(wanted, NAP, |wanted| first(wanted).is_none())
            .unwrap_or_else(PoisonError::into_inner);
        first(&wanted)
    }

    /// It is answered. Returns whether others are wanted.
    fn settled(&self, id: u32) -> bool {
        let mut wanted = self.wanted();
        wanted.order.retain(|&other| other != id);
        wanted.all.remove(&id);
        !wanted.order.is_empty()
    }

    /// The others go first: one id that fails keeps none from being answered.
    fn put_last(&self, id: u32) {
        let mut wanted = self.wanted();
        wanted.order.retain(|&other| other != id);
        wanted.order.push_back(id);
    }
}

/// How it went with an id.
enum Answer {
    /// It is known, or asked for no more.
    Settled,
    /// It is not there, which is not believed yet.
    Doubted,
    Failed,
}

/// Answers what is wanted until `is_over`.
pub fn follow(client: &Client, lookup: &Lookup, clock: &dyn Clock, is_over: impl Fn() -> bool) {
    let mut memory = Memory::new(clock.instant());
    let mut published_at = clock.instant();
    let mut retried_at = clock.instant();
    while !is_over() {
        let now = clock.instant();
        let next = lookup.next(|id| memory.may_ask(id, now));
        let mut more = false;
        if let Some(id) = next {
            match answer(client, &mut memory, clock, id) {
                Answer::Settled => more = lookup.settled(id),
                Answer::Doubted => lookup.put_last(id),
                Answer::Failed => {
                    lookup.put_last(id);
                    std::thread::sleep(NAP);
                }
            }
        }
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
fn answer(client: &Client, memory: &mut Memory, clock: &dyn Clock, id: u32) -> Answer {
    if memory.knows(id) {
        return Answer::Settled;
    }
    if memory.is_flooded() {
        memory.forget(id);
        return Answer::Settled;
    }
    ask(client, memory, clock, id)
}

fn ask(client: &Client, memory: &mut Memory, clock: &dyn Clock, id: u32) -> Answer {
    let asked_at = clock.instant();
    match client.schema(id) {
        Ok(registered) => {
            note_answer(memory, clock.instant());
            let is_there = !matches!(registered, Registered::Absent | Registered::Elsewhere);
            if !is_there && memory.doubts(id, asked_at) {
                return Answer::Doubted;
            }
            note(id, &registered);
            memory.learn(id, registered, clock.instant());
            Answer::Settled
        }
        Err(error) if fails(client, memory, clock, id, asked_at, &error) => Answer::Settled,
        Err(_) => Answer::Failed,
    }
}

/// No answer for this id: is it the registry, or the id alone? True: nobody waits for it any more.
fn fails(
    client: &Client,
    memory: &mut Memory,
    clock: &dyn Clock,
    id: u32,
    asked_at: Instant,
    error: &RegistryError,
) -> bool {
    let said_something = !matches!(error, RegistryError::Unreachable(_));
    if said_something && client.answers().is_ok() {
        let given_up = memory.fails(id, asked_at, clock.instant());
        note_answer(memory, clock.instant());
        if given_up == Some(true) {
            tracing::error!(
                "the schema registry does not answer for one id; asking again: {}",
                error.why()
            );
        }
        return given_up.is_some();
    }
    if memory.is_silent(asked_at) {
        tracing::warn!(
            "the schema registry is out of reach: {}; records with known ids are processed; clicks \
             with other ids wait, and consent with other ids waits for {} s",
            error.why(),
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
        Registered::Avro(_) => tracing::info!(id, "read a schema from the registry"),
        Registered::Unusable(why) => {
            tracing::warn!(id, "a schema of the registry can't be used: {why}");
        }
        // A hostile producer makes one a record: the dead letters say it.
        _ => tracing::debug!("the schema registry does not know an id"),
    }
}
