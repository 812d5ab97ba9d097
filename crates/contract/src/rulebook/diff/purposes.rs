//! Purposes added, removed, stricter, looser.

use super::{About, Change, Kind};
use crate::domain::outcome::Verdict::{
    GuardianConsentMissing, OptInMissing, OptOutSignal, OwnOptInMissing, PurposeSuspended,
};
use crate::domain::outcome::{TombstoneReason, Verdict};
use crate::rulebook::{Purpose, Reader, Rulebook, words};

pub(super) fn compare(old: &Rulebook, new: &Rulebook, changes: &mut Vec<Change>) {
    for before in &old.purposes {
        match new.purpose_index(&before.id) {
            None => changes.push(removed(before)),
            Some(index) => changes.extend(changed(before, &new.purposes[index])),
        }
    }
    let is_new = |purpose: &&Purpose| old.purpose_index(&purpose.id).is_none();
    changes.extend(new.purposes.iter().filter(is_new).map(added));
    changes.sort_by(|a, b| (a.about as u8, &a.id).cmp(&(b.about as u8, &b.id)));
}

fn added(purpose: &Purpose) -> Change {
    let sale = if purpose.sale_or_share { "a sale or sharing" } else { "not a sale or sharing" };
    let opt_in = if purpose.requires_opt_in {
        "people of 16 and older must opt in"
    } else {
        "people of 16 and older need not opt in"
    };
    let suspended = if purpose.suspended { "; it is suspended" } else { "" };
    whole(
        purpose,
        Kind::Added,
        format!(
            "“{}”: {sale}, {opt_in}, clicks count for {}{suspended}",
            purpose.title,
            words::span(purpose.retention)
        ),
        "there are none yet; decisions that subjects already made for this purpose id apply, so \
         make sure that they were made for this purpose"
            .to_owned(),
    )
}

fn removed(purpose: &Purpose) -> Change {
    whole(
        purpose,
        Kind::Removed,
        format!("“{}”: data is no longer used for it", purpose.title),
        format!(
            "all of this purpose end with {}; its counters are removed",
            TombstoneReason::RulebookChanged.label()
        ),
    )
}

fn whole(purpose: &Purpose, change: Kind, says: String, live_keys: String) -> Change {
    Change {
        about: About::Purpose,
        id: purpose.id.clone(),
        change,
        field: None,
        before: None,
        after: None,
        says,
        live_keys,
        material: None,
    }
}

/// A switch of a purpose, in the direction in which `true` is stricter.
struct Switch {
    field: &'static str,
    /// What it means while it is on; while it is off.
    on: &'static str,
    off: &'static str,
    /// With which verdicts live keys end when it is turned on.
    withheld: &'static [Verdict],
    read: fn(&Purpose) -> bool,
}

const SWITCHES: &[Switch] = &[
    Switch {
        field: "sale_or_share",
        on: "it becomes a sale or sharing: opt-out preference signals apply, and children need the \
            authorization for it",
        off: "it is no longer a sale or sharing: opt-out preference signals no longer apply, and \
            children need no authorization for it",
        withheld: &[OptOutSignal, GuardianConsentMissing, OwnOptInMissing],
        read: |purpose| purpose.sale_or_share,
    },
    Switch {
        field: "requires_opt_in",
        on: "people of 16 and older must opt in",
        off: "people of 16 and older need not opt in: their data may be used until they opt out",
        withheld: &[OptInMissing],
        read: |purpose| purpose.requires_opt_in,
    },
    Switch {
        field: "suspended",
        on: "it is suspended: data is not used for it",
        off: "it is no longer suspended",
        withheld: &[PurposeSuspended],
        read: |purpose| purpose.suspended,
    },
];

fn changed(old: &Purpose, new: &Purpose) -> Vec<Change> {
    let mut changes: Vec<Change> = SWITCHES
        .iter()
        .filter(|switch| (switch.read)(old) != (switch.read)(new))
        .map(|switch| switched(switch, new))
        .collect();
    changes.extend((old.retention != new.retention).then(|| retention(old, new)));
    changes.extend((old.min_members != new.min_members).then(|| audience(old, new)));
    changes.extend((old.title != new.title).then(|| title(old, new)));
    changes.extend((old.readers != new.readers).then(|| readers(old, new)));
    changes
}

fn switched(switch: &Switch, new: &Purpose) -> Change {
    let is_on = (switch.read)(new);
    let (change, says) =
        if is_on { (Kind::Stricter, switch.on) } else { (Kind::Looser, switch.off) };
    Change {
        field: Some(switch.field),
        before: Some((!is_on).to_string()),
        after: Some(is_on.to_string()),
        ..whole(new, change, says.to_owned(), live_keys_of(switch, is_on))
    }
}

fn live_keys_of(switch: &Switch, is_on: bool) -> String {
    let reasons: Vec<&str> = switch.withheld.iter().map(|verdict| verdict.label()).collect();
    match (is_on, switch.field) {
        (true, "suspended") => {
            format!(
                "all of this purpose end with {}, and its counters are removed",
                reasons.join(", ")
            )
        }
        (true, _) => format!(
            "those of subjects that the gate now withholds end with the reason of the verdict \
             ({}), and their counters are removed; the others stay and keep their counters",
            reasons.join(", ")
        ),
        (false, _) => {
            "none end; subjects that were withheld until now start with empty counters".to_owned()
        }
    }
}

fn retention(old: &Purpose, new: &Purpose) -> Change {
    let (before, after) = (words::span(old.retention), words::span(new.retention));
    let is_shorter = new.retention < old.retention;
    let (change, live_keys) = if is_shorter {
        let left = TombstoneReason::SegmentsLeft.label();
        let older = format!(
            "clicks older than {after} stop counting; a key that has no segment left ends with \
             {left}; counters are kept"
        );
        (Kind::Stricter, older)
    } else {
        let none = "none end; counters are kept, and clicks that were already too old do not count \
            again";
        (Kind::Looser, none.to_owned())
    };
    let says = format!("a click counts for {after} instead of {before}");
    Change {
        field: Some("retention"),
        before: Some(before),
        after: Some(after),
        ..whole(new, change, says, live_keys)
    }
}

/// A smaller audience, or none, tells more of a person.
fn audience(old: &Purpose, new: &Purpose) -> Change {
    let words =
        |least: Option<u32>| least.map_or("none".to_owned(), |least| format!("{least} subjects"));
    let (before, after) = (words(old.min_members), words(new.min_members));
    let is_stricter = new.min_members > old.min_members;
    let (change, live_keys) = if is_stricter {
        let left = TombstoneReason::SegmentsLeft.label();
        let ends = format!(
            "segments with fewer subjects are named no more: those with half of it or less at once, the \
             others after an hour; a key that has no segment left ends with {left}; counters are kept"
        );
        (Kind::Stricter, ends)
    } else {
        (Kind::Looser, "none end; segments with enough subjects are named".to_owned())
    };
    let says = format!("its minimum audience is {after} instead of {before}");
    Change {
        field: Some("min_members"),
        before: Some(before),
        after: Some(after),
        ..whole(new, change, says, live_keys)
    }
}

/// Who reads is a matter between people: it opens and closes nothing.
fn readers(old: &Purpose, new: &Purpose) -> Change {
    let (before, after) = (listed(&old.readers), listed(&new.readers));
    let says = format!(
        "it is read by {after} instead of {before}; grant or take away the rights on its topic"
    );
    let live_keys = "they stay and keep their counters".to_owned();
    Change {
        field: Some("readers"),
        before: Some(before),
        after: Some(after),
        ..whole(new, Kind::Changed, says, live_keys)
    }
}

fn listed(readers: &[Reader]) -> String {
    let one = |reader: &Reader| {
        format!("{} ({}, group {})", reader.id, reader.kind.says(), reader.group_id)
    };
    let all: Vec<String> = readers.iter().map(one).collect();
    if all.is_empty() { "nobody who is declared".to_owned() } else { all.join(", ") }
}

fn title(old: &Purpose, new: &Purpose) -> Change {
    let says = format!("its title is “{}” instead of “{}”", new.title, old.title);
    let live_keys = "they stay and keep their counters".to_owned();
    Change {
        field: Some("title"),
        before: Some(old.title.clone()),
        after: Some(new.title.clone()),
        ..whole(new, Kind::Changed, says, live_keys)
    }
}
