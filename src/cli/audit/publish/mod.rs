//! `assent audit publish`: follows the audit topic and writes the log to `audit.publish_dir`.
//!
//! Killed at any moment it leaves a log that goes on (`published::Log`). Memory: the entries of one step, at
//! most [`STEP_MAX`], and one head a chain.

mod feed;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use assent_evidence::publisher::{Batch, Publisher, Refusal, Taken};
use serde_json::json;

use self::feed::{Fed, Feed, Link};
use super::super::run::{Signals, runtime};
use super::super::{Globals, progress, stdout};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, read_signing_key};
use crate::failure::{Failure, Result};
use crate::kafka::scan::Ends;
use crate::published::Log;
use assent_contract::domain::audit::chain;
use assent_contract::domain::time::Timestamp;

/// Entries of one step: 8 MB of them, in 256 bundles and as many tiles.
const STEP_MAX: u64 = 65_536;

const PAUSE: Duration = Duration::from_millis(5);

/// Follow the audit and write it to audit.publish_dir as a signed log that outsiders can check
///
/// Writes a C2SP tlog-tiles log: one entry for each audit batch, and a signed checkpoint every
/// audit.publish_interval. Before it signs, it checks that the new tree extends the last one it
/// signed, and that each chain goes on from its last published batch. If not, it signs nothing and
/// exits with code 1. Runs until SIGTERM or SIGINT. If it was killed, the next run continues where
/// it stopped. Only one publisher may write to the directory. Needs audit.log_key (`assent keys new
/// --for audit-log`).
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent audit publish\n  assent audit publish --once")]
pub struct Args {
    /// Publish what the topic holds now, and exit
    #[arg(long)]
    once: bool,
}

pub fn execute(args: &Args, globals: &Globals) -> Result<()> {
    let config = globals.load_config()?;
    let Some(folder) = config.audit.publish_dir.clone() else {
        return Err(Failure::config(
            "audit.publish_dir is not set; set it to the directory that the log is written to",
        ));
    };
    let signer = read_signing_key(&config.audit)?;
    let is_json = globals.json;
    let publish = move |is_told: Option<&dyn Fn() -> bool>| {
        let ends = Ends::new(&config)?;
        let partitions = feed::partitions(&config)?;
        let log = Log::open(&folder, signer)?;
        let publisher = resume(&log, &config, partitions)?;
        let feed = Feed::open(&config, &ends, partitions, |chain| publisher.head(chain))?;
        let step = Step { log, publisher, waiting: Vec::new(), is_json };
        match is_told {
            None => step.until(feed, &config, || false),
            Some(is_told) => step.until(feed.for_ever()?, &config, is_told),
        }
    };
    if args.once { publish(None) } else { until_told(move |is_told| publish(Some(is_told))) }
}

/// Where the log is with each chain of the group.
fn resume(log: &Log, config: &Config, partitions: i32) -> Result<Publisher> {
    let name = |partition| chain::name(&config.kafka.group_id, partition);
    let chains: Vec<String> = (0..partitions).map(name).collect();
    let bar = progress::bar(log.bundles(), "bundles of the log");
    let publisher = log.resume(&chains, || bar.inc(1))?;
    bar.finish_and_clear();
    Ok(publisher)
}

/// On a thread of its own, until SIGTERM or SIGINT, which `act` is told.
fn until_told(act: impl FnOnce(&dyn Fn() -> bool) -> Result<()> + Send + 'static) -> Result<()> {
    runtime()?.block_on(async {
        let mut signals = Signals::listen()?;
        let told = Arc::new(AtomicBool::new(false));
        let is_told = Arc::clone(&told);
        let acting = tokio::task::spawn_blocking(move || act(&|| is_told.load(Ordering::Relaxed)));
        signals.come_before(|| acting.is_finished()).await;
        told.store(true, Ordering::Relaxed);
        let ended = acting.await;
        ended.map_err(|error| Failure::failed(format!("audit publish ended: {error}")))?
    })
}

/// What is collected for the next checkpoint.
struct Step {
    log: Log,
    publisher: Publisher,
    /// When each batch that was taken was written to the topic.
    waiting: Vec<Timestamp>,
    is_json: bool,
}

impl Step {
    /// Until the feed ends or somebody says so; what was taken by then is published.
    fn until(mut self, mut feed: Feed, config: &Config, is_told: impl Fn() -> bool) -> Result<()> {
        let interval = config.audit.publish_interval;
        let mut next = SystemClock.instant() + interval;
        loop {
            let came = feed.next()?;
            let has_ended = matches!(came, Fed::End) || is_told();
            match came {
                Fed::Link(link) => self.take(&link, &mut feed)?,
                Fed::Nothing => std::thread::sleep(PAUSE),
                Fed::End => {}
            }
            let is_due = SystemClock.instant() >= next || self.publisher.pending() >= STEP_MAX;
            if has_ended || is_due {
                self.publish()?;
                next = SystemClock.instant() + interval;
            }
            if has_ended {
                return Ok(());
            }
        }
    }

    fn take(&mut self, link: &Link, feed: &mut Feed) -> Result<()> {
        let batch = Batch {
            chain: &link.chain,
            sequence: link.sequence,
            previous: link.previous,
            sha256: link.sha256,
            decided_at: link.decided_at.0,
        };
        match self.publisher.take(&batch) {
            Ok(Taken::Appended) => self.waiting.push(link.written_at),
            Ok(Taken::Known) => {}
            // Where to begin was guessed from a time: what lies before is read, too.
            Err(Refusal::Gap { .. }) if feed.begin_earlier(link.partition)? => {}
            Err(refusal) => return Err(refused(&refusal, link, feed)),
        }
        Ok(())
    }

    fn publish(&mut self) -> Result<()> {
        let Some(added) = self.log.publish(&mut self.publisher)? else { return Ok(()) };
        let now = SystemClock.now();
        let mut waited: Vec<i64> =
            self.waiting.drain(..).map(|written| (now - written).0.max(0)).collect();
        waited.sort_unstable();
        let at = |part: usize| waited[(waited.len() * part / 100).min(waited.len() - 1)];
        let (p50, p99, max) = (at(50), at(99), at(100));
        let size = self.log.checkpoint().size;
        if self.is_json {
            let waited = json!({"p50": p50, "p99": p99, "max": max});
            return stdout::json(&json!({"size": size, "added": added, "waited_ms": waited}));
        }
        stdout::line(&format!(
            "signed a checkpoint of {size} entries, {added} of them new; the oldest waited {max} ms"
        ))
    }
}

/// One message: what does not go on, where, and what to do.
fn refused(refusal: &Refusal, link: &Link, feed: &Feed) -> Failure {
    let Link { partition, offset, .. } = link;
    Failure::failed(format!(
        "topic {}, partition {partition}, offset {offset}: {refusal}; nothing was signed. Find out \
         with `assent audit verify --from checkpoint` what happened to the topic; if the published log \
         can't be continued, publish a new one to another directory",
        feed.topic()
    ))
}
