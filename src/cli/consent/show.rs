//! `assent consent show`: the last record of one subject, for the caller who named it.

use super::history::{Entry, History, Last};
use super::{stdout, when};
use crate::config::Config;
use crate::domain::consent::{AgeBand, ConsentRecord, ConsentStatus, Guardian};
use crate::domain::time::Timestamp;
use crate::failure::{Failure, Result};

pub fn run(subject: &str, config: &Config, is_json: bool) -> Result<()> {
    let history = History::read(config, subject)?;
    match history.last {
        None => absent(is_json, "there is no consent record of this subject"),
        Some(Entry { what: Last::Erasure, append_time, .. }) => {
            absent(is_json, &format!("the subject was erased at {}", when::text(append_time)))
        }
        Some(Entry { what: Last::Unreadable(why), .. }) => {
            Err(Failure::failed(format!("the subject's last record can't be read: {why}")))
        }
        Some(Entry { what: Last::Record(record), position, append_time }) => {
            if is_json {
                return stdout::json(&record);
            }
            let (partition, offset) = (position.partition, position.offset);
            stdout::line(&format!(
                "{}\n  appended at {}, partition {partition}, offset {offset}",
                render(&record),
                when::text(append_time)
            ))
        }
    }
}

fn absent(is_json: bool, message: &str) -> Result<()> {
    if is_json {
        stdout::line("null")?;
    }
    Err(Failure::failed(message))
}

fn render(record: &ConsentRecord) -> String {
    let mut lines = vec![
        format!(
            "{}: version {} of {}",
            record.subject_id,
            record.version,
            when::text(record.recorded_at)
        ),
        format!("  age band {}, source {}", symbol_of_band(record.age_band), record.source),
    ];
    for (purpose, decision) in &record.decisions {
        let end = decision.expires_at.map(|end| format!(", until {}", when::text(end)));
        lines.push(format!(
            "  {purpose}: {} since {}{}",
            symbol_of_status(decision.status),
            when::text(decision.since),
            end.unwrap_or_default()
        ));
    }
    lines.extend(record.guardian.as_ref().map(render_guardian));
    lines.extend(optional("double opt-in at", record.double_opt_in_at));
    lines.extend(optional("opt-out signal at", record.opt_out_signal_at));
    lines.join("\n")
}

fn render_guardian(guardian: &Guardian) -> String {
    let flag = |is_given: bool| if is_given { "yes" } else { "no" };
    format!(
        "  guardian verified at {}: coppa_consent {}, coppa_disclosure {}, ccpa_authorization {}",
        when::text(guardian.verified_at),
        flag(guardian.coppa_consent),
        flag(guardian.coppa_disclosure),
        flag(guardian.ccpa_authorization)
    )
}

fn optional(what: &str, time: Option<Timestamp>) -> Option<String> {
    time.map(|time| format!("  {what} {}", when::text(time)))
}

fn symbol_of_band(band: AgeBand) -> &'static str {
    match band {
        AgeBand::Unknown => "UNKNOWN",
        AgeBand::Under13 => "UNDER_13",
        AgeBand::From13To15 => "FROM_13_TO_15",
        AgeBand::From16To17 => "FROM_16_TO_17",
        AgeBand::From18 => "FROM_18",
    }
}

fn symbol_of_status(status: ConsentStatus) -> &'static str {
    match status {
        ConsentStatus::NotAsked => "NOT_ASKED",
        ConsentStatus::Granted => "GRANTED",
        ConsentStatus::Denied => "DENIED",
        ConsentStatus::Withdrawn => "WITHDRAWN",
    }
}
