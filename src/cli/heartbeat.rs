//! `assent heartbeat`: shows that the way into the consent changelog works when nobody changes their
//! mind.
//!
//! Written as source `assent`, which vouches for nobody else: a source's own heartbeats are for the
//! source to write.

use std::time::Duration;

use serde_json::json;

use super::run::{Signals, runtime};
use super::{Globals, stdout, when};
use crate::clock::{Clock, SystemClock};
use crate::failure::{Exit, Failure, Result};
use crate::kafka::heartbeat::{Heartbeats, SOURCE};

/// The shortest `--every`: shorter ones would only fill the changelog.
const EVERY_MIN: Duration = Duration::from_secs(1);

/// Write a heartbeat to every partition of the consent changelog
///
/// A heartbeat is a null value with the key `__assent_heartbeat_<partition>` and the header
/// `source: assent`. It erases nobody. It does not replace the heartbeats of a CMP or a preference
/// center: each source writes its own and counts as silent when they stop.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent heartbeat\n  assent heartbeat --every 1m")]
pub struct Args {
    /// Repeat at this interval (30s, 1m) until interrupted; report failures and go on
    #[arg(long, value_name = "DURATION")]
    every: Option<String>,
}

pub fn execute(args: &Args, globals: &Globals) -> Result<()> {
    let every = args.every.as_deref().map(interval).transpose()?;
    let config = globals.load_config()?;
    let heartbeats = Heartbeats::open(&config)?;
    let beat = || {
        let partitions = heartbeats.beat()?;
        report(&config.topics.consent, partitions, globals.json)
    };
    match every {
        None => beat(),
        Some(every) => until_told(every, || {
            if let Err(failure) = beat() {
                tracing::warn!("no heartbeat was written: {failure}");
            }
        }),
    }
}

/// At once and then with this time between, until SIGTERM or SIGINT.
fn until_told(every: Duration, mut act: impl FnMut()) -> Result<()> {
    runtime()?.block_on(async {
        let mut signals = Signals::listen()?;
        loop {
            let next = SystemClock.instant() + every;
            act();
            if signals.come_before(|| SystemClock.instant() >= next).await {
                return Ok(());
            }
        }
    })
}

fn interval(text: &str) -> Result<Duration> {
    let refused = |why: String| Failure::new(Exit::Usage, format!("--every: {why}"));
    let every = when::duration(text).map_err(refused)?;
    if every < EVERY_MIN {
        return Err(refused(format!("{text} is too short; use at least 1s")));
    }
    Ok(every)
}

fn report(topic: &str, partitions: i32, is_json: bool) -> Result<()> {
    if is_json {
        let result = json!({"topic": topic, "source": SOURCE, "partitions": partitions});
        return stdout::json(&result);
    }
    stdout::line(&format!("{topic}: wrote {partitions} heartbeats, source {SOURCE}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_a_duration_of_a_second_or_more() {
        assert_eq!(interval("2s"), Ok(Duration::from_secs(2)));
        for wrong in ["", "1", "0s", "999ms", "-1s"] {
            let failure = interval(wrong).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage, "{wrong}");
            assert!(failure.message.starts_with("--every: "), "{}", failure.message);
        }
    }
}
