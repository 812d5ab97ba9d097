//! `assent consent show`: the last record of one subject, for the caller who named it.

use super::history::{Entry, History, Last};
use super::{stdout, when};
use crate::config::Config;
use crate::failure::{Failure, Result};
use assent_contract::domain::consent::{ConsentRecord, Guardian};
use assent_contract::domain::foreign_text::{shown, whole};
use assent_contract::domain::time::Timestamp;

pub fn run(subject: &str, config: &Config, is_json: bool) -> Result<()> {
    let history = History::read(config, subject)?;
    match history.last {
        None => absent(is_json, "this subject has no consent record"),
        Some(Entry { what: Last::Erasure, append_time, .. }) => {
            absent(is_json, &format!("the subject was erased at {}", when::text(append_time)))
        }
        Some(Entry { what: Last::Unreadable(why), .. }) => Err(Failure::failed(format!(
            "the subject's last record can't be read ({}), so everything is withheld; write a \
             complete record with `assent consent put`",
            shown(&why)
        ))),
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
            whole(&record.subject_id),
            record.version,
            when::text(record.recorded_at)
        ),
        format!("  age band {}, source {}", record.age_band.symbol(), shown(&record.source)),
    ];
    for (purpose, decision) in &record.decisions {
        let end = decision.expires_at.map(|end| format!(", until {}", when::text(end)));
        lines.push(format!(
            "  {}: {} since {}{}",
            shown(purpose),
            decision.status.symbol(),
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_in_a_record_moves_the_terminal() {
        let evil = "\u{1b}[2J\r\n\u{202e}";
        let record: ConsentRecord = serde_json::from_value(json!({
            "subject_id": format!("{}{evil}", "s".repeat(400)), "version": 1, "recorded_at": 0,
            "age_band": "FROM_18", "source": evil.repeat(1_000),
            "decisions": {evil: {"status": "GRANTED", "since": 0}},
        }))
        .unwrap();
        let text = render(&record);
        assert!(text.lines().all(|line| line.chars().all(|c| !c.is_control() && c != '\u{202e}')));
        assert_eq!(text.lines().count(), 3);
        assert!(text.contains(&"s".repeat(400)), "one's own id is whole");
        assert!(text.chars().count() < 1_000, "{text}");
    }
}
