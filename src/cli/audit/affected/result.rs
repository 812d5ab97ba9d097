//! Who was affected, for a person and for a program.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::super::super::{stdout, when};
use super::gather::Outcome;
use crate::failure::{Failure, Result};
use assent_contract::domain::foreign_text::shown;
use assent_contract::domain::hex::hex;
use assent_inquiry::affected::{Affected, Window};

/// Fails (1) where a rulebook is not at hand: then the answer may lack somebody.
pub fn print(outcome: &Outcome, window: Window, is_json: bool) -> Result<()> {
    let Window { from, to, .. } = window;
    if is_json {
        let counts: Vec<Value> = counts(&outcome.affected)
            .iter()
            .map(|(purpose, subjects)| json!({"purpose": purpose, "subjects": subjects}))
            .collect();
        stdout::json(&json!({
            "from": from, "to": to, "affected": outcome.affected, "counts": counts,
        }))?;
    } else {
        table(outcome, window)?;
    }
    if outcome.unknown_rulebooks.is_empty() {
        return Ok(());
    }
    let named: Vec<String> = outcome.unknown_rulebooks.iter().map(|it| hex(it)).collect();
    Err(Failure::failed(format!(
        "rulebook {}: neither configured nor kept in the state, or this user may not read the state, so \
         what was decided under it is left out; give its file with --rulebook",
        named.join(", ")
    )))
}

fn table(outcome: &Outcome, window: Window) -> Result<()> {
    for affected in &outcome.affected {
        stdout::line(&line(affected))?;
    }
    let mut bands: BTreeMap<(&str, String), BTreeSet<&str>> = BTreeMap::new();
    for affected in &outcome.affected {
        let band = affected.age_band.map_or_else(|| "no age band".to_owned(), |band| word(&band));
        bands.entry((&affected.purpose, band)).or_default().insert(&affected.subject);
    }
    for ((purpose, band), subjects) in bands {
        stdout::line(&format!("{}  {band}: {}", shown(purpose), people(subjects.len())))?;
    }
    let all: BTreeSet<&str> = outcome.affected.iter().map(|it| it.subject.as_str()).collect();
    stdout::line(&format!(
        "from {} to {}: {} affected, of {} whose consent was looked at",
        when::text(window.from),
        when::text(window.to),
        people(all.len()),
        outcome.looked_at
    ))
}

fn line(affected: &Affected) -> String {
    let (first, last) = (when::text(affected.first), when::text(affected.last));
    let purpose = shown(&affected.purpose);
    format!(
        "{}  {purpose}  {}  live from {first} to {last}",
        affected.subject,
        affected.verdict.symbol()
    )
}

/// Subjects by purpose.
fn counts(affected: &[Affected]) -> BTreeMap<&str, usize> {
    let mut subjects: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for each in affected {
        subjects.entry(&each.purpose).or_default().insert(&each.subject);
    }
    subjects.into_iter().map(|(purpose, subjects)| (purpose, subjects.len())).collect()
}

fn people(count: usize) -> String {
    match count {
        1 => "1 subject".to_owned(),
        count => format!("{count} subjects"),
    }
}

fn word(symbol: &impl serde::Serialize) -> String {
    serde_json::to_value(symbol)
        .ok()
        .and_then(|it| it.as_str().map(str::to_owned))
        .unwrap_or_default()
}
