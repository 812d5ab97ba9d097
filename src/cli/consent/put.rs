//! `assent consent put`: a whole consent record, from flags or from a file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::super::replay::{Kind, Line, LineParser};
use super::super::stderr;
use super::history::History;
use super::{check_subject, declared_purposes, when, write};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::failure::{Exit, Failure, Result};
use assent_contract::domain::consent::{AgeBand, ConsentRecord, ConsentStatus, Decision, Guardian};
use assent_contract::domain::foreign_text::shown;
use assent_contract::domain::ids::is_slug;
use assent_contract::domain::time::Timestamp;

/// Who says so: `ConsentRecord.source`.
pub const SOURCE: &str = "cli";

/// Write a complete consent record
///
/// A record is always complete: nothing is taken over from the last one. Times are `now`, RFC 3339
/// or epoch milliseconds.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent consent put family-000042 --age-band under-13 \\\n    \
    --purpose personalized-offers=granted --guardian-verified-at now --coppa-consent")]
#[allow(clippy::struct_excessive_bools)] // the three permissions of the law
pub struct Args {
    /// Id of the subject
    subject: String,
    /// A decision: granted, denied, withdrawn or not_asked (repeatable)
    #[arg(long = "purpose", value_name = "PURPOSE=STATUS", value_parser = parse_decision)]
    decisions: Vec<(String, ConsentStatus)>,
    /// Age band of the subject
    #[arg(long, value_enum, default_value_t = Band::Unknown)]
    age_band: Band,
    /// When a parent or guardian was verified; their permissions hold from then on
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    guardian_verified_at: Option<Timestamp>,
    /// The guardian allows collection and use (16 CFR 312.5(a)(1))
    #[arg(long, requires = "guardian_verified_at")]
    coppa_consent: bool,
    /// The guardian allows disclosure to third parties (16 CFR 312.5(a)(2))
    #[arg(long, requires = "guardian_verified_at")]
    coppa_disclosure: bool,
    /// The guardian allows sale or sharing (11 CCR 7070)
    #[arg(long, requires = "guardian_verified_at")]
    ccpa_authorization: bool,
    /// When the second step of an opt-in to sale or sharing was confirmed
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    double_opt_in_at: Option<Timestamp>,
    /// When the subject sent an opt-out preference signal
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    opt_out_signal_at: Option<Timestamp>,
    /// When the grants end
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    expires_at: Option<Timestamp>,
    /// When the decisions begin to hold [default: now]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<Timestamp>,
    /// Version of the record [default: one more than the last on the topic]
    #[arg(long)]
    version: Option<i64>,
    /// Read the complete record from this JSON file, version and subject_id included, instead of
    /// from options
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = [
            "decisions", "age_band", "guardian_verified_at", "double_opt_in_at",
            "opt_out_signal_at", "expires_at", "since", "version",
        ]
    )]
    json_file: Option<PathBuf>,
}

/// `ConsentRecord.age_band`, as a person types it.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Band {
    #[value(alias = "UNKNOWN")]
    Unknown,
    #[value(name = "under-13", aliases = ["under_13", "UNDER_13"])]
    Under13,
    #[value(name = "from-13-to-15", aliases = ["from_13_to_15", "FROM_13_TO_15"])]
    From13To15,
    #[value(name = "from-16-to-17", aliases = ["from_16_to_17", "FROM_16_TO_17"])]
    From16To17,
    #[value(name = "from-18", aliases = ["from_18", "FROM_18"])]
    From18,
}

pub fn run(args: &Args, config: &Config, is_json: bool) -> Result<()> {
    let subject = check_subject(&args.subject)?;
    args.refuse_a_purpose_twice()?;
    let record = match &args.json_file {
        Some(file) => from_file(file, subject)?,
        None => args.record(config, subject)?,
    };
    warn_of_unknown_purposes(&record, &declared_purposes(config)?);
    write(config, &record, is_json)
}

impl Args {
    /// Of two decisions nobody can tell which is meant.
    fn refuse_a_purpose_twice(&self) -> Result<()> {
        let mut named = BTreeSet::new();
        match self.decisions.iter().find(|(purpose, _)| !named.insert(purpose)) {
            None => Ok(()),
            Some((purpose, _)) => Err(Failure::new(
                Exit::Usage,
                format!("--purpose {purpose}: given twice; give one decision for it"),
            )),
        }
    }

    fn record(&self, config: &Config, subject: &str) -> Result<ConsentRecord> {
        let version = match self.version {
            Some(version) => version,
            None => History::read(config, subject)?.next_version()?,
        };
        let now = SystemClock.now();
        Ok(ConsentRecord {
            subject_id: subject.to_owned(),
            version,
            recorded_at: now,
            age_band: self.age_band.into(),
            decisions: self.decisions(now),
            guardian: self.guardian(),
            double_opt_in_at: self.double_opt_in_at,
            opt_out_signal_at: self.opt_out_signal_at,
            source: SOURCE.to_owned(),
            receipt_id: None,
        })
    }

    fn decisions(&self, now: Timestamp) -> BTreeMap<String, Decision> {
        let since = self.since.unwrap_or(now);
        let decision = |status| Decision {
            status,
            since,
            expires_at: self.expires_at.filter(|_| status == ConsentStatus::Granted),
            notice_version: None,
        };
        self.decisions
            .iter()
            .map(|(purpose, status)| (purpose.clone(), decision(*status)))
            .collect()
    }

    fn guardian(&self) -> Option<Guardian> {
        self.guardian_verified_at.map(|verified_at| Guardian {
            verified_at,
            method: None,
            coppa_consent: self.coppa_consent,
            coppa_disclosure: self.coppa_disclosure,
            ccpa_authorization: self.ccpa_authorization,
        })
    }
}

/// The file holds one record, over as many lines as it likes, of the subject that was named.
fn from_file(path: &Path, subject: &str) -> Result<ConsentRecord> {
    let refuse = |why: &str| Failure::new(Exit::Data, format!("{}: {why}", path.display()));
    let text = std::fs::read(path).map_err(|error| refuse(&format!("can't be read: {error}")))?;
    match LineParser::new(Some(Kind::Consent)).parse(&text) {
        Ok(Line::Consent(record)) if record.subject_id == subject => Ok(*record),
        Ok(_) => Err(refuse("its subject_id differs from SUBJECT on the command line")),
        Err(fault) => Err(refuse(&fault)),
    }
}

/// A purpose that the rulebook does not declare is allowed (it may be declared later), but most
/// often is a slip.
fn warn_of_unknown_purposes(record: &ConsentRecord, purposes: &[String]) {
    for purpose in record.decisions.keys().filter(|purpose| !purposes.contains(purpose)) {
        stderr::warning(&format!(
            "the rulebook does not declare the purpose {}; it declares {}",
            shown(purpose),
            purposes.join(", ")
        ));
    }
}

fn parse_decision(text: &str) -> std::result::Result<(String, ConsentStatus), String> {
    let (purpose, status) = text.split_once('=').ok_or("write PURPOSE=STATUS")?;
    if !is_slug(purpose) {
        return Err("a purpose id consists of lower-case letters, digits and hyphens".to_owned());
    }
    let status = match status.to_ascii_lowercase().replace('-', "_").as_str() {
        "granted" => ConsentStatus::Granted,
        "denied" => ConsentStatus::Denied,
        "withdrawn" => ConsentStatus::Withdrawn,
        "not_asked" => ConsentStatus::NotAsked,
        _ => return Err("unknown status; use granted, denied, withdrawn or not_asked".to_owned()),
    };
    Ok((purpose.to_owned(), status))
}

fn parse_time(text: &str) -> std::result::Result<Timestamp, String> {
    when::parse(text, SystemClock.now())
}

impl From<Band> for AgeBand {
    fn from(band: Band) -> Self {
        match band {
            Band::Unknown => Self::Unknown,
            Band::Under13 => Self::Under13,
            Band::From13To15 => Self::From13To15,
            Band::From16To17 => Self::From16To17,
            Band::From18 => Self::From18,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_names_purpose_and_status() {
        assert_eq!(parse_decision("a=granted"), Ok(("a".to_owned(), ConsentStatus::Granted)));
        assert_eq!(parse_decision("a=NOT-ASKED"), Ok(("a".to_owned(), ConsentStatus::NotAsked)));
        for wrong in ["a", "=granted", "A=granted", "a=yes", "a=granted=b"] {
            assert!(parse_decision(wrong).is_err(), "{wrong}");
        }
    }
}
