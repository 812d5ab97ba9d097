//! Who was affected, for a person and for a program.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::super::super::{stdout, when};
use super::gather::Outcome;
use crate::audit::rulebooks::Rulebooks;
use crate::failure::{Failure, Result};
use assent_contract::domain::foreign_text::shown;
use assent_contract::domain::hex::hex;
use assent_contract::rulebook::Reader;
use assent_inquiry::affected::{Affected, Window};

/// The readers that the rulebooks declare for each affected purpose.
type ReadersOf<'a> = BTreeMap<&'a str, BTreeMap<&'a str, &'a Reader>>;

/// Fails (1) where a rulebook is not at hand: then the answer may lack somebody.
pub fn print(
    outcome: &Outcome,
    rulebooks: &Rulebooks,
    window: Window,
    is_json: bool,
) -> Result<()> {
    let readers = readers_of(&outcome.affected, rulebooks);
    if is_json {
        stdout::json(&as_json(outcome, &readers, window))?;
    } else {
        table(outcome, &readers, window)?;
    }
    if outcome.unknown_rulebooks.is_empty() {
        return Ok(());
    }
    let unknown: Vec<String> = outcome.unknown_rulebooks.iter().map(|it| hex(it)).collect();
    Err(Failure::failed(format!(
        "rulebook {}: neither configured nor kept in the state, or this user may not read the state, so \
         what was decided under it is left out; give its file with --rulebook",
        unknown.join(", ")
    )))
}

fn as_json(outcome: &Outcome, readers: &ReadersOf<'_>, window: Window) -> Value {
    let counts: Vec<Value> = counts(&outcome.affected)
        .iter()
        .map(|(purpose, subjects)| json!({"purpose": purpose, "subjects": subjects}))
        .collect();
    let readers: Vec<Value> = readers
        .iter()
        .flat_map(|(purpose, readers)| readers.values().map(|it| reader(purpose, it)))
        .collect();
    let Window { from, to, .. } = window;
    json!({
        "from": from, "to": to, "affected": outcome.affected, "counts": counts, "readers": readers,
    })
}

fn reader(purpose: &str, it: &Reader) -> Value {
    let kind = it.kind.label();
    json!({"purpose": purpose, "id": it.id, "kind": kind, "group_id": it.group_id})
}

fn readers_of<'a>(affected: &'a [Affected], rulebooks: &'a Rulebooks) -> ReadersOf<'a> {
    let mut readers = ReadersOf::new();
    for it in affected {
        readers.entry(&it.purpose).or_default();
    }
    for purpose in rulebooks.all().flat_map(|it| &it.purposes) {
        if let Some(of_purpose) = readers.get_mut(purpose.id.as_str()) {
            of_purpose.extend(purpose.readers.iter().map(|it| (it.id.as_str(), it)));
        }
    }
    readers
}

fn table(outcome: &Outcome, readers: &ReadersOf<'_>, window: Window) -> Result<()> {
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
    for (purpose, readers) in readers {
        stdout::line(&format!("{}  could be read by: {}", shown(purpose), named(readers)))?;
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

fn named(readers: &BTreeMap<&str, &Reader>) -> String {
    let name = |it: &&Reader| format!("{} ({}, group {})", it.id, it.kind.says(), it.group_id);
    let named: Vec<String> = readers.values().map(name).collect();
    if named.is_empty() {
        return "whoever may read its topic; the rulebook declares no readers".to_owned();
    }
    named.join(", ")
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
