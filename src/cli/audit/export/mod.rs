//! `assent audit export`: whole batches for somebody without access to Kafka, with what proves them
//! (docs/audit.md#export).
//!
//! Same inputs, same bytes: nothing of it depends on the clock, the machine, or the order of reading.

mod chains;
mod folder;
mod log;
mod readme;

use std::collections::BTreeMap;
use std::path::PathBuf;

use assent_evidence::export::manifest::{self, Manifest, Question};

use self::chains::{Chain, Written};
use self::folder::Folder;
use self::log::Log;
use super::super::{Globals, progress, stderr, stdout};
use super::question::{Options, Subject, report_damage, time, usage};
use crate::audit::index::Index;
use crate::audit::rulebooks::Rulebooks;
use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::kafka::admin::Admin;
use crate::kafka::scan::Ends;
use assent_contract::domain::audit::access::AuditCommand;
use assent_contract::domain::audit::{audiences, loss};
use assent_contract::domain::hex::hex;
use assent_contract::wire::SchemaName;
use assent_inquiry::filter::Filter;

/// Export batches of the audit with schemas, rulebooks and proofs, for somebody without access to Kafka
///
/// Exports each batch that has an entry of the subject, or each that was decided in the time. A
/// batch also holds entries of other subjects, by their tokens. With a published log (--log, else
/// audit.publish_dir) the export has the checkpoint and a proof for each batch; all of them must be
/// published. The same inputs give the same bytes. The question is recorded in the topic of audit
/// access first. Check the result with `assent audit verify --export DIR`, or as its README.md says.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent audit export --from 2026-11-01T00:00:00Z --to \
    2026-12-01T00:00:00Z --out ./export-2026-11\n  assent audit export --subject family-000042 --out ./family")]
pub struct Args {
    /// Export batches with entries of this subject
    #[arg(long, value_name = "ID", conflicts_with_all = ["from", "to"], required_unless_present = "from")]
    subject: Option<String>,
    /// Export batches decided at or after this time (RFC 3339 or epoch milliseconds)
    #[arg(long, value_name = "TIME", requires = "to")]
    from: Option<String>,
    /// Export batches decided before this time
    #[arg(long, value_name = "TIME", requires = "from")]
    to: Option<String>,
    /// Directory to write to; it must not exist, or be empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Directory of the published log [default: audit.publish_dir]
    #[arg(long, value_name = "DIR")]
    log: Option<PathBuf>,
    /// A rulebook that was in use earlier, if it is not the configured one and the state can't be read;
    /// can be repeated
    #[arg(long, value_name = "FILE")]
    rulebook: Vec<PathBuf>,
    #[command(flatten)]
    options: Options,
}

pub fn execute(args: &Args, globals: &Globals) -> Result<()> {
    let config = globals.load_config()?;
    let subject = args.subject.as_deref();
    let subject = subject.map(|id| Subject::named(&config, "--subject", id)).transpose()?;
    let filter = Filter {
        from: time("--from", args.from.as_ref())?,
        to: time("--to", args.to.as_ref())?,
        ..Filter::default()
    };
    let folder = Folder::new(&args.out)?;
    let log = Log::open(args.log.as_ref().or(config.audit.publish_dir.as_ref()))?;
    let ends = Ends::new(&config)?;
    let index = args.options.open_index(&config, &ends)?;
    let chains = chains(&index, subject.as_ref(), &filter)?;
    let proved = log.map(|log| log.locate(&chains)).transpose()?;
    let batches = chains.iter().map(|chain| chain.batches.len() as u64).sum();
    let conditions = args.conditions();
    let (of, rows) = (subject.as_ref(), Some(batches));
    args.options.record(&config, AuditCommand::Export, of, conditions, rows)?;

    let question = Question {
        subjects: subject.iter().flat_map(|it| &it.tokens).map(|token| hex(token)).collect(),
        from: filter.from.map(|at| at.0),
        to: filter.to.map(|at| at.0),
    };
    let bar = progress::bar(batches, "batches");
    let writer = chains::Writer { config: &config, folder: &folder, log: proved.as_ref() };
    let written = writer.write(&chains, &bar)?;
    bar.finish_and_clear();
    let lacking = rulebooks(args, &config, &ends, &chains, &folder)?;
    finish(&config, &folder, question, proved.as_ref(), &written)?;
    report(args, globals.json, &written, proved.is_some())?;
    for why in written.left_out.iter().chain(&lacking) {
        stderr::line(why);
    }
    report_damage(&config, &index, None)?;
    match written.left_out.len() + lacking.len() {
        0 => Ok(()),
        _ => Err(Failure::failed("the export lacks what is named above; everything else is in it")),
    }
}

impl Args {
    fn conditions(&self) -> String {
        let given = [("from", &self.from), ("to", &self.to)];
        let given = given.iter().filter_map(|(name, it)| Some(format!("{name}={}", it.as_ref()?)));
        given.collect::<Vec<_>>().join(" ")
    }
}

/// What is exported, chain by chain, in the order of the topic.
fn chains(index: &Index, subject: Option<&Subject>, filter: &Filter) -> Result<Vec<Chain>> {
    let mut chains: BTreeMap<(String, i32), Chain> = BTreeMap::new();
    let mut take = |partition: i32, at: i64, head: &std::sync::Arc<_>| {
        let head: &assent_contract::domain::audit::AuditBatch = head;
        let chain = chains.entry((head.chain.clone(), partition)).or_insert_with(|| Chain {
            name: head.chain.clone(),
            partition,
            batches: Vec::new(),
        });
        if chain.batches.last().is_none_or(|last| last.at < at) {
            chain.batches.push(chains::Batch {
                at,
                sequence: head.sequence,
                rulebook: head.rulebook_sha256,
                has_rulebook: loss::statement(&head.rulebook).is_none()
                    && !audiences::is_statement(&head.rulebook),
            });
        }
    };
    match subject {
        Some(subject) => {
            for found in index.of_subject(subject.tokens.iter().copied(), None)? {
                take(found.partition, found.at, &found.head);
            }
        }
        None => {
            for &partition in index.lows().keys() {
                index.each_batch(partition, index.window(partition, filter)?, |placed| {
                    take(partition, placed.at, &placed.head);
                    true
                })?;
            }
        }
    }
    if chains.is_empty() {
        return Err(usage(
            "there are no batches to export: nothing of this is in the audit".to_owned(),
        ));
    }
    Ok(chains.into_values().collect())
}

/// Writes each rulebook that decided; says which are not at hand.
fn rulebooks(
    args: &Args,
    config: &Config,
    ends: &Ends<'_>,
    chains: &[Chain],
    folder: &Folder,
) -> Result<Vec<String>> {
    let mut rulebooks = Rulebooks::load(config, &args.rulebook)?;
    let visible = Admin::new(config)?.cluster()?.topics;
    let mut wanted = BTreeMap::new();
    for chain in chains {
        for batch in chain.batches.iter().filter(|it| it.has_rulebook) {
            wanted.entry(batch.rulebook).or_insert(chain.partition);
        }
    }
    let mut lacking = Vec::new();
    for (sha256, partition) in wanted {
        if rulebooks.get(&sha256).is_none() && visible.contains_key(&config.topics.state) {
            rulebooks.read_state(config, ends, partition)?;
        }
        match rulebooks.get(&sha256) {
            Some(kept) => folder.put(&format!("rulebooks/{}.yaml", hex(&sha256)), &kept.yaml)?,
            None => lacking.push(format!(
                "rulebook {}: neither configured nor kept in the state, or this user may not read the \
                 state; give its file with --rulebook",
                hex(&sha256)
            )),
        }
    }
    Ok(lacking)
}

fn finish(
    config: &Config,
    folder: &Folder,
    question: Question,
    log: Option<&log::Located>,
    written: &Written,
) -> Result<()> {
    let schema = SchemaName::AuditBatch.json();
    folder.put("schemas/audit_batch.avsc", schema.as_bytes())?;
    if let Some(log) = log {
        folder.put("checkpoint", log.note())?;
    }
    folder.put("README.md", readme::text(&question, log).as_bytes())?;
    let manifest = Manifest {
        format: manifest::FORMAT.to_owned(),
        topic: config.topics.audit.clone(),
        question,
        log: log.map(|log| manifest::Log {
            origin: log.checkpoint.origin.clone(),
            size: log.checkpoint.size,
            checkpoint: "checkpoint".to_owned(),
        }),
        chains: written.chains.clone(),
        files: folder.files(),
    };
    let json = manifest.to_json();
    folder.put(manifest::FILE, json.as_bytes())?;
    folder.put(manifest::SUM_FILE, manifest::sum(json.as_bytes()).as_bytes())
}

fn report(args: &Args, is_json: bool, written: &Written, has_log: bool) -> Result<()> {
    let out = args.out.display().to_string();
    let (chains, batches) = (written.chains.len(), written.batches);
    if is_json {
        let proved = has_log;
        return stdout::json(&serde_json::json!({
            "out": out, "chains": chains, "batches": batches, "proved": proved,
        }));
    }
    let proofs = if has_log { "each with a proof" } else { "without proofs: no log is published" };
    stdout::line(&format!(
        "{out}: batches {batches}, chains {chains}, {proofs}; check it with `assent audit verify \
         --export {out}`"
    ))
}
