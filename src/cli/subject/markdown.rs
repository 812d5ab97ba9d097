//! A report as Markdown, for the person it is about, or who answers them.

use super::super::when;
use super::report::{Consent, Counter, Purpose, Report};
use assent_contract::domain::consent::ConsentRecord;
use assent_contract::domain::foreign_text::shown;
use assent_contract::domain::gate::table::line_of;
use assent_contract::domain::time::Timestamp;
use assent_contract::rulebook::Rulebook;

pub fn text(report: &Report, rulebook: &Rulebook, now: Timestamp) -> Vec<String> {
    let mut lines = vec![
        "# What is held about one subject".to_owned(),
        String::new(),
        format!(
            "As of {}. In the audit the subject is `{}`.",
            when::text(now),
            report.subject_token
        ),
        String::new(),
        "## Consent".to_owned(),
        String::new(),
    ];
    lines.extend(consent(&report.consent));
    for each in &report.purposes {
        lines.extend(purpose(each, rulebook));
    }
    lines.extend([
        String::new(),
        "## Audit".to_owned(),
        String::new(),
        format!(
            "{} entries name the subject's token: what was decided, when, and why. They are kept as \
             evidence for as long as the topic keeps them (775 days), and hold no raw id.",
            report.audit_entries
        ),
    ]);
    lines
}

fn consent(consent: &Consent) -> Vec<String> {
    let mut lines = Vec::new();
    match &consent.record {
        Some(found) => lines.extend(record(found)),
        None if consent.erased_at.is_some() => lines.push("No record: it was erased.".to_owned()),
        None => lines.push("No record that can be read.".to_owned()),
    }
    if consent.unreadable {
        lines.push("- The consent is unreadable or contradictory, so nothing is used.".to_owned());
    }
    lines.extend(consent.signal_at.map(|at| {
        format!("- An opt-out preference signal binds from {} on (11 CCR 7025).", when::text(at))
    }));
    lines.extend(consent.erased_at.map(|at| {
        format!(
            "- Erased at {}. Only this is kept: that an erasure was applied, and when (11 CCR 7101).",
            when::text(at)
        )
    }));
    let until = consent.kept_until;
    lines.extend(
        until.map(|at| format!("- What is kept without a record ends at {}.", when::text(at))),
    );
    lines
}

fn record(record: &ConsentRecord) -> Vec<String> {
    let mut lines = vec![format!(
        "Record version {} of {}, from {}, age band {}. It says what may be done.",
        record.version,
        when::text(record.recorded_at),
        shown(&record.source),
        word(&record.age_band)
    )];
    lines.push(String::new());
    for (purpose, decision) in &record.decisions {
        let end = decision.expires_at.map(|end| format!(", until {}", when::text(end)));
        lines.push(format!(
            "- {}: {} since {}{}",
            shown(purpose),
            word(&decision.status),
            when::text(decision.since),
            end.unwrap_or_default()
        ));
    }
    lines.extend(
        record
            .guardian
            .as_ref()
            .map(|it| format!("- A guardian was verified at {}.", when::text(it.verified_at))),
    );
    lines
}

fn purpose(answer: &Purpose, rulebook: &Rulebook) -> Vec<String> {
    let of = rulebook.purpose_index(&answer.purpose).map(|at| &rulebook.purposes[at]);
    let title = of.map(|of| format!(": {}", shown(&of.title))).unwrap_or_default();
    let line = line_of(answer.verdict);
    let ground = if line.why.is_empty() { String::new() } else { format!(" ({})", line.why) };
    let mut lines = vec![
        String::new(),
        format!("## {}{title}", shown(&answer.purpose)),
        String::new(),
        format!(
            "{}: line {} of the gate, {}{ground}.",
            answer.verdict.symbol(),
            line.number,
            line.when
        ),
        String::new(),
    ];
    match (answer.segments.as_slice(), answer.expires_at, answer.basis) {
        ([], ..) | (_, None, _) => lines.push("- In no segment.".to_owned()),
        (segments, Some(end), basis) => {
            let basis = basis.map_or("", |it| it.symbol());
            let end = when::text(end);
            lines.push(format!("- As `{}`, on the basis {basis}, until {end}:", answer.pseudonym));
            let listed = of.into_iter().flat_map(assent_contract::rulebook::Purpose::listed);
            let listed = listed.filter(|it| segments.iter().any(|id| id == it.id));
            lines.extend(listed.map(|it| {
                let condition = it.condition().on_one_line();
                format!("  - {}: {}, because {condition}", it.id, shown(it.why))
            }));
        }
    }
    lines.extend(answer.counters.iter().map(counter));
    lines.extend(answer.measured.as_ref().map(|it| {
        let followed = if it.converted { "followed" } else { "has not followed" };
        let since = when::text(it.since);
        format!("- Kept to measure the purpose: a segment first held at {since}; what is counted {followed}.")
    }));
    lines
}

fn counter(counter: &Counter) -> String {
    let span = match (counter.kept.first(), counter.kept.last()) {
        (Some(first), Some(last)) => {
            format!(", from {} to {}", when::text(first.at), when::text(last.at))
        }
        _ => String::new(),
    };
    format!("- Counted for the rule `{}`: {} kept{span}", shown(&counter.rule), counter.kept.len())
}

/// The schema's symbol.
fn word(symbol: &impl serde::Serialize) -> String {
    serde_json::to_value(symbol)
        .ok()
        .and_then(|it| it.as_str().map(str::to_owned))
        .unwrap_or_default()
}
