//! What this document is, which rulebook it shows, and the words it uses.

use super::document::{Document, Item, Section, Text};
use crate::domain::rules::Rulebook;

/// (word, meaning)
const WORDS: &[(&str, &str)] = &[
    ("Subject", "a consumer as the shop knows them: one profile, one subject."),
    ("Click", "one thing that a visitor did in the shop: an event of the clickstream."),
    (
        "Consent record",
        "all that one subject has decided, or a parent or guardian for them, with the age band.",
    ),
    ("Purpose", "what data is used for. Each purpose is decided on its own."),
    (
        "Gate",
        "the question that is asked before any use: may this event be used for this purpose, for \
         this subject, now? Its answer is the verdict. Its table:",
    ),
    (
        "Opt-out preference signal",
        "Global Privacy Control (GPC), sent by a browser, or its twin in a GPP string.",
    ),
    (
        "Segment",
        "a group of subjects who are shown the same. A subject is in it only while its condition \
         holds and the gate allows its purpose.",
    ),
    (
        "Pseudonym",
        "what stands for a subject in what marketing reads: a keyed token, another one for each \
         purpose, from which nobody without the key learns who it is.",
    ),
    (
        "Live key",
        "a pseudonym that is in at least one segment now. It ends with a tombstone: a null value \
         that tells every reader to drop it, with its reason.",
    ),
    (
        "Contextual segment",
        "a group of pages, not of people: it rests on the page at hand, whoever looks at it.",
    ),
];

pub(super) fn put(document: &mut Document, rulebook: &Rulebook) {
    document.paragraph(
        "Who is shown what, why, on which data, and when not. Made by Assent, the program that \
         applies this rulebook, from what it applies (assent rules doc): the two can't disagree. It \
         covers what Assent does; what readers of its topics do afterwards is theirs to answer for.",
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
                ": what a front end shows whoever has no segment, because they did not agree, were \
                 not asked, opted out, or match none. It says nothing of them, and nothing is \
                 recorded for it.",
            ),
        ),
    ]);
    document.paragraph(
        "Every decision is recorded, with the version above, in an audit whose batches are chained by \
         their hashes; the rulebook's file itself is kept in Assent's state as evidence. assent verify \
         finds what was altered, removed or reordered in the chain, as far as docs/verify.md says, which \
         also says what it can't find. Another content under the same version is refused.",
    );
    document.section(Section::Words);
    document.list(WORDS.iter().map(|&(word, meaning)| {
        let meaning = Text::from(meaning);
        let gate = |text: Text| text.and(" ").and_see(Section::Gate).and(".");
        Item::labeled(word, if word == "Gate" { gate(meaning) } else { meaning })
    }));
}
