//! What each approach risks for a person, and what can be proved of it.

use super::document::{Document, Text};
use crate::domain::rules::{Approach, Rulebook};

struct Appraisal {
    rests_on: &'static str,
    risk: &'static str,
    auditability: &'static str,
}

fn appraise(approach: Approach) -> Appraisal {
    match approach {
        Approach::Behavioral => Appraisal {
            rests_on: "what a subject did: their clicks, counted within a window",
            risk: "high: a profile of behavior. Of a child it is personal information whose use \
                   needs a guardian's consent (16 CFR 312.5). Held down by windows, by the purpose's \
                   retention, and by keeping only what a live rule counts",
            auditability: "good: each decision names the click's place, verdict and consent version. \
                           The counts can be recomputed only as long as the clickstream is kept",
        },
        Approach::Demographic => Appraisal {
            rests_on: "the age band of the consent record, or the region of a click",
            risk: "medium: no behavior, but a group of people by age or place, which can stand for \
                   more than it says. Bands of the law only: no exact age is accepted",
            auditability: "very good for a band: it follows from the consent record that the audit \
                           names. For a region, as behavioral",
        },
        Approach::Hybrid => Appraisal {
            rests_on: "both: what a subject did, and a band or a region",
            risk: "highest: it narrows a group by behavior and by age or place at once, so that few \
                   people may be left in it",
            auditability: "good, as behavioral: both parts can be recomputed while the clickstream \
                           is kept",
        },
        Approach::Contextual => Appraisal {
            rests_on: "the page at hand",
            risk: "lowest: no profile and no subject; the session's token changes each UTC day. Needs \
                   no consent",
            auditability: "full: one click, one page, one answer; nothing before it matters",
        },
    }
}

pub(super) fn put(document: &mut Document, rulebook: &Rulebook) {
    document.section("approaches", "Risk and auditability of each approach");
    document.paragraph(
        "The approach is derived from a segment's conditions, and a rulebook that names another one \
         is refused.",
    );
    let row = |approach: Approach| {
        let Appraisal { rests_on, risk, auditability } = appraise(approach);
        let own = rulebook.listed().filter(|segment| segment.approach() == approach);
        let segments = Text::codes(own.map(|segment| segment.id), "none");
        let texts = [approach.label(), rests_on, risk, auditability];
        texts.into_iter().map(Text::from).chain([segments]).collect()
    };
    document.table(
        &["Approach", "Rests on", "Risk", "Auditability", "Segments"],
        Approach::ALL.into_iter().map(row).collect(),
    );
}
