//! `assent audit query`: which entries the audit has.
//!
//! Of a subject: from the index, whole before it is shown. Of everybody: from the topic, as it is read, in
//! constant memory.

use std::cell::Cell;

use super::super::{Globals, progress, stdout, when};
use super::question::{Options, Subject, input, report_damage, time, usage};
use crate::audit::batches;
use crate::audit::index::Index;
use crate::config::Config;
use crate::failure::Result;
use crate::kafka::scan::Ends;
use assent_contract::domain::audit::access::AuditCommand;
use assent_contract::domain::foreign_text::shown;
use assent_contract::domain::outcome::{Outcome, Verdict};
use assent_inquiry::filter::Filter;
use assent_inquiry::row::{Found, Row};

/// List audit entries by subject, time, verdict or input record
///
/// All conditions hold at once. The question is recorded in the topic of audit access before the
/// answer is shown. The first question builds a local index of the audit topic; later ones read
/// only what came since. Needs the keyset for --subject. Exits with code 1 if records of the audit
/// are damaged; the rest is shown all the same.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  assent audit query --subject family-000042 --reason REQ-1001\n  \
    assent audit query --verdict OPT_OUT_SIGNAL --from 2026-11-01T00:00:00Z --json"
)]
pub struct Args {
    /// Show only entries of this subject
    #[arg(long, value_name = "ID")]
    subject: Option<String>,
    /// Show only what was decided at or after this time (RFC 3339 or epoch milliseconds)
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Show only what was decided before this time
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Show only entries with a verdict for this purpose, or an effect on it
    #[arg(long)]
    purpose: Option<String>,
    /// Show only entries with this verdict, for example OPTED_OUT
    #[arg(long)]
    verdict: Option<String>,
    /// Show only entries with this outcome, for example TOO_LATE
    #[arg(long)]
    outcome: Option<String>,
    /// Show only what became of this input record
    #[arg(long, value_name = "TOPIC/PARTITION/OFFSET")]
    record: Option<String>,
    /// Show at most this many entries
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    #[command(flatten)]
    options: Options,
}

pub fn execute(args: &Args, globals: &Globals) -> Result<()> {
    let config = globals.load_config()?;
    let subject = args.subject.as_deref();
    let subject = subject.map(|id| Subject::named(&config, "--subject", id)).transpose()?;
    let filter = args.filter(&config, subject.as_ref())?;
    let ends = Ends::new(&config)?;
    let index = args.options.open_index(&config, &ends)?;
    let partition = match (&subject, filter.record) {
        (Some(subject), _) => Some(subject.partition(&config, index.lows().len())),
        (None, record) => record.map(|record| record.partition),
    };
    match &subject {
        Some(subject) => args.of_subject(&config, &index, subject, &filter, globals.json)?,
        None => args.of_everybody(&config, &ends, &index, &filter, globals.json)?,
    }
    report_damage(&config, &index, partition)
}

impl Args {
    fn filter(&self, config: &Config, subject: Option<&Subject>) -> Result<Filter> {
        let verdict = symbol("--verdict", self.verdict.as_deref(), Verdict::ALL, Verdict::symbol)?;
        let outcome = symbol("--outcome", self.outcome.as_deref(), Outcome::ALL, Outcome::symbol)?;
        let record = self.record.as_deref().map(|text| input(config, "--record", text));
        Ok(Filter {
            subject: subject.into_iter().flat_map(|it| it.tokens.iter().copied()).collect(),
            from: time("--from", self.from.as_ref())?,
            to: time("--to", self.to.as_ref())?,
            purpose: self.purpose.clone(),
            verdict,
            outcome,
            record: record.transpose()?,
        })
    }

    /// The conditions but the subject, as they are recorded.
    fn conditions(&self) -> String {
        let limit = self.limit.map(|limit| limit.to_string());
        let given = [
            ("from", &self.from),
            ("to", &self.to),
            ("purpose", &self.purpose),
            ("verdict", &self.verdict),
            ("outcome", &self.outcome),
            ("record", &self.record),
            ("limit", &limit),
        ];
        let given = given.iter().filter_map(|(name, it)| Some(format!("{name}={}", it.as_ref()?)));
        given.collect::<Vec<_>>().join(" ")
    }

    fn of_subject(
        &self,
        config: &Config,
        index: &Index,
        subject: &Subject,
        filter: &Filter,
        is_json: bool,
    ) -> Result<()> {
        // In every partition: their count may have been another once.
        let mut found = index.of_subject(subject.tokens.iter().copied(), None)?;
        found.retain(|found| filter.matches(found));
        found.truncate(self.limit.map_or(usize::MAX, |limit| limit as usize));
        let rows = Some(found.len() as u64);
        self.options.record(config, AuditCommand::Query, Some(subject), self.conditions(), rows)?;
        found.iter().try_for_each(|found| print(found, is_json))?;
        ended(found.len() as u64, is_json)
    }

    fn of_everybody(
        &self,
        config: &Config,
        ends: &Ends<'_>,
        index: &Index,
        filter: &Filter,
        is_json: bool,
    ) -> Result<()> {
        let mut ranges = Vec::new();
        match filter.record {
            Some(record) => {
                let at = index.covering(record)?.into_iter();
                ranges.extend(at.map(|at| (record.partition, at, at + 1)));
            }
            None => {
                for &partition in index.lows().keys() {
                    let (from, to) = index.window(partition, filter)?;
                    ranges.push((
                        partition,
                        from,
                        to.min(ends.committed(&config.topics.audit, partition)?),
                    ));
                }
            }
        }
        ranges.retain(|(_, from, to)| from < to);
        self.options.record(config, AuditCommand::Query, None, self.conditions(), None)?;
        let size = ranges.iter().map(|(_, from, to)| (to - from) as u64).sum();
        let bar = progress::bar(size, "records of the audit");
        let (shown, limit) = (Cell::new(0), self.limit.unwrap_or(u64::MAX));
        for (partition, from, to) in ranges {
            let each = |found: Found| {
                if shown.get() < limit && filter.matches(&found) {
                    shown.set(shown.get() + 1);
                    bar.suspend(|| print(&found, is_json))?;
                }
                Ok(shown.get() < limit)
            };
            batches::entries(config, partition, (from, to), &bar, each)?;
        }
        bar.finish_and_clear();
        ended(shown.get(), is_json)
    }
}

fn print(found: &Found, is_json: bool) -> Result<()> {
    let row = found.row();
    if is_json { stdout::json(&row) } else { stdout::line(&line(&row, found)) }
}

fn ended(shown: u64, is_json: bool) -> Result<()> {
    match shown {
        _ if is_json => Ok(()),
        0 => stdout::line("no entries match"),
        1 => stdout::line("1 entry"),
        shown => stdout::line(&format!("{shown} entries")),
    }
}

/// One entry for a person.
pub fn line(row: &Row, found: &Found) -> String {
    let at = when::text(found.head.decided_at);
    let input = match row.offset {
        Some(offset) => format!("{} {}/{offset}", row.input.symbol(), row.partition),
        None => format!("{} {}", row.input.symbol(), row.partition),
    };
    let verdicts = found.verdicts().map(|(id, it)| format!("{}={}", shown(id), it.symbol()));
    let effects = row.effects.iter().map(|effect| {
        let reason = effect.reason.as_deref().map(|it| format!(" ({})", shown(it)));
        format!("{} {}{}", effect.kind, shown(&effect.purpose), reason.unwrap_or_default())
    });
    let mut parts = vec![at, input, row.outcome.symbol().to_owned()];
    parts.extend(row.consent_version.map(|version| format!("version {version}")));
    parts.extend(verdicts);
    parts.extend(effects);
    parts.join("  ")
}

/// A word of the schema, in whatever case.
fn symbol<T: Copy>(
    option: &str,
    text: Option<&str>,
    all: &[T],
    symbol: fn(T) -> &'static str,
) -> Result<Option<T>> {
    let Some(text) = text else { return Ok(None) };
    let found = all.iter().copied().find(|it| symbol(*it).eq_ignore_ascii_case(text));
    found.map(Some).ok_or_else(|| {
        let known: Vec<&str> = all.iter().map(|it| symbol(*it)).collect();
        usage(format!("{option} {}: unknown; use one of {}", shown(text), known.join(", ")))
    })
}
