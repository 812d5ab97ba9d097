//! How long anything is kept.

use super::document::{Document, Section, Text};
use super::holdout;
use crate::rulebook::{Rulebook, words};

/// What no rulebook sets. (what, how long, why)
const FIXED: &[(&str, &str, &str)] = &[
    (
        "the consent record of a subject, as Assent keeps it, and the time of their opt-out \
         preference signal",
        "until the next record, the next signal, or an erasure",
        "the gate needs it for every click, and whenever time may change its answer",
    ),
    (
        "an assignment (a live key with its segments)",
        "until it is withheld or has no segment left; at most as long as the grant; and at most \
         for its lease, 48 hours by default, unless it is decided again",
        "if Assent stops, the copies of readers expire by themselves",
    ),
    (
        "the counters of a subject",
        "until the gate withholds the purpose: they are removed in the same transaction, and a new \
         grant starts with empty counters",
        "an opt-out covers what was collected before it",
    ),
    (
        "the time of an opt-out preference signal of a subject without a consent record",
        "24 months. Beyond consent.signals_without_record_max, the oldest signals are dropped, and \
         only the time of the last dropped one is kept, also for 24 months: every subject that \
         first appears counts as opted out as of that time",
        "it binds before they decide anything (11 CCR 7025)",
    ),
    (
        "after an erasure",
        "everything is removed at once; the fact that it was applied, and when, is kept for 24 \
         months",
        "to record the request (11 CCR 7101), and so that nothing from before it is used",
    ),
    (
        "a tombstone",
        "at least 30 days",
        "so that every reader sees it; the value before it should be physically removed within 48 \
         hours",
    ),
    ("contextual segments", "24 hours", "the current page has no use after the visit"),
    (
        "the audit",
        "775 days (25 months)",
        "longer than the 24 months for which requests must be recorded (11 CCR 7101)",
    ),
    (
        "notes about inputs that could not be used (never their content)",
        "30 days",
        "to inform the producer",
    ),
];

pub(super) fn put(document: &mut Document, rulebook: &Rulebook) {
    document.section(Section::Retention);
    let purposes = rulebook.purposes.iter().map(|purpose| {
        vec![
            Text::from("clicks that count for ").and_code(purpose.id.as_str()),
            words::span(purpose.retention).into(),
            "set by the rulebook; a condition with a shorter window keeps them only for that \
             window"
                .into(),
        ]
    });
    let oldest = vec![
        Text::from("a click that arrives late"),
        format!("not used if older than {}", words::span(rulebook.longest_retention)).into(),
        "the longest retention of any purpose, or 24 hours if there is none; its opt-out \
         preference signal still binds"
            .into(),
    ];
    let fixed = FIXED.iter().map(|&(what, long, why)| vec![what.into(), long.into(), why.into()]);
    document.table(
        &["What", "How long", "Why"],
        purposes
            .chain(std::iter::once(oldest))
            .chain(holdout::kept(rulebook))
            .chain(fixed)
            .collect(),
    );
    document.paragraph(
        "The retention of topics is the one with which Assent creates them; assent check reports \
         where a cluster differs. The shop decides how long the clickstream and the consent \
         changelog are kept.",
    );
}
