//! What was live of a subject, as the audit's effects say.

use assent_contract::domain::audit::Change;
use assent_contract::domain::time::{Span, Timestamp};

use crate::row::Found;

/// The last effect on a purpose.
#[derive(Clone, Debug)]
pub struct Last<'a> {
    pub found: &'a Found,
    pub key_version: u8,
    pub change: &'a Change,
}

/// The last effect on a purpose among these entries of one subject, in the order of the audit; `until`: up to
/// and with this entry.
pub fn last_effect<'a>(
    entries: &'a [Found],
    until: Option<&Found>,
    purpose: &str,
) -> Option<Last<'a>> {
    let is_before =
        |it: &&Found| until.is_none_or(|until| (it.at, it.place) <= (until.at, until.place));
    let effects = entries.iter().filter(is_before).flat_map(|found| {
        found.effects().filter(|(id, ..)| id == purpose).map(move |it| (found, it))
    });
    let (found, (_, key_version, change)) = effects.last()?;
    Some(Last { found, key_version, change })
}

/// A time in which a subject was live for a purpose: from this moment on, before that one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    pub from: Timestamp,
    pub to: Timestamp,
}

/// When a subject was live for a purpose. An assignment that nothing follows ends with its lease.
pub fn intervals(entries: &[Found], purpose: &str, lease: Span) -> Vec<Interval> {
    let mut all: Vec<Interval> = Vec::new();
    let effects = entries.iter().flat_map(|found| {
        let of_it = found.effects().filter(|(id, ..)| id == purpose);
        of_it.map(move |(_, version, change)| (found.head.decided_at, version, change))
    });
    // By key version: a rotation writes under the new key what it removes under the old one.
    let mut live: Vec<(u8, Interval)> = Vec::new();
    for (at, version, change) in effects {
        let open = live.iter().position(|(of, _)| *of == version).map(|at| live.remove(at).1);
        let closed = open.map(|open| Interval { to: open.to.min(at), ..open });
        all.extend(closed.filter(|it| it.from < it.to));
        if let Change::Assigned(_) = change {
            live.push((version, Interval { from: at, to: at + lease }));
        }
    }
    all.extend(live.into_iter().map(|(_, interval)| interval));
    joined(all)
}

/// Those that touch become one.
fn joined(mut all: Vec<Interval>) -> Vec<Interval> {
    all.sort_by_key(|it| it.from);
    let mut joined: Vec<Interval> = Vec::new();
    for next in all {
        match joined.last_mut() {
            Some(last) if next.from <= last.to => last.to = last.to.max(next.to),
            _ => joined.push(next),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use assent_contract::domain::audit::{AuditBatch, AuditEntry, Effect};
    use assent_contract::domain::outcome::{InputKind, Outcome, TombstoneReason};

    use super::*;

    fn found(at: i64, version: u8, is_assigned: bool) -> Found {
        let head = AuditBatch {
            chain: "a/0".to_owned(),
            sequence: at,
            previous: [0; 32],
            decided_at: Timestamp(at),
            rulebook: "1".to_owned(),
            rulebook_sha256: [0; 32],
            key_version: version,
            click_from: 0,
            click_to: 0,
            consent_from: 0,
            consent_to: 0,
            barrier: 0,
            gate_open: true,
            purposes: vec!["ads".to_owned()],
            entries: Vec::new(),
        };
        let effect = if is_assigned {
            Effect { purpose: 0, key_version: version, change: Change::Assigned([1; 32]) }
        } else {
            Effect::removed(0, version, TombstoneReason::SegmentsLeft)
        };
        let entry = AuditEntry {
            input: InputKind::Timer,
            offset: None,
            outcome: Outcome::Elapsed,
            subject: Some([1; 17]),
            consent_version: None,
            verdicts: Vec::new(),
            effects: vec![effect],
        };
        Found { partition: 0, at, place: 0, head: Arc::new(head), entry }
    }

    #[track_caller]
    fn check(effects: &[(i64, u8, bool)], expect: &[(i64, i64)]) {
        let entries: Vec<Found> = effects.iter().map(|&(at, of, is)| found(at, of, is)).collect();
        let found = intervals(&entries, "ads", Span(100));
        let found: Vec<(i64, i64)> = found.iter().map(|it| (it.from.0, it.to.0)).collect();
        assert_eq!(found, expect);
        assert_eq!(intervals(&entries, "mail", Span(100)), []);
    }

    #[test]
    fn an_assignment_lasts_until_it_is_removed_or_its_lease_ends() {
        check(&[(10, 1, true), (50, 1, false)], &[(10, 50)]);
        check(&[(10, 1, true)], &[(10, 110)]);
        check(&[(10, 1, true), (60, 1, true), (150, 1, false)], &[(10, 150)]);
        check(&[(10, 1, true), (200, 1, true), (250, 1, false)], &[(10, 110), (200, 250)]);
    }

    #[test]
    fn a_rotated_key_goes_on() {
        check(&[(10, 1, true), (40, 2, true), (40, 1, false), (70, 2, false)], &[(10, 70)]);
    }
}
