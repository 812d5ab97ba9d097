//! `assent generate`: a made-up family shop's consent and clicks, into the input topics.

use std::time::Duration;

use serde_json::json;

use super::{Globals, declared_purposes, progress, stdout};
use crate::clock::{Clock, SystemClock};
use crate::failure::{Exit, Failure, Result};
use crate::kafka::inputs::InputWriter;
use crate::workload::{Spec, Workload};

/// Clicks where neither `--clicks` nor `--for` says how many.
const CLICKS_DEFAULT: u64 = 10_000;

/// A click is sent up to this long before it is due: to sleep for each would bound the rate.
const AHEAD_MAX: Duration = Duration::from_millis(1);

/// Write the consent and clicks of a fictional shop to Kafka
///
/// Writes one consent record for each subject (family-000000, family-000001, ...), then the clicks,
/// whose numbers per subject follow Zipf's law. The seed determines everything except times and
/// consent versions. Those follow the clock, so that the records of a second run supersede those of
/// the first.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent generate --subjects 1000 --rate 500 --for 1m")]
pub struct Args {
    /// Number of clicks [default: 10000, or unlimited with --for]
    #[arg(long, value_name = "N")]
    clicks: Option<u64>,
    /// Number of subjects
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    subjects: u64,
    /// Clicks per second; 0 means as fast as possible
    #[arg(long, value_name = "R", default_value_t = 0)]
    rate: u64,
    /// Seed of the random choices
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Stop after this time (30s, 5m, 1h)
    #[arg(long = "for", value_name = "DURATION")]
    duration: Option<String>,
    /// Share of decisions that are grants, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.8)]
    granted: f64,
    /// Share of subjects whose browser sends Sec-GPC, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.01)]
    gpc: f64,
    /// Share of the other subjects' clicks that carry Sec-GPC, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    gpc_clicks: f64,
    /// Changed decisions per second: a granted one is withdrawn, any other one is granted
    #[arg(long, value_name = "R", default_value_t = 0.0)]
    consent_changes: f64,
    /// Don't write consent records before the clicks (an earlier run with this seed did)
    #[arg(long)]
    no_first_records: bool,
}

/// How long to go on, and how fast.
struct Pace {
    clicks: u64,
    rate: u64,
    length: Option<Duration>,
    changes_per_second: f64,
}

#[derive(Default)]
struct Sent {
    records: u64,
    changes: u64,
    clicks: u64,
}

pub fn execute(args: &Args, globals: &Globals) -> Result<()> {
    let config = globals.load_config()?;
    let pace = args.pace()?;
    let spec = args.spec(declared_purposes(&config)?)?;
    let mut generator = Generator {
        writer: InputWriter::open(&config)?,
        workload: Workload::new(spec),
        sent: Sent::default(),
    };
    let started = SystemClock.instant();
    if !args.no_first_records {
        generator.send_first_records()?;
    }
    generator.send_clicks(&pace)?;
    print(&generator.sent, started.elapsed(), globals.json)
}

impl Args {
    fn pace(&self) -> Result<Pace> {
        let length = self.duration.as_deref().map(super::when::duration).transpose();
        let length = length.map_err(|why| usage("--for", &why))?;
        let unbounded = if length.is_some() { u64::MAX } else { CLICKS_DEFAULT };
        if !(self.consent_changes.is_finite() && self.consent_changes >= 0.0) {
            return Err(usage("--consent-changes", "must be a number of at least 0"));
        }
        Ok(Pace {
            clicks: self.clicks.unwrap_or(unbounded),
            rate: self.rate,
            length,
            changes_per_second: self.consent_changes,
        })
    }

    fn spec(&self, purposes: Vec<String>) -> Result<Spec> {
        let now = SystemClock.now();
        Ok(Spec {
            seed: self.seed,
            subjects: self.subjects,
            purposes,
            granted: per_mille("--granted", self.granted)?,
            gpc: per_mille("--gpc", self.gpc)?,
            gpc_clicks: per_mille("--gpc-clicks", self.gpc_clicks)?,
            first_version: now.0,
            starts_at: now,
        })
    }
}

fn per_mille(flag: &str, share: f64) -> Result<u64> {
    if (0.0..=1.0).contains(&share) {
        Ok((share * 1_000.0).round() as u64)
    } else {
        Err(usage(flag, "must be a number from 0 to 1"))
    }
}

fn usage(flag: &str, why: &str) -> Failure {
    Failure::new(Exit::Usage, format!("{flag}: {why}"))
}

struct Generator {
    writer: InputWriter,
    workload: Workload,
    sent: Sent,
}

impl Generator {
    /// All of it is acknowledged before the first click is sent.
    fn send_first_records(&mut self) -> Result<()> {
        let bar = progress::bar(self.workload.spec().subjects, "consent records");
        for record in self.workload.first_records() {
            self.writer.send_consent(&record)?;
            self.sent.records += 1;
            bar.inc(1);
        }
        bar.finish_and_clear();
        self.writer.flush()
    }

    fn send_clicks(&mut self, pace: &Pace) -> Result<()> {
        let bar = progress::bar(pace.expected_clicks(), "clicks");
        let started = SystemClock.instant();
        while self.sent.clicks < pace.clicks {
            pace.wait(self.sent.clicks, started);
            let elapsed = started.elapsed();
            if pace.length.is_some_and(|length| elapsed >= length) {
                break;
            }
            self.send_due_changes(pace.changes_due(elapsed))?;
            let click = self.workload.click(SystemClock.now());
            self.writer.send_click(&click)?;
            self.sent.clicks += 1;
            bar.inc(1);
        }
        bar.finish_and_clear();
        self.writer.flush()
    }

    fn send_due_changes(&mut self, due: u64) -> Result<()> {
        while self.sent.changes < due {
            let record = self.workload.change(SystemClock.now());
            self.writer.send_consent(&record)?;
            self.sent.changes += 1;
        }
        Ok(())
    }
}

impl Pace {
    fn expected_clicks(&self) -> u64 {
        let in_time = self.length.map_or(u64::MAX, |length| match self.rate {
            0 => u64::MAX,
            rate => (length.as_secs_f64() * rate as f64) as u64,
        });
        self.clicks.min(in_time)
    }

    /// Until the click of this number is due, give or take [`AHEAD_MAX`].
    fn wait(&self, number: u64, started: std::time::Instant) {
        if self.rate > 0 {
            let due = Duration::from_secs_f64(number as f64 / self.rate as f64);
            let ahead = due.saturating_sub(started.elapsed());
            if ahead > AHEAD_MAX {
                std::thread::sleep(ahead);
            }
        }
    }

    fn changes_due(&self, elapsed: Duration) -> u64 {
        (elapsed.as_secs_f64() * self.changes_per_second) as u64
    }
}

fn print(sent: &Sent, took: Duration, is_json: bool) -> Result<()> {
    let Sent { records, changes, clicks } = sent;
    let seconds = took.as_secs_f64();
    if is_json {
        return stdout::json(&json!({
            "consent": records, "consent_changes": changes, "clicks": clicks, "seconds": seconds,
        }));
    }
    stdout::line(&format!(
        "sent {records} consent records, then {clicks} clicks and {changes} changed decisions, in \
         {seconds:.1} s"
    ))
}
