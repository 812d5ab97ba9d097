//! `assent rules shadow`: what a new rulebook would do to segments, before it is rolled out.
//!
//! The engine itself answers, on what the topics hold. Reads, joins no group, and writes nothing.

mod comparison;
mod replay;
mod result;

use std::path::PathBuf;
use std::sync::Arc;

use indicatif::ProgressBar;

use super::super::run::prepare;
use super::super::subject::unlike;
use super::super::{Globals, progress, stdout, when};
use super::{diff, read};
use crate::audit::state::restored;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::failure::Result;
use crate::kafka::admin::Admin;
use crate::kafka::scan::Ends;
use crate::pipeline::preflight::counts;
use crate::pipeline::shared::setup_of;
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::rulebook::Rulebook;
use assent_contract::rulebook::diff::{Admission, admission};
use assent_core::engine::Setup;
use comparison::Comparison;
use replay::Inputs;
use result::Shadow;

/// Show what a new rulebook would do to each segment, before it is rolled out
///
/// For each segment: `now`, how many are in it; `then`, how many a rollout leaves in it at once, when
/// new and changed conditions start without clicks; `settled`, how many the new rulebook puts in it
/// by all clicks that the topics still hold; and who enters and leaves from now to settled, and why.
/// Also the gate's verdicts under both, and the segments whose conditions look further back than the
/// topics do.
///
/// The engine that decides in `run` answers. Nothing is written, and no group is joined. Takes the
/// memory of one partition's subjects, twice for those that are in a segment. Needs the configuration,
/// rulebook and keyset of the running instance, and the grants of `check --print-acls --verifier`.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  assent rules shadow next.yaml\n  assent rules shadow next.yaml --since \
                  30d --json"
)]
pub struct Args {
    /// Rulebook that is to replace the configured one
    new: PathBuf,
    /// Count clicks that were written within this time [default: all that the topics hold]
    #[arg(long, value_name = "DURATION", value_parser = when::duration)]
    since: Option<std::time::Duration>,
}

pub fn run(args: &Args, globals: &Globals) -> Result<()> {
    let config = Arc::new(globals.load_config()?);
    let new = read(&args.new)?;
    let start = prepare(&config)?;
    if admission(&start.rulebook, &new) == Admission::SameVersion {
        return Err(diff::refusal(&args.new, &new.version));
    }
    let then = prepare(&Arc::new(Config { rulebook: args.new.clone(), ..(*config).clone() }))?;
    let cluster = Admin::new(&config)?.cluster()?;
    let counts = counts(&config, &start.rulebook, &cluster).ok_or_else(|| unlike(&config))?;
    let ends = Ends::new(&config)?;
    let bar = progress::bar(0, "records");
    let side = |start| {
        let setup = setup_of(start, &counts);
        let rulebook = Arc::new(without_minimum(&setup.rulebook));
        Arc::new(Setup { rulebook, ..setup })
    };
    let asked_at = SystemClock.now();
    let since = args.since.map(|it| asked_at - Span(it.as_millis() as i64));
    let sides =
        Sides { config: &config, ends: &ends, running: side(&start), new: side(&then), bar: &bar };
    let mut comparison = Comparison::of(&start.rulebook, &new);
    let mut reaches_to = None;
    for partition in 0..counts.inputs {
        reaches_to = reaches_to.max(sides.compare(partition, since, &mut comparison)?);
    }
    bar.finish_and_clear();
    let shadow = Shadow::of(comparison, (&start.rulebook, &new), reaches_to, asked_at);
    if globals.json { stdout::json(&shadow) } else { stdout::line(&shadow.text()) }
}

/// A minimum audience is held against totals, which one partition does not know: see [`result`].
fn without_minimum(rulebook: &Rulebook) -> Rulebook {
    let mut rulebook = rulebook.clone();
    for purpose in &mut rulebook.purposes {
        purpose.min_members = None;
    }
    rulebook
}

/// The same topics under two rulebooks.
struct Sides<'a> {
    config: &'a Arc<Config>,
    ends: &'a Ends<'a>,
    running: Arc<Setup>,
    new: Arc<Setup>,
    bar: &'a ProgressBar,
}

impl Sides<'_> {
    /// One partition, each of its states gone before the next. Returns how far back its clicks reach.
    fn compare(
        &self,
        partition: i32,
        since: Option<Timestamp>,
        comparison: &mut Comparison,
    ) -> Result<Option<Timestamp>> {
        let running = self.restored(&self.running, partition)?;
        comparison.now(&running, running.clock_at(SystemClock.now()));
        drop(running);
        let state = self.restored(&self.new, partition)?.swept(SystemClock.now());
        comparison.then(&state, state.latched());
        drop(state);
        let Self { config, ends, new, bar, .. } = self;
        let inputs = Inputs { config, ends, setup: new, since, bar };
        let replayed = inputs.replay(partition, SystemClock.now())?;
        comparison.settled(&replayed.partition, replayed.partition.latched());
        Ok(replayed.reaches_to)
    }

    fn restored(
        &self,
        setup: &Arc<Setup>,
        partition: i32,
    ) -> Result<assent_core::engine::Partition> {
        let topic = &self.config.topics.state;
        let held = self.ends.written(topic, partition)? - self.ends.low(topic, partition)?;
        self.bar.inc_length(held.max(0) as u64);
        restored(self.config, Arc::clone(setup), partition, || self.bar.inc(1))
    }
}
