//! How long anything is kept.

use super::document::{Document, Section, Text};
use crate::domain::rules::{Rulebook, words};

/// What no rulebook sets. (what, how long, why)
const FIXED: &[(&str, &str, &str)] = &[
    (
        "a subject's consent record, as Assent keeps it, and the time of their opt-out preference signal",
        "until a newer one (the signal: until the next) or an erasure",
        "the gate asks it of every click, and whenever time may change its answer",
    ),
    (
        "an assignment (a live key with its segments)",
        "until it is withheld or left; no longer than its lease, 48 hours unless configured \
         otherwise, without having been decided again, and no longer than the grant",
        "if Assent stops, what readers hold ends by itself",
    ),
    (
        "what is counted of a subject",
        "until the gate withholds the purpose: it is removed in the same transaction, and a new \
         grant starts from nothing",
        "an opt-out takes back what was gathered",
    ),
    (
        "the time of an opt-out preference signal of a subject without consent record",
        "24 months; of more subjects than consent.signals_without_record_max allows, the oldest become \
         one time, as of which whoever first appears counts as opted out, for 24 months, too",
        "it binds before they decide anything (11 CCR 7025)",
    ),
    (
        "after an erasure",
        "everything goes at once, but for 24 months that it was applied, and when",
        "the record of the request (11 CCR 7101), and so that nothing from before it is used",
    ),
    (
        "a tombstone",
        "at least 30 days",
        "so that every reader sees it; the value before it is meant to be physically gone within 48 \
         hours",
    ),
    ("contextual segments", "24 hours", "the page at hand has no use after the visit"),
    (
        "the audit",
        "775 days (25 months)",
        "longer than the 24 months for which requests must be on record (11 CCR 7101)",
    ),
    ("what could not be read (never its content)", "30 days", "to tell its producer"),
];

pub(super) fn put(document: &mut Document, rulebook: &Rulebook) {
    document.section(Section::Retention);
    let purposes = rulebook.purposes.iter().map(|purpose| {
        vec![
            Text::from("clicks that count for ").and_code(purpose.id.as_str()),
            words::span(purpose.retention).into(),
            "the rulebook; a condition with a shorter window keeps them no longer than that".into(),
        ]
    });
    let oldest = vec![
        Text::from("a click that arrives late"),
        format!("not used if older than {}", words::span(rulebook.longest_retention)).into(),
        "the longest retention of a purpose, or 24 hours where there is none; its opt-out preference \
         signal binds all the same".into(),
    ];
    let fixed = FIXED.iter().map(|&(what, long, why)| vec![what.into(), long.into(), why.into()]);
    document.table(
        &["What", "How long", "Why"],
        purposes.chain(std::iter::once(oldest)).chain(fixed).collect(),
    );
    document.paragraph(
        "The topics' retention is as Assent creates them; assent check says where a cluster differs. \
         How long the clickstream and the consent changelog themselves are kept is the shop's.",
    );
}
