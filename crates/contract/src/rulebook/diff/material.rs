//! Which changes are material: after one, a risk assessment is due (11 CCR 7150 and following).
//!
//! Material is what may do more to people than what was assessed: new processing, a new recipient, a longer time,
//! more that is read of them, a safeguard that goes, another business purpose. Words beside it, thresholds, and
//! whatever is stricter are not. In doubt a change is material: counsel can say that it is not, and nobody would
//! look at what is not named. A shop for children holds data of people under 16, so no purpose is left out.

use serde::Serialize;

use super::{About, Change, Kind};
use crate::rulebook::{Listed, Purpose, Reader, Rulebook};

/// What an assessment is due for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Material {
    /// In plain words.
    pub why: &'static str,
    pub due: Due,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Due {
    /// Of processing that is new.
    BeforeItStarts,
    /// Of processing that changes.
    #[serde(rename = "within_45_days")]
    Within45Days,
}

/// The sentence of `rules diff`.
pub const SENTENCE: &str = "material change: a risk assessment is due within 45 days";

/// When an assessment is due, and why.
type Ground = (Due, &'static str);

pub(super) fn material(change: &Change, old: &Rulebook, new: &Rulebook) -> Option<Material> {
    let id = change.id.as_str();
    let (due, why) = match change.about {
        About::Rulebook => None,
        About::Purpose => of_purpose(change, purpose(old, id), purpose(new, id)?),
        About::Segment => of_segment(change, segment(old, id), &segment(new, id)?),
    }?;
    Some(Material { why, due })
}

fn purpose<'r>(rulebook: &'r Rulebook, id: &str) -> Option<&'r Purpose> {
    rulebook.purpose_index(id).map(|index| &rulebook.purposes[index])
}

fn segment<'r>(rulebook: &'r Rulebook, id: &str) -> Option<Listed<'r>> {
    rulebook.listed().find(|segment| segment.id == id)
}

fn of_purpose(change: &Change, old: Option<&Purpose>, new: &Purpose) -> Option<Ground> {
    use Due::{BeforeItStarts, Within45Days};
    let before = old.map_or(&[][..], |old| old.readers.as_slice());
    Some(match (change.field, change.change) {
        (None, Kind::Added) => (BeforeItStarts, "the purpose is new"),
        (Some("sale_or_share"), Kind::Stricter) => {
            (BeforeItStarts, "data is sold or shared from now on")
        }
        (Some("sale_or_share"), _) => (Within45Days, "opt-out preference signals no longer apply"),
        (Some("requires_opt_in"), Kind::Looser) => {
            (Within45Days, "an opt-in is no longer asked for")
        }
        (Some("suspended"), Kind::Looser) => (Within45Days, "data is used again for the purpose"),
        (Some("retention"), Kind::Looser) => (Within45Days, "data is used for longer"),
        (Some("min_members"), Kind::Looser) => (Within45Days, "segments of fewer people are named"),
        (Some("readers"), _) if has_more(before, &new.readers) => {
            (Within45Days, "data goes to a reader that was not named before")
        }
        _ => return None,
    })
}

/// Is one among the new ones who was not there, or was something else to the shop?
fn has_more(old: &[Reader], new: &[Reader]) -> bool {
    let is_known =
        |reader: &Reader| old.iter().any(|it| (&it.id, it.kind) == (&reader.id, reader.kind));
    !new.iter().all(is_known)
}

/// A segment of pages uses no data of a person.
fn of_segment(change: &Change, old: Option<Listed<'_>>, new: &Listed<'_>) -> Option<Ground> {
    new.purpose()?;
    let why = match (change.field, change.change) {
        (None, Kind::Added) => "people are put into a segment that is new",
        (Some("purpose"), _) => "the segment serves another purpose",
        (Some("why"), _) => "the segment serves another end",
        (Some("when"), _) => old.and_then(|old| of_condition(&old, new))?,
        _ => return None,
    };
    Some((Due::Within45Days, why))
}

fn of_condition(old: &Listed<'_>, new: &Listed<'_>) -> Option<&'static str> {
    let known = old.fields().names();
    let reads_more = new.fields().names().iter().any(|name| !known.contains(name));
    if reads_more || (new.reads_age_band() && !old.reads_age_band()) {
        Some("more is read of a person")
    } else if new.age_bands() != old.age_bands() {
        Some("it is about people of another age")
    } else {
        (new.looks_back() > old.looks_back()).then_some("it looks further back")
    }
}
