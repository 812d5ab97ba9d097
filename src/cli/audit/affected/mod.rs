//! `assent audit affected`: after an incident, who was live although consent, as it should have been, withheld.

mod gather;
mod result;

use std::path::PathBuf;

use self::gather::{Corrections, Gatherer};
use super::super::Globals;
use super::question::{Options, report_damage, time, usage};
use crate::audit::rulebooks::Rulebooks;
use crate::failure::Result;
use crate::kafka::scan::Ends;
use assent_contract::domain::audit::access::AuditCommand;
use assent_inquiry::affected::Window;

/// After an incident, find who had live segments although a corrected consent would have withheld them
///
/// Compares the assignments in the audit with the consent as it should have been: each record is in
/// force from its recorded_at on, whenever it arrived; records of --corrected replace those with
/// the same subject and version. Without --corrected, looks at the records that arrived after their
/// recorded_at, as far as compaction left them. Names the readers that the rulebooks declare for each
/// purpose concerned: they may have read it. Records the question in the topic of audit access before
/// it shows the answer. Needs the keyset and the rulebooks of that time. Shows subjects by their
/// audit tokens.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent audit affected --from 2026-10-01T00:00:00Z --to \
    2026-11-10T00:00:00Z --source onetrust\n  assent audit affected --from 2026-10-01T00:00:00Z --to \
    2026-11-10T00:00:00Z --corrected corrected.jsonl --json")]
pub struct Args {
    /// Beginning of the time to look at (RFC 3339 or epoch milliseconds)
    #[arg(long, value_name = "TIME")]
    from: String,
    /// End of the time, exclusive
    #[arg(long, value_name = "TIME")]
    to: String,
    /// ConsentRecords as they should have been, one JSON object per line
    #[arg(long, value_name = "FILE.jsonl")]
    corrected: Option<PathBuf>,
    /// Consider only corrections by records of this source
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// A rulebook that was in use earlier, if it is not the configured one and the state can't be read;
    /// can be repeated
    #[arg(long, value_name = "FILE")]
    rulebook: Vec<PathBuf>,
    #[command(flatten)]
    options: Options,
}

pub fn execute(args: &Args, globals: &Globals) -> Result<()> {
    let config = globals.load_config()?;
    let (from, to) = (time("--from", Some(&args.from))?, time("--to", Some(&args.to))?);
    let lease = config.pipeline.lease;
    let window = match (from, to) {
        (Some(from), Some(to)) if from < to => Window { from, to, lease },
        _ => return Err(usage("--to: it must be later than --from".to_owned())),
    };
    let source = args.source.as_deref();
    let corrections = Corrections::read(args.corrected.as_deref(), source)?;
    let ends = Ends::new(&config)?;
    let index = args.options.open_index(&config, &ends)?;
    let mut gatherer = Gatherer {
        config: &config,
        ends: &ends,
        index: &index,
        rulebooks: Rulebooks::load(&config, &args.rulebook)?,
        window,
        source,
    };
    let found = gatherer.find(&corrections)?;
    let conditions = args.conditions(corrections.sha256.as_deref());
    let rows = Some(found.affected.len() as u64);
    args.options.record(&config, AuditCommand::Affected, None, conditions, rows)?;
    result::print(&found, &gatherer.rulebooks, window, globals.json)?;
    report_damage(&config, &index, None)
}

impl Args {
    /// A file is recorded by its hash: its name may be anything.
    fn conditions(&self, corrected: Option<&str>) -> String {
        let mut given = vec![format!("from={}", self.from), format!("to={}", self.to)];
        given.extend(corrected.map(|sha256| format!("corrected={sha256}")));
        given.extend(self.source.as_ref().map(|source| format!("source={source}")));
        given.join(" ")
    }
}
