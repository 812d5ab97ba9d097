//! What was found, for a person and for a program.

use serde::Serialize;
use serde_json::json;

use super::super::super::stdout;
use crate::failure::{Failure, Result};
use assent_contract::domain::audit::Sha256Hash;
use assent_contract::domain::audit::verify::FaultKind;
use assent_contract::domain::hex::hex;

/// Faults that are listed; the others are counted.
const LISTED_MAX: usize = 10_000;

/// A chain, as far as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Chain {
    #[serde(rename = "chain")]
    pub name: String,
    pub first_sequence: i64,
    pub last_sequence: i64,
    /// Of all its batches.
    pub entries: u64,
    /// The hash of its last batch, in hex.
    pub head: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// `None`: it is in a file of the log or the export, of which nobody knows what it held.
    pub chain: Option<String>,
    /// The batch's; of a file of the log, the number of its first entry.
    pub sequence: Option<i64>,
    pub kind: &'static str,
    /// Where in the topic; `None`: nowhere there.
    pub offset: Option<i64>,
    pub detail: String,
}

/// All that was found.
#[derive(Default)]
pub struct Outcome {
    pub chains: Vec<Chain>,
    faults: Vec<Fault>,
    left_off: u64,
    pub batches: u64,
    /// What could not be looked at, and why.
    pub notes: Vec<String>,
}

impl Outcome {
    /// Of a chain's batch.
    pub fn fault(&mut self, chain: &str, sequence: i64, kind: FaultKind, place: Place<'_>) {
        let Place { offset, detail } = place;
        self.push(Fault {
            chain: Some(chain.to_owned()),
            sequence: Some(sequence),
            kind: kind.label(),
            offset,
            detail: detail.to_owned(),
        });
    }

    /// Of a file of a log or an export; `entry`: the number of the first entry in it.
    pub fn file_fault(&mut self, kind: FaultKind, entry: Option<i64>, detail: String) {
        let (chain, offset) = (None, None);
        self.push(Fault { chain, sequence: entry, kind: kind.label(), offset, detail });
    }

    fn push(&mut self, fault: Fault) {
        let is_same = |it: &Fault| {
            (&it.chain, it.sequence, it.kind) == (&fault.chain, fault.sequence, fault.kind)
        };
        if fault.chain.is_some() && self.faults.iter().any(is_same) {
            return;
        }
        if self.faults.len() < LISTED_MAX {
            self.faults.push(fault);
        } else {
            self.left_off += 1;
        }
    }

    /// Faults that nobody listed.
    pub fn leave_off(&mut self, count: u64) {
        self.left_off += count;
    }

    pub fn chain(&mut self, name: &str, sequences: (i64, i64), entries: u64, head: &Sha256Hash) {
        let (first_sequence, last_sequence) = sequences;
        let (name, head) = (name.to_owned(), hex(head));
        self.chains.push(Chain { name, first_sequence, last_sequence, entries, head });
    }
}

/// Where a fault shows itself, and in words what is wrong.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub offset: Option<i64>,
    pub detail: &'a str,
}

/// Prints it; fails (1) where there are faults.
pub fn print(outcome: Outcome, is_json: bool) -> Result<()> {
    let Outcome { mut chains, mut faults, left_off, batches, mut notes } = outcome;
    chains.sort_by(|a, b| a.name.cmp(&b.name));
    faults.sort_by(|a, b| (&a.chain, a.sequence, a.kind).cmp(&(&b.chain, b.sequence, b.kind)));
    let found = faults.len() as u64 + left_off;
    if left_off > 0 {
        notes.push(format!("{left_off} more faults were found and are not listed"));
    }
    if is_json {
        let ok = found == 0;
        stdout::json(&json!({"ok": ok, "chains": chains, "faults": faults, "notes": notes}))?;
    } else {
        for fault in &faults {
            stdout::line(&line(fault))?;
        }
        for Chain { name, first_sequence, last_sequence, entries, head } in &chains {
            stdout::line(&format!(
                "chain  {name}  sequences {first_sequence} to {last_sequence}  {entries} entries  \
                 head {head}"
            ))?;
        }
        for note in &notes {
            stdout::line(note)?;
        }
        stdout::line(&verdict(found, batches, chains.len()))?;
    }
    match found {
        0 => Ok(()),
        found => {
            Err(Failure::failed(format!("{}; docs/audit.md explains each kind", counted(found))))
        }
    }
}

fn line(fault: &Fault) -> String {
    let Fault { chain, sequence, kind, detail, .. } = fault;
    let chain = chain.as_deref().unwrap_or("log");
    let sequence = sequence.map(|sequence| format!("  {sequence}")).unwrap_or_default();
    format!("{kind}  {chain}{sequence}  {detail}")
}

/// The last line.
fn verdict(found: u64, batches: u64, chains: usize) -> String {
    match found {
        0 if batches == 0 => "nothing to verify: there are no batches".to_owned(),
        0 => format!("verdict  no faults found in {batches} batches of {chains} chains"),
        found => {
            format!("verdict  {} found in {batches} batches of {chains} chains", counted(found))
        }
    }
}

fn counted(found: u64) -> String {
    match found {
        1 => "1 fault".to_owned(),
        found => format!("{found} faults"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_fault_is_listed_once_and_many_are_counted() {
        let mut outcome = Outcome::default();
        let place = || Place { offset: None, detail: "why" };
        for _ in 0..2 {
            outcome.fault("a/0", 1, FaultKind::Altered, place());
        }
        outcome.fault("a/0", 1, FaultKind::Missing, place());
        assert_eq!(outcome.faults.len(), 2);
        for entry in 0..LISTED_MAX as i64 {
            outcome.file_fault(FaultKind::Altered, Some(entry), "file".to_owned());
        }
        assert_eq!((outcome.faults.len(), outcome.left_off), (LISTED_MAX, 2));
        assert!(print(outcome, true).unwrap_err().message.starts_with("10002 faults"));
    }

    #[test]
    fn the_last_line_is_the_verdict() {
        assert_eq!(verdict(0, 0, 0), "nothing to verify: there are no batches");
        assert_eq!(verdict(0, 7, 2), "verdict  no faults found in 7 batches of 2 chains");
        assert_eq!(verdict(1, 7, 2), "verdict  1 fault found in 7 batches of 2 chains");
    }
}
