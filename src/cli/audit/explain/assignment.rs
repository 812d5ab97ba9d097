//! What was written for a purpose, and which rules that rests on.

use std::collections::BTreeSet;

use serde::Serialize;

use super::ground::{Case, Sources};
use assent_contract::domain::audit::Change;
use assent_contract::domain::pseudonym::KeyHistory;
use assent_contract::domain::time::Timestamp;
use assent_contract::rulebook::{Holdout, Purpose};
use assent_contract::wire::ConsentReading;
use assent_inquiry::explain::PurposeAnswer;
use assent_inquiry::live::{Last, last_effect};
use assent_inquiry::segments::{Known, Named, named};

/// What a purpose's last effect says, up to and with the entry in question.
#[derive(Serialize)]
#[allow(clippy::struct_field_names)] // the names of the JSON
pub struct Assignment {
    pub assignment: Written,
    /// Every segment of the purpose in the rulebook that applied; empty where it is not known.
    pub segments: Vec<Segment>,
    /// How many of the subjects the rulebook holds out of the purpose; it says of nobody that they are.
    #[serde(skip)]
    pub held_out: Option<String>,
}

#[derive(Serialize)]
pub struct Written {
    /// `assigned`, `removed`, or `none`: nothing was ever written, as far as the audit goes back.
    pub kind: &'static str,
    /// Whether the entry in question wrote it.
    pub by_this_entry: bool,
    pub decided_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    /// Of an assignment whose value can still be told.
    pub segments: Option<Vec<String>>,
    /// Of a removal.
    pub reason: Option<String>,
}

#[derive(Serialize)]
#[allow(clippy::struct_field_names)] // the names of the JSON
pub struct Segment {
    pub segment: String,
    pub title: String,
    pub why: String,
    pub condition: String,
    /// Whether the assignment names it; `None`: nobody can tell.
    pub is_in: Option<bool>,
}

pub fn assignment(sources: &Sources<'_>, case: &Case, answer: &PurposeAnswer) -> Assignment {
    let last = last_effect(&case.entries, case.until(), &answer.purpose);
    let applied = last.as_ref().map_or(&case.found, |last| last.found);
    let rulebook = sources.rulebooks.rulebook(&applied.head.rulebook_sha256);
    let purpose = rulebook.and_then(|it| Some(&it.purposes[it.purpose_index(&answer.purpose)?]));
    let told = last.as_ref().zip(purpose).and_then(|it| value(sources, case, it.0, it.1));
    let written = written(case, last.as_ref(), told.as_ref());
    let segments = purpose.map(|it| segments(it, &written)).unwrap_or_default();
    let held_out = purpose.and_then(|it| it.measure.as_ref()).map(Holdout::share);
    Assignment { assignment: written, segments, held_out }
}

/// What the value named, as its hash proves.
fn value(sources: &Sources<'_>, case: &Case, last: &Last<'_>, purpose: &Purpose) -> Option<Named> {
    let (Change::Assigned(hash), Some(subject)) = (last.change, &case.subject) else { return None };
    let ids = [purpose.id.clone()];
    let keys = KeyHistory::new(&subject.keyset, &ids);
    let pseudonym = keys.pseudonym(last.key_version, 0, subject.id.as_bytes())?;
    let decided_at = last.found.head.decided_at;
    let grants = case.consent.iter().filter_map(|it| match &it.reading {
        ConsentReading::Record(record) => record.decisions.get(&purpose.id)?.expires_at,
        _ => None,
    });
    let ends: BTreeSet<Timestamp> =
        grants.chain([decided_at + sources.config.pipeline.lease]).collect();
    let known = Known {
        pseudonym: &pseudonym.text(),
        purpose,
        decided_at,
        rulebook: &last.found.head.rulebook,
        ends: &ends.into_iter().collect::<Vec<_>>(),
    };
    named(&known, hash)
}

fn written(case: &Case, last: Option<&Last<'_>>, told: Option<&Named>) -> Written {
    let Some(last) = last else {
        let (decided_at, expires_at, segments, reason) = (None, None, None, None);
        let kind = "none";
        return Written { kind, by_this_entry: false, decided_at, expires_at, segments, reason };
    };
    let is_removed = matches!(last.change, Change::Removed(_));
    Written {
        kind: if is_removed { "removed" } else { "assigned" },
        by_this_entry: (last.found.at, last.found.place) == (case.found.at, case.found.place),
        decided_at: Some(last.found.head.decided_at),
        expires_at: told.map(|it| it.expires_at),
        segments: told.map(|it| it.segments.clone()),
        reason: match last.change {
            Change::Removed(reason) => Some(reason.to_string()),
            Change::Assigned(_) => None,
        },
    }
}

fn segments(purpose: &Purpose, written: &Written) -> Vec<Segment> {
    let listed = purpose.listed().map(|segment| Segment {
        segment: segment.id.to_owned(),
        title: segment.title.to_owned(),
        why: segment.why.to_owned(),
        condition: segment.condition().on_one_line(),
        is_in: match (&written.segments, written.kind) {
            (Some(named), _) => Some(named.iter().any(|id| id == segment.id)),
            (None, "assigned") => None,
            _ => Some(false),
        },
    });
    listed.collect()
}
