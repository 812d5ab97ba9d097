//! Tokens of an OAuth server, for every client of this process that logs in with them.
//!
//! One thread for each login fetches a token, hands it to the clients that there are, and fetches the next one
//! well before that one ends. A client that is made later gets what is at hand. Nobody waits for the OAuth
//! server but who asks to: a worker whose token ends loses its connections, not its turn.

mod answer;
mod endpoint;
mod given;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use given::Native;

use crate::clock::{Clock, SystemClock};
use crate::config::OAuth;
use crate::failure::Failure;
use crate::pace;
use answer::Token;
use assent_contract::domain::time::Timestamp;
use endpoint::Endpoint;
use given::Clients;

/// Between two tries, the first and the longest.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// Before librdkafka itself asks for another token, which it does after four fifths of a token's life. Nobody
/// asks more often than once a second.
const fn renewed_after(life_ms: i64) -> Duration {
    let after = life_ms / 4 * 3;
    Duration::from_millis(if after < 1_000 { 1_000 } else { after as u64 })
}

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// Nothing came back, or nothing that says anything.
    Away(String),
    /// It says no, and will again until a person changes something.
    Refused(String),
}

impl TokenError {
    /// As the end of a command: 69 or 78.
    pub fn failure(self) -> Failure {
        match self {
            Self::Away(why) => Failure::unavailable(why),
            Self::Refused(why) => Failure::config(why),
        }
    }

    fn why(&self) -> &str {
        match self {
            Self::Away(why) | Self::Refused(why) => why,
        }
    }
}

/// Keeps the token of one login.
pub struct Keeper {
    login: OAuth,
    state: Mutex<State>,
    /// Something came of a try.
    told: Condvar,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    /// Of the last try.
    error: Option<TokenError>,
    clients: Clients,
}

/// As long as the process: a configuration has one login.
static KEEPERS: Mutex<Vec<Arc<Keeper>>> = Mutex::new(Vec::new());

impl Keeper {
    /// The one of this login, which begins to fetch now if nobody asked for it before.
    pub fn of(login: &OAuth) -> Arc<Self> {
        let mut keepers = lock(&KEEPERS);
        if let Some(known) = keepers.iter().find(|keeper| keeper.login == *login) {
            return Arc::clone(known);
        }
        let keeper =
            Arc::new(Self { login: login.clone(), state: Mutex::default(), told: Condvar::new() });
        let its = Arc::clone(&keeper);
        let started = std::thread::Builder::new().name("kafka-token".to_owned());
        if let Err(error) = started.spawn(move || its.keep()) {
            let why = format!("can't start a thread that fetches tokens: {error}");
            lock(&keeper.state).error = Some(TokenError::Away(why));
        }
        keepers.push(Arc::clone(&keeper));
        keeper
    }

    /// Waits until there is a token that has not ended. What the OAuth server refuses is believed at once.
    pub fn await_token(&self, within: Duration) -> Result<(), TokenError> {
        let deadline = SystemClock.instant() + within;
        let mut state = lock(&self.state);
        loop {
            if state.token.as_ref().is_some_and(|token| token.expires > SystemClock.now()) {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(SystemClock.instant());
            match &state.error {
                Some(refused @ TokenError::Refused(_)) => return Err(refused.clone()),
                Some(error) if left.is_zero() => return Err(error.clone()),
                None if left.is_zero() => {
                    let why = format!("{} has not answered yet", endpoint::name(&self.login));
                    return Err(TokenError::Away(why));
                }
                _ => {}
            }
            let waited = self.told.wait_timeout(state, left);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Why the last try brought no token; `None`: it did.
    pub fn last_error(&self) -> Option<TokenError> {
        lock(&self.state).error.clone()
    }

    /// A client that is given each token from now on, until its registration is dropped; the client outlives it.
    pub fn register(self: &Arc<Self>, client: &impl Native) -> Registration {
        let mut state = lock(&self.state);
        let number = state.clients.add(client);
        if let Some(token) = &state.token {
            tell_if_not_taken(state.clients.give(number, token));
        }
        Registration { keeper: Arc::clone(self), number }
    }

    fn keep(&self) {
        let mut retry = RETRY;
        loop {
            let began = SystemClock.now();
            let pause = match Endpoint::of(&self.login).fetch(began) {
                Ok(token) => {
                    retry = RETRY;
                    let life = token.expires - began;
                    self.hand_out(token);
                    renewed_after(life.0)
                }
                Err(error) => {
                    self.tell(error);
                    let next = RETRY_MAX.min(2 * retry);
                    std::mem::replace(&mut retry, next)
                }
            };
            std::thread::sleep(pause);
        }
    }

    fn hand_out(&self, token: Token) {
        let mut state = lock(&self.state);
        if state.error.take().is_some() {
            tracing::info!("the OAuth server gives tokens again");
        }
        tell_if_not_taken(state.clients.give_all(&token));
        state.token = Some(token);
        self.told.notify_all();
    }

    fn tell(&self, error: TokenError) {
        let mut state = lock(&self.state);
        let ends = state.token.as_ref().map_or(Timestamp(0), |token| token.expires);
        // The first one is the caller's, who waits for it.
        if state.token.is_some()
            && let Some(repeated) = pace::may_say("no token")
        {
            tracing::warn!(
                repeated,
                in_use_until = ends.0,
                "no new token for Kafka: {}; connections end when the one in use does",
                error.why()
            );
        }
        state.error = Some(error);
        self.told.notify_all();
    }
}

fn tell_if_not_taken(taken: Result<(), String>) {
    if let Err(why) = taken
        && let Some(repeated) = pace::may_say("token not taken")
    {
        tracing::warn!(repeated, "a Kafka client does not take the token: {why}");
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A client's place among those that are given tokens. It must be dropped before the client.
pub struct Registration {
    keeper: Arc<Keeper>,
    number: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        lock(&self.keeper.state).clients.remove(self.number);
    }
}

#[cfg(test)]
mod tests;
