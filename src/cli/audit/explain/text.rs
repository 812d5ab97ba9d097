//! An explanation in plain words.

use super::super::super::when;
use super::assignment::{Assignment, Segment, Written};
use assent_contract::domain::consent::{AgeBand, ConsentStatus};
use assent_contract::domain::foreign_text::shown;
use assent_contract::domain::time::Timestamp;
use assent_inquiry::explain::{Explanation, Known, KnownRecord, PurposeAnswer};
use serde::Serialize;

pub fn decision(explanation: &Explanation, assignments: &[Assignment]) -> Vec<String> {
    let input = word(&explanation.input);
    let offset = explanation.offset.map(|offset| format!(", offset {offset}")).unwrap_or_default();
    let mut lines = vec![
        format!(
            "{input} of partition {}{offset}: {} at {}",
            explanation.partition,
            word(&explanation.outcome),
            at(explanation.decided_at)
        ),
        format!(
            "  chain {}, sequence {}, rulebook {}",
            shown(&explanation.chain),
            explanation.sequence,
            shown(&explanation.rulebook)
        ),
    ];
    lines
        .extend(explanation.event_time.map(|time| format!("  the click occurred at {}", at(time))));
    lines.push("What was known:".to_owned());
    lines.extend(known(&explanation.known));
    for (answer, assignment) in explanation.purposes.iter().zip(assignments) {
        lines.extend(purpose(answer, assignment));
    }
    if !explanation.not_reconstructed.is_empty() {
        lines.push("What can't be reconstructed any more:".to_owned());
        lines.extend(explanation.not_reconstructed.iter().map(|gone| format!("  {gone}")));
    }
    if !explanation.follows {
        lines.push("The decision does not follow from what is known.".to_owned());
    }
    lines
}

pub fn now(
    known_now: &Known,
    answer: &PurposeAnswer,
    assignments: &[Assignment],
    gone: Option<&str>,
    now: Timestamp,
) -> Vec<String> {
    let mut lines = vec![format!("What is known at {}:", when::text(now))];
    lines.extend(known(known_now));
    for assignment in assignments {
        lines.extend(purpose(answer, assignment));
    }
    lines.extend(gone.map(|gone| format!("What can't be reconstructed any more:\n  {gone}")));
    lines
}

fn known(known: &Known) -> Vec<String> {
    let mut lines = match &known.record {
        Some(record) => record_lines(record),
        None => vec!["  no consent record".to_owned()],
    };
    if known.unreadable {
        lines.push("  the consent is unreadable, or two records contradict each other".to_owned());
    }
    lines.push(match known.signal_at {
        Some(time) => format!("  an opt-out signal binds from {} on", at(time)),
        None => "  no opt-out signal".to_owned(),
    });
    lines.extend(known.erased_at.map(|time| format!("  erased at {}", at(time))));
    lines
}

fn record_lines(record: &KnownRecord) -> Vec<String> {
    let band = word(&record.age_band);
    let mut lines = vec![format!("  consent record version {}, age band {band}", record.version)];
    if let Some(guardian) = &record.guardian {
        let flag = |is_given: bool| if is_given { "yes" } else { "no" };
        lines.push(format!(
            "  guardian verified at {}: coppa_consent {}, coppa_disclosure {}, ccpa_authorization {}",
            at(guardian.verified_at),
            flag(guardian.coppa_consent),
            flag(guardian.coppa_disclosure),
            flag(guardian.ccpa_authorization)
        ));
    }
    let is_child = matches!(record.age_band, AgeBand::Under13 | AgeBand::Unknown);
    if record.guardian.is_none() && is_child {
        lines.push("  no guardian".to_owned());
    }
    lines.extend(record.double_opt_in_at.map(|time| format!("  second step at {}", at(time))));
    lines
}

fn purpose(answer: &PurposeAnswer, assignment: &Assignment) -> Vec<String> {
    let id = shown(&answer.purpose);
    let (Some(verdict), Some(line)) = (answer.verdict, answer.line) else {
        return vec![format!("{id}: no verdict was recorded, and none can be reconstructed")];
    };
    let allows = if answer.allowed { "allowed" } else { "withheld" };
    let source = if answer.recorded { "" } else { ", reconstructed" };
    let mut lines = vec![
        format!("{id}: {} ({allows}{source})", verdict.symbol()),
        format!("  line {line} of the gate: {}", answer.rule.unwrap_or_default()),
    ];
    lines.extend(answer.cite.filter(|it| !it.is_empty()).map(|it| format!("  ground: {it}")));
    lines.push(match &answer.decision {
        None => "  no decision for this purpose is known".to_owned(),
        Some(decision) => {
            let end = decision.expires_at.map(|end| format!(", until {}", at(end)));
            let end = end.filter(|_| decision.status == ConsentStatus::Granted).unwrap_or_default();
            format!("  the decision: {} since {}{end}", word(&decision.status), at(decision.since))
        }
    });
    if answer.reconstruction == "contradicts" {
        lines.push("  this does not follow from what is known".to_owned());
    }
    lines.push(format!("  {}", written(&assignment.assignment)));
    lines.extend(assignment.segments.iter().map(segment));
    lines.extend(assignment.held_out.as_ref().map(|share| {
        format!("    the rulebook holds out {share} of the subjects: they are assigned nothing, whatever holds")
    }));
    lines
}

fn written(written: &Written) -> String {
    let Some(decided_at) = written.decided_at else {
        return "nothing was ever assigned".to_owned();
    };
    let by = if written.by_this_entry { "by this decision" } else { "before it" };
    let time = when::text(decided_at);
    match (written.kind, &written.segments, &written.reason) {
        ("removed", _, reason) => {
            let reason = shown(reason.as_deref().unwrap_or_default());
            format!("removed {by}, at {time}: {reason}")
        }
        (_, Some(segments), _) => {
            let end = written.expires_at.map(when::text).unwrap_or_default();
            format!("assigned {by}, at {time}, until {end}: {}", segments.join(", "))
        }
        _ => format!("assigned {by}, at {time}; its segments can't be told from its hash any more"),
    }
}

fn segment(segment: &Segment) -> String {
    let is_in = match segment.is_in {
        Some(true) => "in",
        Some(false) => "not in",
        None => "perhaps in",
    };
    format!(
        "    {is_in} {} ({}): {}. It serves: {}",
        segment.segment, segment.title, segment.condition, segment.why
    )
}

fn at(epoch_ms: i64) -> String {
    when::text(Timestamp(epoch_ms))
}

/// The schema's symbol.
fn word(symbol: &impl Serialize) -> String {
    serde_json::to_value(symbol)
        .ok()
        .and_then(|it| it.as_str().map(str::to_owned))
        .unwrap_or_default()
}
