//! The pipeline: workers that obey the engine on Kafka, exactly once.
//!
//! A click's way: received and held → a question to the broker covers it → consent has come as far
//! as the answer → its batch is cut, decided, written and committed → forgotten, and counted.

pub mod accept;
mod alone;
mod assignment;
mod bounded;
mod bounds;
mod clock_watch;
mod commit;
pub mod crash;
mod edges;
mod identity;
mod keys;
pub mod loss_words;
mod orphans;
pub mod preflight;
mod publish;
mod receive;
mod report;
mod runner;
mod schemas;
mod stop;
mod survey;
mod suspects;
mod tolerate;
mod transaction;
mod twin;
mod watch;
mod watchdog;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::error::KafkaResult;

use crate::clock::Clock;
use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::http::Status;
use crate::kafka::calls::Call;
use crate::kafka::probe::Probe;
use crate::kafka::topics::{self, Counts};
use crate::registry::client::Client;
use crate::registry::{self, Framings, Lookup, lookup};
use crate::telemetry::metrics::{Known, Metrics};
use assent_contract::domain::pseudonym::KeyRing;
use assent_contract::rulebook::Rulebook;
use assent_contract::wire::{ClickReader, ConsentReader};
use assent_core::engine::Setup;
use assent_core::engine::loss::TopicIds;
use assent_core::task::Bounds;
use clock_watch::ClockWatch;
use identity::Identity;
use preflight::{Finding, Preflight};
use publish::Destinations;
use report::OldestOptOuts;
use runner::Runner;
use stop::{Stop, StopAll};

/// What a pipeline is started with.
pub struct Start {
    pub config: Arc<Config>,
    pub rulebook: Arc<Rulebook>,
    /// The rulebook file's bytes: evidence.
    pub rulebook_yaml: Arc<[u8]>,
    pub keys: Arc<KeyRing>,
    /// `None`: no schema registry is configured.
    pub registry: Option<Client>,
    pub metrics: Arc<Metrics>,
    pub status: Arc<Status>,
    pub clock: Arc<dyn Clock>,
    /// Can the brokers say which topic stands under a name, and how it is set? librdkafka's mock cluster
    /// can't.
    pub has_topic_ids: bool,
}

/// What the workers share: nothing that any of them changes, but the stop; the watch over the keyset
/// changes the set-up.
pub(crate) struct Shared {
    config: Arc<Config>,
    /// Replaced where the keyset file changes; then `generation` grows.
    setup: RwLock<Arc<Setup>>,
    generation: AtomicU64,
    destinations: Destinations,
    counts: Counts,
    click_reader: ClickReader,
    consent_reader: ConsentReader,
    registry: Option<Client>,
    lookup: Lookup,
    bounds: Bounds,
    metrics: Arc<Metrics>,
    status: Arc<Status>,
    clock: Arc<dyn Clock>,
    clock_watch: ClockWatch,
    oldest_opt_outs: OldestOptOuts,
    stop: Arc<Stop>,
    has_topic_ids: bool,
}

impl Shared {
    /// Where a consent record of this key belongs.
    fn consent_partition(&self, key: &[u8]) -> i32 {
        self.config.kafka.partitioner.partition(key, self.counts.inputs)
    }

    fn setup(&self) -> Arc<Setup> {
        Arc::clone(&self.setup.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace_setup(&self, setup: Arc<Setup>) {
        *self.setup.write().unwrap_or_else(PoisonError::into_inner) = setup;
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Which topics the inputs are now.
    fn input_ids(&self, probe: &Probe, timeout: Duration) -> KafkaResult<TopicIds> {
        if !self.has_topic_ids {
            return Ok(TopicIds::default());
        }
        probe.input_ids(&self.config.topics, timeout)
    }

    /// Until the service stops.
    fn look_up_schemas(&self) {
        if let Some(client) = &self.registry {
            lookup::follow(client, &self.lookup, &*self.clock, || self.is_stopping());
        }
    }

    fn is_stopping(&self) -> bool {
        self.stop.is_asked()
    }
}

/// A running pipeline. Its lock on `state_dir` ends with it.
pub struct Running {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<Result<()>>>,
    _identity: Identity,
}

/// Checks what can be checked before joining, then starts the workers.
pub fn start(start: Start) -> Result<Running> {
    let config = &start.config;
    let identity = Identity::take(&config.pipeline.state_dir)?;
    let purposes: Vec<String> = start.rulebook.purposes.iter().map(|p| p.id.clone()).collect();
    let probe = Probe::new(config).map_err(|error| {
        Failure::config(format!("kafka.properties: librdkafka rejects them: {error}"))
    })?;
    let counts = topics::check(&probe, config, &purposes, &*start.clock)?;
    let tolerated = admit(&start, &counts)?;
    start.metrics.key_version.set(i64::from(start.keys.active()));
    let (rulebook, keys) = (&*start.rulebook, &*start.keys);
    start.metrics.stand_at_zero(&Known { config, rulebook, keys, calls: Call::LABELS });
    let config = Arc::clone(config);
    let subjects = registry::outputs(&config, &purposes);
    let framings = Framings::settle(start.registry.as_ref(), &subjects, &*start.clock)?;
    let shared = Arc::new(share(start, counts, &purposes, &framings));
    beside(&shared, "watch", move |shared| watch::run(shared, &probe))?;
    beside(&shared, "watchdog", watchdog::run)?;
    if shared.has_topic_ids {
        beside(&shared, "findings", move |shared| tolerate::tell(shared, tolerated))?;
    }
    if shared.registry.is_some() {
        beside(&shared, "schemas", Shared::look_up_schemas)?;
    }
    let workers = (0..config.pipeline.workers)
        .map(|number| spawn(&shared, number, identity.of_worker(&config.kafka.group_id, number)))
        .collect::<Result<Vec<_>>>()?;
    Ok(Running { shared, workers, _identity: identity })
}

/// What would break an invariant is refused before the group is joined; what is tolerated comes back.
fn admit(start: &Start, counts: &Counts) -> Result<Vec<Finding>> {
    if !start.has_topic_ids {
        return Ok(Vec::new());
    }
    let preflight = Preflight {
        config: &start.config,
        rulebook: &start.rulebook,
        registry: start.registry.as_ref(),
        clock: &*start.clock,
    };
    preflight.admit(&setup_of(start, counts))
}

/// What every partition is decided under.
pub fn setup_of(start: &Start, counts: &Counts) -> Setup {
    let config = &start.config;
    Setup {
        rulebook: Arc::clone(&start.rulebook),
        rulebook_yaml: Arc::clone(&start.rulebook_yaml),
        keys: Arc::clone(&start.keys),
        group_id: config.kafka.group_id.clone(),
        lease: config.pipeline.lease,
        partitioner: config.kafka.partitioner,
        input_partitions: counts.inputs,
        segment_partitions: counts.segments.clone(),
        sources: config.consent.sources.keys().cloned().collect(),
        made_with: config.fixed(),
        signals_max: config.consent.signals_without_record_max,
    }
}

/// What all workers look at.
fn share(start: Start, counts: Counts, purposes: &[String], framings: &Framings) -> Shared {
    let setup = setup_of(&start, &counts);
    let config = start.config;
    let partitioner = config.kafka.partitioner;
    Shared {
        setup: RwLock::new(Arc::new(setup)),
        generation: AtomicU64::new(0),
        destinations: Destinations::new(
            &config.topics,
            partitioner,
            &config.kafka.group_id,
            purposes,
            &counts,
            framings,
        ),
        click_reader: ClickReader::new(start.rulebook.fields, partitioner, counts.inputs),
        consent_reader: ConsentReader::new(partitioner, counts.inputs),
        lookup: Lookup::new(start.registry.is_some()),
        registry: start.registry,
        bounds: bounds::of(&config.consent),
        metrics: start.metrics,
        status: start.status,
        clock_watch: ClockWatch::started(start.clock.moment()),
        clock: start.clock,
        oldest_opt_outs: OldestOptOuts::default(),
        stop: Arc::default(),
        has_topic_ids: start.has_topic_ids,
        counts,
        config,
    }
}

/// A thread beside the workers, which ends with them.
fn beside(
    shared: &Arc<Shared>,
    name: &'static str,
    work: impl FnOnce(&Shared) + Send + 'static,
) -> Result<()> {
    let shared = Arc::clone(shared);
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let _stop = StopAll::when_ends(name, &shared.stop);
            work(&shared);
        })
        .map(drop)
        .map_err(|error| Failure::failed(format!("can't start a thread: {error}")))
}

fn spawn(shared: &Arc<Shared>, number: usize, name: String) -> Result<JoinHandle<Result<()>>> {
    let shared = Arc::clone(shared);
    std::thread::Builder::new()
        .name(format!("worker-{number}"))
        .spawn(move || {
            let stop = StopAll::when_ends("worker", &shared.stop);
            let asked = Arc::clone(&shared.stop);
            let result = Runner::new(shared, number, name).and_then(Runner::run);
            if let Err(failure) = &result {
                asked.ask_for(failure.clone());
            }
            drop(stop);
            result
        })
        .map_err(|error| Failure::failed(format!("can't start a worker thread: {error}")))
}

impl Running {
    /// Asks the workers to commit, leave the group and end.
    pub fn stop(&self) {
        self.shared.stop.ask();
    }

    /// Does the run end, for whatever reason?
    pub fn is_ending(&self) -> bool {
        self.shared.is_stopping() || self.is_finished()
    }

    /// What ends the run, where workers don't.
    pub fn give_up(&self) -> Result<()> {
        self.shared.stop.failure().map_or(Ok(()), Err)
    }

    /// Have all workers ended?
    pub fn is_finished(&self) -> bool {
        self.workers.iter().all(JoinHandle::is_finished)
    }

    /// Waits for the workers. What ended them is the pipeline's failure, else the first of theirs.
    pub fn wait(self) -> Result<()> {
        let mut result = Ok(());
        for worker in self.workers {
            let ended = worker.join().unwrap_or_else(|_| Err(stop::panicked("worker")));
            result = result.and(ended);
        }
        self.shared.stop.failure().map_or(result, Err)
    }
}
