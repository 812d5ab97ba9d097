//! What each approach risks for a person, and what can be proved of it.

use super::document::{Document, Section, Text};
use crate::rulebook::{Approach, Rulebook};

struct Appraisal {
    rests_on: &'static str,
    risk: &'static str,
    auditability: &'static str,
}

fn appraise(approach: Approach) -> Appraisal {
    match approach {
        Approach::Behavioral => Appraisal {
            rests_on: "what a subject did: their clicks within a window",
            risk: "high: a profile of behavior. For a child it is personal information whose use \
                needs a guardian's consent (16 CFR 312.5). The risk is limited by windows, by the \
                retention of the purpose, and because only what a live rule counts is kept",
            auditability: "good for the consent: the audit names the offset, verdict and consent \
                version of each click, and assent verify evaluates them again. The counts can be \
                reproduced from the clicks while the clickstream is kept; assent verify does not \
                count them again",
        },
        Approach::Demographic => Appraisal {
            rests_on: "the age band of the consent record, or the region of a click",
            risk: "medium: no behavior, but a group of people by age or place, which can reveal \
                more than it says. Only the age bands of the law are used: no exact age is \
                accepted",
            auditability: "good for the consent, as for behavioral. The age band comes from the \
                consent record that the audit names, the region from a click; assent verify checks \
                whether the use was allowed, not whether the segment is the right one",
        },
        Approach::Hybrid => Appraisal {
            rests_on: "both: what a subject did, and a band or a region",
            risk: "highest: it narrows a group by behavior and by age or place at once, so the \
                group may be very small",
            auditability: "good for the consent, as for behavioral. Both parts can be reproduced \
                from clicks and consent while those are kept; assent verify does not compute them \
                again",
        },
        Approach::Contextual => Appraisal {
            rests_on: "the current page",
            risk: "lowest: no profile and no subject; the token of the session changes each UTC \
                day. Needs no consent",
            auditability: "it can be reproduced from a single click while the clickstream is kept: \
                earlier clicks don't matter. The audit records the click but not the contextual \
                segment, and assent verify checks contextual segments in their form only",
        },
    }
}

pub(super) fn put(document: &mut Document, rulebook: &Rulebook) {
    document.section(Section::Approaches);
    document.paragraph(
        Text::from("The approach follows from the conditions of a segment (")
            .and_see(Section::Segments)
            .and("). A rulebook that names another one is refused."),
    );
    let row = |approach: Approach| {
        let Appraisal { rests_on, risk, auditability } = appraise(approach);
        let own = rulebook.listed().filter(|segment| segment.approach() == approach);
        let segments = Text::codes(own.map(|segment| segment.id), "none");
        let texts = [approach.label(), rests_on, risk, auditability];
        texts.into_iter().map(Text::from).chain([segments]).collect()
    };
    document.table(
        &["Approach", "Based on", "Risk", "Auditability", "Segments"],
        Approach::ALL.into_iter().map(row).collect(),
    );
}
