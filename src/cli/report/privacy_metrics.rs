//! `assent report privacy-metrics`: the requests of a year, from the register and the audit.

use super::super::{Globals, progress};
use super::audit::each_batch_of_all;
use super::output::Output;
use super::period;
use super::records::{Held, each_record, find_partitions};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, load_rulebook};
use crate::failure::Result;
use crate::kafka::scan::Ends;
use assent_contract::rulebook::Rulebook;
use assent_contract::wire::decode_privacy_request;
use assent_report::period::Period;
use assent_report::privacy_metrics::{Counted, PrivacyMetrics, Register};

/// Report how many requests of consumers there were in a year, and how long answers took (11 CCR 7102)
///
/// Counts the register of requests, topic `privacy-requests`, which `assent serve` writes; and apart
/// from it what the audit says was applied, whichever way it came. Requests of which Assent knows
/// nothing are marked blanks.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent report privacy-metrics --year 2026 --html metrics.html")]
pub struct Args {
    /// Year in which requests were received (UTC)
    #[arg(long, value_name = "YYYY")]
    year: String,
    #[command(flatten)]
    output: Output,
}

pub fn execute(args: &Args, globals: &Globals) -> Result<()> {
    let year = period::year(&args.year)?;
    let config = globals.load_config()?;
    let rulebook = load_rulebook(&config.rulebook)?.rulebook;
    let ends = Ends::new(&config)?;
    let now = SystemClock.now();
    let mut notes = Vec::new();
    let register = register(&config, &ends, year, &mut notes)?;
    let (counted, held) = counted(&config, &ends, &rulebook, year)?;
    if held.damaged > 0 {
        notes.push(format!("{} records of the audit are damaged, and not counted.", held.damaged));
    }
    let reach = held.of(year, now);
    let report =
        PrivacyMetrics::of(args.year.clone(), register.as_ref(), &counted, reach, now, notes);
    args.output.print(&report, globals)
}

fn register(
    config: &Config,
    ends: &Ends<'_>,
    year: Period,
    notes: &mut Vec<String>,
) -> Result<Option<Register>> {
    let topic = &config.topics.privacy_requests;
    let mut register = Register::of(year);
    let Some(count) = find_partitions(config, topic)? else {
        notes.push(format!(
            "There is no topic {topic}, or this user may not see it: no request that it has is counted."
        ));
        return Ok(None);
    };
    let bar = progress::bar(0, "records of the register");
    let mut damaged = 0;
    for partition in 0..count {
        let low = ends.low(topic, partition)?;
        damaged += each_record(config, ends, (topic, partition), low, &bar, |record| {
            let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default());
            let read =
                record.value.as_deref().map(|value| decode_privacy_request(value, &record.known));
            let is_damaged = matches!(read, Some(Err(_)));
            register.see(&key, read.and_then(std::result::Result::ok).as_ref());
            !is_damaged
        })?;
    }
    bar.finish_and_clear();
    if damaged > 0 {
        notes.push(format!("{damaged} records of the register are damaged, and not counted."));
    }
    Ok(Some(register))
}

fn counted(
    config: &Config,
    ends: &Ends<'_>,
    rulebook: &Rulebook,
    year: Period,
) -> Result<(Counted, Held)> {
    let sold = rulebook.declared().filter(|purpose| purpose.sale_or_share);
    let mut counted = Counted::of(year, sold.map(|purpose| purpose.id.clone()).collect());
    let held = each_batch_of_all(config, ends, None, |_, batch| counted.see(batch))?;
    Ok((counted, held))
}
