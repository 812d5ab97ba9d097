//! `assent serve`: the service for front ends. Everything is checked before it listens; a signal drains.

use std::sync::Arc;

use super::Globals;
use super::run::{Signals, runtime};
use crate::failure::{Failure, Result};
use crate::http;
use crate::serve;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::{REVISION, VERSION};

/// Serve front ends over HTTP: look-ups, events, consent and opt-outs
///
/// Answers look-ups from a copy of the segment topics, writes clicks and consent, and keeps the
/// register of requests. `assent run` decides; this command never does. On SIGTERM or SIGINT it
/// finishes what is under way and exits with code 0 within 10 s. To share the load, start more of them.
/// docs/serving.md is for front-end developers.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent serve --config /etc/assent/assent.yaml")]
pub struct Args {}

pub fn execute(_: &Args, globals: &Globals) -> Result<()> {
    let config = Arc::new(globals.load_config()?);
    let metrics = Arc::new(Metrics::of_serve());
    let ready = serve::prepare(&config, &metrics)?;
    tracing::info!(
        version = VERSION,
        revision = REVISION,
        brokers = config.kafka.bootstrap_servers,
        clients = config.serve.clients.len(),
        "assent serve starts"
    );
    runtime()?.block_on(until_told(config, metrics, ready))?;
    tracing::info!("ended");
    Ok(())
}

async fn until_told(
    config: Arc<crate::config::Config>,
    metrics: Arc<Metrics>,
    ready: serve::Ready,
) -> Result<()> {
    let mut signals = Signals::listen()?;
    let starting = tokio::task::spawn_blocking(move || serve::start(ready));
    if signals.come_before(|| starting.is_finished()).await {
        std::process::exit(0); // nothing was accepted yet
    }
    let failed = |error| Failure::failed(format!("can't start: {error}"));
    let mut serving = starting.await.map_err(failed)??;
    let server = http::serve(config.http.listen, metrics, serving.health())?;
    signals.come_before(|| false).await;
    tracing::info!("stopping: ending the requests under way");
    tokio::task::spawn_blocking(move || {
        serving.close();
        drop(serving);
    })
    .await
    .map_err(failed)?;
    drop(server);
    Ok(())
}
