//! The generator reaches what the engine is held against: every verdict, outcome and reason.
//!
//! A property test that never meets a case proves nothing of it, and nobody notices.

use std::collections::BTreeMap;

use assent_contract::domain::outcome::{Outcome, Verdict};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngSeed, TestRunner};

use crate::histories::{History, SUBJECTS, click_input};
use crate::model::{Assigned, Entry, Model};
use crate::plans;

const HISTORIES: usize = 800;

#[test]
fn random_histories_reach_every_verdict_outcome_and_reason() {
    let seed = Config { rng_seed: RngSeed::Fixed(1), ..Config::default() };
    let mut runner = TestRunner::new(seed);
    let mut met = BTreeMap::new();
    for _ in 0..HISTORIES {
        let history = plans::history().new_tree(&mut runner).expect("a history").current();
        count(&history, &mut met);
    }
    let outcomes =
        Outcome::ALL.iter().filter(|it| !matches!(it, Outcome::Forwarded | Outcome::Revised));
    let verdicts = Verdict::ALL.iter().map(|it| format!("verdict {}", it.label()));
    let withheld = Verdict::ALL.iter().filter(|it| !it.allows());
    let reasons = withheld
        .filter(|it| !matches!(it, Verdict::NoConsentRecord | Verdict::PurposeSuspended))
        .map(|it| it.label())
        .chain(["erasure", "segments_left"]);
    let kinds = ["first", "renewed", "other segments", "other basis"];
    let wanted = verdicts
        .chain(outcomes.map(|it| format!("outcome {}", it.label())))
        .chain(reasons.map(|it| format!("removed {it}")))
        .chain(kinds.map(|it| format!("assigned {it}")))
        .chain(
            [
                "click removes",
                "timer removes",
                "timer assigns",
                "superseded removes",
                "assigned ends earlier",
                "too_late removes",
                "dead_lettered removes",
                "bound later",
                "bound without a signal",
            ]
            .map(str::to_owned),
        );
    let missed: Vec<String> = wanted.filter(|it| !met.contains_key(it)).collect();
    assert!(missed.is_empty(), "never met: {missed:?}\nmet: {met:#?}");
}

type Live = BTreeMap<(String, usize), Assigned>;

fn count(history: &History, met: &mut BTreeMap<String, u32>) {
    let (mut model, mut live) = (Model::new(&history.rulebook, history.lease), Live::new());
    model.signals_max = history.signals_max;
    for batch in &history.batches {
        let consent: Vec<_> = batch.consent.iter().map(|it| it.input()).collect();
        let clicks: Vec<_> = batch.clicks.iter().map(|it| click_input(it.0, it.1)).collect();
        for entry in model.step((batch.wall, batch.gate_open), &consent, &clicks) {
            for name in names(&entry, &mut live) {
                *met.entry(name).or_default() += 1;
            }
        }
        for name in SUBJECTS.into_iter().filter_map(|subject| given_way(&model, subject)) {
            *met.entry(name.to_owned()).or_default() += 1;
        }
    }
}

/// Is a subject bound by signals that gave way, their own or others'?
fn given_way(model: &Model<'_>, subject: &str) -> Option<&'static str> {
    let (bound, own) = (model.consent_view(subject), model.view_with_all_signals(subject));
    assert!(bound.signal >= own.signal, "{subject}: a signal that gave way is forgotten");
    let has_record = bound.record.is_some();
    let is_late = bound.signal > own.signal && has_record;
    is_late.then(|| if own.signal.is_some() { "bound later" } else { "bound without a signal" })
}

/// What an entry reaches, by the names that the test asks for.
fn names(entry: &Entry, live: &mut Live) -> Vec<String> {
    let mut names = vec![format!("outcome {}", entry.outcome.label())];
    names.extend(entry.verdicts.iter().map(|verdict| format!("verdict {}", verdict.label())));
    let (input, outcome) = (entry.input.label(), entry.outcome.label());
    for (purpose, change) in &entry.effects {
        let key = (entry.subject.clone().expect("who has effects is named"), *purpose);
        match change {
            Ok(assigned) => {
                names.push(format!("{input} assigns"));
                let before = live.insert(key, assigned.clone());
                let ends_earlier =
                    before.as_ref().is_some_and(|it| it.expires_at > assigned.expires_at);
                names.extend(ends_earlier.then(|| "assigned ends earlier".to_owned()));
                names.push(format!("assigned {}", why(before.as_ref(), assigned)));
            }
            Err(reason) => {
                live.remove(&key);
                names.extend([format!("{input} removes"), format!("{outcome} removes")]);
                names.push(format!("removed {}", reason.label()));
            }
        }
    }
    names
}

fn why(before: Option<&Assigned>, assigned: &Assigned) -> &'static str {
    match before {
        None => "first",
        Some(before) if before.segments != assigned.segments => "other segments",
        Some(before) if before.basis != assigned.basis => "other basis",
        Some(_) => "renewed",
    }
}
