//! What a pipeline is started with, and what its threads share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rdkafka::error::KafkaResult;

use super::bounds;
use super::clock_watch::ClockWatch;
use super::heard::HeardAudiences;
use super::oldest::OldestOptOuts;
use super::publish::Destinations;
use super::stop::Stop;
use super::sums::SmallCounts;
use crate::clock::Clock;
use crate::config::Config;
use crate::http::Status;
use crate::kafka::probe::Probe;
use crate::kafka::topics::Counts;
use crate::registry::client::Client;
use crate::registry::{Framings, Lookup, lookup};
use crate::telemetry::metrics::Metrics;
use assent_contract::domain::pseudonym::KeyRing;
use assent_contract::rulebook::Rulebook;
use assent_contract::wire::{ClickReader, ConsentReader};
use assent_core::engine::Setup;
use assent_core::engine::loss::TopicIds;
use assent_core::task::Bounds;

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
}

/// What the workers share: nothing that any of them changes, but the stop; the watch over the keyset
/// changes the set-up.
pub struct Shared {
    pub config: Arc<Config>,
    /// Replaced where the keyset file changes; then `generation` grows.
    pub setup: RwLock<Arc<Setup>>,
    pub generation: AtomicU64,
    pub destinations: Destinations,
    pub counts: Counts,
    pub click_reader: ClickReader,
    pub consent_reader: ConsentReader,
    pub registry: Option<Client>,
    pub lookup: Lookup,
    pub bounds: Bounds,
    pub metrics: Arc<Metrics>,
    pub status: Arc<Status>,
    pub clock: Arc<dyn Clock>,
    pub clock_watch: ClockWatch,
    pub oldest_opt_outs: OldestOptOuts,
    pub audiences: HeardAudiences,
    /// Of purposes with a minimum audience.
    pub small_counts: SmallCounts,
    pub stop: Arc<Stop>,
}

impl Shared {
    /// Where a consent record of this key belongs.
    pub fn consent_partition(&self, key: &[u8]) -> i32 {
        self.config.kafka.partitioner.partition(key, self.counts.inputs)
    }

    pub fn setup(&self) -> Arc<Setup> {
        Arc::clone(&self.setup.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn replace_setup(&self, setup: Arc<Setup>) {
        *self.setup.write().unwrap_or_else(PoisonError::into_inner) = setup;
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Which topics the inputs are now.
    pub fn input_ids(&self, probe: &Probe, timeout: Duration) -> KafkaResult<TopicIds> {
        if self.config.kafka.is_embedded {
            return Ok(TopicIds::default());
        }
        probe.input_ids(&self.config.topics, timeout)
    }

    /// Until the service stops.
    pub fn look_up_schemas(&self) {
        if let Some(client) = &self.registry {
            lookup::follow(client, &self.lookup, &*self.clock, || self.is_stopping());
        }
    }

    pub fn is_stopping(&self) -> bool {
        self.stop.is_asked()
    }
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
pub fn share(start: Start, counts: Counts, purposes: &[String], framings: &Framings) -> Shared {
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
        audiences: HeardAudiences::default(),
        small_counts: SmallCounts::default(),
        stop: Arc::default(),
        counts,
        config,
    }
}
