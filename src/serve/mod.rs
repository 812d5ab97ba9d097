//! `assent serve`: look-ups, events, consent and opt-outs over HTTP, for front ends (docs/serving.md).
//!
//! ```text
//! browser, shop ─► listener ─► guard ─► routes ─┬─► copy (segments.*)            look-ups
//!                                               ├─► events ─► clickstream        clicks
//!                                               ├─► intake ─► consent-changelog  consent, opt-outs
//!                                               └─► register (privacy-requests)  what became of them
//! ```
//!
//! Each instance has copies of its own, which are followed and proven fresh ([`follow`]); only the intake
//! shares work, by partitions. Nothing here decides who may be used for what: that is the gate's, in
//! `assent run`. In any doubt a look-up is answered with the default segment.

mod app;
mod body;
pub mod changelog;
mod clients;
mod copy;
mod errors;
mod events;
pub mod follow;
mod guard;
mod health;
pub mod identities;
pub mod intake;
pub mod keys;
mod limits;
mod listener;
pub mod platform;
pub mod register;
mod routes;
mod sessions;
pub mod sorting;
mod subject_token;
#[cfg(feature = "tls")]
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

pub use routes::openapi::document;

use self::app::App;
use self::changelog::Changelog;
use self::clients::Clients;
use self::copy::Copy;
use self::events::EventWriter;
use self::health::ServeHealth;
use self::identities::Identities;
use self::intake::{Acceptor, Counts, Owner};
use self::keys::Keys;
use self::listener::FrontDoor;
use self::platform::Platforms;
use self::register::Register;
use self::sessions::Sessions;
use self::subject_token::Verifier;
use crate::clock::SystemClock;
use crate::config::{Config, load_rulebook};
use crate::failure::{Failure, Result};
use crate::http::Health;
use crate::kafka::probe::Probe;
use crate::kafka::read::partition_count;
use crate::registry::{self, Framings};
use crate::telemetry::metrics::Metrics;
use assent_contract::rulebook::Rulebook;
use assent_intake::Terms;

/// Between two looks at the keyset's file, as `assent run` does.
const KEYS_LOOKED_AT: Duration = Duration::from_secs(5);

/// What is checked before any connection is made.
pub struct Ready {
    config: Arc<Config>,
    rulebook: Rulebook,
    keys: Arc<Keys>,
    clients: Arc<Clients>,
    verifier: Option<Verifier>,
    metrics: Arc<Metrics>,
}

/// 78: what is configured can't be served.
pub fn prepare(config: &Arc<Config>, metrics: &Arc<Metrics>) -> Result<Ready> {
    if !config.is_served() {
        return Err(Failure::config(
            "serve.clients: there is no client and intake.sources no source, so nobody could ask \
             anything; add a client with its id, token_file and allow (docs/serving.md)",
        ));
    }
    listener::check(&config.serve)?;
    let rulebook = load_rulebook(&config.rulebook)?.rulebook.without_canary();
    let purposes = rulebook.purposes.iter().map(|purpose| purpose.id.clone()).collect();
    check_purposes(config, &rulebook)?;
    let clients = Arc::new(Clients::read(config)?);
    at_zero(metrics, config, &clients);
    Ok(Ready {
        keys: Arc::new(Keys::read(config, purposes)?),
        verifier: config.serve.subject_tokens.as_ref().map(Verifier::read).transpose()?,
        config: Arc::clone(config),
        rulebook,
        clients,
        metrics: Arc::clone(metrics),
    })
}

/// A platform's purpose stands for one of the rulebook's.
pub fn check_purposes(config: &Config, rulebook: &Rulebook) -> Result<()> {
    for source in &config.intake {
        let mut ours = source.mapping.our_purposes();
        if let Some(unknown) = ours.find(|id| rulebook.purpose_index(id).is_none()) {
            let known: Vec<&str> = rulebook.purposes.iter().map(|it| it.id.as_str()).collect();
            return Err(Failure::config(format!(
                "intake.sources.{}.purposes: the rulebook has no purpose {unknown}; it has {}",
                source.source.word(),
                known.join(", ")
            )));
        }
    }
    Ok(())
}

/// Every series whose labels are known beforehand.
fn at_zero(metrics: &Metrics, config: &Config, clients: &Clients) {
    for client in clients.ids() {
        metrics.rate_limited_total.with_label_values(&[client]);
    }
    for source in intake::SOURCES {
        for outcome in ["merged", "unchanged", "honored", "failed", "refused"] {
            metrics.intake_commands_total.with_label_values(&[source, outcome]);
        }
    }
    for source in &config.intake {
        let source = source.source.word();
        for outcome in routes::deliveries::OUTCOMES {
            metrics.intake_deliveries_total.with_label_values(&[source, outcome]);
        }
        for outcome in ["applied", "expired"] {
            metrics.intake_held_total.with_label_values(&[source, outcome]);
        }
        for (what, _) in assent_intake::source::Notes::default().counts() {
            metrics.intake_left_out_total.with_label_values(&[source, what]);
        }
        for kind in intake::DRIFT_KINDS {
            metrics.consent_source_drift_total.with_label_values(&[source, kind]);
        }
    }
    for access in routes::ACCESS {
        metrics.http_request_duration_seconds.with_label_values(&[access.path]);
    }
}

/// The running service. What was accepted before it is dropped stays accepted.
pub struct Serving {
    door: FrontDoor,
    app: Arc<App>,
    health: Arc<ServeHealth>,
    _owner: Owner,
    stop: Arc<AtomicBool>,
    keys: Option<JoinHandle<()>>,
}

impl Serving {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.door.address()
    }

    pub fn health(&self) -> Arc<dyn Health> {
        self.health.clone()
    }

    /// Of the intake, those that this service owns now.
    pub fn intake_partitions(&self) -> i64 {
        self.health.intake_partitions()
    }

    /// Ends what is under way, and takes nothing more.
    pub fn close(&mut self) {
        self.door.close();
        self.app.events.drain();
        self.stop.store(true, Ordering::Release);
        if let Some(keys) = self.keys.take() {
            let _ = keys.join();
        }
    }
}

/// Starts everything. 69: no broker answers; 78: topics are missing or don't fit each other.
pub fn start(ready: Ready) -> Result<Serving> {
    let Ready { config, rulebook, keys, clients, verifier, metrics } = ready;
    check_counts(&config)?;
    let framings = framings(&config)?;
    let topics = &config.topics;
    let copy = Arc::new(Copy::start(&config, &rulebook)?);
    let changelog = Arc::new(Changelog::start(&config)?);
    let register = Arc::new(Register::start(&config)?);
    let identities = Arc::new(Identities::start(&config, &keys)?);
    let counts = Counts {
        requests: register.progress().partitions(0),
        state: changelog.progress().partitions(0),
        identities: identities.progress().partitions(0),
    };
    let purposes = Terms::of(&rulebook);
    let requests = framings.of(&topics.privacy_requests);
    let owner = Owner::start(intake::OwnerContext {
        config: Arc::clone(&config),
        keys: Arc::clone(&keys),
        purposes: purposes.clone(),
        changelog: Arc::clone(&changelog),
        identities: Arc::clone(&identities),
        register: Arc::clone(&register),
        copy: Arc::clone(&copy),
        consent: framings.of(&topics.consent),
        requests,
        metrics: Arc::clone(&metrics),
    })?;
    let health =
        Arc::new(ServeHealth::of(&copy, &changelog, &register, &identities, &owner.status));
    let app = Arc::new(App {
        acceptor: Acceptor::start(&config, &keys, &register, requests, counts)?,
        events: EventWriter::start(&config, framings.of(&topics.clickstream))?,
        sessions: Sessions::default(),
        platforms: Platforms::of(&config)?,
        identities,
        config: Arc::clone(&config),
        keys: Arc::clone(&keys),
        rulebook,
        purposes,
        clients,
        verifier,
        copy,
        changelog,
        register,
        metrics,
    });
    let door = FrontDoor::open(&config.serve, guard::router(Arc::clone(&app)))?;
    let stop = Arc::<AtomicBool>::default();
    let looking = Some(look_at_keys(config, keys, Arc::clone(&stop))?);
    Ok(Serving { door, app, health, _owner: owner, stop, keys: looking })
}

/// Commands lie in the partition of their subject's consent, and what decides them in the audit's.
fn check_counts(config: &Config) -> Result<()> {
    let refused = |error| Failure::config(format!("kafka.properties: {error}"));
    let probe = Probe::new(config).map_err(refused)?;
    let topics = &config.topics;
    let consent = partition_count(&probe, config, &topics.consent)?;
    let alike = [("topics.intake_state", &topics.intake_state), ("topics.audit", &topics.audit)];
    for (key, topic) in alike {
        let found = partition_count(&probe, config, topic)?;
        if found != consent {
            return Err(Failure::config(format!(
                "{key}: topic {topic} has {found} partitions, {} has {consent}; they must have the \
                 same number; recreate the one that is new",
                topics.consent
            )));
        }
    }
    Ok(())
}

fn framings(config: &Config) -> Result<Framings> {
    let client = registry::client(config)?;
    let mut subjects = registry::inputs(config).to_vec();
    subjects.extend(registry::served(config));
    Framings::settle(client.as_ref(), &subjects, &SystemClock)
}

fn look_at_keys(
    config: Arc<Config>,
    keys: Arc<Keys>,
    stop: Arc<AtomicBool>,
) -> Result<JoinHandle<()>> {
    const LOOK: Duration = Duration::from_millis(100);
    let look = move || {
        let mut waited = Duration::ZERO;
        while !stop.load(Ordering::Acquire) {
            std::thread::sleep(LOOK);
            waited += LOOK;
            if waited >= KEYS_LOOKED_AT {
                keys.look(&config);
                waited = Duration::ZERO;
            }
        }
    };
    std::thread::Builder::new()
        .name("serve-keys".to_owned())
        .spawn(look)
        .map_err(|error| Failure::failed(format!("can't start a thread: {error}")))
}
