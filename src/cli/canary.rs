//! `assent canary`: opts an invented subject of each partition in and out, and measures the opt-out at a reader.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use super::run::{Signals, runtime};
use super::{Globals, stdout};
use crate::canary::{Canary, Round, demand_purpose};
use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::http;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::{REVISION, VERSION};

/// What is under way is ended within this time: the opt-outs of a round are written.
const ENDED_WITHIN: Duration = Duration::from_secs(5);

/// Measure how long an opt-out takes, with an invented subject of each partition
///
/// Every `canary.every`, each partition's invented subject opts in, clicks and opts out through the
/// real topics. The opt-out is measured where readers are: at the topic of the purpose `canary`. The
/// rulebook needs the line `canary: true`. Run one of these for an installation, or `assent run
/// --canary`, and not both. Serves /metrics, /livez and /readyz at `http.listen`.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent canary --once")]
pub struct Args {
    /// Do one round, print what came of it, and exit with code 1 if a partition failed
    #[arg(long)]
    once: bool,
}

pub fn execute(args: &Args, globals: &Globals) -> Result<()> {
    let config = Arc::new(globals.load_config()?);
    demand_purpose(&config)?;
    let metrics = Arc::new(Metrics::of_canary());
    let stop = Arc::<AtomicBool>::default();
    let asked = Arc::clone(&stop);
    let is_stopping = Box::new(move || asked.load(Ordering::Acquire));
    let all = Box::new(|_| true);
    let mut canary = Canary::new(Arc::clone(&config), Arc::clone(&metrics), all, is_stopping);
    canary.open()?;
    if args.once {
        return print(&canary.round()?, globals.json);
    }
    tracing::info!(
        version = VERSION,
        revision = REVISION,
        brokers = config.kafka.bootstrap_servers,
        every_seconds = config.canary.every.as_secs(),
        "assent canary starts"
    );
    runtime()?.block_on(until_told(&config, metrics, canary, stop))?;
    tracing::info!("ended");
    Ok(())
}

async fn until_told(
    config: &Config,
    metrics: Arc<Metrics>,
    mut canary: Canary,
    stop: Arc<AtomicBool>,
) -> Result<()> {
    let mut signals = Signals::listen()?;
    let server = http::serve(config.http.listen, metrics, canary.health())?;
    let thread = std::thread::Builder::new()
        .name("canary".to_owned())
        .spawn(move || canary.run())
        .map_err(|error| Failure::failed(format!("can't start a thread: {error}")))?;
    signals.come_before(|| thread.is_finished()).await;
    tracing::info!("stopping: opting the canary out");
    stop.store(true, Ordering::Release);
    let ended = async {
        while !thread.is_finished() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let _ = tokio::time::timeout(ENDED_WITHIN, ended).await;
    drop(server);
    Ok(())
}

/// A line for each partition.
fn print(round: &Round, is_json: bool) -> Result<()> {
    for (partition, result) in &round.of {
        match result {
            _ if is_json => stdout::json(&json!({
                "partition": partition,
                "opt_out_seconds": result.as_ref().ok().map(Duration::as_secs_f64),
                "failed": result.as_ref().err().map(|step| step.label()),
            }))?,
            Ok(took) => stdout::line(&format!(
                "partition {partition}: the opt-out was seen after {} ms",
                took.as_millis()
            ))?,
            Err(step) => stdout::line(&format!("partition {partition}: {}", step.says()))?,
        }
    }
    if round.is_ok() { Ok(()) } else { Err(Failure::failed("the canary failed; see above")) }
}
