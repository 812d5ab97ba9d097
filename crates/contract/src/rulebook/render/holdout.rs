//! Who is held out of a purpose, and what is counted of both groups. Only where some are.

use super::document::{Document, Text};
use crate::rulebook::{Holdout, Purpose, Rulebook, words};

/// Purposes that are measured.
pub(super) fn measured(rulebook: &Rulebook) -> impl Iterator<Item = (&Purpose, &Holdout)> {
    rulebook.purposes.iter().filter_map(|purpose| Some((purpose, purpose.measure.as_ref()?)))
}

/// Under the purposes.
pub(super) fn put(document: &mut Document, rulebook: &Rulebook) {
    let rows: Vec<Vec<Text>> = measured(rulebook).map(row).collect();
    if rows.is_empty() {
        return;
    }
    document.heading("Whose effect is measured");
    document.table(&["Purpose", "Held out", "Counted", "Within"], rows);
    document.paragraph(
        "Some subjects are held out: everything is decided of them as of others, but no segment is assigned, so a \
         reader sees them as anybody without a segment. Who they are follows from a secret key and is listed \
         nowhere. Of both groups only numbers leave Assent: how many would have been assigned in a month, and how \
         many of these then did what is counted. Nobody is held out of a right: an opt-out, an erasure and a \
         question are answered alike.",
    );
}

fn row((purpose, holdout): (&Purpose, &Holdout)) -> Vec<Text> {
    vec![
        Text::code(purpose.id.as_str()),
        format!("{} of the subjects", holdout.share()).into(),
        words::conversions(holdout).into(),
        format!("{} after the assignment", words::span(holdout.within)).into(),
    ]
}

/// Among the fields that are read: the kind of click, and why.
pub(super) fn reads(rulebook: &Rulebook) -> Vec<Vec<Text>> {
    let reading = measured(rulebook).filter(|(_, holdout)| holdout.of.kinds.is_some());
    reading
        .map(|(purpose, _)| {
            let reader = Text::from("the measure of ").and_code(purpose.id.as_str());
            let why = "To count, with those who are held out, what an assignment brings about.";
            vec![Text::code("kind"), reader, why.into()]
        })
        .collect()
}

/// Among what is kept.
pub(super) fn kept(rulebook: &Rulebook) -> Vec<Vec<Text>> {
    let row = |(purpose, holdout): (&Purpose, &Holdout)| {
        vec![
            Text::from("when a subject was first assigned for ")
                .and_code(purpose.id.as_str())
                .and(", or would have been, and whether what is counted followed"),
            format!(
                "while a segment holds; after that until {} or 31 days have passed since, whichever is longer; \
                 gone at once when the gate withholds the purpose. The totals of a month: 25 months",
                words::span(holdout.within)
            )
            .into(),
            "to compare subjects who are held out with the others".into(),
        ]
    };
    measured(rulebook).map(row).collect()
}
