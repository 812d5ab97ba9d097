//! `assent subject report`: everything held about one subject, or what is left after an erasure and until when.
//!
//! The caller names the subject and gets their consent record back; nothing that is recorded has the id (INV-6).

use std::sync::Arc;

use serde::Serialize;

use super::super::audit::question::{Options, Subject, report_damage};
use super::super::run::prepare;
use super::super::{Globals, progress, stdout};
use super::markdown;
use crate::audit::inputs::{ConsentAt, consent_of, readers};
use crate::audit::state::restored;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::kafka::admin::Admin;
use crate::kafka::scan::Ends;
use crate::pipeline::preflight::counts;
use crate::pipeline::shared::setup_of;
use assent_contract::domain::audit::access::AuditCommand;
use assent_contract::domain::consent::ConsentRecord;
use assent_contract::domain::hex::hex;
use assent_contract::domain::outcome::{Basis, Verdict};
use assent_contract::domain::pseudonym::KeyRing;
use assent_contract::domain::time::Timestamp;
use assent_contract::wire::ConsentReading;
use assent_core::engine::held::{Held, HeldCounter, HeldPurpose};

/// Report everything held about one subject, with the reason for each item
///
/// Reads the subject's record in the consent changelog and their part of the state, and counts
/// their entries in the audit. After an erasure it shows what is left, and until when. Prints
/// Markdown, or JSON with --json. The question is recorded in the topic of audit access before the
/// answer is shown. Needs the configuration, rulebook and keyset of the running instance, and the
/// right to read the state.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  assent subject report family-000042 --reason REQ-1001 > report.md"
)]
pub struct Args {
    /// Id of the subject
    #[arg(value_name = "ID")]
    subject: String,
    /// Print Markdown, which is the default
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    #[command(flatten)]
    options: Options,
}

/// As `--json` prints it.
#[derive(Serialize)]
pub struct Report {
    /// The audit token under the active key version, in hex.
    pub subject_token: String,
    pub consent: Consent,
    pub purposes: Vec<Purpose>,
    pub audit_entries: u64,
}

#[derive(Serialize)]
pub struct Consent {
    /// As it lies in the changelog; `None`: there is none, or it can't be read.
    pub record: Option<ConsentRecord>,
    pub unreadable: bool,
    pub signal_at: Option<Timestamp>,
    pub erased_at: Option<Timestamp>,
    /// When what is kept without a record ends: an erasure's residue, or a signal.
    pub kept_until: Option<Timestamp>,
}

#[derive(Serialize)]
#[allow(clippy::struct_field_names)] // the names of the JSON
pub struct Purpose {
    pub purpose: String,
    /// Under the key version that it was last written with, else the active one.
    pub pseudonym: String,
    pub verdict: Verdict,
    pub segments: Vec<String>,
    pub expires_at: Option<Timestamp>,
    pub counters: Vec<Counter>,
    /// What is kept to measure the purpose; `None`: nothing.
    pub measured: Option<Measured>,
    #[serde(skip)]
    pub basis: Option<Basis>,
}

#[derive(Serialize)]
pub struct Measured {
    /// When a segment first held.
    pub since: Timestamp,
    /// What the rulebook counts has followed.
    pub converted: bool,
}

#[derive(Serialize)]
pub struct Counter {
    /// The condition, as the rulebook writes it.
    pub rule: String,
    pub kept: Vec<Item>,
}

#[derive(Serialize)]
pub struct Item {
    pub at: Timestamp,
    /// Hash of a product, category or region, in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cents: Option<i128>,
}

pub fn execute(args: &Args, globals: &Globals) -> Result<()> {
    let config = Arc::new(globals.load_config()?);
    let start = prepare(&config)?;
    let subject = Subject::named(&config, "ID", &args.subject)?;
    let cluster = Admin::new(&config)?.cluster()?;
    let counts = counts(&config, &start.rulebook, &cluster).ok_or_else(|| unlike(&config))?;
    let ends = Ends::new(&config)?;
    let index = args.options.open_index(&config, &ends)?;
    let partition = subject.partition(&config, index.lows().len());
    let now = SystemClock.now();
    let state = restored(&config, Arc::new(setup_of(&start, &counts)), partition, || {})?;
    let held = state.held_of(subject.id.as_bytes(), now);
    let entries = index.of_subject(subject.tokens.iter().copied(), None)?.len() as u64;
    let record = changelog_record(&config, &ends, partition, index.lows().len(), &subject)?;
    let report = report(&subject, &held, record, entries);
    let conditions = String::new();
    let rows = Some(entries);
    args.options.record(&config, AuditCommand::SubjectReport, Some(&subject), conditions, rows)?;
    if globals.json {
        stdout::json(&report)?;
    } else {
        let lines = markdown::text(&report, &start.rulebook, now);
        lines.iter().try_for_each(|line| stdout::line(line))?;
    }
    report_damage(&config, &index, Some(partition))
}

/// The last record under the subject's key, as far as it can be read.
fn changelog_record(
    config: &Config,
    ends: &Ends<'_>,
    partition: i32,
    partitions: usize,
    subject: &Subject,
) -> Result<Option<ConsentRecord>> {
    let bar = progress::bar(0, "records of the changelog");
    let readers = readers(config, partitions);
    let is_own = |key: &[u8]| key == subject.id.as_bytes();
    let all = consent_of(config, ends, &readers, partition, &bar, is_own)?;
    bar.finish_and_clear();
    Ok(match all.into_iter().next_back() {
        Some(ConsentAt { reading: ConsentReading::Record(record), .. }) => Some(*record),
        _ => None,
    })
}

fn report(
    subject: &Subject,
    held: &Held,
    record: Option<ConsentRecord>,
    audit_entries: u64,
) -> Report {
    let ids: Vec<String> = held.purposes.iter().map(|it| it.purpose.clone()).collect();
    let ring = KeyRing::new(&subject.keyset, &ids);
    let purposes = held.purposes.iter().enumerate().map(|(at, it)| {
        let active = || ring.pseudonym(at, subject.id.as_bytes());
        purpose(it, it.pseudonym.unwrap_or_else(active).text())
    });
    let purposes = purposes.collect();
    let consent = &held.consent;
    Report {
        subject_token: hex(&subject.token),
        consent: Consent {
            record,
            unreadable: consent.is_unreadable(),
            signal_at: consent.signal_at,
            erased_at: consent.erased_at,
            kept_until: consent.retention_ends_at(),
        },
        purposes,
        audit_entries,
    }
}

fn purpose(held: &HeldPurpose, pseudonym: String) -> Purpose {
    let live = held.live.as_ref();
    Purpose {
        purpose: held.purpose.clone(),
        pseudonym,
        verdict: held.verdict,
        segments: live.map(|it| it.segments.clone()).unwrap_or_default(),
        expires_at: live.map(|it| it.expires_at),
        counters: held.counters.iter().map(counter).collect(),
        measured: held.trial.map(|it| Measured { since: it.since, converted: it.has_converted }),
        basis: live.map(|it| it.basis),
    }
}

fn counter(held: &HeldCounter) -> Counter {
    let item = |it: &assent_core::engine::window::HeldItem| Item {
        at: it.at,
        value: it.value.map(|hash| format!("{hash:016x}")),
        cents: it.cents,
    };
    Counter { rule: held.rule.clone(), kept: held.kept.iter().map(item).collect() }
}

/// The topics have not the shape that the running instance has.
pub fn unlike(config: &Config) -> Failure {
    Failure::config(format!(
        "topics {}, {} and {} are not all there with as many partitions as {}, or this user may not \
         describe them; use the configuration of the running instance",
        config.topics.consent, config.topics.state, config.topics.audit, config.topics.clickstream
    ))
}
