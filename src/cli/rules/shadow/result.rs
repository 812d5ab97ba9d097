//! What a comparison of two rulebooks found, as JSON and for a person.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::super::when;
use super::comparison::{Comparison, Reasons, Row};
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::rulebook::Rulebook;

/// As `--json` prints it.
#[derive(Serialize)]
pub struct Shadow {
    /// Versions.
    running: String,
    new: String,
    /// How far back the clicks reach; `None`: to the first that there ever was.
    clicks_from: Option<Timestamp>,
    segments: Vec<Segment>,
    /// Why subjects enter and leave, of segments with such subjects.
    reasons: Vec<OfSegment>,
    /// Of subjects of whom there is consent.
    verdicts: Vec<OfVerdict>,
}

#[derive(Serialize)]
#[allow(clippy::struct_field_names)] // the names of the JSON
struct Segment {
    purpose: String,
    segment: String,
    /// `None`, as of all numbers here: it is under the purpose's minimum audience.
    now: Option<u64>,
    then: Option<u64>,
    settled: Option<u64>,
    enter: Option<u64>,
    leave: Option<u64>,
    /// Its conditions look further back than the clicks reach.
    partial_history: bool,
}

#[derive(Serialize)]
struct OfSegment {
    purpose: String,
    segment: String,
    enter: Reasons,
    leave: Reasons,
}

#[derive(Serialize)]
struct OfVerdict {
    purpose: String,
    verdict: &'static str,
    now: u64,
    settled: u64,
}

impl Shadow {
    /// `reaches_to`: of the partition whose clicks reach back least.
    pub fn of(
        comparison: Comparison,
        (running, new): (&Rulebook, &Rulebook),
        reaches_to: Option<Timestamp>,
        now: Timestamp,
    ) -> Self {
        let Comparison { rows, verdicts, .. } = comparison;
        let is_partial = |row: &Row| {
            row.looks_back > Span::default()
                && reaches_to.is_some_and(|at| at > now - row.looks_back)
        };
        let moved = rows.iter().filter(|row| !row.enter.is_empty() || !row.leave.is_empty());
        let reasons = moved.map(|row| OfSegment {
            purpose: row.purpose.clone(),
            segment: row.segment.clone(),
            enter: shown(&row.enter, (running, new), &row.purpose),
            leave: shown(&row.leave, (running, new), &row.purpose),
        });
        Self {
            running: running.version.clone(),
            new: new.version.clone(),
            clicks_from: reaches_to,
            reasons: reasons.collect(),
            segments: rows
                .iter()
                .map(|row| segment(row, (running, new), is_partial(row)))
                .collect(),
            verdicts: verdicts
                .into_iter()
                .map(|((purpose, verdict), [now, settled])| {
                    let verdict = verdict.symbol();
                    OfVerdict { purpose, verdict, now, settled }
                })
                .collect(),
        }
    }

    pub fn text(&self) -> String {
        let mut lines = vec![
            format!("rulebook {} (running) and {} (new)", self.running, self.new),
            match self.clicks_from {
                None => "clicks from the first one on".to_owned(),
                Some(at) => format!("clicks from {} on", when::text(at)),
            },
            String::new(),
        ];
        let head = ["purpose", "segment", "now", "then", "settled", "enter", "leave"];
        let rows = self.segments.iter().map(|it| {
            let Segment { purpose, segment, now, then, settled, enter, leave, .. } = it;
            let numbers = [now, then, settled, enter, leave]
                .map(|number| number.map_or_else(|| "-".to_owned(), |number| number.to_string()));
            [vec![purpose.clone(), segment.clone()], numbers.to_vec()].concat()
        });
        lines.extend(columns(&head, rows.collect(), 2));
        lines.push(String::new());
        for OfSegment { purpose, segment, enter, leave } in &self.reasons {
            let [enter, leave] = [("enter", enter), ("leave", leave)].map(|(what, reasons)| {
                (!reasons.is_empty()).then(|| format!("{what}: {}", listed(reasons)))
            });
            let both: Vec<String> = enter.into_iter().chain(leave).collect();
            lines.push(format!("{purpose} {segment}: {}", both.join("; ")));
        }
        let partial = self.segments.iter().filter(|it| it.partial_history);
        lines.extend(partial.map(|it| {
            format!(
                "{} {}: its conditions look further back than the clicks",
                it.purpose, it.segment
            )
        }));
        lines.push(String::new());
        let rows = self.verdicts.iter().map(|it| {
            vec![
                it.purpose.clone(),
                it.verdict.to_owned(),
                it.now.to_string(),
                it.settled.to_string(),
            ]
        });
        lines.extend(columns(&["purpose", "verdict", "now", "settled"], rows.collect(), 2));
        lines.join("\n").trim_end().to_owned()
    }
}

fn segment(row: &Row, rulebooks: (&Rulebook, &Rulebook), partial_history: bool) -> Segment {
    let sum = |reasons: &BTreeMap<&str, u64>| reasons.values().sum::<u64>();
    let may_show = |count| may_show(count, rulebooks, &row.purpose);
    let number = |count| Some(count).filter(|count| may_show(*count));
    Segment {
        purpose: row.purpose.clone(),
        segment: row.segment.clone(),
        now: number(row.now),
        then: number(row.then),
        settled: number(row.settled),
        enter: number(sum(&row.enter)),
        leave: number(sum(&row.leave)),
        partial_history,
    }
}

/// Is it no smaller than the minimum audience that either rulebook has for the purpose?
fn may_show(count: u64, (running, new): (&Rulebook, &Rulebook), purpose: &str) -> bool {
    [running, new].iter().all(|rulebook| {
        let declared = rulebook.purpose_index(purpose).map(|at| &rulebook.purposes[at]);
        declared.is_none_or(|purpose| purpose.shown(count).is_some())
    })
}

fn shown(reasons: &Reasons, rulebooks: (&Rulebook, &Rulebook), purpose: &str) -> Reasons {
    let shown = reasons.iter().filter(|(_, count)| may_show(**count, rulebooks, purpose));
    shown.map(|(why, count)| (*why, *count)).collect()
}

fn listed(reasons: &Reasons) -> String {
    let each = reasons.iter().map(|(why, count)| format!("{count} {why}"));
    each.collect::<Vec<_>>().join(", ")
}

/// Texts to the left, and from column `numbers` on to the right.
fn columns(head: &[&str], rows: Vec<Vec<String>>, numbers: usize) -> Vec<String> {
    let head = head.iter().map(|it| (*it).to_owned()).collect();
    let all: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let width = |at: usize| all.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..all[0].len()).map(width).collect();
    let cell = |at: usize, text: &String| {
        let width = widths[at];
        if at < numbers { format!("{text:<width$}") } else { format!("{text:>width$}") }
    };
    all.iter()
        .map(|row| {
            let cells: Vec<String> = row.iter().enumerate().map(|(at, it)| cell(at, it)).collect();
            cells.join("  ").trim_end().to_owned()
        })
        .collect()
}
