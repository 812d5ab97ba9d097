//! The schema registry (docs/contract/topics.md#encoding, docs/contract/bad-input.md#schemas): which
//! ids are written, and what ids that are read name.
//!
//! Asks, and leaves it to `wire` to resolve. Nothing here waits on a worker's thread: look-ups have a
//! thread of their own ([`lookup`]); commands, which have nothing else to do, wait ([`Reading`]).

pub mod client;
pub mod lookup;
mod memory;
mod reading;
mod subjects;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::Config;
use crate::failure::{Failure, Result};
use client::{Client, RegistryError};
pub use lookup::Lookup;
pub use reading::Reading;
pub use subjects::{
    Framings, SchemaStatus, Subject, audit_access, inputs, outputs, reach, register, served,
};

/// How long an id that the registry does not have, or not under the topic's own subject, is asked for
/// before that is believed (docs/contract/bad-input.md#schemas): one of its replicas may lag.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How long a registry may take to answer at all (docs/contract/commands.md#how-run-ends); as for a
/// broker.
pub const REACHED_WITHIN: Duration = Duration::from_secs(30);

/// Between two tries to have an answer.
const RETRY: Duration = Duration::from_millis(500);

/// A client of the configured registry; `None`: there is none. Opens nothing.
pub fn client(config: &Config) -> Result<Option<Client>> {
    let client = |registry| Client::new(registry, &config.topics);
    config.schema_registry.as_ref().map(client).transpose()
}

/// Asks until there is an answer, a refusal, or the time is over (69).
fn patiently<T>(
    client: &Client,
    clock: &dyn Clock,
    mut ask: impl FnMut() -> std::result::Result<T, RegistryError>,
) -> std::result::Result<T, Refusal> {
    let deadline = clock.instant() + REACHED_WITHIN;
    loop {
        let error = match ask() {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        match error {
            RegistryError::Refused(why) => return Err(Refusal::Everything(refused(client, &why))),
            RegistryError::Conflict(why) => return Err(Refusal::Schema(why)),
            RegistryError::Unreachable(why) | RegistryError::Broken(why)
                if clock.instant() >= deadline =>
            {
                return Err(Refusal::Everything(out_of_reach(client, &why)));
            }
            RegistryError::Unreachable(_) | RegistryError::Broken(_) => std::thread::sleep(RETRY),
        }
    }
}

/// What ended the asking.
enum Refusal {
    Everything(Failure),
    /// The registry's words on a schema that it does not take.
    Schema(String),
}

fn refused(client: &Client, why: &str) -> Failure {
    Failure::config(format!("schema_registry.url {}: {why}", client.url()))
}

fn out_of_reach(client: &Client, why: &str) -> Failure {
    Failure::unavailable(format!(
        "schema_registry.url {}: no answer within {} s ({why}); check that the registry runs and \
         that the address is right",
        client.url(),
        REACHED_WITHIN.as_secs()
    ))
}
