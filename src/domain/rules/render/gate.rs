//! The gate's table, with the ground of each line, and how to read it.

use super::document::{Document, Item, Section, Text};
use crate::domain::gate::table::{LINES, Line};

const NOTES: &[(&str, &str)] = &[
    (
        "Time",
        "the event's time is when the click happened, or now where there is no event, and never \
         later than now.",
    ),
    (
        "Opt-out preference signal",
        "a click with GPC, or with a GPP string that says sale or sharing is opted out or can't be \
         decoded, binds its subject from then on for all purposes that are a sale or sharing, at \
         once and durably. A later click without it lifts nothing. It is lifted for one purpose only \
         by a grant in two steps, both later than the signal, once both have come (11 CCR 7028(a)).",
    ),
    (
        "Children",
        "UNDER_13 and UNKNOWN are judged by what a verified parent or guardian allowed: \
         coppa_consent for collection and use (16 CFR 312.5(a)(1)), coppa_disclosure for disclosure \
         to third parties (312.5(a)(2)), ccpa_authorization for sale or sharing (11 CCR 7070).",
    ),
    (
        "Two steps",
        "of 13 to 15 years, sale or sharing needs their own opt-in, confirmed a second time \
         (11 CCR 7071, 7028(a)).",
    ),
    (
        "When the answer changes",
        "from allowed to withheld, for whatever reason but line 1, every live key of that subject \
         and purpose is removed in the same transaction that records it. Line 1 asks clicks only: \
         while it holds nothing is written or renewed, and opt-outs are still applied.",
    ),
    (
        "Erasure",
        "a request to delete removes every live key and all that is held of the subject, but for 24 \
         months that it was applied, and when (11 CCR 7101, 7022).",
    ),
    ("House rule", "stricter than a statute asks, by the shop's or Assent's own decision."),
];

pub(super) fn put(document: &mut Document) {
    document.section(Section::Gate);
    document.paragraph(
        "Asked of each click and each purpose, and again of each subject whenever consent, time, the \
         keys or this rulebook change. The first line that applies decides. Citations are to the \
         California Civil Code (CCPA), Title 11 of the California Code of Regulations (11 CCR), and \
         Title 16 of the Code of Federal Regulations (16 CFR, COPPA).",
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
