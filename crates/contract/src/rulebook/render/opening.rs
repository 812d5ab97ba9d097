//! What this document is, which rulebook it shows, and the words it uses.

use super::document::{Document, Item, Section, Text};
use crate::rulebook::Rulebook;

/// (word, meaning)
const WORDS: &[(&str, &str)] = &[
    ("Subject", "a consumer as the shop knows them: one profile is one subject."),
    ("Click", "one event of the clickstream: something that a visitor did in the shop."),
    (
        "Consent record",
        "everything that one subject, or a parent or guardian for them, has decided, with the age \
         band.",
    ),
    ("Purpose", "what data is used for. Each purpose is decided on its own."),
    (
        "Gate",
        "the question that is answered before any use: may this event be used for this purpose, \
         for this subject, now? The answer is the verdict. For the table see",
    ),
    (
        "Opt-out preference signal",
        "Global Privacy Control (GPC) sent by a browser, or its equivalent in a GPP string.",
    ),
    (
        "Segment",
        "a group of subjects who are shown the same content. A subject is in it only while its \
         condition holds and the gate allows its purpose.",
    ),
    (
        "Pseudonym",
        "a keyed token that replaces a subject's id in the topics that marketing reads. It differs \
         for each purpose, and without the key nobody can learn who it is.",
    ),
    (
        "Live key",
        "a pseudonym that is in at least one segment now. It ends with a tombstone: a null value, \
         with a reason, that tells every reader to drop the key.",
    ),
    (
        "Contextual segment",
        "a group of pages, not of people: it depends only on the current page, not on who looks at \
         it.",
    ),
];

pub(super) fn put(document: &mut Document, rulebook: &Rulebook, has_canary: bool) {
    document.paragraph(
        "This document says who is shown what, why, based on which data, and when not. Assent, the \
         program that applies this rulebook, generated it from the rules that it applies (assent \
         rules doc), so the two can't disagree. It covers what Assent does. Readers of its topics \
         are responsible for what they do afterwards.",
    );
    let segments = rulebook.listed().count();
    document.list([
        Item::labeled("Version", rulebook.version.as_str()),
        Item::labeled("SHA-256 of the rulebook's file", Text::code(rulebook.sha256_hex())),
        Item::labeled("Purposes", rulebook.purposes.len().to_string()),
        Item::labeled("Segments", format!("{segments} ({} contextual)", rulebook.contextual.len())),
        Item::labeled(
            "Default segment",
            Text::code(rulebook.default_segment.as_str()).and(
                ": a front end shows it to everybody without a segment, whether they did not \
                 agree, were not asked, opted out, or match no segment. It says nothing about \
                 them, and nothing is recorded for it.",
            ),
        ),
    ]);
    document.paragraph(
        "Every decision is recorded, with the version above, in an audit whose batches are chained \
         by their hashes. The file of the rulebook is kept in the state of Assent as evidence. \
         assent verify finds what was altered, removed or reordered in the chain, as far as \
         docs/verify.md says, which also says what it can't find. Different content under the same \
         version is refused.",
    );
    if has_canary {
        document.paragraph(
            Text::from("The canary is switched on: once a minute and partition, Assent opts an invented \
                subject in and out of a purpose of its own, ")
                .and_code("canary")
                .and(", to measure how long an opt-out takes. It is nobody, no person can be in it, and it \
                is in no number of this document."),
        );
    }
    document.section(Section::Words);
    document.list(WORDS.iter().map(|&(word, meaning)| {
        let meaning = Text::from(meaning);
        let gate = |text: Text| text.and(" ").and_see(Section::Gate).and(".");
        Item::labeled(word, if word == "Gate" { gate(meaning) } else { meaning })
    }));
}
