//! Reading for commands: an id that is not known is asked for, and the command waits meanwhile.

use std::sync::Arc;
use std::time::Duration;

use super::client::Client;
use super::{PATIENCE, Refusal, client, patiently};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::failure::{Exit, Failure, Result};
use assent_contract::domain::intake::Rejection;
use assent_contract::wire::{KnownSchemas, Registered, UnknownId, Unread};

/// Ids remembered; a topic's readers meet a handful.
const KNOWN_MAX: usize = 10_000;

/// Between two questions for an id that is not there.
const DOUBT: Duration = Duration::from_secs(1);

/// Of one command. Nothing is asked before an id is met.
pub struct Reading {
    client: Option<Client>,
    known: Arc<KnownSchemas>,
    /// For a command that runs until it is interrupted.
    waits_for_ever: bool,
    /// For how long the command still doubts that an id is not there: of all such ids together.
    patience: Duration,
}

impl Reading {
    pub fn open(config: &Config) -> Result<Self> {
        let client = client(config)?;
        let known = if client.is_some() { KnownSchemas::empty() } else { KnownSchemas::none() };
        Ok(Self { client, known: Arc::new(known), waits_for_ever: false, patience: PATIENCE })
    }

    /// With the registry out of reach it says so and goes on asking.
    #[must_use]
    pub fn for_ever(mut self) -> Self {
        self.waits_for_ever = true;
        self
    }

    /// Decodes a value, as often as an id of it has to be asked for. Fails where the registry gives
    /// no answer; the inner result is the value's own.
    pub fn read<T>(
        &mut self,
        mut decode: impl FnMut(&KnownSchemas) -> std::result::Result<T, Unread>,
    ) -> Result<std::result::Result<T, Rejection>> {
        loop {
            match decode(&self.known) {
                Ok(value) => return Ok(Ok(value)),
                Err(Unread::Rejected(rejection)) => return Ok(Err(rejection)),
                Err(Unread::Waits(id)) => self.ask(id)?,
            }
        }
    }

    /// What is known, with what this value needs.
    pub fn knowing(&mut self, value: Option<&[u8]>) -> Result<Arc<KnownSchemas>> {
        if let Some(id) = value.and_then(|value| self.known.lacks(value)) {
            self.ask(id)?;
        }
        Ok(Arc::clone(&self.known))
    }

    fn ask(&mut self, UnknownId(id): UnknownId) -> Result<()> {
        let Some(client) = &self.client else {
            return Err(Failure::failed("an id waits without a schema registry")); // never: none is known
        };
        let registered = loop {
            match patiently(client, &SystemClock, || client.schema(id)) {
                Ok(Registered::Absent | Registered::Elsewhere) if !self.patience.is_zero() => {
                    self.patience = self.patience.saturating_sub(DOUBT);
                    std::thread::sleep(DOUBT);
                }
                Ok(registered) => break registered,
                Err(Refusal::Everything(failure)) => {
                    if !(self.waits_for_ever && failure.exit == Exit::Unavailable) {
                        return Err(failure);
                    }
                    tracing::warn!("{failure}");
                }
                Err(Refusal::Schema(why)) => break Registered::Unusable(why),
            }
        };
        let known = Arc::make_mut(&mut self.known);
        if known.len() >= KNOWN_MAX {
            *known = KnownSchemas::empty();
        }
        known.learn(id, registered);
        Ok(())
    }
}
