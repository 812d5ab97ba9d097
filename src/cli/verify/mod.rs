//! `assent verify`: re-reads the topics of a cluster and reports what breaks an invariant.
//!
//! Read-only: joins no group, commits nothing, writes nothing but a file without a name.

mod cut;
mod evidence;
mod passes;
mod report;
mod spill;

use std::path::PathBuf;

use self::cut::{Counts, Cut};
use self::evidence::Evidence;
use self::passes::Passes;
pub use self::report::Outcome;
use super::{Globals, progress, when};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, load_rulebook, read_keyset};
use crate::failure::{Exit, Failure, Result};
use crate::kafka::admin::Admin;
use crate::kafka::scan::Ends;
use crate::kafka::topic_plan::{Role, topic_plans};
use assent_contract::domain::pseudonym::{KeyHistory, KeyRing, Keyset};
use assent_contract::domain::time::Timestamp;
use assent_verify::Rulebooks;

/// Re-read the topics and report every violated invariant; changes nothing
///
/// Checks inputs, audit, outputs and state against a separate model, for INV-1, 4, 5, 6, 7, 8, 9
/// and 13. Reads committed records only, joins no consumer group, and may run while Assent runs.
/// Needs the configuration, rulebook and keyset of the running instance. The last line is the
/// verdict. Exits with code 1 if there are violations.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  assent verify\n  assent verify --since 2026-11-22T00:00:00Z --json\n  assent verify --partitions 0,3"
)]
pub struct Args {
    /// Check audit, clicks and outcomes since this time only (RFC 3339 or epoch milliseconds);
    /// consent and live keys are always checked completely
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Check only these input partitions and the keys of their subjects
    #[arg(long, value_name = "N,N", value_delimiter = ',')]
    partitions: Vec<i32>,
    /// Directory for a temporary, unnamed file that holds pseudonyms between the two passes
    /// [default: the system's]
    #[arg(long, value_name = "FOLDER")]
    scratch: Option<PathBuf>,
}

pub fn execute(args: &Args, globals: &Globals) -> Result<()> {
    let since = args.since(SystemClock.now())?;
    let config = globals.load_config()?;
    report::print(args.verify(&config, since)?, globals.json)
}

/// The same for a report: all partitions, audit and clicks since this time.
pub fn since(config: &Config, since: Timestamp) -> Result<Outcome> {
    Args { since: None, partitions: Vec::new(), scratch: None }.verify(config, Some(since))
}

/// All that there are: the rulebooks' and the segment topics'. Sorted.
fn purposes(rulebooks: &Rulebooks, counts: &Counts) -> Vec<String> {
    let declared = rulebooks.all().flat_map(|rulebook| &rulebook.purposes);
    let ids = declared.map(|purpose| purpose.id.clone()).chain(counts.segments.keys().cloned());
    ids.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

/// Under other secrets every live key would look like nobody's.
fn check_secrets(config: &Config, keyset: &Keyset, evidence: &Evidence) -> Result<()> {
    let ring = KeyRing::new(keyset, &[]);
    for (version, known) in &evidence.key_fingerprints {
        let own = ring.fingerprints().get(version);
        let problem = match own {
            Some(own) if own != known => {
                "has a different secret than the one the decisions were made with"
            }
            None if !ring.has_version(*version) => "is missing, but decisions were made with it",
            _ => continue,
        };
        return Err(Failure::config(format!(
            "keyset {}: key version {version} {problem}; use the keyset of the running instance",
            config.keyset.display()
        )));
    }
    Ok(())
}

impl Args {
    fn verify(&self, config: &Config, since: Option<Timestamp>) -> Result<Outcome> {
        let file = load_rulebook(&config.rulebook)?;
        let keyset = read_keyset(&config.keyset)?;
        let declared: Vec<String> =
            file.rulebook.purposes.iter().map(|purpose| purpose.id.clone()).collect();
        let plans = topic_plans(config, &file.rulebook);
        let mut rulebooks = Rulebooks::default();
        rulebooks.add(file.rulebook);

        let ends = Ends::new(config)?;
        let read = plans.iter().filter(|plan| plan.role != Role::Aside);
        ends.demand(&read.map(|plan| plan.name.as_str()).collect::<Vec<_>>())?;
        let cluster = Admin::new(config)?.cluster()?;
        let counts = Counts::of(config, &cluster, &declared)?;
        let partitions = self.partitions(counts.inputs)?;
        let bar = progress::bar(0, "records");
        let evidence =
            Evidence::read(config, &ends, counts.inputs, &mut rulebooks, |n| bar.inc(n))?;
        check_secrets(config, &keyset, &evidence)?;
        let cut = Cut::take(config, &ends, &counts, &partitions, since)?;
        bar.set_length(evidence.records + cut.size());

        let purposes = purposes(&rulebooks, &counts);
        let keys = KeyHistory::new(&keyset, &purposes);
        let scratch = self.scratch.clone().unwrap_or_else(std::env::temp_dir);
        let passes = Passes {
            config,
            ends: &ends,
            counts: &counts,
            cut: &cut,
            evidence: &evidence,
            rulebooks: &rulebooks,
            purposes: &purposes,
            keys: &keys,
            bar: &bar,
            all: partitions.len() == counts.inputs as usize,
        };
        let outcome = passes.run(&scratch)?;
        bar.finish_and_clear();
        Ok(outcome)
    }

    fn since(&self, now: Timestamp) -> Result<Option<Timestamp>> {
        let usage = |why| Failure::new(Exit::Usage, format!("--since: {why}"));
        self.since.as_deref().map(|text| when::parse(text, now).map_err(usage)).transpose()
    }

    /// Those that were named, or all.
    fn partitions(&self, count: i32) -> Result<Vec<i32>> {
        let mut chosen = self.partitions.clone();
        if chosen.is_empty() {
            return Ok((0..count).collect());
        }
        chosen.sort_unstable();
        chosen.dedup();
        match chosen.iter().find(|partition| !(0..count).contains(*partition)) {
            None => Ok(chosen),
            Some(wrong) => Err(Failure::new(
                Exit::Usage,
                format!("--partitions: partition {wrong} does not exist; use 0 to {}", count - 1),
            )),
        }
    }
}
