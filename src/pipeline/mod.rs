//! The pipeline: workers that obey the engine on Kafka, exactly once.
//!
//! A click's way: received and held → a question to the broker covers it → consent has come as far
//! as the answer → its batch is cut, decided, written and committed → forgotten, and counted.

pub mod assignment;
mod audiences;
mod bounded;
mod bounds;
mod clock_watch;
pub mod crash;
mod edges;
mod heard;
mod identity;
mod keys;
pub mod loss_words;
mod oldest;
pub mod preflight;
mod publish;
mod readers;
mod report;
mod reread;
mod retention;
mod rights;
mod runner;
pub mod shared;
mod stop;
mod sums;
pub mod survey;
mod suspects;
pub mod take_up_error;
mod tolerate;
pub mod transaction;
mod twin;
mod watch;
mod watchdog;

use std::sync::Arc;
use std::thread::JoinHandle;

use crate::failure::{Failure, Result};
use crate::kafka::calls::Call;
use crate::kafka::probe::Probe;
use crate::kafka::reach::find_files;
use crate::kafka::topics::{self, Counts};
use crate::registry::{self, Framings};
use crate::telemetry::metrics::Known;
use identity::Identity;
use preflight::{Finding, Preflight};
use runner::Runner;
use shared::{Shared, Start, setup_of, share};
use stop::StopAll;

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
    find_files(config)?;
    let probe = Probe::new(config).map_err(|error| {
        Failure::config(format!("kafka.properties: librdkafka rejects them: {error}"))
    })?;
    let counts = topics::check(&probe, config, &start.rulebook, &*start.clock)?;
    let tolerated = admit(&start, &counts)?;
    start.metrics.key_version.set(i64::from(start.keys.active()));
    let (rulebook, keys) = (&*start.rulebook, &*start.keys);
    start.metrics.stand_at_zero(&Known { config, rulebook, keys, calls: Call::LABELS });
    let config = Arc::clone(config);
    let subjects = registry::outputs(&config, &purposes);
    let framings = Framings::settle(start.registry.as_ref(), &subjects, &*start.clock)?;
    let shared = Arc::new(share(start, counts, &purposes, &framings));
    background(&shared, "watch", move |shared| watch::run(shared, &probe))?;
    background(&shared, "watchdog", watchdog::run)?;
    if !shared.config.kafka.is_embedded {
        background(&shared, "findings", move |shared| tolerate::tell(shared, tolerated))?;
    }
    if shared.registry.is_some() {
        background(&shared, "schemas", Shared::look_up_schemas)?;
    }
    if audiences::are_asked_for(&shared) {
        background(&shared, "audiences", audiences::run)?;
    }
    let has_readers = |shared: &Shared| {
        shared.setup().rulebook.purposes.iter().any(|purpose| !purpose.readers.is_empty())
    };
    if !shared.config.kafka.is_embedded && has_readers(&shared) {
        background(&shared, "readers", readers::run)?;
    }
    let workers = (0..config.pipeline.workers)
        .map(|number| spawn(&shared, number, identity.of_worker(&config.kafka.group_id, number)))
        .collect::<Result<Vec<_>>>()?;
    Ok(Running { shared, workers, _identity: identity })
}

/// What would break an invariant is refused before the group is joined; what is tolerated comes back.
pub fn admit(start: &Start, counts: &Counts) -> Result<Vec<Finding>> {
    if start.config.kafka.is_embedded {
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

/// A thread in the background of the workers, which ends with them.
fn background(
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
