//! What `audit explain` says of random histories, against the reference model: verdict, line and citation agree,
//! always; and what it reconstructs follows from what the topics still hold, or is said to be gone.
//!
//! Line and citation are read from docs/contract/gate.md, which the code's own table knows nothing of.

use std::collections::BTreeMap;
use std::sync::Arc;

use assent_contract::domain::audit::{AuditBatch, Change};
use assent_contract::domain::event::Click;
use assent_contract::domain::outcome::{InputKind, Verdict};
use assent_contract::domain::pseudonym::{KeyHistory, Keyset};
use assent_contract::domain::time::Timestamp;
use assent_contract::rulebook::Rulebook;
use assent_contract::wire::{ConsentReading, KnownSchemas};
use assent_inquiry::explain::{self, Explanation, Ground};
use assent_inquiry::follow::{Inputs, follow};
use assent_inquiry::row::Found;
use assent_inquiry::segments::{Known, named};
use assent_inquiry::story::Told;
use assent_verify::Record;
use proptest::prelude::*;

use crate::histories::{History, SUBJECTS, click_input};
use crate::model::{Entry, Model};
use crate::plans;
use crate::verified::{Logs, SECRET, config, lived, readers, taken};

/// The contract's table: by verdict, the line's number and its ground.
fn contract() -> BTreeMap<&'static str, (u8, String)> {
    let text = include_str!("../../../../docs/contract/gate.md");
    let mut table = BTreeMap::new();
    for row in text.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let Some(number) = cells.first().and_then(|cell| cell.parse::<u8>().ok()) else { continue };
        for verdict in Verdict::ALL {
            let is_named = |cell: &&str| {
                cell.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                    .any(|word| word == verdict.symbol())
            };
            if cells.get(2).is_some_and(is_named) {
                let ground = cells.get(3).map_or(String::new(), |it| (*it).to_owned());
                table.insert(verdict.symbol(), (number, ground));
            }
        }
    }
    assert_eq!(table.len(), Verdict::ALL.len(), "{table:?}");
    table
}

/// Every entry of the audit, and the tokens of everybody.
struct Audit {
    found: Vec<Found>,
    tokens: BTreeMap<[u8; 17], &'static str>,
    keys: KeyHistory,
}

impl Audit {
    fn of(history: &History, logs: &Logs) -> Self {
        let ids: Vec<String> = history.rulebook.purposes.iter().map(|it| it.id.clone()).collect();
        let keys = KeyHistory::new(&Keyset::first(SECRET), &ids);
        let mut found = Vec::new();
        for (record, batch) in logs.audit.iter().zip(logs.batches()) {
            let entries = batch.entries.clone();
            let head = Arc::new(AuditBatch { entries: Vec::new(), ..batch });
            for (place, entry) in (0..).zip(entries) {
                let (at, head) = (record.offset, Arc::clone(&head));
                found.push(Found { partition: 0, at, place, head, entry });
            }
        }
        let token = |subject: &&'static str| {
            (keys.audit_tokens(subject.as_bytes()).next().expect("a key"), *subject)
        };
        Self { found, tokens: SUBJECTS.iter().map(token).collect(), keys }
    }

    fn of_subject(&self, subject: &str) -> Vec<Found> {
        let is_of = |it: &&Found| {
            it.entry.subject.and_then(|token| self.tokens.get(&token)) == Some(&subject)
        };
        self.found.iter().filter(is_of).cloned().collect()
    }
}

/// What the logs still have of a subject, read by the real codecs.
struct Read {
    consent: Vec<(Record, ConsentReading)>,
    signals: BTreeMap<i64, Timestamp>,
    clicks_from: i64,
}

impl Read {
    fn of(history: &History, logs: &Logs, subject: &str) -> Self {
        let readers = readers(history);
        let own = |it: &&Record| it.key.as_deref() == Some(subject.as_bytes());
        let consent =
            logs.consent.iter().filter(own).map(|record| {
                (record.clone(), readers.read_consent(0, record, &KnownSchemas::none()))
            });
        let mut signals = BTreeMap::new();
        for record in logs.clicks.iter().filter(own) {
            if let Ok(click) = readers.clicks.read(&record.inbound(0))
                && click.opt_out_signal.is_some()
            {
                signals.insert(record.offset, click.occurred_at);
            }
        }
        let clicks_from = if logs.first_click == 0 { 0 } else { logs.first_click };
        Self { consent: consent.collect(), signals, clicks_from }
    }

    fn inputs(&self) -> Inputs<'_> {
        let mut consent = BTreeMap::new();
        for (record, reading) in &self.consent {
            let append_time = record.timestamp;
            let told = match reading {
                ConsentReading::Record(record) => Told::Record { record, append_time },
                ConsentReading::Erasure => Told::Erasure { append_time },
                _ => Told::Undecodable,
            };
            consent.insert(record.offset, told);
        }
        Inputs { consent, signals: self.signals.clone(), clicks_from: self.clicks_from }
    }
}

/// Of every entry in the order of the audit.
fn explained(history: &History, logs: &Logs) -> Vec<(Found, Explanation)> {
    let audit = Audit::of(history, logs);
    let read: BTreeMap<&str, (Vec<Found>, Read)> = SUBJECTS
        .iter()
        .map(|it| (*it, (audit.of_subject(it), Read::of(history, logs, it))))
        .collect();
    let rulebook = &history.rulebook;
    let rulebooks = |sha256: &[u8; 32]| (*sha256 == rulebook.sha256).then_some(rulebook);
    let readers = readers(history);
    let click_of = |offset: i64| {
        let record = logs.clicks.iter().find(|it| it.offset == offset)?;
        let click: Click<'_> = readers.clicks.read(&record.inbound(0)).ok()?;
        Some((click.subject_id.map(str::to_owned), click.occurred_at))
    };
    let begins_late = logs.batches().first().is_some_and(|it| it.sequence > 0);
    let explain = |found: &Found| {
        let click = found.entry.offset.filter(|_| found.entry.input == InputKind::Click);
        let click = click.and_then(click_of);
        let named = found.entry.subject.and_then(|token| audit.tokens.get(&token).copied());
        let clicked = click.as_ref().and_then(|it| it.0.as_deref());
        let subject = named.or_else(|| SUBJECTS.into_iter().find(|it| Some(*it) == clicked));
        let purposes = || rulebook.purposes.iter().map(|it| it.id.as_str());
        let story = subject.map(|subject| {
            let (entries, read) = &read[subject];
            let inputs = read.inputs();
            let mut story =
                follow(purposes(), entries, Some(found), &inputs, &rulebooks, !begins_late);
            // A click that moved nothing is not among the subject's entries.
            story.pass(found.head.decided_at);
            story
        });
        let is_nobodys = story.is_none() && click.as_ref().is_none_or(|it| it.0.is_some());
        let story = story.unwrap_or_else(|| assent_inquiry::story::Story::new(purposes(), false));
        let ground = Ground {
            story,
            rulebook: Some(rulebook),
            event_time: click.map(|it| it.1),
            is_nobodys,
            begins_late,
        };
        (found.clone(), explain::explain(found, &ground))
    };
    audit.found.iter().map(explain).collect()
}

/// By kind of input and offset: what the model says became of it.
fn expected(history: &History) -> BTreeMap<(&'static str, i64), Entry> {
    let mut model = Model::new(&history.rulebook, history.lease);
    model.signals_max = history.signals_max;
    let mut all = BTreeMap::new();
    for batch in &history.batches {
        let consent: Vec<_> = batch.consent.iter().map(|it| it.input()).collect();
        let clicks: Vec<_> = batch.clicks.iter().map(|it| click_input(it.0, it.1)).collect();
        for entry in model.step((batch.wall, batch.gate_open), &consent, &clicks) {
            if let Some(offset) = entry.offset {
                all.insert((entry.input.symbol(), offset), entry);
            }
        }
    }
    all
}

/// Verdict, line and citation are the model's and the contract's.
fn check_verdicts(history: &History, explained: &[(Found, Explanation)]) {
    let (contract, expected) = (contract(), expected(history));
    for (found, explanation) in explained {
        let Some(offset) = found.entry.offset else { continue };
        let entry = &expected[&(found.entry.input.symbol(), offset)];
        for (answer, verdict) in explanation.purposes.iter().zip(&entry.verdicts) {
            assert_eq!(answer.verdict, Some(*verdict), "{explanation:#?}");
            let (line, ground) = &contract[verdict.symbol()];
            assert_eq!((answer.line, answer.cite), (Some(*line), Some(ground.as_str())));
            assert_eq!(answer.allowed, verdict.allows());
        }
    }
}

/// Every signal is kept, so nothing that is asked rests on what only the state knows.
fn whole_signals(mut history: History) -> History {
    history.signals_max = usize::MAX;
    history
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn verdict_line_and_citation_are_the_models(history in plans::history()) {
        let explained = explained(&history, &lived(&history));
        check_verdicts(&history, &explained);
        prop_assert!(explained.iter().all(|it| it.1.follows), "{explained:#?}");
    }

    #[test]
    fn all_is_reconstructed_while_the_topics_hold_all(history in plans::history()) {
        let history = whole_signals(history);
        let explained = explained(&history, &lived(&history));
        for (found, it) in &explained {
            let is_told = it.not_reconstructed.is_empty()
                && it.purposes.iter().all(|it| it.reconstruction == "agrees");
            // What could not be read is nobody's, and has no verdict.
            let is_read = found.entry.subject.is_some() || !found.entry.verdicts.is_empty();
            prop_assert!(is_told || !is_read, "{it:#?}");
        }
    }

    #[test]
    fn what_compaction_and_retention_took_is_said_and_never_guessed(
        history in plans::history(),
        taken in taken(),
    ) {
        let mut logs = lived(&history);
        logs.age(&taken);
        let explained = explained(&history, &logs);
        check_verdicts(&history, &explained);
        for (_, it) in &explained {
            prop_assert!(it.follows, "{taken:?} {it:#?}");
            let unknown = it.purposes.iter().any(|it| it.reconstruction == "unknown");
            prop_assert!(!unknown || !it.not_reconstructed.is_empty(), "{it:#?}");
        }
    }

    #[test]
    fn another_verdict_than_what_follows_is_found(history in plans::history(), pick in 0..1000usize) {
        let history = whole_signals(history);
        let mut logs = lived(&history);
        let mut batches = logs.batches();
        let places: Vec<(usize, usize, usize)> = batches
            .iter()
            .enumerate()
            .flat_map(|(at, batch)| {
                let entries = batch.entries.iter().enumerate();
                entries.flat_map(move |(place, entry)| {
                    (0..entry.verdicts.len()).map(move |purpose| (at, place, purpose))
                })
            })
            .collect();
        prop_assume!(!places.is_empty());
        let (at, place, purpose) = places[pick % places.len()];
        let verdict = &mut batches[at].entries[place].verdicts[purpose];
        // A forged allowance; a forged OPT_OUT_SIGNAL only withholds, and only the state could tell.
        *verdict = if *verdict == Verdict::OptIn { Verdict::OptedOut } else { Verdict::OptIn };
        let mut body = Vec::new();
        batches[at].encode(&mut body);
        let value = assent_contract::wire::frame(assent_contract::wire::SchemaName::AuditBatch, &body);
        logs.audit[at].value = Some(value);
        let explained = explained(&history, &logs);
        prop_assert!(explained.iter().any(|it| !it.1.follows), "{at} {place} {purpose}");
    }

    #[test]
    fn the_segments_of_an_assignment_are_proved_by_its_hash(history in plans::history()) {
        let logs = lived(&history);
        let (audit, expected) = (Audit::of(&history, &logs), expected(&history));
        for found in &audit.found {
            let Some(subject) = found.entry.subject.and_then(|it| audit.tokens.get(&it)) else { continue };
            let entry = found.entry.offset.map(|at| &expected[&(found.entry.input.symbol(), at)]);
            for (place, effect) in found.entry.effects.iter().enumerate() {
                let Change::Assigned(hash) = &effect.change else { continue };
                let at = usize::from(effect.purpose);
                let pseudonym = audit.keys.pseudonym(1, at, subject.as_bytes()).expect("a key");
                let ends = ends(&history, &logs, subject, found.head.decided_at, at);
                let known = Known {
                    pseudonym: &pseudonym.text(),
                    purpose: &history.rulebook.purposes[at],
                    decided_at: found.head.decided_at,
                    rulebook: &history.rulebook.version,
                    ends: &ends,
                };
                let named = named(&known, hash);
                prop_assert!(named.is_some(), "{found:?}");
                if let (Some(entry), Some(named)) = (entry, named) {
                    let (_, change) = &entry.effects[place];
                    let assigned = change.as_ref().expect("an assignment");
                    prop_assert_eq!(&named.segments, &assigned.segments);
                    prop_assert_eq!((named.basis, named.expires_at), (assigned.basis, assigned.expires_at));
                }
            }
        }
    }
}

/// When an assignment may end: its lease, or any grant's end.
fn ends(
    history: &History,
    logs: &Logs,
    subject: &str,
    decided_at: Timestamp,
    purpose: usize,
) -> Vec<Timestamp> {
    let rulebook: &Rulebook = &history.rulebook;
    let id = &rulebook.purposes[purpose].id;
    let read = Read::of(history, logs, subject);
    let grants = read.consent.iter().filter_map(|(_, reading)| match reading {
        ConsentReading::Record(record) => record.decisions.get(id)?.expires_at,
        _ => None,
    });
    [decided_at + history.lease].into_iter().chain(grants).collect()
}
