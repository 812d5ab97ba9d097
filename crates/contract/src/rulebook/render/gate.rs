//! The gate's table, with the ground of each line, and how to read it.

use super::document::{Document, Item, Section, Text};
use crate::domain::gate::table::{LINES, Line};

const NOTES: &[(&str, &str)] = &[
    (
        "Time",
        "the event's time is the time of the click, or now if there is no click; it is never later \
         than now.",
    ),
    (
        "Opt-out preference signal",
        "a click carries the signal if it has GPC, or a GPP string that opts out of sale or \
         sharing or can't be decoded. The signal binds the subject from then on, for all purposes \
         that are a sale or sharing. A later click without the signal does not lift it. Only a \
         grant in two steps lifts it, and only for its own purpose: both steps must be later than \
         the signal and in the past (11 CCR 7028(a)).",
    ),
    (
        "Children",
        "for UNDER_13 and UNKNOWN, the permissions of a verified parent or guardian decide: \
         coppa_consent for collection and use (16 CFR 312.5(a)(1)), coppa_disclosure for \
         disclosure to third parties (312.5(a)(2)), ccpa_authorization for sale or sharing (11 CCR \
         7070).",
    ),
    (
        "Two steps",
        "for people of 13 to 15 years, sale or sharing needs their own opt-in, confirmed a second \
         time (11 CCR 7071, 7028(a)).",
    ),
    (
        "When the answer changes",
        "when it changes from allowed to withheld, for any reason except line 1, every live key of \
         that subject and purpose is removed in the transaction that records the change. Line 1 \
         applies to clicks only: while it holds, no assignment is written or renewed, and opt-outs \
         are still applied.",
    ),
    (
        "Erasure",
        "a request to delete removes every live key and everything that is kept about the subject. \
         Only the fact that it was applied, and when, is kept, for 24 months (11 CCR 7101, 7022).",
    ),
    ("House rule", "a rule that is stricter than the statutes, chosen by the shop or by Assent."),
];

pub(super) fn put(document: &mut Document) {
    document.section(Section::Gate);
    document.paragraph(
        "The gate decides on each click and each purpose. It decides again on a subject whenever \
         consent, time, the keys or this rulebook change the answer. The first line that applies \
         decides. Citations are to the California Civil Code (CCPA), Title 11 of the California \
         Code of Regulations (11 CCR), and Title 16 of the Code of Federal Regulations (16 CFR, \
         COPPA).",
    );
    document
        .table(&["#", "When", "Verdict", "May be used", "Ground"], LINES.iter().map(row).collect());
    document.list(NOTES.iter().map(|&(label, note)| Item::labeled(label, note)));
}

fn row(line: &Line) -> Vec<Text> {
    let allows = line.verdicts.iter().all(|verdict| verdict.allows());
    vec![
        line.number.to_string().into(),
        line.when.into(),
        Text::codes(line.verdicts.iter().map(|verdict| verdict.symbol()), ""),
        if allows { "yes" } else { "no" }.into(),
        if allows { "no line before it withholds" } else { line.why }.into(),
    ]
}
