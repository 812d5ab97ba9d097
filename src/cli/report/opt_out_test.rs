//! `assent report opt-out-test`: the canary's rounds of a year as the audit has them, and a verification.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::super::{Globals, verify};
use super::audit::each_batch_of_all;
use super::output::Output;
use super::period;
use super::records::Held;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::failure::{Exit, Failure, Result};
use crate::kafka::scan::Ends;
use assent_contract::domain::audit::chain::body_hash;
use assent_contract::domain::hex::hex;
use assent_contract::domain::time::Timestamp;
use assent_report::opt_out_test::{History, OptOutTest, Verification, VerifiedBy};
use assent_report::period::Period;

/// The output of `assent verify --json`, with at most 10,000 violations listed, is smaller.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Report which opt-outs were tested in a year, how long they took and what failed
///
/// A test is one round of the canary, as the audit has it: opt in, click, opt out. The report also
/// says what `assent verify` finds in the topics: it runs it, which reads them completely and needs
/// the keyset and the grants of a verifier, or takes what it found from a file. Exits with
/// code 1 if the verification found violations.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent report opt-out-test --year 2026 --html tests.html\n  \
    assent report opt-out-test --year 2026 --verify verify.json")]
pub struct Args {
    /// Year of the tests (UTC)
    #[arg(long, value_name = "YYYY")]
    year: String,
    /// Output of `assent verify --json`, instead of running it
    #[arg(long, value_name = "FILE")]
    verify: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

pub fn execute(args: &Args, globals: &Globals) -> Result<()> {
    let year = period::year(&args.year)?;
    let config = globals.load_config()?;
    let given = args.verify.as_deref().map(read).transpose()?;
    let now = SystemClock.now();
    let (history, held) = history(&config, year)?;
    let verification = match given {
        Some(given) => given,
        None => run(&config, now, held.of(year, now).from)?,
    };
    let ok = verification.ok;
    let reach = held.of(year, now);
    let report = OptOutTest::of(args.year.clone(), reach, history, held.damaged, verification);
    args.output.print(&report, globals)?;
    if ok {
        Ok(())
    } else {
        Err(Failure::failed("the verification found violations; the report counts them"))
    }
}

fn history(config: &Config, year: Period) -> Result<(History, Held)> {
    let ends = Ends::new(config)?;
    let mut history = History::of(year);
    let see = |partition, batch: &_| history.see(partition, batch);
    let held = each_batch_of_all(config, &ends, Some(year.from), see)?;
    Ok((history, held))
}

fn run(config: &Config, now: Timestamp, since: Timestamp) -> Result<Verification> {
    let outcome = verify::since(config, since)?;
    let mut verification = Verification {
        source: VerifiedBy::ThisReport { at: now, since },
        ok: outcome.findings.is_clean(),
        records: outcome.checked.values().sum(),
        violations: std::collections::BTreeMap::new(),
        notes: outcome.findings.notes(),
    };
    for violation in outcome.findings.violations() {
        *verification.violations.entry(violation.invariant.clone()).or_default() += 1;
    }
    Ok(verification)
}

/// As `assent verify --json` prints it.
#[derive(Deserialize)]
struct Verified {
    ok: bool,
    checked: std::collections::BTreeMap<String, u64>,
    violations: Vec<Violated>,
    #[serde(default)]
    notes: Vec<String>,
}

#[derive(Deserialize)]
struct Violated {
    invariant: String,
}

fn read(path: &Path) -> Result<Verification> {
    let fault = |why: String| {
        let message = format!(
            "--verify {}: {why}; give the output of `assent verify --json`",
            path.display()
        );
        Failure::new(Exit::Data, message)
    };
    let size =
        std::fs::metadata(path).map_err(|error| fault(format!("can't be read: {error}")))?.len();
    if size > FILE_BYTES_MAX {
        return Err(fault(format!("it has {size} bytes, which is too large")));
    }
    let text = std::fs::read(path).map_err(|error| fault(format!("can't be read: {error}")))?;
    let Verified { ok, checked, violations, notes } = serde_json::from_slice(&text)
        .map_err(|error| fault(format!("it is not the JSON of a verification: {error}")))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut counts = std::collections::BTreeMap::new();
    for violation in &violations {
        *counts.entry(violation.invariant.clone()).or_default() += 1;
    }
    Ok(Verification {
        source: VerifiedBy::File { file: name, sha256: hex(&body_hash(&text)) },
        ok: ok && violations.is_empty(),
        records: checked.values().sum(),
        violations: counts,
        notes,
    })
}
