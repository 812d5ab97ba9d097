//! What each approach risks for a person, and what can be proved of it.

use super::document::{Document, Section, Text};
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
            auditability: "good for the consent: the audit names each click's place, verdict and \
                           consent version, and assent verify judges them again. The counts follow \
                           from the clicks while the clickstream is kept; assent verify does not count \
                           them again",
        },
        Approach::Demographic => Appraisal {
            rests_on: "the age band of the consent record, or the region of a click",
            risk: "medium: no behavior, but a group of people by age or place, which can stand for \
                   more than it says. Bands of the law only: no exact age is accepted",
            auditability: "good for the consent, as behavioral. A band follows from the consent record \
                           that the audit names, a region from a click; assent verify judges whether \
                           the use was allowed, not whether the segment is the right one",
        },
        Approach::Hybrid => Appraisal {
            rests_on: "both: what a subject did, and a band or a region",
            risk: "highest: it narrows a group by behavior and by age or place at once, so that few \
                   people may be left in it",
            auditability: "good for the consent, as behavioral. Both parts follow from clicks and \
                           consent while those are kept; assent verify does not work them out again",
        },
        Approach::Contextual => Appraisal {
            rests_on: "the page at hand",
            risk: "lowest: no profile and no subject; the session's token changes each UTC day. Needs \
                   no consent",
            auditability: "it follows from one click alone, while the clickstream is kept: nothing \
                           before it matters. The audit records the click and not the contextual \
                           segment, and assent verify holds that to its form only",
        },
    }
}

pub(super) fn put(document: &mut Document, rulebook: &Rulebook) {
    document.section(Section::Approaches);
    document.paragraph(
        Text::from("The approach is derived from a segment's conditions (")
            .and_see(Section::Segments)
            .and("), and a rulebook that names another one is refused."),
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
