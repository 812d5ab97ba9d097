//! What changes from one rulebook to the next, in plain words, and what that does to live keys.
//!
//! Says beforehand what the engine's sweep does afterwards (docs/contract/topics.md#tombstones,
//! docs/contract/rulebook.md): both ask
//! `SegmentRule::rests_on_the_same`. Knows no file; compares what was compiled.

mod material;
mod purposes;
mod segments;
#[cfg(test)]
mod tests;

pub use material::{Due, Material, SENTENCE};

use serde::Serialize;

use super::Rulebook;

/// One change of one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    pub about: About,
    /// Of the purpose or segment; the rulebook's version for [`About::Rulebook`].
    pub id: String,
    pub change: Kind,
    /// As the rulebook writes it; `None`: the whole thing.
    pub field: Option<&'static str>,
    pub before: Option<String>,
    pub after: Option<String>,
    /// What is different, in plain words.
    pub says: String,
    /// What it does to live keys and counters, in plain words.
    pub live_keys: String,
    /// Is a risk assessment due for it?
    pub material: Option<Material>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum About {
    Rulebook,
    Purpose,
    Segment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Added,
    Removed,
    /// Fewer people's data may be used, or for a shorter time.
    Stricter,
    /// More people's data may be used, or for a longer time.
    Looser,
    Changed,
}

/// Would a running Assent take the new rulebook after the old one?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The same bytes.
    Same,
    /// A version of its own: yes, unless the state has left that version already.
    NewVersion,
    /// Other content under the same version: refused.
    SameVersion,
}

/// Of the bytes, not of what they say: a comment is content too.
pub fn admission(old: &Rulebook, new: &Rulebook) -> Admission {
    match (old.sha256 == new.sha256, old.version == new.version) {
        (true, _) => Admission::Same,
        (false, true) => Admission::SameVersion,
        (false, false) => Admission::NewVersion,
    }
}

/// Every change: of the rulebook, then of purposes, then of segments, each by id.
pub fn changes(old: &Rulebook, new: &Rulebook) -> Vec<Change> {
    let mut changes = Vec::new();
    if old.has_canary() != new.has_canary() {
        changes.push(canary(new));
    }
    let (old, new) = (&old.clone().without_canary(), &new.clone().without_canary());
    if old.default_segment != new.default_segment {
        changes.push(default_segment(old, new));
    }
    purposes::compare(old, new, &mut changes);
    segments::compare(old, new, &mut changes);
    for change in &mut changes {
        change.material = material::material(change, old, new);
    }
    changes
}

fn canary(new: &Rulebook) -> Change {
    let is_on = new.has_canary();
    let word = |is: bool| Some(if is { "true" } else { "false" }.to_owned());
    let says = if is_on {
        "Assent may opt an invented subject of each partition in and out, to measure how long an \
         opt-out takes: create the topic of the purpose canary with assent topics create"
    } else {
        "no canary measures opt-outs any more: stop assent canary"
    };
    Change {
        about: About::Rulebook,
        id: new.version.clone(),
        change: Kind::Changed,
        field: Some("canary"),
        before: word(!is_on),
        after: word(is_on),
        says: says.to_owned(),
        live_keys: "none of a person change".to_owned(),
        material: None,
    }
}

fn default_segment(old: &Rulebook, new: &Rulebook) -> Change {
    let (before, after) = (&old.default_segment, &new.default_segment);
    Change {
        about: About::Rulebook,
        id: new.version.clone(),
        change: Kind::Changed,
        field: Some("default_segment"),
        before: Some(before.clone()),
        after: Some(after.clone()),
        says: format!(
            "a front end now shows `{after}` instead of `{before}` to everybody without a segment: \
             tell its developers"
        ),
        live_keys: "none change".to_owned(),
        material: None,
    }
}

impl Change {
    /// For a person: what changed, and beneath it what that does to live keys and why it is material.
    pub fn text(&self) -> String {
        let mark = match self.change {
            Kind::Added => '+',
            Kind::Removed => '-',
            Kind::Stricter | Kind::Looser | Kind::Changed => '~',
        };
        let (headline, Self { says, live_keys, .. }) = (self.headline(), self);
        let material = self.material.map(|it| format!("\n    material: {}", it.why));
        let material = material.unwrap_or_default();
        format!("{mark} {headline}: {says}\n    live keys: {live_keys}{material}")
    }

    /// `purpose offers, stricter`.
    pub fn headline(&self) -> String {
        let about = match self.about {
            About::Rulebook => "rulebook",
            About::Purpose => "purpose",
            About::Segment => "segment",
        };
        let kind = match self.change {
            Kind::Added => "added",
            Kind::Removed => "removed",
            Kind::Stricter => "stricter",
            Kind::Looser => "looser",
            Kind::Changed => "changed",
        };
        format!("{about} {}, {kind}", self.id)
    }
}
