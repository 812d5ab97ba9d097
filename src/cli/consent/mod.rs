//! `assent consent`: one subject's record in the changelog, written and read back; and what a platform has,
//! compared.
//!
//! The caller names the subject and gets it back on stdout; no log and no error does (INV-6).

mod history;
mod put;
mod reconcile;
mod show;

use serde_json::json;

use self::history::History;
use super::{Globals, declared_purposes, stdout, when};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::failure::{Exit, Failure, Result};
use crate::kafka::inputs::{erase as erase_record, put_consent};
use crate::kafka::write::Position;
use assent_contract::domain::consent::{ConsentRecord, ConsentStatus, Decision};
use assent_contract::domain::foreign_text::{shown, whole};
use assent_contract::domain::ids::is_valid_id;
use assent_contract::domain::time::Timestamp;

/// Write or read one subject's consent, or compare a consent platform's with it
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent consent show family-000042")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Put(Box<put::Args>),
    Withdraw(WithdrawArgs),
    Erase(EraseArgs),
    Show(ShowArgs),
    Reconcile(reconcile::Args),
}

/// Withdraw what was granted, from now on
///
/// Reads the subject's last record and writes it again with the grants withdrawn and the next
/// version.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  assent consent withdraw family-000042 --purpose partner-advertising"
)]
struct WithdrawArgs {
    /// Id of the subject
    subject: String,
    /// Purpose to withdraw (repeatable); `all` means every purpose of the record and of the
    /// rulebook
    #[arg(long = "purpose", value_name = "PURPOSE", default_value = "all")]
    purposes: Vec<String>,
}

/// Request the erasure of a subject: writes a null value
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent consent erase family-000042")]
struct EraseArgs {
    /// Id of the subject
    subject: String,
}

/// Show a subject's last record
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent consent show family-000042 --json")]
struct ShowArgs {
    /// Id of the subject
    subject: String,
}

pub fn execute(args: &Args, globals: &Globals) -> Result<()> {
    let config = &globals.load_config()?;
    match &args.command {
        Command::Put(args) => put::run(args, config, globals.json),
        Command::Withdraw(args) => withdraw(args, config, globals.json),
        Command::Erase(args) => erase(args, config, globals.json),
        Command::Show(args) => show::run(check_subject(&args.subject)?, config, globals.json),
        Command::Reconcile(args) => reconcile::run(args, config, globals.json),
    }
}

fn withdraw(args: &WithdrawArgs, config: &Config, is_json: bool) -> Result<()> {
    let subject = check_subject(&args.subject)?;
    let declared = declared_purposes(config)?;
    let history = History::read(config, subject)?;
    let mut record = history.last_record()?;
    let affected = affected_purposes(&args.purposes, &record, &declared)?;
    let version = history.next_version()?;
    withdraw_from(&mut record, &affected, version, SystemClock.now());
    write(config, &record, is_json)
}

/// What `--purpose` means. A purpose that neither the record nor the rulebook knows is a mistake
/// that would leave the meant one granted.
fn affected_purposes(
    named: &[String],
    record: &ConsentRecord,
    declared: &[String],
) -> Result<Vec<String>> {
    let mut known: Vec<String> = record.decisions.keys().chain(declared).cloned().collect();
    known.sort();
    known.dedup();
    if named.iter().any(|name| name == "all") {
        return Ok(known);
    }
    match named.iter().find(|name| !known.contains(name)) {
        None => Ok(named.to_vec()),
        Some(unknown) => Err(Failure::new(
            Exit::Usage,
            format!(
                "--purpose {unknown}: unknown purpose; the record and the rulebook have {}",
                shown(&known.join(", "))
            ),
        )),
    }
}

fn withdraw_from(record: &mut ConsentRecord, purposes: &[String], version: i64, now: Timestamp) {
    record.version = version;
    record.recorded_at = now;
    put::SOURCE.clone_into(&mut record.source);
    record.receipt_id = None;
    for purpose in purposes {
        record.decisions.insert(
            purpose.clone(),
            Decision {
                status: ConsentStatus::Withdrawn,
                since: now,
                expires_at: None,
                notice_version: None,
            },
        );
    }
}

fn erase(args: &EraseArgs, config: &Config, is_json: bool) -> Result<()> {
    let subject = check_subject(&args.subject)?;
    let position = erase_record(config, subject)?;
    print_written(subject, None, position, is_json)
}

/// Writes a whole record, waits until it is acknowledged, and says where it is.
fn write(config: &Config, record: &ConsentRecord, is_json: bool) -> Result<()> {
    let position = put_consent(config, record)?;
    print_written(&record.subject_id, Some(record.version), position, is_json)
}

fn print_written(
    subject: &str,
    version: Option<i64>,
    position: Position,
    is_json: bool,
) -> Result<()> {
    let Position { partition, offset } = position;
    if is_json {
        return stdout::json(&json!({
            "subject_id": subject, "version": version, "partition": partition, "offset": offset,
        }));
    }
    let what = version.map_or_else(|| "erasure".to_owned(), |version| format!("version {version}"));
    let subject = whole(subject);
    stdout::line(&format!("{subject}: {what} at partition {partition}, offset {offset}"))
}

fn check_subject(subject: &str) -> Result<&str> {
    if is_valid_id(subject) {
        return Ok(subject);
    }
    Err(Failure::new(
        Exit::Usage,
        "SUBJECT must have 1 to 512 bytes and must not begin with __assent_",
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn record() -> ConsentRecord {
        let granted = Decision {
            status: ConsentStatus::Granted,
            since: Timestamp(1),
            expires_at: Some(Timestamp(9)),
            notice_version: None,
        };
        let decisions =
            BTreeMap::from([("a".to_owned(), granted.clone()), ("b".to_owned(), granted)]);
        serde_json::from_value(json!({
            "subject_id": "s", "version": 4, "recorded_at": 1, "age_band": "FROM_18",
            "decisions": decisions,
        }))
        .unwrap()
    }

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn all_covers_the_record_and_the_rulebook() {
        let affected = affected_purposes(&owned(&["all"]), &record(), &owned(&["b", "c"]));
        assert_eq!(affected, Ok(owned(&["a", "b", "c"])));
    }

    #[test]
    fn an_unknown_purpose_is_a_mistake() {
        let failure = affected_purposes(&owned(&["x"]), &record(), &owned(&["c"])).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(
            failure.message.ends_with("the record and the rulebook have a, b, c"),
            "{}",
            failure.message
        );
    }

    #[test]
    fn a_withdrawal_keeps_what_it_does_not_name() {
        let mut withdrawn = record();
        withdraw_from(&mut withdrawn, &owned(&["b"]), 5, Timestamp(7));
        assert_eq!((withdrawn.version, withdrawn.recorded_at), (5, Timestamp(7)));
        assert!(withdrawn.decisions["a"] == record().decisions["a"]);
        let decision = &withdrawn.decisions["b"];
        assert_eq!((decision.status, decision.since), (ConsentStatus::Withdrawn, Timestamp(7)));
        assert_eq!(decision.expires_at, None);
    }
}
