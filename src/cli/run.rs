//! `assent run`: the service. Everything is checked before the group is joined; a signal drains.

use std::future::poll_fn;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{sleep, timeout};

use super::Globals;
use super::ready_file::ReadyFile;
use super::supervisor::{Supervisor, tell_stopping};
use crate::canary::{Canary, demand_purpose};
use crate::clock::SystemClock;
use crate::config::{Config, load_rulebook, read_keyset};
use crate::failure::{Failure, Result};
use crate::http::{self, Status};
use crate::pipeline::shared::Start;
use crate::pipeline::{self, Running};
use crate::registry;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::{REVISION, VERSION};
use assent_contract::domain::pseudonym::KeyRing;

/// A drain that takes longer is cut off: the process ends within 10 s of the signal
/// (docs/contract/commands.md#how-run-ends), and what was not committed is decided again by whoever has
/// the partitions next.
const DRAINED_WITHIN: Duration = Duration::from_millis(8_500);

/// How often the end of the workers is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Run the service until it receives SIGTERM or SIGINT
///
/// Joins the consumer group, decides clicks, and keeps segments and audit up to date. On SIGTERM or
/// SIGINT it commits, leaves the group and exits with code 0 within 10 s. docs/stops.md lists the
/// reasons for which it stops by itself. To share the load, start more instances, each with its own
/// `pipeline.state_dir`.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent run --config /etc/assent/assent.yaml")]
pub struct Args {
    /// Create this file while /readyz reports ready; it contains the address of /readyz and
    /// /metrics
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Also run the canary of each partition that this instance owns, instead of `assent canary`
    #[arg(long)]
    canary: bool,
}

pub fn execute(args: &Args, globals: &Globals) -> Result<()> {
    let config = Arc::new(globals.load_config()?);
    let start = prepare(&config)?;
    if args.canary {
        demand_purpose(&config)?;
    }
    tell_start(&start);
    let metrics = Arc::clone(&start.metrics);
    let server = http::serve(config.http.listen, metrics, start.status.clone())?;
    let file = args.ready_file.as_ref().map(|path| ReadyFile::new(path, server.address()));
    let canary = args.canary.then(|| canary_of(&start));
    runtime()?.block_on(serve(start, file.transpose()?, canary))?;
    tracing::info!("ended");
    Ok(())
}

/// What runs, with what, and where.
fn tell_start(start: &Start) {
    let (config, rulebook) = (&start.config, &start.rulebook);
    let (kafka, topics) = (&config.kafka, &config.topics);
    tracing::info!(
        version = VERSION,
        revision = REVISION,
        rulebook = rulebook.version,
        rulebook_sha256 = rulebook.sha256_hex(),
        key_version = start.keys.active(),
        group = kafka.group_id,
        brokers = kafka.bootstrap_servers,
        topics.clickstream,
        topics.consent,
        topics.segments,
        topics.contextual,
        topics.audit,
        topics.state,
        topics.dead_letters,
        workers = config.pipeline.workers,
        "assent starts"
    );
}

/// What a pipeline is started with, checked before any connection is made.
pub(super) fn prepare(config: &Arc<Config>) -> Result<Start> {
    let rulebook = load_rulebook(&config.rulebook)?;
    let keyset = read_keyset(&config.keyset)?;
    let purposes: Vec<String> = rulebook.rulebook.purposes.iter().map(|p| p.id.clone()).collect();
    let clock = Arc::new(SystemClock);
    Ok(Start {
        config: Arc::clone(config),
        rulebook_yaml: rulebook.yaml.into(),
        rulebook: Arc::new(rulebook.rulebook),
        keys: Arc::new(KeyRing::new(&keyset, &purposes)),
        registry: registry::client(config)?,
        metrics: Arc::new(Metrics::new()),
        status: Arc::new(Status::new(config.pipeline.workers, &config.consent, clock.clone())),
        clock,
    })
}

pub(super) fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("can't start: {error}")))
}

/// The canary of what this instance owns, on a thread that nobody waits for.
struct CanaryThread {
    stop: Arc<AtomicBool>,
    canary: Canary,
}

fn canary_of(start: &Start) -> CanaryThread {
    let (stop, status) = (Arc::<AtomicBool>::default(), Arc::clone(&start.status));
    let is_owned = Box::new(move |partition| status.owns(partition));
    let asked = Arc::clone(&stop);
    let is_stopping = Box::new(move || asked.load(Ordering::Acquire));
    let (config, metrics) = (Arc::clone(&start.config), Arc::clone(&start.metrics));
    CanaryThread { stop, canary: Canary::new(config, metrics, is_owned, is_stopping) }
}

impl CanaryThread {
    /// Returns what stops it.
    fn start(self) -> Result<Arc<AtomicBool>> {
        let Self { stop, mut canary } = self;
        std::thread::Builder::new()
            .name("canary".to_owned())
            .spawn(move || canary.run())
            .map_err(|error| Failure::failed(format!("can't start a thread: {error}")))?;
        Ok(stop)
    }
}

async fn serve(
    start: Start,
    mut file: Option<ReadyFile>,
    canary: Option<CanaryThread>,
) -> Result<()> {
    let mut signals = Signals::listen()?;
    let status = Arc::clone(&start.status);
    let starting = tokio::task::spawn_blocking(move || pipeline::start(start));
    if signals.come_before(|| starting.is_finished()).await {
        std::process::exit(0); // nothing was joined, so there is nothing to give back
    }
    let running =
        starting.await.map_err(|error| Failure::failed(format!("can't start: {error}")))??;
    let canary = canary.map(CanaryThread::start).transpose()?;
    let mut supervisor = Supervisor::tell_started();
    let is_over = || {
        if let Some(file) = &mut file {
            file.show(status.readiness().ready);
        }
        supervisor.tell_live(|| status.is_live());
        running.is_ending()
    };
    let is_told = signals.come_before(is_over).await;
    tell_stopping();
    drop(file);
    if let Some(stop) = canary {
        stop.store(true, Ordering::Release);
    }
    if is_told {
        tracing::info!("stopping: committing the open batches, then leaving the group");
        running.stop();
    }
    if is_drained(&running).await {
        return running.wait();
    }
    tracing::warn!("stopped before everything was committed; the rest will be decided again");
    running.give_up()
}

/// SIGTERM and SIGINT.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub fn listen() -> Result<Self> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                Failure::failed(format!("can't install the signal handlers: {error}"))
            })
        };
        let (terminate, interrupt) =
            (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt })
    }

    /// Waits for a signal or until `done`; was it a signal?
    pub async fn come_before(&mut self, mut done: impl FnMut() -> bool) -> bool {
        while !done() {
            let either = poll_fn(|context| match self.terminate.poll_recv(context) {
                Poll::Ready(_) => Poll::Ready(()),
                Poll::Pending => self.interrupt.poll_recv(context).map(|_| ()),
            });
            if timeout(LOOK, either).await.is_ok() {
                return true;
            }
        }
        false
    }
}

/// Have all workers ended in time?
async fn is_drained(running: &Running) -> bool {
    let ended = async {
        while !running.is_finished() {
            sleep(LOOK).await;
        }
    };
    timeout(DRAINED_WITHIN, ended).await.is_ok()
}
