//! `assent demo`: an embedded broker, a family shop, and the real pipeline between them.
//!
//! Only the broker is embedded: the pipeline is that of `run`, and the page asks the service of `serve`. Every
//! figure shown is measured.

mod embedded;
mod ledger;
mod live;
mod numbers;
mod page;
mod screen;
mod show;
mod story;
mod summary;
mod tally;
pub use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::clock::{Clock, SystemClock};
use crate::failure::{Failure, Result};
use crate::http::{self, Status};
use crate::pipeline::shared::Start;
use crate::pipeline::{self, Running};
use crate::serve::{self, Serving};
use crate::telemetry::metrics::Metrics;
use embedded::Embedded;
use live::Live;
use page::{Pages, Shop};
use screen::{Screen, print};
use show::{Health, Show};

/// What a person chose.
pub struct Options {
    pub length: Duration,
    /// Clicks a second.
    pub rate: u64,
    /// Go on after the summary, with `/metrics` up.
    pub keep_running: bool,
    /// Only the summary, as one object.
    pub is_json: bool,
    /// Without color, also on a terminal.
    pub is_plain: bool,
}

/// Runs until its time is over or `interrupted` is set, and ends with the summary.
pub fn run(options: &Options, interrupted: &AtomicBool) -> Result<()> {
    let started = SystemClock.instant();
    let (bound, secrets) = (page::bind()?, embedded::fresh_secrets()?);
    let embedded = Embedded::start(&bound.origins(), &secrets)?;
    let (metrics, status) = (Arc::new(Metrics::new()), status(&embedded));
    let listen = embedded.config.http.listen;
    let server = http::serve(listen, Arc::clone(&metrics), status.clone())?;
    let running = start(&embedded, &metrics, Arc::clone(&status))?;
    let ready = serve::prepare(&embedded.config, &metrics)?;
    let mut serving = serve::start(ready)?;
    let live = Arc::new(Live::new(started));
    let pages = bound.open(shop(secrets, &serving, &live))?;
    if !options.is_json {
        print(&welcome(&pages), interrupted)?;
    }

    let told = Arc::clone(&live);
    let screen = Screen::new(started, told, options.is_json, options.is_plain, interrupted);
    let counted = Arc::clone(&metrics);
    let health = Health { run: status, serve: &serving };
    let mut show = Show::new(&embedded, counted, health, live, interrupted, screen, options.rate)?;
    show.run(started + options.length, || running.is_finished())?;
    let seen = show.finish();

    if options.is_json {
        print(&summary::to_json(&seen, &metrics).to_string(), interrupted)?;
    } else {
        print(&summary::render(&seen, &metrics), interrupted)?;
    }
    if options.keep_running && !running.is_finished() {
        if !options.is_json {
            let address = server.address();
            print(&format!("\nmetrics      http://{address}/metrics until Ctrl-C"), interrupted)?;
        }
        wait(interrupted, &running);
    }
    drop(pages);
    serving.close();
    drop(serving);
    running.stop();
    running.wait()?;
    match seen.stories.came_back {
        0 => Ok(()),
        number => Err(Failure::failed(format!(
            "{number} times an assignment came back after an opt-out, which must not happen; \
             please report it with the output above"
        ))),
    }
}

fn shop(secrets: page::Secrets, serving: &Serving, live: &Arc<Live>) -> Shop {
    Shop::new(secrets, format!("http://{}", serving.address()), Arc::clone(live))
}

fn welcome(pages: &Pages) -> String {
    let address = pages.address();
    format!("the shop       http://{address}/\nthe live view  http://{address}/live\n")
}

fn status(embedded: &Embedded) -> Arc<Status> {
    let config = &embedded.config;
    Arc::new(Status::new(config.pipeline.workers, &config.consent, Arc::new(SystemClock)))
}

fn start(embedded: &Embedded, metrics: &Arc<Metrics>, status: Arc<Status>) -> Result<Running> {
    pipeline::start(Start {
        config: Arc::clone(&embedded.config),
        rulebook: Arc::clone(&embedded.rulebook),
        rulebook_yaml: Arc::clone(&embedded.rulebook_yaml),
        keys: Arc::clone(&embedded.keys),
        registry: None,
        metrics: Arc::clone(metrics),
        status,
        clock: Arc::new(SystemClock),
    })
}

/// An interruption of the show ends what would follow it, too.
fn wait(interrupted: &AtomicBool, running: &Running) {
    while !interrupted.load(Ordering::Relaxed) && !running.is_finished() {
        std::thread::sleep(Duration::from_millis(50));
    }
}
