//! Segments added, removed, changed, and which of their counters are kept.

use std::collections::{BTreeMap, BTreeSet};

use super::{About, Change, Kind};
use crate::domain::outcome::TombstoneReason;
use crate::rulebook::{Listed, Purpose, Rulebook};

const UNTOUCHED: &str = "they stay and keep their counters";
const OF_A_PAGE: &str = "none: it uses no data of a person";

pub(super) fn compare(old: &Rulebook, new: &Rulebook, changes: &mut Vec<Change>) {
    let (before, after) = (by_id(old), by_id(new));
    let ids: BTreeSet<&str> = before.keys().chain(after.keys()).copied().collect();
    for id in ids {
        match (before.get(id), after.get(id)) {
            (Some(before), None) => changes.push(removed(before, new)),
            (None, Some(after)) => changes.push(added(after, old)),
            (Some(before), Some(after)) => changed(before, after, old, changes),
            (None, None) => {}
        }
    }
}

fn by_id(rulebook: &Rulebook) -> BTreeMap<&str, Listed<'_>> {
    rulebook.listed().map(|segment| (segment.id, segment)).collect()
}

fn removed(segment: &Listed<'_>, new: &Rulebook) -> Change {
    let says = format!("“{}”, {}", segment.title, belongs_to(segment));
    whole(segment.id, Kind::Removed, says, leaving(segment, new))
}

fn added(segment: &Listed<'_>, old: &Rulebook) -> Change {
    let (belongs, condition) = (belongs_to(segment), segment.condition().on_one_line());
    let says = format!("“{}”, {belongs}: a subject is in it while {condition}", segment.title);
    whole(segment.id, Kind::Added, says, starting(segment, old))
}

fn whole(id: &str, change: Kind, says: String, live_keys: String) -> Change {
    Change {
        about: About::Segment,
        id: id.to_owned(),
        change,
        field: None,
        before: None,
        after: None,
        says,
        live_keys,
        material: None,
    }
}

fn belongs_to(segment: &Listed<'_>) -> String {
    let approach = segment.approach().label();
    match segment.purpose() {
        Some(purpose) => format!("{approach}, for {}", purpose.id),
        None => approach.to_owned(),
    }
}

/// What becomes of those who are in it.
fn leaving(segment: &Listed<'_>, new: &Rulebook) -> String {
    let changed = TombstoneReason::RulebookChanged.label();
    match segment.purpose() {
        None => OF_A_PAGE.to_owned(),
        Some(purpose) if new.purpose_index(&purpose.id).is_none() => {
            format!("they end with {changed}, together with the purpose")
        }
        Some(_) => format!(
            "those with this segment are written again without it; a key that has no segment left \
             ends with {changed}"
        ),
    }
}

/// From what it fills. Two equal conditions of a purpose share one counter, also over a change.
fn starting(segment: &Listed<'_>, old: &Rulebook) -> String {
    let Some(purpose) = segment.purpose() else { return OF_A_PAGE.to_owned() };
    let before = old.purpose_index(&purpose.id).map(|index| &old.purposes[index]);
    match counters(segment, before) {
        (0, 0) => "it starts empty and fills as subjects are evaluated again".to_owned(),
        (0, _) => "it starts empty: its conditions count from now on".to_owned(),
        (_, 0) => {
            "it fills from existing counters: the purpose already counts all of it".to_owned()
        }
        (kept, new) => format!(
            "{kept} of its conditions use existing counters of the purpose; {new} start empty"
        ),
    }
}

/// How many of its counters the purpose kept before, and how many start empty.
fn counters(segment: &Listed<'_>, before: Option<&Purpose>) -> (usize, usize) {
    let known = |canonical: &str| {
        before.is_some_and(|purpose| purpose.slots.iter().any(|slot| slot.canonical == canonical))
    };
    let own = segment.counters();
    let kept = own.iter().filter(|canonical| known(canonical)).count();
    (kept, own.len() - kept)
}

fn changed(before: &Listed<'_>, after: &Listed<'_>, old: &Rulebook, changes: &mut Vec<Change>) {
    if let Some(change) = moved(before, after, old) {
        changes.push(change);
    } else if !before.rests_on_the_same(after) {
        changes.push(condition(before, after, old));
    }
    for (field, old, new) in [
        ("title", before.title, after.title),
        ("why", before.why, after.why),
        ("owner", before.owner, after.owner),
    ] {
        if old != new {
            let says = format!("its {field} is “{new}” instead of “{old}”");
            let live_keys = if after.purpose().is_some() { UNTOUCHED } else { OF_A_PAGE };
            changes.push(Change {
                field: Some(field),
                before: Some(old.to_owned()),
                after: Some(new.to_owned()),
                ..whole(after.id, Kind::Changed, says, live_keys.to_owned())
            });
        }
    }
}

/// To another purpose, or between a person and a page.
fn moved(before: &Listed<'_>, after: &Listed<'_>, old: &Rulebook) -> Option<Change> {
    let id = |segment: &Listed<'_>| segment.purpose().map(|purpose| purpose.id.clone());
    if id(before) == id(after) {
        return None;
    }
    let same = if before.rests_on_the_same(after) { "" } else { ", and its condition changed" };
    let says = format!("it is {} instead of {}{same}", belongs_to(after), belongs_to(before));
    let changed = TombstoneReason::RulebookChanged.label();
    let live_keys = match before.purpose() {
        None => starting(after, old),
        Some(purpose) => format!(
            "those of {} lose this segment, and a key that has no segment left ends with \
             {changed}; {}",
            purpose.id,
            match after.purpose() {
                Some(purpose) => format!("in {}, {}", purpose.id, starting(after, old)),
                None => "from now on it uses no data of a person".to_owned(),
            }
        ),
    };
    Some(Change {
        field: Some("purpose"),
        before: id(before),
        after: id(after),
        ..whole(after.id, Kind::Changed, says, live_keys)
    })
}

fn condition(before: &Listed<'_>, after: &Listed<'_>, old: &Rulebook) -> Change {
    let (was, is) = (before.condition().on_one_line(), after.condition().on_one_line());
    let (from, to) = (before.approach().label(), after.approach().label());
    let approach =
        if from == to { String::new() } else { format!("; it is {to} instead of {from}") };
    let says = format!("a subject is in it while {is}; before: while {was}{approach}");
    Change {
        field: Some("when"),
        before: Some(was),
        after: Some(is),
        ..whole(after.id, Kind::Changed, says, judged_again(after, old))
    }
}

fn judged_again(after: &Listed<'_>, old: &Rulebook) -> String {
    let Some(purpose) = after.purpose() else { return OF_A_PAGE.to_owned() };
    let before = old.purpose_index(&purpose.id).map(|index| &old.purposes[index]);
    let counters = match counters(after, before) {
        (0, 0) => "it needs no counter".to_owned(),
        (_, 0) => "its counters are kept".to_owned(),
        (0, _) => "it starts empty, because all of its counters are new".to_owned(),
        (kept, new) => {
            format!("{kept} of its conditions keep their counters, {new} start empty")
        }
    };
    let changed = TombstoneReason::RulebookChanged.label();
    format!(
        "{counters}; those with this segment are evaluated again, and a key that has no segment \
         left ends with {changed}"
    )
}
